"""The error boundary around async apps: each task that calls one runs a coroutine of this file.

    attend     an HTTP request, or a WebSocket:  exchange.call, then exchange.conclude
    message    one message of a connection, whose task goes on with the next
    converse   a whole connection

``Service.raised`` judges, logs and counts an exception of the app, as it does for sync apps. The *shell* is the object
between the call and the client: a connection, a stream of one, or a lent request. An exception of the shell itself ends
that shell alone. Once its response is complete the call is no longer the shell's, though the app may go on
(``afterwork.py``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, Protocol

from poolctl.errors import ClientGone
from poolctl.runtime.app.awaited import Exchange
from poolctl.runtime.protocol.output import Output
from poolctl.runtime.serving.service import AFTER_RESPONSE, CONVERSATION, REQUEST, Outcome, Service, Work
from poolctl.runtime.serving_async.afterwork import Afterwork
from poolctl.runtime.serving_async.stopping import CANCELLED, SERVING, Stopping
from poolctl.runtime.system import forked

log = logging.getLogger("poolctl")
UNAVAILABLE = 503  # for a request whose app got http.disconnect because of the stop, and returned without a response


class AppHost(Protocol):
    """What the boundary needs of the event loop of a worker."""

    after: Afterwork
    stopping: Stopping

    @property
    def finished(self) -> bool:
        """Whether it ends without waiting for its tasks, because its front is dead."""

    def rested(self) -> None:
        """Called in a task that ends after its response was complete."""


class Shell(Protocol):
    """The object between one call of the app and its client."""

    task: asyncio.Task[None] | None

    @property
    def exchange(self) -> Exchange | None:
        """The call, until its response is complete."""

    @property
    def work(self) -> Work:
        """What the app is doing, for the log."""

    @property
    def refused(self) -> int:
        """The status with which the request was refused while the app had it; 0: it was not."""

    @property
    def line(self) -> str:
        """The request line, for the log."""

    def refuse(self, status: int) -> None:
        """Answer with this status instead of the app, unless something was sent."""

    def over(self, keep: bool) -> None:
        """The app is done. ``keep``: whether the connection may be kept."""

    def fail(self, error: Exception) -> None:
        """Another method of this shell raised: log it, and end the shell."""


async def attend(exchange: Exchange, shell: Shell, host: AppHost, service: Service) -> None:
    """Run a request, or a WebSocket, as a task."""
    task = shell.task
    try:
        keep = True
        try:
            await exchange.call()
            if shell.exchange is exchange:
                keep = exchange.conclude()
        except ClientGone:
            keep = False
        except BaseException as error:  # the app's
            forked.leave()
            if host.finished:
                raise
            keep = _raised(error, exchange, shell, host, service)
        if shell.exchange is exchange:
            if not keep and (status := shell.refused or (host.stopping.step != SERVING and UNAVAILABLE)):
                shell.refuse(status)
            shell.over(keep)
        elif task is not None and host.after.fresh is task:
            host.after.fresh = None
        elif host.after.tasks:
            host.rested()
    except Exception as error:  # noqa: BLE001  # the shell's, which logs it
        shell.fail(error)


def _raised(error: BaseException, exchange: Exchange, shell: Shell, host: AppHost, service: Service) -> bool:
    """Handle an exception of the app. Returns whether the connection may be kept all the same: frameworks send their
    response first and then raise, for the log."""
    ours, complete = shell.exchange is exchange, exchange.ended
    if not ours and not complete and isinstance(error, asyncio.CancelledError):
        return False  # its request has ended without it, which was logged and counted
    outcome = service.raised(
        error,
        shell.work if ours or not complete else AFTER_RESPONSE,
        late=ours and shell.refused == Outcome.TOO_LATE.value,
        complete=complete,
        cancelled=_is_last_call(error, host),
        line=shell.line,
    )
    if complete and outcome is not Outcome.LEFT:
        return exchange.keep
    if ours:
        shell.refuse(shell.refused or outcome.value)
    return False


def _is_last_call(error: BaseException, host: AppHost) -> bool:
    """Whether this is the cancellation of the last tasks when the time to drain is nearly over."""
    return isinstance(error, asyncio.CancelledError) and host.stopping.step == CANCELLED


class MessageShell(Output, Protocol):
    """A connection whose app is awaited for each message. ``late``: the app took longer than timeouts.request."""

    late: bool

    @property
    def gone(self) -> bool:
        """Whether the client has left."""

    @property
    def outbound(self) -> object:
        """Not None while the client has to take bytes first."""

    def answer_of(self, request: Any) -> Awaitable[bytes | None]:
        """Call the app."""

    def answered(self) -> None:
        """The app has answered."""

    async def until_taken(self) -> None:
        """Wait until the client has taken all that was sent. Raises ClientGone."""


async def message(request: Any, shell: MessageShell, host: AppHost, service: Service) -> bool:
    """Let the app answer one message. Returns whether the connection may be kept."""
    started = service.begin()
    keep = True
    try:
        answer = await shell.answer_of(request)
        shell.answered()
        if shell.gone:
            keep = False
        elif answer:
            shell.send(answer)
            if shell.outbound is not None:
                await shell.until_taken()
    except ClientGone:
        keep = False
    except BaseException as error:  # the app's
        forked.leave()
        if host.finished:
            raise
        shell.answered()
        service.raised(error, REQUEST, late=shell.late, cancelled=_is_last_call(error, host))
        keep = False
    service.end(started)
    return keep


class ConversationShell(Protocol):
    """A connection that an app owns. ``cut_off``: a drain has ended it, which was logged and counted."""

    cut_off: bool

    def call(self) -> Awaitable[None]:
        """Call the app."""

    def over(self) -> None:
        """The app is done with the connection."""

    def fail(self, error: Exception) -> None:
        """Another method of this shell raised: log it, and end the shell."""


async def converse(shell: ConversationShell, host: AppHost, service: Service) -> None:
    """Run, as a task, a connection that the app owns until it returns."""
    try:
        try:
            await shell.call()
        except (ClientGone, TimeoutError) as error:
            log.info("a conversation ended: %s", error)
        except BaseException as error:  # the app's
            forked.leave()
            if host.finished:
                raise
            if not shell.cut_off:
                service.raised(error, CONVERSATION, cancelled=_is_last_call(error, host))
        service.count()
        shell.over()
    except Exception as error:  # noqa: BLE001  # the shell's, which logs it
        shell.fail(error)
