"""The task executors: each way in which one task ends, over a real inbox and without a front."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from harness.front_rig import FrontRig
from harness.machine import PATIENCE
from harness.no_descriptor import no_descriptor
from harness.phase_rig import PEER, Answering, row
from harness.server import wait_until
from harness.task_rig import LONG_AGO, TaskRig, answering, at_end, read

from poolctl.errors import ClientGone
from poolctl.runtime.channels.inbox import ThreadInbox
from poolctl.runtime.channels.parcel import (
    FLAG_ENDED,
    FLAG_FILE,
    FLAG_LAST,
    HEAD,
    TICKET_KEPT,
    TICKET_MISSED,
    introduction,
)
from poolctl.runtime.ownership.half_sync_half_reactive import executor
from poolctl.runtime.ownership.half_sync_half_reactive.executor import (
    KNOWN_CONVERSATIONS,
    MAX_WORKER_FAILURES,
    ProcessTaskExecutor,
    ThreadTaskExecutor,
)
from poolctl.runtime.ownership.half_sync_half_reactive.first_byte import FirstByte
from poolctl.runtime.ownership.half_sync_half_reactive.front_thread import ThreadLendingFront
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.lines import Lines
from poolctl.runtime.scoreboard import DONE, FAILED, REQUESTS, SINCE, TAKEN, TICKET
from poolctl.runtime.serving.leaving import LEFT_EARLY
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, IDLE
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system.interrupt import allow_interrupts

GET = b"GET /path HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LARGE = OK + bytes(range(256)) * 4000


class Rig(TaskRig):
    """With an executor."""

    def __init__(self, protocol: Any = None, *, shared: bool = False) -> None:
        super().__init__(protocol or Http())
        self.app: Any = Answering()
        self.app.answer = answering(OK)
        self.seen: list[tuple[int, bytes]] = []
        self.protocol.witness = lambda status, peer, line: self.seen.append((status, line))
        self.service = Service(self.app, self.protocol, self.row, watching=[FirstByte(self.row)])
        self.executor = ProcessTaskExecutor(self.inbox, self.service, [self.listener], self.returns, shared=shared)

    def run(self) -> None:
        """Serve what is there."""
        self.end()
        self.executor.run()

    def counts(self) -> tuple[int, ...]:
        """What is not counted as it should be when nothing is in flight would show here."""
        assert self.row[SINCE] == self.row[TICKET] == 0
        return self.row[TAKEN], self.row[DONE], self.row[REQUESTS], self.row[FAILED]


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def test_served_and_kept(rig: Rig) -> None:
    tickets = []

    def answer(request: Any, out: Any) -> bool:
        tickets.append(rig.row[TICKET])
        out.send(OK)
        return True

    rig.app.answer = answer
    (first, one), (second, other) = rig.put(GET), rig.put(GET)
    rig.run()
    assert read(one) == read(other) == OK
    assert tickets == [first << 1, second << 1]
    assert rig.records() == [first << 2 | TICKET_KEPT, second << 2 | TICKET_KEPT]
    assert not at_end(one)  # its front has it
    assert rig.counts() == (2, 2, 2, 0)


def test_the_lowest_bit_says_that_a_byte_was_sent(rig: Rig) -> None:
    seen = []

    def answer(request: Any, out: Any) -> bool:
        seen.append(rig.row[TICKET] & 1)
        out.send(OK)
        seen.append(rig.row[TICKET] & 1)
        return True

    rig.app.answer = answer
    rig.put(GET)
    rig.put(GET)
    rig.run()
    assert seen == [0, 1, 0, 1]


@pytest.mark.parametrize(("flags", "keep"), [(0, False), (FLAG_LAST, True), (FLAG_LAST | FLAG_ENDED, True)])
def test_not_kept(rig: Rig, flags: int, keep: bool) -> None:
    last = []

    def answer(request: Any, out: Any) -> bool:
        last.append(out.last)
        out.send(OK)
        return keep

    rig.app.answer = answer
    ticket, client = rig.put(GET, flags)
    rig.run()
    assert client.recv(65536) == OK
    assert at_end(client)  # from here, so that the front need not hurry
    assert rig.records() == [ticket << 2]
    assert last == [bool(flags & FLAG_LAST)]


@pytest.mark.parametrize("keep", [True, False])
def test_what_the_client_does_not_take_goes_back_in_a_file(rig: Rig, keep: bool) -> None:
    rig.app.answer = answering(LARGE, keep=keep)
    ticket, client = rig.put(GET)
    rig.run()
    assert rig.records() == []
    record, data = rig.left()
    assert record == ticket << 2 | TICKET_KEPT * keep
    assert read(client) + data == LARGE


def test_leftovers_that_cannot_be_sent_cut_the_client(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.app.answer = answering(LARGE)
    rig.returns.left_reader.close()
    ticket, client = rig.put(GET)
    rig.run()
    assert rig.records() == [ticket << 2]
    assert len(read(client)) < len(LARGE)
    assert at_end(client)
    assert "dropped the rest of a response" in caplog.text


def test_a_connection_for_which_no_descriptor_is_left(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    (first, _), (second, client) = rig.put(GET), rig.put(GET)
    rig.end()
    with no_descriptor():
        rig.executor.run()
    assert rig.records() == [first << 2 | TICKET_MISSED, second << 2 | TICKET_MISSED]
    assert read(client) == b""
    assert "out of file descriptors" in caplog.text
    assert rig.counts() == (2, 2, 0, 2)


def test_a_file_for_which_no_descriptor_is_left(rig: Rig) -> None:
    """The connection arrives without it."""
    with tempfile.TemporaryFile() as file:
        ticket, client = rig.put(b"", FLAG_FILE, file=file.fileno())
    rig.end()
    spare = os.dup(0)
    with no_descriptor():
        os.close(spare)
        rig.executor.run()
    assert rig.records() == [ticket << 2 | TICKET_MISSED]
    assert read(client) == b""
    assert rig.counts() == (1, 1, 0, 1)


def test_a_request_in_a_file(rig: Rig) -> None:
    bodies = []

    def answer(request: Any, out: Any) -> bool:
        bodies.append(request.body.read())
        out.send(OK)
        return True

    rig.app.answer = answer
    with tempfile.TemporaryFile() as file:
        file.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
        file.seek(0)
        ticket, client = rig.put(b"", FLAG_FILE, file=file.fileno())
    rig.run()
    assert bodies == [b"x" * 100_000]
    assert rig.records() == [ticket << 2 | TICKET_KEPT]
    assert read(client) == OK


def test_a_client_that_left_while_its_request_waited(rig: Rig) -> None:
    rig.app.answer = answering(OK)
    ticket, _ = rig.put(GET, age=LONG_AGO, gone=True)
    young, _ = rig.put(GET, gone=True)  # too young to be worth a look
    patient, client = rig.put(GET, age=LONG_AGO)
    rig.run()
    assert rig.seen == [(LEFT_EARLY, b"GET /path HTTP/1.1")]
    assert rig.records() == [ticket << 2, young << 2, patient << 2 | TICKET_KEPT]
    assert read(client) == OK
    assert rig.counts() == (3, 3, 2, 0)


def test_a_client_that_left_with_a_request_in_a_file(rig: Rig) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(GET)
        file.seek(0)
        ticket, _ = rig.put(b"", FLAG_FILE, file=file.fileno(), age=LONG_AGO, gone=True)
    rig.run()
    assert rig.seen == [(LEFT_EARLY, b"GET /path HTTP/1.1")]
    assert rig.records() == [ticket << 2]


def test_a_message_is_served_although_its_client_left() -> None:
    """Over HTTP somebody waits for an answer; a line may be all that a client had to say."""
    rig = Rig(Lines())
    lines = []
    rig.app.answer = lambda request, out: bool(lines.append(request)) or True
    rig.put(b"done\n", age=LONG_AGO, gone=True)
    rig.run()
    assert lines == [b"done"]
    rig.close()


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_an_app_that_raises_ends_its_request_alone(
    rig: Rig, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [error, answering(OK)]

    def answer(request: Any, out: Any) -> bool:
        does: Any = answers.pop(0)
        if isinstance(does, BaseException):
            raise does
        kept: bool = does(request, out)
        return kept

    rig.app.answer = answer
    (failed, client), (served, other) = rig.put(GET), rig.put(GET)
    rig.run()
    assert client.recv(65536).startswith(b"HTTP/1.1 500")
    assert at_end(client)
    assert read(other) == OK
    assert rig.records() == [failed << 2, served << 2 | TICKET_KEPT]
    assert rig.counts() == (2, 2, 2, 1)
    assert "while answering a request" in caplog.text


def test_a_request_that_is_none(rig: Rig) -> None:
    """Its front has seen to that, but for what only a worker reads."""
    ticket, client = rig.put(b"GET / HTTP/9.9\r\n\r\n")
    after, other = rig.put(GET)  # of the same address: what was wrong is not remembered
    rig.run()
    assert client.recv(65536).startswith(b"HTTP/1.1 505")
    assert read(other) == OK
    assert rig.records() == [ticket << 2, after << 2 | TICKET_KEPT]
    assert rig.seen == [(505, b"GET / HTTP/9.9")]


@pytest.mark.parametrize("filed", [True, False])
def test_what_raises_while_a_request_is_read(rig: Rig, caplog: pytest.LogCaptureFixture, filed: bool) -> None:
    conversation = rig.protocol.conversation(PEER)

    def wrong(data: bytes) -> None:
        raise RuntimeError("broken")

    conversation.receive = wrong  # type: ignore[method-assign]
    rig.executor._doors[0].conversation = lambda peer: conversation
    with tempfile.TemporaryFile() as file:
        file.write(GET)
        file.seek(0)
        ticket, client = rig.put(b"", FLAG_FILE, file=file.fileno()) if filed else rig.put(GET)
    rig.run()
    assert client.recv(65536).startswith(b"HTTP/1.1 500")
    assert rig.records() == [ticket << 2]
    assert rig.counts() == (1, 1, 0, 1)
    assert "broken" in caplog.text


def test_a_client_that_leaves_before_its_answer(rig: Rig) -> None:
    ticket, _ = rig.put(GET, gone=True)
    refused, _ = rig.put(b"GET / HTTP/9.9\r\n\r\n", gone=True)
    rig.run()
    assert rig.records() == [ticket << 2, refused << 2]
    assert rig.counts() == (2, 2, 1, 0)


def test_an_app_that_says_so(rig: Rig) -> None:
    def answer(request: Any, out: Any) -> bool:
        raise ClientGone("left")

    rig.app.answer = answer
    ticket, client = rig.put(GET)
    rig.run()
    assert rig.records() == [ticket << 2]
    assert rig.counts() == (1, 1, 1, 0)
    assert at_end(client)


# ---- what raises outside of the app


def raising(status: int, peer: Any, line: bytes) -> None:
    raise SystemExit("a signal handler of the app")


def test_a_stumble_costs_one_request(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.protocol.witness = raising
    ticket, client = rig.put(GET, age=LONG_AGO, port="")
    lost, _ = rig.put(GET, age=LONG_AGO, gone=True)
    served, other = rig.put(GET)
    rig.run()
    assert rig.records() == [ticket << 2 | TICKET_KEPT, lost << 2, served << 2 | TICKET_KEPT]
    assert read(client) == read(other) == OK
    assert rig.counts() == (3, 3, 2, 1)
    assert "the worker goes on" in caplog.text


def test_a_stumble_before_the_connection_is_known(rig: Rig) -> None:
    """The front is to say so, since nobody here can."""
    folder = os.open("/", os.O_RDONLY)
    ticket, client = rig.put(b"", FLAG_FILE, file=folder)  # of which no file object can be made
    os.close(folder)
    rig.run()
    assert rig.records() == [ticket << 2 | TICKET_MISSED]
    assert read(client) == b""
    assert rig.counts() == (1, 1, 0, 1)


def test_a_worker_that_does_nothing_but_stumble_gives_up(rig: Rig) -> None:
    rig.protocol.witness = raising
    for _ in range(MAX_WORKER_FAILURES + 1):
        rig.put(GET, age=LONG_AGO, gone=True)
    with pytest.raises(SystemExit):
        rig.run()


def test_nobody_is_left_to_give_back_to(rig: Rig) -> None:
    """With the mold and its front dead there is no reader, and the inbox comes to its end."""
    os.close(rig.returns.reader)
    _, client = rig.put(GET)
    rig.run()
    assert read(client) == OK
    rig.returns.reader = -1


def test_clients_are_remembered_and_not_without_bound(rig: Rig) -> None:
    for port in range(40):
        rig.put(GET, port=str(port))
    rig.executor._known.update(
        dict.fromkeys(map(bytes, range(KNOWN_CONVERSATIONS - 20)), rig.protocol.conversation(PEER))
    )
    rig.run()
    assert len(rig.executor._known) == 20


# ---- workers that are threads of the front's process


class ThreadRig(FrontRig):
    """A front, and an executor that serves what it has lent."""

    def __init__(self) -> None:
        super().__init__(ThreadLendingFront)
        self.app: Any = Answering()
        self.app.answer = answering(OK)
        self.row = row()
        self.service = Service(self.app, self.protocol, self.row)
        inbox = self.inboxes[0]
        assert isinstance(inbox, ThreadInbox)
        self.executor = ThreadTaskExecutor(inbox, self.service, self.front)

    def serve(self) -> None:
        """What is there; then the front looks what has come back."""
        self.inboxes[0].end()
        self.executor.run()
        back = self.front.handlers[self.front._heard.fileno()]
        self.front.deliver(back, 1, None)


@pytest.fixture
def threads() -> Iterator[ThreadRig]:
    rig = ThreadRig()
    yield rig
    rig.close()


def test_between_threads_served_and_kept(threads: ThreadRig) -> None:
    client = threads.client()
    for _ in range(2):
        client.send(GET)
        assert client.phase is ANSWERING
        threads.serve()
        assert client.read() == OK
    assert not threads.front.lent
    assert client.connection.ticket == 0
    assert [threads.row[cell] for cell in (TAKEN, DONE, REQUESTS, FAILED)] == [2, 2, 2, 0]


def test_between_threads_the_front_sends_the_rest(threads: ThreadRig) -> None:
    threads.app.answer = answering(LARGE)
    client = threads.client(GET)
    threads.serve()
    assert client.read() == LARGE
    assert client.phase is IDLE


def test_between_threads_an_app_that_raises(threads: ThreadRig) -> None:
    def answer(request: Any, out: Any) -> bool:
        raise SystemExit

    threads.app.answer = answer
    client = threads.client(GET)
    threads.serve()
    assert client.read().startswith(b"HTTP/1.1 500")
    assert client.phase is CLOSED
    assert threads.row[FAILED] == 1


def test_between_threads_a_client_that_left(threads: ThreadRig) -> None:
    client = threads.client()
    threads.front.now = threads.clock.now = 0.0  # long ago
    client.connection.came = 0.0
    client.send(GET, told=False)
    client.event(1)
    client.sock.close()
    threads.serve()
    assert client.phase is CLOSED
    assert threads.row[REQUESTS] == 0
    assert [threads.row[cell] for cell in (TAKEN, DONE)] == [1, 1]


def test_between_threads_what_raises_outside_of_the_app_ends_one_connection(threads: ThreadRig) -> None:
    client = threads.client()
    conversation = client.connection.door.conversation

    def broken(peer: Any) -> Any:
        raise MemoryError

    client.connection.door.conversation = broken
    client.send(GET)
    threads.serve()
    assert client.phase is CLOSED
    assert [threads.row[cell] for cell in (TAKEN, DONE, FAILED)] == [1, 1, 1]
    client.connection.door.conversation = conversation
    other = threads.client(GET)
    threads.serve()
    assert other.read() == OK


def test_an_introduction_says_who_the_client_is(rig: Rig) -> None:
    seen = []
    rig.app.answer = lambda request, out: bool(seen.append(request.conversation.peer)) or True
    intro = introduction(PEER._replace(subject="CN=Ann Example,O=A B"), 0)
    assert rig.inbox.put(HEAD.pack(7, 0, len(intro), 1e12) + intro + GET, (rig.listener.fd,))
    rig.run()
    (peer,) = seen
    assert peer.subject == "CN=Ann Example,O=A B"
    assert (peer.client_host, peer.client_port) == PEER[:2]
    assert (peer.server_host, peer.server_port) == (rig.listener.server_host, rig.listener.server_port)


# a worker that leaves while others go on


@pytest.fixture(params=[False, True], ids=["sleeps", "polls"])
def sharing(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """An executor that sleeps in a read of the inbox, or waits for it with a poller."""
    made = Rig(shared=request.param)
    yield made
    made.close()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGURG makes system calls of this process return, as in a worker."""
    before = signal.getsignal(signal.SIGURG)
    allow_interrupts()
    yield
    signal.signal(signal.SIGURG, before)


