"""The error boundary around apps that are awaited: each way in which a call can end, with shells that only note."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from harness.jumping_events import JumpingEvents, passes
from harness.phase_rig import Answering, row

from poolctl.errors import ClientGone
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.scoreboard import FAILED, REQUESTS, SINCE
from poolctl.runtime.serving.service import REQUEST, Service
from poolctl.runtime.serving_async.afterwork import Afterwork
from poolctl.runtime.serving_async.boundary import attend, converse, message
from poolctl.runtime.serving_async.stopping import CANCELLED, SERVING, TOLD, Stopping
from poolctl.runtime.timeouts import Timeouts

RETURNED, TOO_EARLY = "returned", "too early"


class Host:
    """An event loop's worker."""

    def __init__(self) -> None:
        self.after = Afterwork()
        self.stopping = Stopping(Timeouts(), lambda step: None)
        self.finished = False
        self.rests = 0

    def rested(self) -> None:
        self.rests += 1


class Shell:
    """Notes what the boundary asks of it, in order."""

    work = REQUEST
    line = "GET / HTTP/1.1"

    def __init__(self) -> None:
        self.exchange: Any = None
        self.task: Any = None
        self.refused = 0
        self.calls: list[Any] = []
        self.broken: Exception | None = None

    def refuse(self, status: int) -> None:
        self.calls.append(status)

    def over(self, keep: bool) -> None:
        self.calls.append("kept" if keep else "closed")
        if self.broken is not None:
            raise self.broken

    def fail(self, error: Exception) -> None:
        self.calls.append(error)


class Exchange:
    """A call that does what a test wants."""

    def __init__(self, does: Callable[[], Awaitable[None]], *, ended: bool = True, keep: bool = True) -> None:
        self.does = does
        self.ended = ended
        self.keep = keep

    def call(self) -> Awaitable[None]:
        return self.does()

    def conclude(self) -> bool:
        if not self.ended:
            raise RuntimeError("the application returned without a response")
        return self.keep


class Rig:
    def __init__(self) -> None:
        self.events = JumpingEvents()
        self.row = row()
        self.service = Service(Answering(), Http(), self.row)  # type: ignore[arg-type]
        self.host = Host()
        self.shell = Shell()

    def attend(self, does: Callable[[], Awaitable[None]], **options: Any) -> None:
        """To its end. Raises what comes out of it."""
        self.shell.exchange = exchange = Exchange(does, **options)
        self.run(attend(exchange, self.shell, self.host, self.service))

    def run(self, work: Any) -> Any:
        """Its task, in the event loop."""
        task = self.events.create_task(work)
        self.shell.task = task
        while not task.done():
            try:
                self.events.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt):
                assert task.done()
        return task.result()

    @property
    def failed(self) -> int:
        return self.row[FAILED]


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.events.close()


def raises(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def does() -> None:
        raise error

    return does


async def returns() -> None:
    await passes(1)


def wrapped() -> BaseException:
    error = RuntimeError("of a framework")
    error.__cause__ = ClientGone("left")
    return error


# ---- attend


@pytest.mark.parametrize(
    ("does", "options", "calls", "failed"),
    [
        (returns, {}, ["kept"], 0),
        (returns, {"keep": False}, ["closed"], 0),
        (returns, {"ended": False}, [500, "closed"], 1),
        (raises(KeyError()), {"ended": False}, [500, "closed"], 1),
        (raises(SystemExit(1)), {"ended": False}, [500, "closed"], 1),
        (raises(KeyboardInterrupt()), {"ended": False}, [500, "closed"], 1),
        (raises(asyncio.CancelledError()), {"ended": False}, [500, "closed"], 1),
        (raises(BaseExceptionGroup("", [KeyError()])), {"ended": False}, [500, "closed"], 1),
        (raises(KeyError()), {}, ["kept"], 1),  # frameworks answer first and raise then
        (raises(KeyError()), {"keep": False}, ["closed"], 1),
        (raises(ClientGone()), {"ended": False}, ["closed"], 0),
        (raises(wrapped()), {"ended": False}, [0, "closed"], 0),
        (raises(wrapped()), {}, [0, "closed"], 0),
    ],
)
def test_how_a_call_ends(
    rig: Rig, does: Callable[[], Awaitable[None]], options: dict[str, bool], calls: list[Any], failed: int
) -> None:
    rig.attend(does, **options)
    assert rig.shell.calls == calls
    assert rig.failed == failed


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyError(), ClientGone()])
def test_a_request_that_was_refused_gets_that_status(rig: Rig, error: BaseException) -> None:
    """By timeouts.request, or for what a body was: whatever the app makes of it."""
    rig.shell.refused = 504
    rig.attend(raises(error), ended=False)
    assert rig.shell.calls[-2:] == [504, "closed"]
    assert set(rig.shell.calls) == {504, "closed"}
    assert rig.failed == (not isinstance(error, ClientGone))


