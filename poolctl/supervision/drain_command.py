"""The commands `drain` and `resume` of the whole server. With a worker they are in pool_commands.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Protocol

from poolctl.supervision.configuration import Configuration, ExitCode
from poolctl.supervision.reload import Caller
from poolctl.supervision.server_drain import DrainPhase, ServerDrain
from poolctl.supervision.transaction import SAY_SECONDS, Refused, Transaction, one_line_reason, seconds_to_wait


class DrainableServer(Protocol):
    """What these commands need of the supervisor."""

    name: str
    configuration: Configuration
    server_drain: ServerDrain
    stopping: bool

    @property
    def noticing(self) -> bool:
        """Whether the server will stop soon."""

    @property
    def drain(self) -> float:
        """Seconds that a drain may take."""

    @property
    def up(self) -> bool:
        """Whether a generation serves."""

    def status(self) -> dict[str, Any]:
        """Return what the server is, and what it is doing."""

    def start_reload(
        self, caller: Caller, *, wait: float | None, dry: bool = False, make: Callable[[], Configuration] | None = None
    ) -> None:
        """Begin to start a generation of the configuration that ``make`` returns."""

    def reloaded(self, code: ExitCode, text: str, change: str = "reload") -> None:
        """A change has ended."""


def draining(
    figures: Mapping[str, Any], seconds: float, limit: float, stream: float | None
) -> tuple[str, dict[str, int]]:
    """Return what a drain waits for, for people and as numbers. ``seconds``: that it has taken so far; ``limit`` and
    ``stream``: timeouts.drain and timeouts.stream."""
    counts = {key: int(figures.get(key, 0)) for key in ("in_flight", "waiting", "after_response")}
    words = [f"{counts['in_flight'] or 'no'} request{'s' * (counts['in_flight'] != 1)} in flight"]
    words += [f"{counts['waiting']} waiting"] * bool(counts["waiting"])
    words += [f"{counts['after_response']} still running after the response"] * bool(counts["after_response"])
    streams = f" (streams: {stream:g} s)" if stream is not None and seconds < stream else ""
    return f"draining: {', '.join([*words, f'{seconds:.1f} s of {limit:g} s{streams}'])}", counts


class DrainServer:
    """`drain`: the server gets no clients any more, and is empty when this answers; it goes on without workers."""

    def __init__(self, supervisor: DrainableServer, transaction: Transaction) -> None:
        self._supervisor, self._transaction = supervisor, transaction
        self._deadline = inf
        self._said = -inf

    def begin(self, given: Mapping[str, Any]) -> None:
        """Begin the drain, unless one is under way. Raises Refused."""
        supervisor = self._supervisor
        reason = one_line_reason(given)
        wait = seconds_to_wait(given)
        if supervisor.stopping or supervisor.noticing:
            raise Refused("the server is being stopped")
        if supervisor.server_drain.phase is DrainPhase.DRAINED:
            self._transaction.finish(0, "it is drained already", seconds=0.0)
            return
        if supervisor.server_drain.serving:
            if not supervisor.up:
                raise Refused("the server is still starting", "try again when poolctl status says that it is running")
            supervisor.server_drain.begin(reason or f"drain ({self._transaction.who})")
        self._deadline = inf if wait is None else self._transaction.started + wait
        self._transaction.proceed(self._step)
        self._step(time.monotonic())

    def _step(self, now: float) -> None:
        supervisor, transaction = self._supervisor, self._transaction
        drain, seconds = supervisor.server_drain, round(transaction.seconds, 3)
        if supervisor.stopping or supervisor.noticing:
            transaction.fail("the server is being stopped")
        elif drain.phase is DrainPhase.DRAINED:
            text = (
                f"drained: {drain.outcome} ({transaction.seconds:.1f} s); poolctl resume {supervisor.name} serves again"
            )
            transaction.finish(0, text, seconds=seconds)
        elif drain.phase not in (DrainPhase.NOTICED, DrainPhase.DRAINING):
            transaction.fail("it was resumed before it was drained")
        elif now >= self._deadline:
            left = f"not done within {self._deadline - transaction.started:g} s: {self._progress(now)}; it goes on"
            transaction.fail(left, "", int(ExitCode.LATE))
        else:
            if now - self._said >= SAY_SECONDS:
                self._said = now
                transaction.say(self._progress(now))
            transaction.wake_at(min(now + SAY_SECONDS, self._deadline))

    def _progress(self, now: float) -> str:
        drain = self._supervisor.server_drain
        if drain.phase is DrainPhase.NOTICED:
            return f"still serving for {drain.notice_over - now:.1f} s, then draining"
        stream = self._supervisor.configuration.stream
        return draining(self._supervisor.status(), now - drain.began, self._supervisor.drain, stream)[0]


class ResumeServer:
    """`resume`: a drained server serves again, with new workers; a drain that has only given notice is called off."""

    def __init__(self, supervisor: DrainableServer, transaction: Transaction) -> None:
        self._supervisor, self._transaction = supervisor, transaction
        self._wait: float | None = None
        self._started = False

    def begin(self, given: Mapping[str, Any]) -> None:
        """Call the drain off, or start new workers as soon as the server is drained. Raises Refused."""
        self._wait = seconds_to_wait(given)
        drain = self._supervisor.server_drain
        if drain.phase is DrainPhase.NOTICED:
            drain.call_off()
            self._transaction.finish(0, "the drain is called off", seconds=0.0)
            return
        self._transaction.proceed(self._step)
        self._step(time.monotonic())

    def _step(self, now: float) -> None:
        supervisor = self._supervisor
        if self._started:
            return  # the reload finishes it
        if supervisor.stopping or supervisor.noticing:
            self._transaction.fail("the server is being stopped")
        elif supervisor.server_drain.phase is DrainPhase.DRAINED:
            self._started = True
            supervisor.server_drain.resume()
            supervisor.start_reload(self, wait=self._wait, make=supervisor.configuration.reopened)
        elif supervisor.server_drain.serving:
            self._transaction.fail("the server is not drained")

    # a reload's caller

    def say(self, text: str) -> None:
        """Report progress."""
        self._transaction.say(text)

    def finish(self, code: ExitCode, text: str) -> None:
        """Report the end of the new generation's start."""
        self._supervisor.server_drain.resumed(code)
        self._supervisor.reloaded(code, text, "resume")
        if code:
            self._transaction.fail(text, "the server stays drained", int(code))
        else:
            seconds = round(self._transaction.seconds, 3)
            self._transaction.finish(0, text, seconds=seconds)
