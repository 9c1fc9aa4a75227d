"""The entry point of the command line: what comes before the parser of options.

poolctl run shop.yaml --set pool.size=4     such a usual line is read here: without typer a start is shorter
any other line                              goes to the parser in main.py
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import sys
from collections.abc import Sequence

REPEATED = {"--set": "sets", "--listen": "listen", "--file": "overlays", "-f": "overlays"}  # options of `run`
STREAMS = ("stdin", "stdout", "stderr")  # in the order of their descriptors


def open_closed_streams() -> None:
    """Open /dev/null for standard streams that are closed (`poolctl run >&-`): otherwise a socket would get the number
    of one, and log lines would go to a client."""
    for number, name in enumerate(STREAMS):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115  # to the end


def usual(words: Sequence[str]) -> dict[str, str | list[str] | None] | None:
    """Return the arguments of `run` in these words; None if they may be wrong, or mean something that typer knows."""
    found: dict[str, str | list[str] | None] = {"file": "", "overlays": None, "listen": None, "sets": None}
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if option in REPEATED and (not equals or option != "-f"):
            if not equals:
                value = next(rest, "")
            if not value or value.startswith("-"):
                return None
            before = found[REPEATED[option]]
            found[REPEATED[option]] = [*(before or ()), value]
        elif word and not word.startswith("-") and not found["file"]:
            found["file"] = word
        else:
            return None
    return found


def _run(words: Sequence[str]) -> None:
    """Serve, and exit."""
    given = usual(words)
    if given is not None:
        from poolctl.cli.foreground import WrongUse, serve_in_foreground

        with contextlib.suppress(WrongUse):  # which typer reports
            serve_in_foreground(**given, watch=False)  # type: ignore[arg-type]  # as ``usual`` made them
    from poolctl.cli.main import cli

    cli()


def main() -> None:
    """Run the command line of this process, and exit."""
    open_closed_streams()
    try:
        os.getcwd()
    except OSError:  # relative paths could not be resolved
        sys.stderr.write("error: the working directory has been removed; change to another one\n")
        sys.exit(2)
    # Imports leave little garbage, and looking for it takes a twentieth of a start: `run` enables it before it serves.
    gc.disable()
    if sys.argv[1:2] == ["run"]:
        _run(sys.argv[2:])
    from poolctl.cli.main import cli

    # Output may contain characters that the encoding of the terminal or the pipe lacks.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # the original stream
    # All other commands end before there is garbage to collect. Collecting it and finalizing the interpreter would take
    # a fifth of their time (mypy exits in the same way).
    code = 0
    try:
        try:
            cli()
        except SystemExit as exiting:
            code = exiting.code if isinstance(exiting.code, int) else int(exiting.code is not None)
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO) or error.filename is not None:
            raise
        sys.stderr.write(f"error: cannot write to standard output: {error.strerror}\n")
        code = 2
    sys.stderr.flush()
    os._exit(code)