def test_an_app_that_answers_a_request_which_was_refused(rig: Rig) -> None:
    rig.shell.refused = 504
    rig.attend(returns)
    assert rig.shell.calls == ["kept"]
    assert rig.failed == 0


@pytest.mark.parametrize(("ended", "calls", "failed"), [(False, [503, 503, "closed"], 1), (True, ["kept"], 0)])
def test_cancelled_at_the_last_call(
    rig: Rig, ended: bool, calls: list[Any], failed: int, caplog: pytest.LogCaptureFixture
) -> None:
    rig.host.stopping.step = CANCELLED
    rig.attend(raises(asyncio.CancelledError()), ended=ended)
    assert rig.shell.calls == calls
    assert rig.failed == failed
    assert "timeouts.drain is nearly over" in caplog.text


def test_an_app_that_was_told_of_the_stop_and_says_nothing(rig: Rig) -> None:
    rig.host.stopping.step = TOLD
    rig.attend(returns, keep=False)
    assert rig.shell.calls == [503, "closed"]
    assert rig.failed == 0


def complete(rig: Rig) -> None:
    """As soon as its response is, the call is no longer the shell's."""
    rig.shell.exchange = None


def test_what_is_raised_after_the_response_is_not_the_connections_affair(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async def does() -> None:
        complete(rig)
        raise KeyError("x")

    rig.attend(does)
    assert rig.shell.calls == []
    assert rig.failed == 1
    assert "after its response" in caplog.text


def test_a_client_that_leaves_after_the_response_is_a_fault_of_the_app(rig: Rig) -> None:
    async def does() -> None:
        complete(rig)
        raise wrapped()

    rig.attend(does)
    assert rig.shell.calls == []
    assert rig.failed == 1


def test_the_next_request_of_a_connection_is_not_touched(rig: Rig) -> None:
    """The shell has another exchange by the time the first call returns."""

    async def does() -> None:
        rig.shell.exchange = object()

    rig.attend(does, ended=False)
    assert rig.shell.calls == []


def test_a_task_that_ends_in_the_step_of_its_response(rig: Rig) -> None:
    async def does() -> None:
        complete(rig)
        rig.host.after.fresh = rig.shell.task

    rig.attend(does)
    assert rig.host.after.fresh is None
    assert rig.host.rests == 0


def test_a_task_that_went_on_says_when_it_rests(rig: Rig) -> None:
    async def does() -> None:
        complete(rig)
        rig.host.after.add(rig.shell.task)
        await passes(1)

    rig.attend(does)
    assert rig.host.rests == 1


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyError("x"), SystemExit()])
def test_a_host_whose_front_is_dead_waits_for_nobody(rig: Rig, error: BaseException) -> None:
    rig.host.finished = True
    if isinstance(error, Exception):
        rig.attend(raises(error))
        assert rig.shell.calls == [error]
    else:
        with pytest.raises(type(error)):
            rig.attend(raises(error))
        assert rig.shell.calls == []
    assert rig.failed == 0


@pytest.mark.parametrize("does", [returns, raises(KeyError()), raises(ClientGone())])
def test_a_shell_that_raises_ends_by_itself(rig: Rig, does: Callable[[], Awaitable[None]]) -> None:
    rig.shell.broken = OSError("the shell")
    rig.attend(does)
    assert rig.shell.calls[-1] is rig.shell.broken


def test_an_app_that_cannot_even_be_called(rig: Rig) -> None:
    def does() -> Any:
        raise TypeError("no coroutine function")

    rig.attend(does, ended=False)
    assert rig.shell.calls == [500, "closed"]
    assert rig.failed == 1


# ---- message


class MessageShell:
    """A connection of messages."""

    late = False
    gone = False

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.outbound: Any = None
        self.sent: list[bytes] = []
        self.calls: list[str] = []
        self.taken: BaseException | None = None
        self.send_error: Exception | None = None

    async def answer_of(self, request: Any) -> bytes | None:
        if isinstance(self.answer, BaseException):
            raise self.answer
        await passes(1)
        answer: bytes | None = self.answer
        return answer

    def answered(self) -> None:
        self.calls.append("answered")

    def send(self, data: bytes) -> None:
        if self.send_error is not None:
            raise self.send_error
        self.sent.append(data)

    async def until_taken(self) -> None:
        self.calls.append("waited")
        if self.taken is not None:
            raise self.taken


def ask(rig: Rig, shell: MessageShell) -> bool:
    kept: bool = rig.run(message(b"request", shell, rig.host, rig.service))  # type: ignore[arg-type]
    assert rig.row[SINCE] == 0
    assert rig.row[REQUESTS] == 1
    return kept


