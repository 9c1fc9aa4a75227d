"""poolctl: one file chooses how a server spreads its work over a pool, and runs it."""

__version__ = "0.1.0"
