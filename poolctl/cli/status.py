"""poolctl status: which servers run, and what they are doing."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poolctl.cli.output import columns, say

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 2.0  # seconds that a supervisor has to answer
NOT_RUNNING = 1
LARGEST = 1 << 22  # bytes of an answer
TABLE = 65  # columns of the table of workers


class Form(StrEnum):
    """The words of --format."""

    TEXT = "text"
    JSON = "json"


def status(
    what: Annotated[
        str,
        typer.Argument(metavar="NAME|FILE|FOLDER|APP", help="A server's name, or its topology.", show_default=False),
    ] = "",
    form: Annotated[Form, typer.Option("--format", help="How it is printed.")] = Form.TEXT,
) -> None:
    """Show the servers of this user that run, or one of them: workers, requests, what waits, faults of plugins.

    Exits with 1 when there is none.
    """
    import json
    import os

    running = list(_servers())
    names = [each["name"] for each in running]
    name = what if what in names else _name(what)
    found = [each for each in running if not name or each["name"] == name]
    if form is Form.JSON:
        say(json.dumps(found, indent=2), whole=True)
    for number, each in enumerate(found if form is Form.TEXT else ()):
        say("\n" * bool(number) + "\n".join(_lines(each, columns(sys.stdout))))
    if not found:
        from poolctl.similar import similar
        from poolctl.supervision.control import folders

        who = f"{name} is not running" if name else "no server of this user is running"
        rest = "" if os.environ.get("RUNTIME_DIRECTORY") else ", and among the sockets that the kernel lists"
        near = similar(name, names) if name else None
        meant = f'; did you mean "{near}"?' if near else ""
        say(f"{who}: looked in {', '.join(dict.fromkeys(folders()))}{rest}{meant}", err=True)
        raise typer.Exit(NOT_RUNNING)


def _name(what: str) -> str:
    """The name of a server, where a topology, a folder or an app is given."""
    import os

    from poolctl.cli.inputs import is_app

    if not (what.endswith((".yaml", ".yml")) or os.path.isdir(what) or is_app(what)):
        return what
    from poolctl.cli.load_or_exit import judged

    topology = judged(what).topology
    return topology.name if topology else ""


def _servers() -> Iterator[dict[str, Any]]:
    """Those that answer; what a dead one left behind is passed over."""
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
                while len(data) < LARGEST and (more := sock.recv(65536)):
                    data += more
            told = json.loads(data)
        except ConnectionRefusedError:
            continue  # its server was killed
        except FileNotFoundError:
            continue  # it has ended meanwhile, or its file is in another mount namespace (PrivateTmp= of systemd)
        except (OSError, ValueError) as error:
            say(f"warning: {path} does not answer: {error or type(error).__name__}", err=True)
            continue
        if told["pid"] not in seen:  # one folder may have two names
            seen.add(told["pid"])
            yield told


def _lines(told: dict[str, Any], width: int) -> Iterator[str]:
    """What is said of a server. ``width``: of the terminal; 0: none."""
    from poolctl.config.diagnostic import number_of

    up = told["uptime_seconds"]
    yield f"{told['name']} (pid {told['pid']}): {told['state']}, generation {told['generation']}, up {_duration(up)}"
    yield f"  {', '.join(told.get('assembly', ()))}"
    if told["retiring"]:
        verb = "is" if told["retiring"] == 1 else "are"
        yield f"  {number_of(told['retiring'], 'earlier generation')} {verb} still draining"
    if "requests" not in told:
        yield "  no generation has begun"
        return
    figures = ("failed", "failed"), ("in_hand", "in flight"), ("waiting", "waiting")
    requests = number_of(told["requests"], "request")
    yield f"  {', '.join([requests, *(f'{told[key]} {word}' for key, word in figures)])}"
    if told["after_response"]:
        yield f"  {told['after_response']} still run after their response"
    if told["plugin_faults"]:
        times = number_of(told["plugin_faults"], "time")
        yield f"  the strategy was at fault {times}, and least-loaded took its tasks: see the log"
    yield from _table(told["workers"]) if not 0 < width < TABLE else _sentences(told["workers"])


def _table(workers: list[dict[str, Any]]) -> Iterator[str]:
    yield "  worker      pid  starts    requests    failed  in flight  busy for"
    for each in workers:
        yield (
            f"  {each['worker']:>6} {each['pid']:>8} {each['starts']:>7} {each['requests']:>11} {each['failed']:>9}"
            f" {each['in_hand']:>10} {_busy(each):>9}"
        )


def _sentences(workers: list[dict[str, Any]]) -> Iterator[str]:
    """The same in a terminal that is narrower than the table."""
    from poolctl.config.diagnostic import number_of

    for each in workers:
        counts = f"{number_of(each['starts'], 'start')}, {number_of(each['requests'], 'request')}"
        busy = f", busy for {_busy(each)}" if each["busy_seconds"] else ""
        yield (
            f"  worker {each['worker']} (pid {each['pid']}): {counts}, {each['failed']} failed,"
            f" {each['in_hand']} in flight{busy}"
        )


def _busy(worker: dict[str, Any]) -> str:
    return _duration(worker["busy_seconds"]) if worker["busy_seconds"] else "-"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds) // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
