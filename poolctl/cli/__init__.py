"""The command line: one file or folder per command.

Deferred imports: a command imports what it needs when it runs, so ``--help``, completion and the other commands start
fast.
"""
