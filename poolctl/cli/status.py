"""poolctl status: the running servers, and what they are doing."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poolctl.cli.output import echo, terminal_width

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 2.0  # seconds that a supervisor has to answer
NOT_RUNNING = 1
MAX_ANSWER = 1 << 22  # bytes
TABLE_COLUMNS = 65  # the width of the table of workers


class StatusFormat(StrEnum):
    """The values of --format."""

    TEXT = "text"
    JSON = "json"


def status(
    what: Annotated[
        str,
        typer.Argument(metavar="NAME|FILE|FOLDER|APP", help="A server's name, or its topology.", show_default=False),
    ] = "",
    form: Annotated[
        StatusFormat, typer.Option("--format", help="Output for people, or for programs.")
    ] = StatusFormat.TEXT,
) -> None:
    """Show this user's running servers, or one of them: workers, requests in flight and waiting, plugin faults.

    Exits with 1 if none is running.
    """
    import json
    import os

    running = list(_servers())
    names = [each["name"] for each in running]
    name = what if what in names else _name(what)
    found = [each for each in running if not name or each["name"] == name]
    if form is StatusFormat.JSON:
        echo(json.dumps(found, indent=2), wrap=False)
    for number, each in enumerate(found if form is StatusFormat.TEXT else ()):
        echo("\n" * bool(number) + "\n".join(_lines(each, terminal_width(sys.stdout))))
    if not found:
        from poolctl.similar import similar
        from poolctl.supervision.control import folders

        message = f"{name} is not running" if name else "no server of this user is running"
        searched = ", ".join(dict.fromkeys(folders()))
        if not os.environ.get("RUNTIME_DIRECTORY"):
            searched += " and /proc/net/unix"
        near = similar(name, names) if name else None
        suggestion = f'; did you mean "{near}"?' if near else ""
        echo(f"{message} (searched {searched}){suggestion}", err=True)
        raise typer.Exit(NOT_RUNNING)


def _name(what: str) -> str:
    """Return the name of a server, which may be given by its topology, folder or app."""
    import os

    from poolctl.cli.inputs import is_app

    if not (what.endswith((".yaml", ".yml")) or os.path.isdir(what) or is_app(what)):
        return what
    from poolctl.cli.load_or_exit import load_or_exit

    topology = load_or_exit(what).topology
    return topology.name if topology else ""


def _servers() -> Iterator[dict[str, Any]]:
    """Yield the status of each server that answers; sockets of dead servers are skipped."""
    import json
    import os
    import socket

    from poolctl.supervision.control import SUFFIX, folders, is_own_folder, listed_by_kernel

    usual = [folder for folder in dict.fromkeys(folders()) if is_own_folder(folder)]
    paths = [os.path.join(folder, name) for folder in usual for name in sorted(os.listdir(folder))]
    seen: set[int] = set()
    for path in dict.fromkeys([*(path for path in paths if path.endswith(SUFFIX)), *listed_by_kernel()]):
        data = b""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(path)
                while len(data) < MAX_ANSWER and (more := sock.recv(65536)):
                    data += more
            server = json.loads(data)
        except ConnectionRefusedError:
            continue  # its server was killed
        except FileNotFoundError:
            continue  # the server has just ended, or its file is in another mount namespace (systemd's PrivateTmp=)
        except (OSError, ValueError) as error:
            echo(f"warning: no answer from {path}: {error or type(error).__name__}", err=True)
            continue
        if server["pid"] not in seen:  # the same folder may have two names
            seen.add(server["pid"])
            yield server


def _lines(server: dict[str, Any], width: int) -> Iterator[str]:
    """Yield the lines about a server. ``width``: of the terminal, in columns; 0: none."""
    from poolctl.config.diagnostic import number_of

    state, uptime = f"{server['state']}, generation {server['generation']}", _duration(server["uptime_seconds"])
    yield f"{server['name']} (pid {server['pid']}): {state}, up {uptime}"
    yield f"  {', '.join(server.get('assembly', ()))}"
    if server["retiring"]:
        verb = "is" if server["retiring"] == 1 else "are"
        yield f"  {number_of(server['retiring'], 'earlier generation')} {verb} still draining"
    if "requests" not in server:
        yield "  no generation has started yet"
        return
    figures = ("failed", "failed"), ("in_flight", "in flight"), ("waiting", "waiting")
    requests = number_of(server["requests"], "request")
    yield f"  {', '.join([requests, *(f'{server[key]} {word}' for key, word in figures)])}"
    if server["after_response"]:
        yield f"  {number_of(server['after_response'], 'request')} still running after the response"
    if server["plugin_faults"]:
        faults = number_of(server["plugin_faults"], "fault")
        yield f"  {faults} in the dispatch plugin, whose tasks least-loaded took over; see the log"
    yield from _table(server["workers"]) if not 0 < width < TABLE_COLUMNS else _sentences(server["workers"])


def _table(workers: list[dict[str, Any]]) -> Iterator[str]:
    yield "  worker      pid  starts    requests    failed  in flight  busy for"
    for each in workers:
        yield (
            f"  {each['worker']:>6} {each['pid']:>8} {each['starts']:>7} {each['requests']:>11} {each['failed']:>9}"
            f" {each['in_flight']:>10} {_busy(each):>9}"
        )


def _sentences(workers: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the rows of the table as sentences, for a terminal that is narrower than the table."""
    from poolctl.config.diagnostic import number_of

    for each in workers:
        counts = f"{number_of(each['starts'], 'start')}, {number_of(each['requests'], 'request')}"
        busy = f", busy for {_busy(each)}" if each["busy_seconds"] else ""
        yield (
            f"  worker {each['worker']} (pid {each['pid']}): {counts}, {each['failed']} failed,"
            f" {each['in_flight']} in flight{busy}"
        )


def _busy(worker: dict[str, Any]) -> str:
    return _duration(worker["busy_seconds"]) if worker["busy_seconds"] else "-"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds) // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
