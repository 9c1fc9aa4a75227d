"""A reload: from the file as it is now to a generation that serves, beside the old one; or back.

    REVIEWING --> STARTING --> DRAINING --> over
     |  |          ^   |
     |  |          |   +-- not ready, or not in time --> the new generation is killed
     |  |          +-- not taken
     |  +-------> CHANGING --> over
     +-- invalid, or takes a restart

    REVIEWING  a forked process reads and judges the file; the supervisor runs no code of plugins or of the user
    CHANGING   the processes of the generation that serves take new values (change.py), if that is enough
    STARTING   the new generation starts beside the old one, which serves
    DRAINING   the new one serves; the old one finishes its requests, and its idle connections move (listen/moves.py)

Whatever fails before DRAINING leaves the old generation serving, as if nothing had happened. Each step has a deadline.
The supervisor calls `turn` in each turn of its loop, and the other methods when something happens to a generation. The
file is long because each step has its own way to fail.
"""

from __future__ import annotations

import base64
import contextlib
import os
import pickle
import signal
import time
from collections.abc import Callable, Mapping
from enum import Enum
from math import inf
from typing import Protocol

from setproctitle import setproctitle

from poolctl.errors import PoolctlError
from poolctl.runtime.lifeline import CHANGE_BYTES
from poolctl.supervision.change import CHANGE_SECONDS
from poolctl.supervision.configuration import Configuration, ExitCode, Review
from poolctl.supervision.fork import fork
from poolctl.supervision.generation import Generation
from poolctl.supervision.reports import Report
from poolctl.supervision.restart import cause

REVIEW_SECONDS = 30.0  # seconds that reading and judging the file may take, checks of plugins included
REVIEW_BYTES = 1 << 24  # bytes of a pickled review
ANSWER_SECONDS = CHANGE_SECONDS + 1.0  # seconds that a mold has to end a change of values


class Step(Enum):
    """What is under way."""

    REVIEWING = "reading the file"
    CHANGING = "passing new values to the workers"
    STARTING = "starting new workers"
    DRAINING = "draining the old workers"


class Caller(Protocol):
    """Whoever asked for the reload: a client of the control socket, or the log for a SIGHUP."""

    def say(self, text: str) -> None:
        """Report progress."""

    def finish(self, code: ExitCode, text: str) -> None:
        """Report the end."""


class ReloadedServer(Protocol):
    """What a reload needs of the supervisor. ``number``: of the last generation that was started."""

    configuration: Configuration
    generation: Generation | None  # the current one
    number: int

    def note_values(self, generation: Generation, text: str, *, taken: bool) -> None:
        """Note whether its processes have taken new values. ``text``: for people."""

    def fork(self, configuration: Configuration) -> Generation:
        """Start a generation. Raises OSError if its mold cannot be forked."""

    def switch(self, generation: Generation) -> Generation | None:
        """Make a generation, which is ready, the current one, and have the one before it drain. Returns that one; None
        if it has died meanwhile."""

    def give_up(self, generation: Generation, why: str) -> None:
        """End a generation that was not ready."""

    def close_inherited(self) -> None:
        """In a forked process: close what belongs to the supervisor alone."""


