"""Makes the harness importable for all tests: `from harness.server import Server`."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.forms import EXAMPLES  # importable only now
from harness.launcher import LaunchedServer
from harness.machine import within
from harness.server import Serve, Server
from hypothesis import HealthCheck, settings

# Servers and commands ignore what whoever starts them ignores; tests may run under nohup, or in the background.
for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU, signal.SIGQUIT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Draws are the same in each run, and nothing is judged by its time; make fuzz draws anew.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], max_examples=EXAMPLES
)
settings.register_profile("fuzz", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=1000)
settings.load_profile("suite")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """The collector of garbage rests while tests are collected, and never looks at them again: they are some hundred
    thousand objects, none of which is garbage, and going through them again and again takes a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever time a test may take, it is that of a quiet, fast machine."""
    for item in items:
        marker = item.get_closest_marker("timeout")
        seconds = marker.args[0] if marker else float(item.config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(within(seconds)), append=False)


@pytest.fixture
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Serve]:
    """Start topologies; all are ready when they are returned, and all of their processes are gone afterwards. What the
    folder ``apps`` beside the test has can be imported."""
    with starting(LaunchedServer, request.path, lambda: tmp_path) as start:
        yield start


@pytest.fixture
def serve_typed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Serve]:
    """The same as people start them, each with an interpreter of its own: that costs half a second."""
    with starting(Server, request.path, lambda: tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def serve_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """The same for all tests of a module: who asks for a topology that is served already gets that server."""
    with starting(LaunchedServer, request.path, lambda: tmp_path_factory.mktemp("served")) as start:
        servers: dict[str, Server] = {}

        def once(topology: Any, **options: Any) -> Server:
            key = repr((topology, options))
            if key not in servers:
                servers[key] = start(topology, **options)
            return servers[key]

        yield once


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes its topology."""
    return tmp_path / "shop.yaml"


@contextlib.contextmanager
def starting(kind: type[Server], test: Path, folder: Callable[[], Path]) -> Iterator[Serve]:
    """Starts servers, which end with it. Those that need a command before theirs are always typed."""
    servers: list[Server] = []
    apps = test.parent / "apps"
    options = {"path": apps} if apps.is_dir() else {}

    def start(topology: Any, **more: Any) -> Server:
        server = (Server if "prefix" in more else kind)(topology, folder(), **options | more)
        servers.append(server)
        return server.ready()

    yield start
    for server in servers:
        server.__exit__(None, None, None)
