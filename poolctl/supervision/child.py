"""A role as the mold sees it from outside: one process after another runs it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from os import close, read, write
from pathlib import Path

from poolctl.runtime.lifeline import DIE, REASON_BYTES, SAID
from poolctl.runtime.system.channel import channel
from poolctl.supervision.plan import Role
from poolctl.supervision.restart import RestartPolicy

LAST_WORDS_SECONDS = 0.5  # seconds that a process has to log what it is doing, and to end
BARE_SECONDS = 0.1  # seconds that a process which did not has to write its bare stacks


class Pipes:
    """The pipes from the mold to a process that is being forked, and the channel between the two."""

    def __init__(self) -> None:
        self._readers: list[int] = []
        self._writers: list[int] = []

    def make(self, needed: bool) -> tuple[int, int]:
        """Return the ends of a new pipe, or -1 twice if none is needed. Raises OSError."""
        return self._noted(*os.pipe()) if needed else (-1, -1)

    def channel(self) -> tuple[int, int]:
        """Return the process's end of a new channel, and the mold's. Raises OSError."""
        ours, theirs = channel()
        ours.setblocking(False)
        return self._noted(theirs.detach(), ours.detach())

    def _noted(self, theirs: int, ours: int) -> tuple[int, int]:
        self._readers.append(theirs)
        self._writers.append(ours)
        return theirs, ours

    def close_readers(self) -> None:
        """The process has been forked."""
        for descriptor in self._readers:
            close(descriptor)

    def close_all(self) -> None:
        """The process cannot be forked."""
        self.close_readers()
        for descriptor in self._writers:
            close(descriptor)


@dataclass
class Child:
    """The mold's record of a role. Times are those of the mold's monotonic clock, in seconds."""

    role: Role
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    pid: int = 0  # of the process that runs the role; 0: none
    due: float = 0.0  # while none runs: when to fork the next
    born: float = 0.0  # when the process was forked
    ready: float | None = None  # when the process became ready to serve; None: not yet
    killed: bool = False  # whether the mold ends the process because it took too long
    finished: bool = False  # it is ended because of requests that take too long, and has nothing else left
    channel: int = -1  # the mold's end of the channel with the process
    asked: bool = False  # it was asked to do so
    signalled: bool = False  # it got a signal that has it write its bare stacks
    kill_at: float = inf  # when it is signalled, and then killed, because it has not done so
    overdue_again: float = 0.0  # of a process that is replaced since a request takes too long: when to try again
    status: int | None = None  # the exit status of a process that has ended and is about to be forgotten
    place: int = -1  # of a worker: its place in a reuse-port group, its own number at first
    # of a worker, whose number may be empty:
    wanted: bool = True  # it is to run
    leaving: str = ""  # why it is to leave, from then on until it has left
    told: bool = False  # the process knows that it is to leave
    drained: bool = False  # its number stays empty until an operator says otherwise
    leaver: int = -1  # the write end of the pipe in which a byte tells the process to leave
    deadline: float = inf  # when a process that is to leave is killed
    stillborn: int = 0  # of a worker that is to leave, how many of its successors died before they were ready, in a row

    @property
    def name(self) -> str:
        """The process title without the program's name, as log lines show it."""
        return self.role.title.removeprefix("poolctl: ")

    def started(self, pid: int, now: float, leaver: int = -1, channel: int = -1) -> None:
        """Record a process that was forked for the role. ``leaver``: closed when the process is to leave, or has
        ended; ``channel``: closed when it has ended."""
        self.leaver, self.channel = leaver, channel
        self.finished, self.asked, self.signalled, self.kill_at, self.overdue_again = False, False, False, inf, 0.0
        self.pid, self.born, self.ready, self.status, self.killed = pid, now, None, None, False
        self.told, self.deadline = False, inf

    def exited(self, now: float) -> tuple[float, float]:
        """Forget the process, which was reaped. Returns how long it lived and how long it served, in seconds."""
        self._close_leaver()
        if self.channel >= 0:
            close(self.channel)
            self.channel = -1
        self.kill_at = inf
        served = 0.0 if self.ready is None else now - self.ready
        self.stillborn = self.stillborn + 1 if self.ready is None else 0
        self.pid, self.ready, self.status = 0, None, None
        self.told, self.deadline = False, inf
        return now - self.born, served

    @property
    def described(self) -> str:
        """The name and the pid, and whether a signal has stopped the process."""
        return f"{self.name} (pid {self.pid}{', stopped by a signal' * is_stopped(self.pid)})"

    @property
    def absent(self) -> bool:
        """Whether the number is free."""
        return not self.wanted and not self.leaving and not self.pid

    @property
    def works(self) -> bool:
        """Whether it is a worker in a process of its own."""
        return bool(self.role.stage and self.role.rows)

    @property
    def serves(self) -> bool:
        """Whether its process is ready, and is not to leave."""
        return self.ready is not None and not self.leaving

    def hire(self, place: int = -1) -> None:
        """Fill the number. ``place``: of the worker that it replaces; -1: its own. A worker that is to leave and does
        not know it stays; another one leaves first."""
        if not self.told:
            self.leaving = ""
        self.wanted, self.due, self.policy, self.place = True, 0.0, RestartPolicy(), place

    def tell_to_leave(self, deadline: float) -> None:
        """Tell the process to leave. ``deadline``: when it is killed."""
        self.told, self.deadline = True, deadline
        with suppress(BrokenPipeError):  # it has left already, by the end in its inbox
            write(self.leaver, b"x")  # an end of file alone would be that of the mold
        self._close_leaver()

    def limit_start(self, deadline: float) -> None:
        """Have the process, which is to leave once it has started and served what waits for it, killed by this time if
        it does not start."""
        self.deadline = min(self.deadline, deadline)

    def _close_leaver(self) -> None:
        if self.leaver >= 0:
            close(self.leaver)
            self.leaver = -1

    def has_left(self) -> None:
        """Record that it has left. It may have been hired again meanwhile."""
        self.leaving = ""

    def drain(self, reason: str) -> None:
        """Empty the number, and keep it empty until `resume`."""
        self.drained = True
        self.let_go(reason)

    def resume(self) -> None:
        """Allow the number to be filled again."""
        self.drained = False

    def end(self, now: float, occupied: Callable[[], bool]) -> None:
        """Have the process, which is not reaped yet, log what it is doing and end. One that does not is killed by
        `end_slow`. One that is stopped by a signal can log nothing unless it goes on: it does if it is ``occupied``,
        and so takes nothing new in that moment; otherwise it is killed."""
        if self.asked:
            return
        self.asked, self.deadline, self.kill_at = True, inf, now + LAST_WORDS_SECONDS
        stopped = is_stopped(self.pid)
        if stopped and not occupied():
            self.signalled, self.kill_at = True, now
            return
        # fronts run nothing that the log should show
        if not self.role.rows or not self.say(DIE):
            self.kill_at = now
        if stopped:
            os.kill(self.pid, signal.SIGCONT)

    def say(self, word: int, number: int = 0, text: bytes = b"") -> bool:
        """Say something to the process (lifeline.py). Returns False if it has closed its end, or does not listen."""
        try:
            write(self.channel, SAID.pack(word, number) + text)
        except OSError:
            return False
        return True

    def answer(self) -> tuple[int, int, str] | None:
        """Return the next answer of the process: word, number and text; None if there is none. The text is for people
        only: the process runs the user's code."""
        try:
            message = read(self.channel, SAID.size + REASON_BYTES)
        except OSError:  # there is none, or the process has ended, which the mold learns elsewhere
            return None
        if len(message) < SAID.size:
            return None
        word, number = SAID.unpack_from(message)
        return word, number, message[SAID.size :].decode("utf-8", "replace")

    def end_overdue(self, now: float, occupied: Callable[[], bool], *, finished: bool) -> None:
        """As `end`, for a process with requests that take too long. ``finished``: it has nothing else left."""
        self.killed, self.finished = True, finished
        self.end(now, occupied)

    def wait_for_successor(self, again: float) -> bool:
        """The process is to be replaced; if that fails, it is tried ``again``. Returns whether it has failed before."""
        failed, self.overdue_again = self.overdue_again > 0, again
        return failed

    def end_slow(self, now: float) -> None:
        """If the process, which is not reaped yet, has not ended in time, have it write its bare stacks, then kill
        it."""
        if now < self.kill_at:
            return
        if self.signalled or not self.role.rows or self.channel < 0:
            self.kill_at = inf
            os.kill(self.pid, signal.SIGKILL)
        else:
            self.signalled, self.kill_at = True, now + BARE_SECONDS
            os.kill(self.pid, signal.SIGUSR2)  # see Life: it needs no interpreter

    def let_go(self, reason: str) -> None:
        """Empty the number once the worker has left."""
        self.wanted, self.leaving = False, reason
        # if a successor is needed, which serves what waits for it, then now
        self.policy, self.due, self.stillborn = RestartPolicy(), 0.0, 0


def is_stopped(pid: int) -> bool:
    """Return whether a signal (SIGSTOP, SIGTSTP) has stopped a process of this user, by its state in proc(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:  # it has ended, or there is no /proc: then its log lines lack this
        return False