def leave_until_it_has(rig: Rig, thread: threading.Thread) -> None:
    """What the thread does that watches the lifeline."""
    while thread.is_alive():
        rig.executor.leave()
        thread.join(0.02)


@pytest.mark.usefixtures("interruptible")
def test_one_that_sleeps_on_the_inbox_of_all_leaves_it_to_the_others(sharing: Rig) -> None:
    other = sharing.inbox.reader.dup()
    ticket, _ = sharing.put(GET)
    thread = threading.Thread(target=sharing.executor.run)
    thread.start()
    wait_until(lambda: sharing.row[DONE], "its task")
    leave_until_it_has(sharing, thread)
    later, _ = sharing.put(GET)
    assert sharing.records() == [ticket << 2 | TICKET_KEPT]
    with other:
        message = other.recv(65536)
    assert HEAD.unpack_from(message)[0] == later


@pytest.mark.usefixtures("interruptible")
def test_a_request_in_flight_is_finished_and_its_app_not_interrupted(
    sharing: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on, wakes = threading.Event(), threading.Event(), []
    monkeypatch.setattr(executor, "interrupt", wakes.append)

    def answer(request: Any, out: Any) -> bool:
        begun.set()
        goes_on.wait(PATIENCE)
        out.send(OK)
        return True

    sharing.app.answer = answer
    ticket, client = sharing.put(GET)
    thread = threading.Thread(target=sharing.executor.run)
    thread.start()
    assert begun.wait(PATIENCE)
    for _ in range(3):
        sharing.executor.leave()
    assert wakes == []
    goes_on.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert read(client) == OK
    assert sharing.records() == [ticket << 2 | TICKET_KEPT]


def test_one_that_leaves_before_it_runs_takes_nothing(sharing: Rig) -> None:
    """Its app was imported meanwhile."""
    sharing.put(GET)
    sharing.executor.leave()
    sharing.executor.run()
    assert sharing.counts() == (0, 0, 0, 0)


def test_an_end_of_its_own_is_the_end_and_one_of_a_dead_process_is_not(rig: Rig) -> None:
    rig.inbox.end_one(os.getpid() + 1)
    (ticket, client), _ = rig.put(GET), rig.inbox.end_one(os.getpid())
    later, _ = rig.put(GET)
    rig.executor.run()
    assert read(client) == OK
    assert rig.records() == [ticket << 2 | TICKET_KEPT]
    ((message, _),) = rig.inbox.reclaim()
    assert HEAD.unpack_from(message)[0] == later
