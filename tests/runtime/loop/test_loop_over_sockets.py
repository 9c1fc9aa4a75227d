"""The loop by itself, over real sockets: what a handler raises, listeners that wait for a descriptor, and arming."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.server import wait_until

from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.listen.listening import listen
from poolctl.runtime.loop import loop as loops
from poolctl.runtime.loop.farewells import Lingering
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import AnyService, Source
from poolctl.runtime.protocol.lines import Lines
from poolctl.runtime.scoreboard import DONE, FAILED, ROW, TAKEN
from poolctl.runtime.serving.connection_loop import ConnectionLoop
from poolctl.runtime.serving.kinds import connection_of
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system.poller import IN
from poolctl.runtime.timeouts import Timeouts


class Shout:
    """An app that answers in capitals, and raises what it is told to."""

    owns_connection = False
    asynchronous = False

    def serving(self) -> Any:
        return self.serve

    def serve(self, request: bytes, out: Any) -> bool:
        out.send(request.upper() + b"\n")
        return True


class Running:
    """A loop with a listener, in threads of this process."""

    def __init__(self, shared: bool) -> None:
        lifeline, self._life = os.pipe()
        self.row = memoryview(bytearray(ROW * 8)).cast("q")
        app: Any = Shout()
        self.loop = ConnectionLoop(lifeline, Timeouts(drain=5), 100, connection_of(app, shared=shared), shared=shared)
        door = Door(Lines())
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.listener = Listener(self._sock, door)
        self.port = self._sock.getsockname()[1]
        self.service = Service(app, door.protocol, self.row)
        listen(self.loop, self.listener, self.loop.accept)
        self._threads = [
            threading.Thread(target=self.loop.run, args=(self.service,)) for _ in range(3 if shared else 1)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        os.close(self._life)
        for thread in self._threads:
            thread.join()
        self._sock.close()

    def client(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10)


@pytest.fixture(params=["alone", "shared"])
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    made = Running(request.param == "shared")
    made.start()
    yield made
    made.end()


def ask(client: socket.socket, word: bytes = b"hello") -> bytes:
    client.sendall(word + b"\n")
    return client.recv(100)


class Wrong(Source[AnyService]):
    """A handler that raises what it is made with, at its first event."""

    def __init__(self, fd: int, error: BaseException) -> None:
        self.fd = fd
        self.error: BaseException | None = error
        self.calls = 0

    def on_event(self, events: int, service: Any) -> None:
        self.calls += 1
        error, self.error = self.error, None
        if error is not None:
            raise error
        os.read(self.fd, 1)

    def abort(self, service: Any) -> None:
        self.was_told = True


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(), KeyboardInterrupt(), BaseExceptionGroup("g", [ValueError()])]
)
def test_what_a_handler_raises_is_counted_and_the_loop_goes_on(
    running: Running, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = os.pipe()
    wrong = Wrong(reader, error)
    running.loop.sources.add(reader)
    running.loop.add(wrong)
    os.write(writer, b"x")
    wait_until(lambda: wrong.calls >= 2, "the next event of the source, which goes on")
    assert running.row[FAILED] == 1
    assert wrong.was_told
    with running.client() as client:
        assert ask(client) == b"HELLO\n"
    running.loop.remove(wrong)
    os.close(reader)
    os.close(writer)


def test_a_connection_whose_conversation_raises_is_closed_and_counted_once(running: Running) -> None:
    with running.client() as broken, running.client() as other:
        assert ask(broken) == b"HELLO\n"
        assert ask(other) == b"HELLO\n"
        found = [each for each in running.loop.handlers.values() if hasattr(each, "conversation")]
        name = broken.getsockname()
        (connection,) = [each for each in found if socket_name(each.fd) == name]

        def receive(data: bytes) -> None:
            raise RuntimeError("on purpose")

        connection.conversation.receive = receive  # type: ignore[attr-defined]
        broken.sendall(b"again\n")
        assert broken.recv(100) == b""
        assert ask(other) == b"HELLO\n"
        wait_until(lambda: running.row[FAILED] == 1, "the count")
        assert running.loop.open == 1
        assert running.row[TAKEN] - running.row[DONE] == 1


def socket_name(fd: int) -> Any:
    sock = socket.socket(fileno=fd)
    try:
        return sock.getpeername()
    finally:
        sock.detach()


def test_a_closed_connection_brings_back_a_listener_that_ran_out_of_descriptors(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: the next sweep, which would do it too, is an hour away."""
    monkeypatch.setattr(loops, "SWEEP_SECONDS", 3600)
    with running.client() as before:
        assert ask(before) == b"HELLO\n"
        running.loop._next_sweep = running.loop._next_look = running.loop.now + 3600
        (listening,) = running.loop.listening.values()
        running.loop.pause(listening)  # type: ignore[arg-type]
        with running.client() as waiting:
            assert listening.fd not in running.loop.handlers
            assert ask(before) == b"HELLO\n"
            assert listening.fd not in running.loop.handlers
            before.close()
            assert ask(waiting) == b"HELLO\n"


@pytest.mark.parametrize("shared", [False, True])
def test_of_several_that_drop_a_handler_one_may_close_it(shared: bool) -> None:
    lifeline, life = os.pipe()
    loop: Loop[None] = Loop(lifeline, shared=shared)
    for _ in range(200):
        one, other = socket.socketpair()
        handler = Lingering(loop.farewells, other)
        loop.add(handler)
        start = threading.Barrier(3)
        won: list[bool] = []

        def race(drop: Callable[[Any], bool] = loop.remove, handler: Any = handler) -> None:
            start.wait()  # noqa: B023  # the thread ends in this round
            won.append(drop(handler))  # noqa: B023  # the thread ends in this round
            loop.rearm(handler)

        threads = [threading.Thread(target=race) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == [False, False, True]
        one.close()
        other.close()
    os.close(life)
    assert handler.mask == IN