@pytest.mark.parametrize("answer", [b"answer", b"", None])
def test_a_message_is_answered(rig: Rig, answer: bytes | None) -> None:
    shell = MessageShell(answer)
    assert ask(rig, shell) is True
    assert shell.sent == ([answer] if answer else [])
    assert shell.calls == ["answered"]


def test_the_next_message_waits_until_the_answer_was_taken(rig: Rig) -> None:
    shell = MessageShell(b"answer")
    shell.outbound = object()
    assert ask(rig, shell) is True
    assert shell.calls == ["answered", "waited"]
    rig.row[REQUESTS] = 0
    shell.taken = ClientGone()
    assert ask(rig, shell) is False
    assert rig.failed == 0


def test_a_client_of_messages_that_is_gone(rig: Rig) -> None:
    shell = MessageShell(b"answer")
    shell.gone = True
    assert ask(rig, shell) is False
    assert shell.sent == []
    rig.row[REQUESTS] = 0
    shell.gone, shell.send_error = False, ClientGone()
    assert ask(rig, shell) is False
    assert rig.failed == 0


@pytest.mark.parametrize("error", [KeyError(), SystemExit(), asyncio.CancelledError()])
def test_a_message_whose_app_raises(rig: Rig, error: BaseException) -> None:
    shell = MessageShell(error)
    assert ask(rig, shell) is False
    assert shell.calls == ["answered"]
    assert shell.sent == []
    assert rig.failed == 1


def test_a_message_that_was_late_or_cancelled_at_the_last_call(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    shell = MessageShell(asyncio.CancelledError())
    shell.late = True
    assert ask(rig, shell) is False
    assert not caplog.records  # that it was late is in the log already
    shell.late = False
    rig.host.stopping.step = CANCELLED
    rig.row[REQUESTS] = 0
    assert ask(rig, shell) is False
    assert "timeouts.drain" in caplog.text
    assert rig.failed == 2


def test_a_message_when_the_front_is_dead(rig: Rig) -> None:
    rig.host.finished = True
    with pytest.raises(asyncio.CancelledError):
        ask(rig, MessageShell(asyncio.CancelledError()))


# ---- converse


class ConversationShell:
    """A connection that its app owns."""

    def __init__(self, does: Callable[[], Awaitable[None]]) -> None:
        self.call = does
        self.calls: list[Any] = []
        self.broken: Exception | None = None
        self.cut_off = False

    def over(self) -> None:
        self.calls.append("over")
        if self.broken is not None:
            raise self.broken

    def fail(self, error: Exception) -> None:
        self.calls.append(error)


@pytest.mark.parametrize(
    ("does", "failed", "level"),
    [
        (returns, 0, []),
        (raises(ClientGone()), 0, ["INFO"]),
        (raises(TimeoutError()), 0, ["INFO"]),
        (raises(KeyError()), 1, ["ERROR"]),
        (raises(SystemExit()), 1, ["ERROR"]),
    ],
)
def test_how_a_conversation_ends(
    rig: Rig,
    does: Callable[[], Awaitable[None]],
    failed: int,
    level: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    shell = ConversationShell(does)
    rig.run(converse(shell, rig.host, rig.service))  # type: ignore[arg-type]
    assert shell.calls == ["over"]
    assert (rig.row[REQUESTS], rig.failed) == (1, failed)
    assert [record.levelname for record in caplog.records] == level


def test_a_conversation_at_the_last_call_and_after_it(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    shell = ConversationShell(raises(asyncio.CancelledError()))
    rig.host.stopping.step = CANCELLED
    rig.run(converse(shell, rig.host, rig.service))  # type: ignore[arg-type]
    assert "timeouts.drain" in caplog.text
    rig.host.finished = True
    with pytest.raises(asyncio.CancelledError):
        rig.run(converse(shell, rig.host, rig.service))  # type: ignore[arg-type]


def test_a_conversation_whose_shell_raises(rig: Rig) -> None:
    shell = ConversationShell(returns)
    shell.broken = OSError("the shell")
    rig.run(converse(shell, rig.host, rig.service))  # type: ignore[arg-type]
    assert shell.calls == ["over", shell.broken]
    assert rig.host.stopping.step == SERVING


def test_a_conversation_that_a_drain_has_cut_off_is_logged_and_counted_there(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    shell = ConversationShell(raises(asyncio.CancelledError()))
    shell.cut_off = True
    rig.run(converse(shell, rig.host, rig.service))  # type: ignore[arg-type]
    assert (caplog.text, rig.service.row[FAILED], shell.calls) == ("", 0, ["over"])