class Reload:
    """One reload. ``deadline``: when the current step has taken too long, on the monotonic clock; ``over``: whether the
    caller has the outcome."""

    def __init__(
        self,
        server: ReloadedServer,
        caller: Caller,
        *,
        wait: float | None = None,
        dry: bool = False,
        make: Callable[[], Configuration] | None = None,
    ) -> None:
        """``wait``: seconds that the new generation has to become ready; None: as its configuration says; ``dry``:
        review only; ``make``: do not read the file, but start a generation of the configuration that this returns; it
        may raise PoolctlError and OSError."""
        self._make = make
        self._server, self._caller, self._wait, self._dry = server, caller, wait, dry
        self.step = Step.REVIEWING
        self.over = False
        self.began = time.monotonic()
        self.deadline = self.began + REVIEW_SECONDS
        self.candidate: Generation | None = None  # the new generation, until it serves
        self._old: Generation | None = None  # the one before it, from then on
        self._number = 0  # of the new generation
        self._review: Review
        self._changing: Generation | None = None  # whose processes are to take new values
        self._process = 0  # the pid of the process that reviews; 0: none
        self._reader = -1  # the pipe with its review
        self._received = bytearray()

    @property
    def watched(self) -> list[int]:
        """The descriptors on whose events `turn` must be called."""
        return [self._reader] if self._reader >= 0 else []

    @property
    def took(self) -> str:
        """The seconds since it began, for people."""
        return f"{time.monotonic() - self.began:.1f} s"

    # steps

    def begin(self) -> None:
        """Fork the process that reviews, if the file is to be read."""
        if self._make is not None:
            self._start(self._make)
            return
        reviewer = self._server.configuration.reviewer
        if reviewer is None:
            self.abandon("this server has no topology that could be read again")
            return
        try:
            self._fork(reviewer.review)
        except OSError as error:
            self.abandon(f"cannot fork a process to read the file: {error.strerror}")

    def _fork(self, review: Callable[[], Review]) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)

        def become() -> int:
            os.setpgid(0, 0)
            setproctitle("poolctl: reading a topology")
            self._server.close_inherited()
            with open(writer, "wb") as file:
                file.write(pickle.dumps(review()))
            return 0

        try:
            self._process = fork(become)
        finally:
            os.close(writer)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has already ended, or done so itself
            os.setpgid(self._process, self._process)

    def turn(self, now: float) -> None:
        """Go on with what has arrived, or give up what has taken too long."""
        if self._reader >= 0:
            self._read()
        if self.over or now < self.deadline:
            return
        if self.step is Step.CHANGING:
            self._change_instead(f"the mold did not answer within {ANSWER_SECONDS:g} s")
        elif self.step is Step.REVIEWING:
            self.abandon(f"the file was not read within {REVIEW_SECONDS:g} s")
        else:
            obstacle = f": {self.candidate.pool.obstacle}" if self.candidate and self.candidate.pool.obstacle else ""
            self.abandon(f"the new workers were not ready within {self._wait:g} s{obstacle}", ExitCode.LATE)

    def _read(self) -> None:
        """Read more of the review; act on it when it is complete."""
        while len(self._received) <= REVIEW_BYTES:
            try:
                data = os.read(self._reader, 65536)
            except BlockingIOError:
                return
            if not data:
                break
            self._received += data
        self._close_reader()
        try:
            review = pickle.loads(self._received)  # written by a process that this one has forked
        except Exception as error:  # noqa: BLE001  # it has ended early, and may have written anything
            why = "see the log" if isinstance(error, EOFError) else repr(error)
            self.abandon(f"the process that read the file has failed: {why}")
            return
        self._apply(review)

    def _apply(self, review: Review) -> None:
        """Start the generation of the file, unless it cannot be applied."""
        for line in review.changes:
            self._caller.say(line)
        if review.exit or self._dry:
            self._finish(review.exit, review.text)
            return
        self._review = review
        if not (review.hot and self._change()):
            self._start_reviewed()

    def _start_reviewed(self) -> None:
        self._start(lambda: self._server.configuration.successor(self._review.made))

    # new values for running processes

    def _change(self) -> bool:
        """Have the processes of the generation that serves take the new values. Returns False if that is not
        enough."""
        generation = self._server.generation
        if generation is None or generation.ready is None:
            return False
        if self._review.renewed >= generation.started:
            self._caller.say("a file that is read at a start has changed too, so a new generation is needed")
            return False
        try:
            values = self._server.configuration.change(self._review.made)
        except PoolctlError as error:
            self._caller.say(f"{error}, so a new generation is needed")
            return False
        if len(values) > CHANGE_BYTES or not generation.order("change", change=base64.b64encode(values).decode()):
            self._caller.say("the mold does not take the new values, so a new generation is needed")
            return False
        self._changing = generation
        self.step, self.deadline = Step.CHANGING, time.monotonic() + ANSWER_SECONDS
        return True

    def answered(self, generation: Generation, failure: str) -> None:
        """A mold has ended a change of values. ``failure``: why its processes have not taken them."""
        if self.step is not Step.CHANGING or generation is not self._changing:
            return
        if failure:
            self._change_instead(failure)
            return
        try:
            self._server.configuration.take(self._review.made)
        except OSError as error:
            self._change_instead(str(error))
            return
        count = self._review.hot
        text = f"{count} setting{'s' * (count != 1)} applied to generation {generation.number}"
        self._server.note_values(generation, text, taken=True)
        self._finish(ExitCode.DONE, f"{text} ({self.took})")

    def _change_instead(self, why: str) -> None:
        """Start a generation with the new values, since the processes that run have not taken them."""
        assert self._changing is not None  # it has been asked
        text = f"not applied to generation {self._changing.number} ({why}), so a new generation is needed"
        self._server.note_values(self._changing, text, taken=False)
        self._changing = None
        self._caller.say(text)
        self._start_reviewed()

    def _start(self, make: Callable[[], Configuration]) -> None:
        """Start the generation of the next configuration."""
        try:
            configuration = make()
        except PoolctlError as error:
            self.abandon(str(error))
            return
        except OSError as error:
            self.abandon(f"cannot prepare generation {self._server.number + 1}: {error.strerror}")
            return
        try:
            self.candidate = self._server.fork(configuration)
        except OSError as error:
            configuration.discard(self._server.configuration)
            self.abandon(f"cannot fork the new mold: {error.strerror}")
            return
        self.step = Step.STARTING
        self._wait = configuration.ready if self._wait is None else self._wait
        self.deadline = time.monotonic() + self._wait
        self._number = self.candidate.number
        beside = " beside the current one" if self._server.generation else ""
        self._caller.say(f"generation {self._number} starts{beside}")

    # what happens to generations

    def reported(self, report: Report) -> None:
        """The candidate has reported."""
        candidate = self.candidate
        assert candidate is not None  # whose report it is
        if report.kind != "ready":
            self.abandon(explained(candidate.configuration, report) or report.text)
            return
        self.candidate = None
        self.step, self.deadline = Step.DRAINING, inf
        self._old = self._server.switch(candidate)
        if self._old is None:
            self._finish(ExitCode.DONE, f"generation {self._number} serves ({self.took})")
        else:
            self._caller.say(f"generation {self._number} serves; generation {self._old.number} drains")

    def interrupted(self, generation: Generation) -> None:
        """The mold of the generation that serves has ended, or its front hangs: another one starts."""
        if generation is self._changing and self.step is Step.CHANGING:
            self._change_instead("its mold has ended")

    def ended(self, generation: Generation, status: int) -> None:
        """A mold has ended, perhaps the candidate's or the old one's."""
        if generation is self.candidate:
            self.candidate = None
            self.abandon(f"the new mold {cause(status)} before its workers were ready")
        elif generation is self._old:
            figures = generation.configuration.figures()
            text = f"generation {self._number} serves ({lost(status)}, {connections(figures)}, {self.took})"
            self._finish(ExitCode.DONE, text)

    # the end

    def abandon(self, why: str, code: ExitCode = ExitCode.REFUSED) -> None:
        """Give up; the generation that serves goes on."""
        self._finish(code, why.rstrip())

    def _finish(self, code: ExitCode, text: str) -> None:
        if self.over:
            return
        self.over = True
        self._close_reader()
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process, signal.SIGKILL)
        if self.candidate is not None:
            candidate, self.candidate = self.candidate, None
            self._server.give_up(candidate, text)
        self._caller.finish(code, text)

    def _close_reader(self) -> None:
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1

    def close_inherited(self) -> None:
        """In a forked process: close the copies of its descriptors."""
        self._close_reader()


def explained(configuration: Configuration, failure: Report) -> str:
    """Return the message for a generation that could not start; empty: the report's own text."""
    return configuration.reviewer.explain(failure) if configuration.reviewer else ""


def lost(status: int) -> str:
    """Return what became of the requests that were in flight when a generation began to drain. ``status``: of its
    mold."""
    return "unfinished requests were cut off" if status else "0 failed"


def connections(figures: Mapping[str, int]) -> str:
    """Return what became of the connections of a generation that has drained."""
    closed, moved = figures.get("closed_idle", 0), figures.get("moved", 0)
    return f"{closed} connection{'s' * (closed != 1)} closed, {moved} moved" + streams_cut(figures, ", {} cut off")


def streams_cut(figures: Mapping[str, int], text: str) -> str:
    """Return a text with the number of streams that timeouts.stream has ended; empty if there were none."""
    cut = figures.get("cut", 0)
    return text.format(f"{cut} stream{'s' * (cut != 1)}") if cut else ""
