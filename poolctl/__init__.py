"""poolctl: one file chooses how a server spreads its work over a pool, and runs it."""

__version__ = "0.1.0"


def compiled() -> bool:
    """Return whether the hot path is compiled (setup.py)."""
    from importlib.util import find_spec  # for --version and development only

    return find_spec("poolctl.compiled__mypyc") is not None
