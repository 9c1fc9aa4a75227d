"""The task executors of apps that are awaited, in a real event loop whose clock jumps, with real inboxes."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from harness.asgi_app import AnsweringAsgi, body, ok, start
from harness.front_rig import FrontRig
from harness.jumping_events import JumpingEvents, passes
from harness.no_descriptor import no_descriptor
from harness.phase_rig import row
from harness.task_rig import LONG_AGO, TaskRig, at_end, read

from poolctl.errors import ClientGone
from poolctl.runtime.channels.inbox import RingingInbox
from poolctl.runtime.channels.parcel import FLAG_FILE, FLAG_LAST, TICKET_KEPT, TICKET_MISSED
from poolctl.runtime.lifeline import Life
from poolctl.runtime.ownership.half_sync_half_reactive.async_executor import AsyncProcessExecutor, AsyncThreadExecutor
from poolctl.runtime.ownership.half_sync_half_reactive.front_thread import ThreadLendingFront
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.scoreboard import AFTER, BEAT, DONE, FAILED, REQUESTS, SINCE, TAKEN, TICKET
from poolctl.runtime.serving.leaving import LEFT_EARLY
from poolctl.runtime.serving.phases import CLOSED, IDLE
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async import afterwork
from poolctl.runtime.serving_async.loop import CANCEL_AGAIN_SECONDS
from poolctl.runtime.serving_async.stopping import CANCELLED, PRESSED, SERVING, TOLD
from poolctl.runtime.timeouts import Timeouts

GET = b"GET /path HTTP/1.1\r\nHost: a\r\n\r\n"
Does = Callable[[Any, Any, Any], Awaitable[None]]


class Rig(TaskRig):
    """With an executor, and an app that answers each request by its path."""

    def __init__(
        self, *, slots: int = 4, request: float | None = None, drain: float = 30.0, shared: bool = False
    ) -> None:
        super().__init__(Http())
        self.seen: list[tuple[int, bytes]] = []
        self.protocol.witness = lambda status, peer, line: self.seen.append((status, line))
        self.app = AnsweringAsgi()
        self.events = JumpingEvents()
        self.slots = [row() for _ in range(slots)]
        self.service = Service(self.app, self.protocol, self.row)
        self.stop, self.stops = os.pipe()
        self.leave, self.leaves = os.pipe()
        life = Life(-1, drain, lambda: None, self.stop, self.leave)
        timeouts = Timeouts(request=request, drain=drain)
        self.executor = AsyncProcessExecutor(
            self.inbox,
            self.service,
            self.slots,
            timeouts,
            life,
            [self.listener],
            self.returns,
            None,
            self.events,
            shared=shared,
        )

    def run(self, *, end: bool = True) -> None:
        """Until all is done and the inbox has ended."""
        if end:
            self.end()
        self.executor.run()
        assert self.events.is_closed()
        assert [slot[TICKET] for slot in self.slots] == [0] * len(self.slots)
        assert self.row[TAKEN] == self.row[DONE]
        assert self.row[SINCE] == self.row[AFTER] == 0

    def close(self) -> None:
        super().close()
        for fd in {self.stop, self.leave, self.stops, self.leaves} - {-1}:
            os.close(fd)

    def begin_stop(self) -> None:
        os.close(self.stops)
        self.stops = -1

    def begin_leave(self) -> None:
        os.write(self.leaves, b"x")
        self.end_mold()

    def end_mold(self) -> None:
        os.close(self.leaves)
        self.leaves = -1


@pytest.fixture
def make() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def one(**options: Any) -> Rig:
        made.append(Rig(**options))
        return made[-1]

    yield one
    for rig in made:
        rig.close()


@pytest.fixture
def rig(make: Callable[..., Rig]) -> Rig:
    return make()


def by_turns(*answers: Does) -> Does:
    """The first request is answered by the first of these."""
    left = iter(answers)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await next(left)(scope, receive, send)

    return answer


# ---- served


def test_the_loop_beats_from_before_a_request_to_its_end(rig: Rig) -> None:
    beats: list[int] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(20):
            beats.append(rig.row[BEAT])
            await passes(1)
        await ok(scope, receive, send)

    rig.app.answer = slow
    rig.put(GET)
    idle: list[int] = []
    rig.events.call_later(100, lambda: (idle.append(rig.row[BEAT]), rig.end()))
    rig.run(end=False)
    assert all(beats)
    assert len(set(beats)) == 20
    assert idle == [0]


def test_clients_of_a_unix_socket_do_not_share_a_body(rig: Rig) -> None:
    """They introduce themselves alike, and one request is served while the body of another is read."""
    bodies: dict[str, bytes] = {}

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        got, more = b"", True
        while more:
            message = await receive()
            got, more = got + message["body"], message["more_body"]
            await passes(2)
        bodies[scope["path"]] = got
        await ok(scope, receive, send)

    rig.app.answer = reads
    upload = b"u" * 400_000
    with tempfile.TemporaryFile() as file:
        file.write(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(upload) + upload)
        file.seek(0)
        tickets = [rig.put(b"", FLAG_FILE, port="", file=file.fileno())[0]]
    for path in (b"/secret", b"/other"):
        whole = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nSECRET" % path
        tickets.append(rig.put(whole, port="")[0])
    rig.run()
    assert bodies == {"/upload": upload, "/secret": b"SECRET", "/other": b"SECRET"}
    assert sorted(rig.records()) == [ticket << 2 | TICKET_KEPT for ticket in tickets]


def test_a_worker_that_cannot_take_any_task_gives_up(rig: Rig) -> None:
    def broken(*args: Any) -> Any:
        raise MemoryError

    rig.executor._take = broken  # type: ignore[method-assign]
    rig.put(GET)
    with pytest.raises(MemoryError):
        rig.executor.run()


def test_an_exception_before_the_app_is_called_ends_its_request_alone(rig: Rig) -> None:
    real, calls = rig.app.exchange, iter([KeyboardInterrupt("of a signal handler")])

    def exchange(request: Any, out: Any) -> Any:
        for error in calls:
            raise error
        return real(request, out)

    rig.app.exchange = exchange  # type: ignore[method-assign]
    (first, one), (second, other) = rig.put(GET), rig.put(GET)
    rig.run()
    assert read(one).startswith(b"HTTP/1.1 500 ")
    assert read(other).startswith(b"HTTP/1.1 200 ")
    assert rig.records() == [first << 2, second << 2 | TICKET_KEPT]
    assert (rig.row[REQUESTS], rig.row[FAILED]) == (2, 1)


def test_served_and_kept(rig: Rig) -> None:
    (first, one), (second, other) = rig.put(GET), rig.put(GET)
    rig.run()
    assert read(one).startswith(b"HTTP/1.1 200 OK\r\n")
    assert read(other).endswith(b"\r\n\r\nok")
    assert rig.records() == [first << 2 | TICKET_KEPT, second << 2 | TICKET_KEPT]
    assert (rig.row[TAKEN], rig.row[REQUESTS], rig.row[FAILED]) == (2, 2, 0)


def test_many_at_once_each_with_its_ticket(rig: Rig) -> None:
    seen: list[set[int]] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await passes(1)
        seen.append({slot[TICKET] >> 1 for slot in rig.slots} - {0})
        await ok(scope, receive, send)

    rig.app.answer = slow
    tickets = [rig.put(GET)[0] for _ in range(6)]
    rig.run()
    assert seen[0] == set(tickets[:4])  # as many as it has slots; the rest lies in the inbox for others
    assert rig.records() == [ticket << 2 | TICKET_KEPT for ticket in tickets]


@pytest.mark.parametrize(("flags", "header"), [(FLAG_LAST, ()), (0, ((b"connection", b"close"),))])
def test_not_kept(rig: Rig, flags: int, header: Any) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-length", b"2"), *header))
        await send(body(b"ok"))

    rig.app.answer = answer
    ticket, client = rig.put(GET, flags)
    rig.run()
    assert rig.records() == [ticket << 2]
    assert read(client).endswith(b"ok")
    assert at_end(client)


def test_complete_before_the_app_returns(rig: Rig) -> None:
    """The connection is back, and its slot free for another, while the app goes on."""
    found: list[Any] = []

    async def goes_on(scope: Any, receive: Any, send: Any) -> None:
        await passes(1)
        await ok(scope, receive, send)
        found.append(rig.records())
        found.append([slot[TICKET] for slot in rig.slots])
        await passes(1000)
        found.append(rig.row[AFTER])

    rig.app.answer = goes_on
    ticket, _ = rig.put(GET)
    rig.run()
    assert found == [[ticket << 2 | TICKET_KEPT], [0] * 4, 1]
    assert rig.row[REQUESTS] == 1


def test_too_many_that_go_on_hold_their_connections(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(afterwork, "AFTERWORK_TASKS", 1)
    found: list[Any] = []

    async def goes_on(scope: Any, receive: Any, send: Any) -> None:
        await passes(1)
        await ok(scope, receive, send)
        found.append(rig.records())
        await passes(1000)

    rig.app.answer = goes_on
    (first, _), (second, client) = rig.put(GET), rig.put(GET)
    rig.run()
    assert found == [[first << 2 | TICKET_KEPT], []]
    assert rig.records() == [second << 2 | TICKET_KEPT]
    assert read(client).endswith(b"ok")


def test_a_body_in_a_file_is_read_in_pieces(rig: Rig) -> None:
    pieces: list[bytes] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            pieces.append(message["body"])
            more = message["more_body"]
        await ok(scope, receive, send)

    rig.app.answer = by_turns(answer, ok, ok)
    tickets = []
    for _ in range(2):
        with tempfile.TemporaryFile() as file:
            file.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
            file.seek(0)
            tickets.append(rig.put(b"", FLAG_FILE, file=file.fileno())[0])
    tickets.append(rig.put(GET)[0])
    rig.run()
    assert b"".join(pieces) == b"x" * 200_000
    assert len(pieces) > 2
    whole, unread, after = tickets
    # each begins where it should
    assert rig.records() == [ticket << 2 | TICKET_KEPT for ticket in (whole, unread, after)]


def test_a_file_in_which_the_end_of_a_head_is_missing(rig: Rig) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(GET[:10])
        file.seek(0)
        ticket, client = rig.put(b"", FLAG_FILE, file=file.fileno())
    rig.run()
    assert read(client).startswith(b"HTTP/1.1 400")
    assert rig.records() == [ticket << 2]


def test_a_body_that_nobody_reads(rig: Rig) -> None:
    """It has come whole, so the next request begins behind it; but not for this conversation."""
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    (first, _), (second, client) = rig.put(request), rig.put(GET)
    rig.run()
    assert rig.records() == [first << 2 | TICKET_KEPT, second << 2 | TICKET_KEPT]
    assert read(client).endswith(b"ok")


def test_what_the_client_does_not_take_goes_back_in_a_file(rig: Rig) -> None:
    data = bytes(range(256)) * 4000

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-length", b"%d" % len(data))))
        await send(body(data))

    rig.app.answer = answer
    ticket, client = rig.put(GET)
    rig.run()
    record, left = rig.left()
    assert record == ticket << 2 | TICKET_KEPT
    assert (read(client) + left).endswith(data)


def test_a_stream_waits_for_its_client(rig: Rig) -> None:
    """Who sends in pieces is not let run ahead; one that reads nothing for timeouts.write is gone."""
    sent: list[int] = []

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        for number in range(1000):
            await send(body(bytes(100_000), more=True))
            sent.append(number)

    rig.app.answer = stream
    ticket, client = rig.put(GET)
    rig.run()
    assert len(sent) < 10
    record, left = rig.left()
    assert record == ticket << 2
    assert rig.row[FAILED] == 0
    assert len(read(client)) > 0 < len(left)


def test_a_stream_goes_on_when_its_client_reads(rig: Rig) -> None:
    read_so_far = bytearray()

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        for _ in range(5):
            asyncio.get_running_loop().call_soon(lambda: read_so_far.extend(read(client)))
            await send(body(b"x" * 8000, more=True))
        await send(body())

    rig.app.answer = stream
    ticket, client = rig.put(GET)
    reading = rig.events.call_later

    def look() -> None:
        read_so_far.extend(read(client))
        if len(read_so_far) < 40_000:
            reading(0.001, look)

    look()
    rig.run()
    record, left = rig.left() if not rig.records() else (ticket << 2 | TICKET_KEPT, b"")
    whole = bytes(read_so_far) + read(client) + left
    assert whole.count(b"x") == 40_000
    assert record == ticket << 2 | TICKET_KEPT


# ---- not served


def test_a_client_that_left_while_its_request_waited(rig: Rig) -> None:
    ticket, _ = rig.put(GET, age=LONG_AGO, gone=True)
    patient, client = rig.put(GET, age=LONG_AGO)
    rig.run()
    assert rig.seen == [(LEFT_EARLY, b"GET /path HTTP/1.1")]
    assert rig.records() == [ticket << 2, patient << 2 | TICKET_KEPT]
    assert read(client).endswith(b"ok")
    assert rig.row[REQUESTS] == 1


@pytest.mark.parametrize("filed", [True, False])
def test_a_connection_for_which_no_descriptor_is_left(rig: Rig, caplog: pytest.LogCaptureFixture, filed: bool) -> None:
    with tempfile.TemporaryFile() as file:
        ticket, client = rig.put(b"", FLAG_FILE, file=file.fileno()) if filed else rig.put(GET)
    with no_descriptor():
        rig.executor._ready()
    rig.run()
    assert rig.records() == [ticket << 2 | TICKET_MISSED]
    assert read(client) == b""
    assert "out of file descriptors" in caplog.text


def test_a_request_that_is_none(rig: Rig) -> None:
    (bad, client), (good, _) = rig.put(b"GET / HTTP/9.9\r\n\r\n"), rig.put(GET)
    rig.run()
    assert read(client).startswith(b"HTTP/1.1 505")
    assert rig.records() == [bad << 2, good << 2 | TICKET_KEPT]
    assert rig.seen == [(505, b"GET / HTTP/9.9")]


def test_what_cannot_be_taken_costs_nobody_else(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.inbox.put(b"no message of a front")
    ticket, client = rig.put(GET)
    rig.run()
    assert rig.records() == [ticket << 2 | TICKET_KEPT]
    assert read(client).endswith(b"ok")
    assert "cannot take a task" in caplog.text


# ---- apps that do not answer


async def raises(scope: Any, receive: Any, send: Any) -> None:
    raise KeyError("x")


async def raises_later(scope: Any, receive: Any, send: Any) -> None:
    await passes(1)
    raise KeyError("x")


async def says_nothing(scope: Any, receive: Any, send: Any) -> None:
    await passes(1)


async def begins(scope: Any, receive: Any, send: Any) -> None:
    await send(start(200, (b"content-length", b"2")))
    await send(body(b"o", more=True))


async def sees_it_gone(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("wrapped") from ClientGone("left")


@pytest.mark.parametrize(
    ("does", "words", "failed"),
    [
        (raises, b"HTTP/1.1 500", 1),
        (raises_later, b"HTTP/1.1 500", 1),
        (says_nothing, b"HTTP/1.1 500", 1),
        (begins, b"HTTP/1.1 200", 1),
        (sees_it_gone, b"", 0),
    ],
)
def test_an_app_that_does_not_answer(rig: Rig, does: Does, words: bytes, failed: int) -> None:
    rig.app.answer = by_turns(does, ok)
    (wrong, client), (right, _) = rig.put(GET), rig.put(GET)
    rig.run()
    assert read(client)[:12] == words
    assert at_end(client)
    assert set(rig.records()) == {wrong << 2, right << 2 | TICKET_KEPT}
    assert (rig.row[REQUESTS], rig.row[FAILED]) == (2, failed)


def test_what_raises_after_the_response(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await ok(scope, receive, send)
        await passes(1)
        raise KeyError("x")

    rig.app.answer = answer
    ticket, client = rig.put(GET)
    rig.run()
    assert rig.records() == [ticket << 2 | TICKET_KEPT]
    assert read(client).endswith(b"ok")
    assert rig.row[FAILED] == 1
    assert "after its response" in caplog.text


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_would_end_an_event_loop_ends_no_worker(rig: Rig, error: type[BaseException]) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await passes(1)
        raise error

    rig.app.answer = by_turns(answer, ok)
    (wrong, client), (right, _) = rig.put(GET), rig.put(GET)
    rig.run()
    assert read(client).startswith(b"HTTP/1.1 500")
    assert set(rig.records()) == {wrong << 2, right << 2 | TICKET_KEPT}


# ---- timeouts.request


def test_a_request_that_takes_too_long(make: Callable[..., Rig], caplog: pytest.LogCaptureFixture) -> None:
    rig = make(request=2.0)
    cleaned: list[float] = []
    began = rig.events.time()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        try:
            await passes(1000)
        finally:
            cleaned.append(rig.events.time() - began)

    rig.app.answer = by_turns(slow, ok)
    (late, client), (right, _) = rig.put(GET), rig.put(GET)
    rig.run()
    assert read(client).startswith(b"HTTP/1.1 504")
    assert set(rig.records()) == {late << 2, right << 2 | TICKET_KEPT}
    assert cleaned[0] > 2.0
    assert rig.row[FAILED] == 1
    assert "timeouts.request (2 s): cancelled" in caplog.text


def test_an_app_that_swallows_its_cancellation(make: Callable[..., Rig]) -> None:
    """Its client is answered, its slot is free, and it is waited for at the end."""
    rig = make(request=2.0, slots=1)
    done: list[str] = []

    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        try:
            await passes(1000)
        except asyncio.CancelledError:
            await passes(1000)
            done.append("deaf")

    async def next_one(scope: Any, receive: Any, send: Any) -> None:
        done.append("next")
        await ok(scope, receive, send)

    rig.app.answer = by_turns(deaf, next_one)
    (late, client), (right, _) = rig.put(GET), rig.put(GET)
    rig.run()
    assert read(client).startswith(b"HTTP/1.1 504")
    assert rig.records() == [late << 2, right << 2 | TICKET_KEPT]
    assert done == ["next", "deaf"]


def test_an_app_that_answers_in_spite_of_it(make: Callable[..., Rig]) -> None:
    rig = make(request=2.0)

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        try:
            await passes(1000)
        except asyncio.CancelledError:
            await ok(scope, receive, send)

    rig.app.answer = stubborn
    _, client = rig.put(GET)
    rig.run()
    assert read(client).endswith(b"ok")


# ---- the stop


def test_the_steps_of_a_stop(make: Callable[..., Rig]) -> None:
    rig = make(drain=10.0)
    steps: list[Any] = []

    async def open_stream(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"x", more=True))
        await receive()
        rig.begin_stop()
        steps.append(((await receive())["type"], rig.executor.stopping.step))

    async def listens_beside(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        listener = asyncio.create_task(receive())
        steps.append(((await listener)["type"], rig.executor.stopping.step))
        await ok(scope, receive, send)

    async def works(scope: Any, receive: Any, send: Any) -> None:
        try:
            await passes(1000)
        finally:
            steps.append(("cancelled", rig.executor.stopping.step))

    rig.app.answer = by_turns(open_stream, listens_beside, works)
    clients = [rig.put(GET)[1] for _ in range(3)]
    assert rig.executor.stopping.step == SERVING
    rig.run()
    assert steps == [("http.disconnect", TOLD), ("http.disconnect", PRESSED), ("cancelled", CANCELLED)]
    assert [read(client)[:12] for client in clients] == [b"HTTP/1.1 200", b"HTTP/1.1 200", b"HTTP/1.1 503"]


def test_a_request_that_only_waits_for_the_end_is_told_first(make: Callable[..., Rig]) -> None:
    rig = make(drain=10.0)
    steps: list[int] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        rig.begin_stop()
        await receive()
        steps.append(rig.executor.stopping.step)

    rig.app.answer = answer
    _, client = rig.put(GET)
    rig.run()
    assert steps == [TOLD]
    assert read(client).startswith(b"HTTP/1.1 503")


def test_what_goes_on_after_its_response_is_cancelled_too(make: Callable[..., Rig]) -> None:
    rig = make(drain=10.0)
    cleaned: list[int] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await ok(scope, receive, send)
        rig.begin_stop()
        try:
            await passes(1000)
        finally:
            cleaned.append(rig.executor.stopping.step)
            await passes(10 * CANCEL_AGAIN_SECONDS)  # its clean-up is not cancelled
            cleaned.append(-1)

    rig.app.answer = answer
    ticket, _ = rig.put(GET)
    rig.run()
    assert cleaned == [CANCELLED, -1]
    assert rig.records() == [ticket << 2 | TICKET_KEPT]


def test_a_client_that_breaks_off_is_noticed(rig: Rig) -> None:
    heard: list[str] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        client.close()
        heard.append((await receive())["type"])
        await send(start())
        with pytest.raises(ClientGone):
            await send(body(b"x"))

    rig.app.answer = answer
    ticket, client = rig.put(GET)
    rig.run()
    assert heard == ["http.disconnect"]
    assert rig.records() == [ticket << 2]
    assert rig.row[FAILED] == 0


# ---- what is freed whatever fails


class BrokenEntries:
    """An access log that fails."""

    observer: Any = None

    def observe(self) -> Any:
        return None

    def note(self, request: Any, sent: Any, took: int, now: int) -> None:
        raise OSError("the disk is full")


def test_a_slot_is_free_whatever_fails_at_the_end(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.service.entries = BrokenEntries()
    tickets = [rig.put(GET)[0] for _ in range(6)]  # more than slots
    rig.run()
    assert rig.records() == [ticket << 2 for ticket in tickets]
    assert "the disk is full" in caplog.text


def test_descriptors_that_a_forked_child_is_not_to_have(rig: Rig) -> None:
    found: list[set[int]] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await passes(1)
        found.append(rig.executor.descriptors())
        await ok(scope, receive, send)

    rig.app.answer = answer
    rig.put(GET)
    rig.run()
    assert len(found[0]) == 2  # its poller, and the connection


# ---- in the process of the front


class ThreadRig(FrontRig):
    """A front, and an executor that serves what it has lent."""

    def __init__(self) -> None:
        super().__init__(ThreadLendingFront, inbox=RingingInbox)
        self.app = AnsweringAsgi()
        self.service = Service(self.app, self.protocol, self.workers[0])
        self.events = JumpingEvents()
        life = Life(-1, 30.0, lambda: None)
        self.executor = AsyncThreadExecutor(
            self.inboxes[0], self.service, [row(), row()], Timeouts(), life, self.front, None, self.events
        )

    def serve(self) -> None:
        """What is there; then the front looks what has come back."""
        self.inboxes[0].end()
        self.executor.run()
        back = self.front.handlers[self.front._heard.fileno()]
        self.front.deliver(back, 1, None)

    def close(self) -> None:
        super().close()
        self.inboxes[0].writer.close()
        self.inboxes[0].reader.close()


def test_between_threads(caplog: pytest.LogCaptureFixture) -> None:
    rig = ThreadRig()
    rig.app.answer = by_turns(ok, raises, ok)
    kept, wrong, unread = rig.client(), rig.client(GET), rig.client()
    kept.send(GET)
    unread.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
    rig.serve()
    assert [client.read()[:12] for client in (wrong, kept, unread)] == [
        b"HTTP/1.1 200",
        b"HTTP/1.1 500",
        b"HTTP/1.1 200",
    ]
    rig.sweep(0.5)  # the front notices by itself what was only kept
    assert [client.phase for client in (wrong, kept, unread)] == [IDLE, CLOSED, IDLE]
    assert not rig.front.lent
    rig.close()


# ---- a worker that leaves while others go on


def test_a_worker_that_leaves_finishes_what_it_has_and_takes_nothing_more(make: Callable[..., Rig]) -> None:
    rig = make(shared=True)
    steps: list[int] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        rig.begin_leave()
        await passes(1)
        later.append(rig.put(GET)[0])
        await passes(2)
        steps.append(rig.executor.stopping.step)
        await ok(scope, receive, send)

    later: list[int] = []
    rig.app.answer = answer
    ticket, client = rig.put(GET)
    rig.run(end=False)
    assert steps == [TOLD]
    assert read(client).endswith(b"ok")
    assert rig.records() == [ticket << 2 | TICKET_KEPT]
    assert len(rig.inbox.reclaim()) == len(later) == 1


def test_one_with_nothing_to_do_leaves_at_once(make: Callable[..., Rig]) -> None:
    rig = make(shared=True)
    rig.begin_leave()
    rig.run(end=False)
    assert rig.records() == []


def test_with_an_inbox_of_its_own_it_takes_what_is_before_its_end(rig: Rig) -> None:
    rig.begin_leave()
    rig.inbox.end_one(os.getpid() + 1)  # of a predecessor that was killed
    ticket, _ = rig.put(GET)
    rig.inbox.end_one(os.getpid())
    rig.run(end=False)
    assert rig.records() == [ticket << 2 | TICKET_KEPT]


def test_a_stop_and_a_leave_at_once(make: Callable[..., Rig]) -> None:
    rig = make(shared=True)
    rig.begin_leave()
    rig.begin_stop()
    rig.run()
    assert rig.records() == []


def test_one_whose_mold_dies_serves_what_is_in_the_inbox_of_all(make: Callable[..., Rig]) -> None:
    """All its readers end, so nobody else would."""
    rig = make(shared=True)
    rig.end_mold()
    ticket, _ = rig.put(GET)
    rig.run()
    assert rig.records() == [ticket << 2 | TICKET_KEPT]
