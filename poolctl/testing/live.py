"""Checks a strategy in the front of a real server, with processes, connections, and a worker that is killed."""

from __future__ import annotations

import contextlib
import http.client
import inspect
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from poolctl.assembly.options import form, option_fields
from poolctl.runtime.dispatch import Dispatch
from poolctl.testing.checks import Make
from poolctl.testing.running import PATIENCE, Server, running
from poolctl.testing.violation import Violation

SIZE = 3


def check_live(make: Make, use: str = "") -> None:
    """Raise Violation if a request is lost or a fault is logged. ``use``: how topologies name the strategy; empty: by
    its file."""
    description = topology(make(), use)
    with tempfile.TemporaryDirectory() as folder, running(description, folder) as server:
        exercise(server)


def topology(strategy: Dispatch, use: str = "") -> dict[str, Any]:
    """Return a topology with this strategy. Raises Violation if other processes cannot find its class."""
    kind = type(strategy)
    if not use:
        source = inspect.getsourcefile(kind)
        if source is None or "<locals>" in kind.__qualname__:
            raise Violation(
                f"{kind.__qualname__} is defined inside a function, where no server can find it",
                "define it at module level",
            )
        use = f"{Path(source).resolve()}:{kind.__qualname__}"
    values = {each.name: getattr(strategy, each.name) for each in option_fields(kind)}
    # Enumerations and dataclasses in the form in which files write them.
    options = form(kind).dump_python(values, mode="json", warnings=False)
    return {
        "name": "contract",
        "app": "demo",
        "pool": {"kind": "process", "size": SIZE},
        "ownership": "half-sync/half-reactive",
        "dispatch": {"use": use, **options},
        "affinity": "request",
    }


def exercise(server: Server) -> None:
    """Send requests on several connections, before and after a worker is killed. Raises Violation."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(_connection(server.port)) for _ in range(6)]
        processes = {_request(server, each) for _ in range(6) for each in connections}
        victim = min(processes)
        os.kill(victim, signal.SIGKILL)
        server.wait_for("restarting")
        # The worker may have been killed after its last response but before it reported to the front, which then
        # cannot know that the response was complete, and closes that connection.
        closed = sum(not _is_kept(server, each) for each in connections)
        if closed > 1:
            raise Violation(f"{closed} connections were closed when one worker died\n{server.log.strip()}")
        for _ in range(5):
            for each in connections:
                _request(server, each)


def _is_kept(server: Server, connection: http.client.HTTPConnection) -> bool:
    """Whether a request on the connection is answered. A connection that was closed instead is reopened."""
    try:
        _request(server, connection)
    except Violation as violation:
        if not isinstance(violation.__cause__, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError):
            raise
        connection.close()
        return False
    return True


def _request(server: Server, connection: http.client.HTTPConnection) -> int:
    """Send a request. Returns the pid of the process that answered."""
    try:
        connection.request("GET", "/pid")
        response = connection.getresponse()
        response.read()
    except OSError as error:
        raise Violation(f"a request was not answered: {error!r}\n{server.log.strip()}") from error
    if response.status != 200:
        raise Violation(f"a request was answered with {response.status}\n{server.log.strip()}")
    return int(response.headers["X-Process"])


@contextlib.contextmanager
def _connection(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        yield connection
    finally:
        connection.close()
