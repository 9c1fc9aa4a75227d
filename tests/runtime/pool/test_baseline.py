"""Pools without a pool: what is made for each client, how many there may be, and a loop for one client."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from poolctl.runtime.lifeline import Life
from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import Source
from poolctl.runtime.pool.baseline import PerConnection, Served
from poolctl.runtime.pool.iterative import Iterative
from poolctl.runtime.pool.process_per_connection import ServingChild
from poolctl.runtime.pool.single_loop import SingleLoop, passing_service, single_loop
from poolctl.runtime.pool.thread_per_connection import Companion, ThreadPerConnection
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.lines import Lines
from poolctl.runtime.scoreboard import DONE, ROW, TAKEN
from poolctl.runtime.serving.service import Service
from poolctl.runtime.site import Site
from poolctl.runtime.system import forked
from poolctl.runtime.system.poller import IN
from poolctl.runtime.task import Peer
from poolctl.runtime.timeouts import Timeouts

PEER = Peer("127.0.0.1", "4711", "127.0.0.1", "80")


class Shout:
    """An app that answers in capitals."""

    owns_connection = False
    asynchronous = False

    def serving(self) -> Any:
        return self.serve

    def serve(self, request: bytes, out: Any) -> bool:
        out.send(request.upper() + b"\n")
        return True


class Begun(Served):
    """What serves one client, as far as the test says."""

    ended = 0

    def end(self) -> None:
        self.ended += 1
        os.close(self.fd)


class Fake(PerConnection):
    """A pool that makes a ``Begun`` for each client, or raises."""

    role = "threads"

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.begun: list[tuple[Begun, int]] = []  # and the descriptor whose end is the end of it

    def begin(self, loop: Loop[Service], site: Site, life: Life, fd: int, peer: Peer, door: Door) -> Source[Service]:
        if self.fails is not None:
            raise self.fails
        os.close(fd)
        reader, writer = os.pipe()
        self.begun.append((Begun(loop, reader), writer))
        return self.begun[-1][0]


class Rig:
    """A site with one listener, and a life."""

    def __init__(self, at_once: int = 2, protocol: Any = None) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.door = Door(protocol or Http())
        self.app: Any = Shout()
        self.row = memoryview(bytearray(ROW * 8)).cast("q")
        self.service = Service(self.app, self.door.protocol, self.row)
        self.site: Any = SimpleNamespace(
            shared_listeners=[Listener(self.sock, self.door)],
            at_once=at_once,
            app=self.app,
            timeouts=Timeouts(),
            serving=lambda row, name: Service(self.app, self.door.protocol, row),
        )
        self.lifeline, self.mold = os.pipe()
        self.life = Life(self.lifeline, 30.0, lambda: None)
        self.loops: list[Loop[Any]] = []
        self.clients: list[socket.socket] = []

    def loop(self, pool: Any) -> Loop[Service]:
        made: Loop[Service] = pool.loop(self.site, self.life)
        self.loops.append(made)
        return made

    def connect(self, loop: Loop[Service]) -> socket.socket:
        """A client, whose connection the loop has accepted."""
        far = socket.create_connection(self.sock.getsockname())
        far.settimeout(10)
        self.clients.append(far)
        (listening,) = loop.listening.values()
        while not listening.look(self.service):
            pass
        return far

    def close(self) -> None:
        for loop in self.loops:
            loop._finish()
            loop.close()
        for sock in (self.sock, *self.clients):
            sock.close()
        for fd in (self.lifeline, self.mold):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def test_what_is_made_for_a_client_is_counted_until_it_ends(rig: Rig) -> None:
    pool = Fake()
    loop = rig.loop(pool)
    rig.connect(loop)
    ((begun, writer),) = pool.begun
    assert loop.handlers[begun.fd] is begun
    assert (rig.row[TAKEN], rig.row[DONE]) == (1, 0)
    os.close(writer)
    begun.on_event(IN, rig.service)
    assert begun.ended == 1
    assert begun.fd not in loop.handlers
    assert (rig.row[TAKEN], rig.row[DONE]) == (1, 1)


def test_past_the_limit_clients_are_turned_away(rig: Rig) -> None:
    pool = Fake()
    loop = rig.loop(pool)
    for _ in range(2):
        rig.connect(loop)
    assert rig.connect(loop).recv(100).startswith(b"HTTP/1.1 503")
    assert len(pool.begun) == 2
    for begun, writer in pool.begun:
        os.close(writer)
        begun.on_event(IN, rig.service)
    leave(loop)


@pytest.mark.parametrize("error", [OSError(11, "no more processes"), RuntimeError("can't start new thread")])
def test_without_room_in_the_system_a_client_is_turned_away(
    rig: Rig, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Fake()
    pool.fails = error
    loop = rig.loop(pool)
    assert rig.connect(loop).recv(100).startswith(b"HTTP/1.1 503")
    assert (rig.row[TAKEN], rig.row[DONE]) == (0, 0)
    assert "raise the limit on processes or lower limits.connections" in caplog.text
    leave(loop)


def leave(loop: Loop[Service]) -> None:
    for handler in list(loop.handlers.values()):
        handler.expire(float("inf"), None)  # type: ignore[arg-type]


def test_a_thread_serves_its_client_and_ends_with_it() -> None:
    made = Rig(protocol=Lines())
    loop = made.loop(ThreadPerConnection())
    far = made.connect(loop)
    far.sendall(b"hello\n")
    assert far.recv(100) == b"HELLO\n"
    (companion,) = [each for each in loop.handlers.values() if isinstance(each, Companion)]
    assert companion.descriptors() == {companion.fd, companion._writer}
    far.close()
    companion._thread.join()
    assert os.read(companion.fd, 1) == b""
    companion.on_event(IN, made.service)
    assert (made.row[TAKEN], made.row[DONE]) == (1, 1)
    made.close()


def test_without_a_thread_the_pipe_is_closed_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*args: object, **options: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("poolctl.runtime.pool.thread_per_connection.threads.start", none_left)
    loop = rig.loop(ThreadPerConnection())
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(RuntimeError):
        ThreadPerConnection().begin(loop, rig.site, rig.life, -1, PEER, rig.door)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_client_whose_thread_gets_no_descriptors_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*args: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("poolctl.runtime.pool.single_loop.single_loop", none_left)
    made = Rig(protocol=Lines())
    loop = made.loop(ThreadPerConnection())
    assert made.connect(loop).recv(1) == b""
    (companion,) = [each for each in loop.handlers.values() if isinstance(each, Companion)]
    companion.on_event(IN, made.service)
    assert (made.row[TAKEN], made.row[DONE]) == (1, 1)
    made.close()


def test_a_client_whose_loop_breaks_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(SingleLoop, "_turns", broken)
    made = Rig(protocol=Lines())
    loop = made.loop(Iterative())
    assert made.connect(loop).recv(1) == b""
    made.close()


def test_one_client_after_the_other_also_when_one_gets_no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = single_loop, iter([OSError(24, "Too many open files")])

    def once(*args: Any) -> Any:
        for error in calls:
            raise error
        return real(*args)

    monkeypatch.setattr("poolctl.runtime.pool.single_loop.single_loop", once)
    made = Rig(protocol=Lines())
    loop = made.loop(Iterative())
    assert made.connect(loop).recv(1) == b""
    assert loop.open == 0  # type: ignore[attr-defined]
    assert (made.row[TAKEN], made.row[DONE]) == (0, 0)
    client = socket.create_connection(made.sock.getsockname())
    client.sendall(b"hello\n")
    client.shutdown(socket.SHUT_WR)
    (listening,) = loop.listening.values()
    assert listening.look(made.service)
    assert client.recv(100) == b"HELLO\n"
    client.close()
    made.close()


def test_a_process_may_close_its_end_of_the_pipe_before_it_ends(rig: Rig) -> None:
    loop = rig.loop(ThreadPerConnection())
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    reader, writer = os.pipe()
    child = ServingChild(loop, reader, pid)
    loop.add(child)
    os.close(writer)
    child.on_event(IN, rig.service)  # does not block
    assert rig.row[DONE] == 0
    assert loop.handlers[child.fd] is child
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    child.on_event(IN, rig.service)
    assert rig.row[DONE] == 1
    assert child.fd not in loop.handlers


def test_one_client_after_the_other() -> None:
    made = Rig(protocol=Lines())
    loop = made.loop(Iterative())
    clients = [socket.create_connection(made.sock.getsockname()) for _ in range(2)]
    for client in clients:
        client.sendall(b"hello\n")
        client.shutdown(socket.SHUT_WR)
    (listening,) = loop.listening.values()
    assert listening.look(made.service)
    assert clients[0].recv(100) == b"HELLO\n"
    clients[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        clients[1].recv(100)
    assert listening.look(made.service)
    assert clients[1].recv(100) == b"HELLO\n"
    made.clients += clients
    made.close()


def test_a_loop_for_one_client_gives_back_every_descriptor() -> None:
    made = Rig(protocol=Lines())
    before = set(os.listdir("/proc/self/fd"))
    near, far = socket.socketpair()
    near.setblocking(False)
    far.sendall(b"hello\n")
    far.shutdown(socket.SHUT_WR)
    loop = single_loop(made.site, made.life)
    assert isinstance(loop, SingleLoop)
    loop.serve_only(near.detach(), PEER, passing_service(made.site), made.door)
    assert far.recv(100) == b"HELLO\n"
    far.close()
    assert set(os.listdir("/proc/self/fd")) == before
    assert loop not in forked._held.holders
    made.close()


def test_a_loop_for_one_client_ends_when_the_role_is_to_leave() -> None:
    made = Rig(protocol=Lines())
    near, far = socket.socketpair()
    near.setblocking(False)
    far.sendall(b"hello\n")
    loop = single_loop(made.site, made.life)
    serving = threading.Thread(
        target=loop.serve_only, args=(near.detach(), PEER, passing_service(made.site), made.door)
    )
    serving.start()
    assert far.recv(100) == b"HELLO\n"
    os.close(made.mold)
    made.mold = -1
    serving.join(10)
    assert not serving.is_alive()
    assert far.recv(100) == b""
    far.close()
    made.close()
