"""poolctl stop: stop a running server, and wait until it has ended."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from select import POLLIN, poll
from typing import Annotated, Any

import typer

from poolctl.cli.output import echo, terminal_width
from poolctl.cli.servers import Asking, Found, NoAnswer, ServerArgument, fail, one
from poolctl.config.diagnostic import number_of, printable
from poolctl.supervision.control_socket import peer_of

PATIENCE_SECONDS = 15.0  # between two lines of an answer; a server says every second what it waits for
EXIT_SECONDS = 10.0  # that the process of a stopped server has to end


def stop(
    what: ServerArgument = "",
    now: Annotated[bool, typer.Option("--now", help="Do not wait for requests in flight: cut them off.")] = False,
) -> None:
    """Stop a running server as SIGTERM does, show what it waits for, and return when it has ended.

    Without NAME the only running server is meant. Ctrl-C ends only the waiting, not the stop.

    Exits with 0 if every request was answered, and with 1 if some were cut off or the server is not running.
    """
    found = one(what)
    progress = Progress()
    try:
        with Asking(found.path, "stop", PATIENCE_SECONDS, now=now) as asking:
            process = _process(peer_of(asking.sock).pid)
            for line in asking.lines():
                if "says" in line:
                    progress.show(f"{found.name}: {line['says']}")
    except NoAnswer as error:
        progress.clear()
        fail(f"{found}: {error}")
    except KeyboardInterrupt:
        progress.clear()
        echo(f"{found} goes on stopping; poolctl events {found.name} --follow shows its end", err=True)
        raise typer.Exit(130) from None
    progress.clear()
    if "error" in line:
        fail(f"{found}: {line['error']}", line.get("fix", ""), line["exit"])
    _wait_for(process, found)
    echo(_outcome(found, line["exit"], line["result"]))
    raise typer.Exit(line["exit"])


def _outcome(found: Found, status: int, result: dict[str, Any]) -> str:
    if "cut_off" in result:
        cut = f"{number_of(result['cut_off'], 'request')} cut off" if result["cut_off"] else "no request was in flight"
        return f"{found} stopped at once; {cut}"
    after = f"{found} stopped after {result['seconds']:.1f} s"
    return f"{after}; unfinished requests were cut off" if status else f"{after}; every request was answered"


def _process(pid: int) -> int:
    """Return a descriptor that can be read once the process has ended (pidfd_open(2)); -1 for a process that cannot be
    seen from here, such as one of another PID namespace."""
    with suppress(OSError):
        return os.pidfd_open(pid) if pid else -1
    return -1


def _wait_for(process: int, found: Found) -> None:
    """Wait until the process has ended, so that its addresses and its PID file are free."""
    if process < 0:
        return
    poller = poll()
    poller.register(process, POLLIN)
    if not poller.poll(EXIT_SECONDS * 1000):
        echo(f"warning: {found} has stopped serving, but its process still runs", err=True)
    os.close(process)


class Progress:
    """What a server is waiting for: on a terminal one line that is overwritten, otherwise lines."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = 0  # columns

    def show(self, text: str) -> None:
        """Show a text in place of the previous one."""
        if not self._terminal:
            echo(printable(text), err=True)
            return
        line = printable(text)[: terminal_width(sys.stderr) - 1]
        echo(f"\r{line.ljust(self._shown)}", err=True, end="", wrap=False)
        self._shown = len(line)

    def clear(self) -> None:
        """Remove the line from a terminal."""
        if self._shown:
            echo(f"\r{' ' * self._shown}\r", err=True, end="", wrap=False)
            self._shown = 0
