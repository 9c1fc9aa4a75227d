"""Carries out a command that changes a server: shows what the server says meanwhile, and returns how it ended."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

import typer

from poolctl.cli.output import echo, terminal_width
from poolctl.cli.servers import Asking, Located, NoAnswer, fail
from poolctl.config.diagnostic import printable

INTERRUPTED = 130  # exit code


def show_lines(text: str, *, err: bool = False) -> None:
    """Print a text of several lines, such as findings with the lines that they are about."""
    for line in text.splitlines():
        echo(printable(line), err=err)


class Lines:
    """What a server says, on standard output."""

    def show(self, text: str) -> None:
        """Print a text."""
        show_lines(text)

    def clear(self) -> None:
        """Nothing is removed."""


class Progress(Lines):
    """What a server is doing: on a terminal one line that is overwritten, otherwise lines. ``lead``: what each line
    begins with."""

    def __init__(self, lead: str = "") -> None:
        self._lead = lead
        self._terminal = sys.stderr.isatty()
        self._shown = 0  # columns

    def show(self, text: str) -> None:
        """Show a text in place of the previous one."""
        if not self._terminal:
            echo(printable(self._lead + text), err=True)
            return
        line = printable(self._lead + text)[: terminal_width(sys.stderr) - 1]
        echo(f"\r{line.ljust(self._shown)}", err=True, end="", wrap=False)
        self._shown = len(line)

    def clear(self) -> None:
        """Remove the line from a terminal."""
        if self._shown:
            echo(f"\r{' ' * self._shown}\r", err=True, end="", wrap=False)
            self._shown = 0


def transact(
    found: Located,
    do: str,
    output: Lines,
    seconds: float | None = None,
    connected: Callable[[socket.socket], None] = lambda sock: None,
    **arguments: Any,
) -> dict[str, Any]:
    """Return the last line of the answer to a command that changes a server, with a result or an error.

    If the server does not answer, prints an error and exits. Ctrl-C ends only the waiting. ``seconds``: between two
    lines of the answer; None: any time. ``connected`` gets the connection.
    """
    try:
        with Asking(found.path, do, seconds, **arguments) as asking:
            connected(asking.sock)
            for line in asking.lines():
                if "says" in line:
                    output.show(line["says"])
    except NoAnswer as error:
        output.clear()
        fail(f"{found}: {error}")
    except KeyboardInterrupt:
        output.clear()
        echo(f"{found} goes on with {do}; poolctl events {found.name} --follow shows its end", err=True)
        raise typer.Exit(INTERRUPTED) from None
    output.clear()
    return line
