"""poolctl status: the running servers, and what they are doing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poolctl.cli.arguments import TextOrJson
from poolctl.cli.output import echo, terminal_width
from poolctl.cli.queue_lines import queue_lines, refused
from poolctl.cli.servers import NOT_RUNNING, ServerArgument, look, not_running

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE_COLUMNS = 65  # the width of the table of workers


def status(
    what: ServerArgument = "",
    form: Annotated[TextOrJson, typer.Option("--format", help="Output for people, or for programs.")] = TextOrJson.TEXT,
) -> None:
    """Show this user's running servers, or one of them: workers, requests in flight and waiting, plugin faults.

    Exits with 1 if none is running.
    """
    import json

    name, sockets, answered, silent = look(what)
    found = [each for _, each in answered]
    if form is TextOrJson.JSON:
        echo(json.dumps(found, indent=2), wrap=False)
    for number, each in enumerate(found if form is TextOrJson.TEXT else ()):
        echo("\n" * bool(number) + "\n".join(_lines(each, terminal_width(sys.stdout))))
    if silent and not found:
        raise typer.Exit(NOT_RUNNING)  # the warnings have said all
    if not found:
        not_running(name, sockets)


def _lines(server: dict[str, Any], width: int) -> Iterator[str]:
    """Yield the lines about a server. ``width``: of the terminal, in columns; 0: none."""
    from poolctl.config.diagnostic import number_of

    state, uptime = f"{server['state']}, generation {server['generation']}", _duration(server["uptime_seconds"])
    yield f"{server['name']} (pid {server['pid']}): {state}, up {uptime}"
    yield f"  {', '.join(server.get('assembly', ()))}"
    if busy := server["at_work"]:
        yield f"  {busy['do']} has been at work for {_duration(busy['seconds'])} ({busy['who']})"
    if server["retiring"]:
        verb = "is" if server["retiring"] == 1 else "are"
        yield f"  {number_of(server['retiring'], 'earlier generation')} {verb} still draining"
    if pool := server["pool"]:
        yield from _changes(pool)
    if "requests" not in server:
        yield "  no generation has started yet"
        return
    figures = ("failed", "failed"), ("in_flight", "in flight"), ("waiting", "waiting")
    requests = number_of(server["requests"], "request")
    yield f"  {', '.join([requests, *(f'{server[key]} {word}' for key, word in figures)])}"
    if server["after_response"]:
        yield f"  {number_of(server['after_response'], 'request')} still running after the response"
    if server["retried"]:
        yield f"  {number_of(server['retried'], 'request')} retried because a worker died"
    if server["plugin_faults"]:
        faults = number_of(server["plugin_faults"], "fault")
        yield f"  {faults} in the dispatch plugin, whose tasks least-loaded took over; see the log"
    yield from _queue(server)
    if not server["workers"]:
        if server["state"] == "drained":
            yield f"  no workers: poolctl resume {server['name']} starts them again"
        return
    yield from _table(server["workers"]) if not 0 < width < TABLE_COLUMNS else _sentences(server["workers"])


def _queue(server: dict[str, Any]) -> Iterator[str]:
    """Yield what the front does with requests before workers get them."""
    from poolctl.config.diagnostic import number_of

    if limit := server["concurrency"]:
        yield f"  up to {number_of(limit, 'request')} at once in each worker (concurrency: auto)"
    yield from refused(server["refused"])
    yield from queue_lines(server["classes"], server["routes"])


def _changes(pool: dict[str, Any]) -> Iterator[str]:
    """Yield what differs from the file, and what is under way."""
    from poolctl.config.diagnostic import number_of

    if pool["most"] > pool["in_file"]:
        chosen = "" if pool["automatic"] else "; that was chosen, and poolctl scale auto ends it"
        yield f"  {number_of(pool['size'], 'worker')} of {pool['in_file']} to {pool['most']}{chosen}"
    elif pool["size"] != pool["in_file"]:
        yield f"  {number_of(pool['size'], 'worker')}, where the topology has {pool['in_file']}"
    if pool["drained"]:
        yield f"  drained: worker {', '.join(map(str, pool['drained']))}; poolctl resume starts it again"
    under_way = [f"{pool['ready']} of {pool['size']} workers ready"] * (pool["ready"] != pool["size"])
    under_way += [f"{pool['leaving']} leaving"] * bool(pool["leaving"])
    under_way += [f"{pool['to_recycle']} to recycle"] * bool(pool["to_recycle"])
    if under_way:
        yield f"  {', '.join(under_way)}"


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
