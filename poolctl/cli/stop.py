"""poolctl stop: stop a running server, and wait until it has ended."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from select import POLLIN, poll
from typing import Annotated, Any

import typer

from poolctl.cli.output import echo
from poolctl.cli.servers import Located, ServerArgument, fail, one
from poolctl.cli.transact import Progress, transact
from poolctl.config.diagnostic import number_of
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
    process = -1

    def note(sock: socket.socket) -> None:
        nonlocal process
        process = _process(peer_of(sock).pid)

    last = transact(found, "stop", Progress(f"{found.name}: "), PATIENCE_SECONDS, note, now=now)
    if "error" in last:
        fail(f"{found}: {last['error']}", last["fix"], last["exit"])
    _wait_for(process, found)
    echo(_outcome(found, last["exit"], last["result"]))
    raise typer.Exit(last["exit"])


def _outcome(found: Located, status: int, result: dict[str, Any]) -> str:
    if "cut_off" in result:
        cut = f"{number_of(result['cut_off'], 'request')} cut off" if result["cut_off"] else "no request was in flight"
        return f"{found} stopped at once; {cut}"
    after = f"{found} stopped after {result['seconds']:.1f} s"
    if status:
        return f"{after}; unfinished requests were cut off"
    streams = result.get("cut_streams", 0)
    if streams:
        return f"{after}; {number_of(streams, 'stream')} cut off (timeouts.stream), every other request was answered"
    return f"{after}; every request was answered"


def _process(pid: int) -> int:
    """Return a descriptor that can be read once the process has ended (pidfd_open(2)); -1 for a process that cannot be
    seen from here, such as one of another PID namespace."""
    with suppress(OSError):
        return os.pidfd_open(pid) if pid else -1
    return -1


def _wait_for(process: int, found: Located) -> None:
    """Wait until the process has ended, so that its addresses and its PID file are free."""
    if process < 0:
        return
    poller = poll()
    poller.register(process, POLLIN)
    if not poller.poll(EXIT_SECONDS * 1000):
        echo(f"warning: {found} has stopped serving, but its process still runs", err=True)
    os.close(process)
