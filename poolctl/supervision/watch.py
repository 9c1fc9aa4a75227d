"""Development, as the supervisor sees it: the watcher reports changed files, and each change begins a reload.

    watcher --names--> turn --asks--> supervisor: reload --> reloaded --> the log; of a refusal also the page that
                                                                         browsers get (runtime/app/refusal_page.py)

The watcher (watcher.py) is forked again, with a growing delay, if it dies. What changed meanwhile is not lost: it is
told when the last reload began. Without a page, which is production, nothing of this happens.

A change during a reload begins another one after it. A reload that a change has begun, and whose workers are not ready
yet, is given up for that, since it is out of date: whoever has saved code that hangs need not wait for it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from math import inf
from typing import TYPE_CHECKING, Protocol

from setproctitle import setproctitle

from poolctl.supervision.configuration import Configuration, ExitCode, WatchedFiles
from poolctl.supervision.control import Control
from poolctl.supervision.events import Events, Kind, one_line
from poolctl.supervision.fork import fork
from poolctl.supervision.generation import Generation
from poolctl.supervision.reload import Reload, Step
from poolctl.supervision.restart import RestartPolicy, cause, when

if TYPE_CHECKING:
    from poolctl.runtime.app.refusal_page import RefusalPage  # only in development

log = logging.getLogger("poolctl")

NAMED_FILES = 2  # in a line of the log
COLORS = re.compile(r"\x1b\[[0-9;]*m")


class WatchedServer(Protocol):
    """What this needs of the supervisor."""

    name: str
    configuration: Configuration
    control: Control
    events: Events
    generation: Generation | None
    reload: Reload | None
    announced: bool  # it has served

    def withdraw(self, why: str) -> None:
        """Give up the start of the first generation, and wait for a change."""

    def close_inherited(self) -> None:
        """In a forked process: close what belongs to the supervisor alone."""


class FileWatch:
    """The watcher's process, and what it has reported."""

    def __init__(self, server: WatchedServer, page: RefusalPage | None) -> None:
        """``page``: shown while a reload is refused; None: no file is watched."""
        self._server, self._page = server, page
        self._policy = RestartPolicy()
        self._process = 0  # its pid; 0: none
        self._born = 0.0  # monotonic seconds
        self._reports = self._lifeline = -1
        self._received = b""
        self._watched = WatchedFiles()
        self._since = time.time()  # what changed later is not in what runs, or is about to
        self._restart = 0.0  # when to fork the next watcher, in monotonic seconds
        self._changed: dict[str, None] = {}  # the names of files for which no reload has begun
        self._began: str | None = None  # the change for which one has begun; None: none is under way
        self._began_at = 0.0  # monotonic seconds
        self._stale = False  # that one is given up, for a later change
        self._folder = os.getcwd() + os.sep if page is not None else ""  # names of files in it are shortened

    @property
    def on(self) -> bool:
        """Whether this is development."""
        return self._page is not None

    # the loop

    @property
    def descriptors(self) -> list[int]:
        """The descriptors on whose events `turn` must be called."""
        return [self._reports] if self._reports >= 0 else []

    @property
    def due(self) -> float:
        """When `turn` must be called at the latest, in monotonic seconds."""
        return self._restart if self.on and not self._process else inf

    def turn(self, now: float) -> None:
        """Fork a missing watcher, and take what the present one has reported."""
        if not self.on:
            return
        if not self._process and now >= self._restart:
            self._start(now)
        self._read()
        if self._changed and self._began is not None:
            reload = self._server.reload
            if reload is not None and reload.step is not Step.DRAINING and not reload.over:
                self._stale = True
                reload.abandon(f"{self._what} meanwhile")

    @property
    def asks(self) -> bool:
        """Whether a reload should begin. A generation that is being restarted is waited for."""
        generation = self._server.generation
        settled = not self._server.announced or (generation is not None and generation.ready is not None)
        return bool(self._changed) and settled

    def begin(self) -> None:
        """Begin a reload. If no generation has served yet, this is the start."""
        self._began = what = self._what
        self._began_at = time.monotonic()
        log.info("%s: %s", what, "reloading" if self._server.announced else "starting")
        if not self._server.announced:
            self._server.withdraw(what)
        self._changed = {}
        self._since = time.time()
        self._server.control.start("reload", {}, what, quiet=True)

    @property
    def _what(self) -> str:
        first = list(self._changed)[:NAMED_FILES]
        more = len(self._changed) - len(first)
        return f"{', '.join(first)}{f' and {more} more' if more else ''} changed"

    # outcomes

    def serves(self) -> None:
        """A generation has become the current one by a reload; the one before it is about to drain."""
        if self._page is None:
            return
        self._page.clear()
        reviewer = self._server.configuration.reviewer
        if reviewer is not None and reviewer.watched != self._watched:
            self._end()  # the next one watches other files

    def reloaded(self, code: ExitCode, text: str) -> None:
        """A reload has ended, of a change or of whatever else."""
        began, self._began = self._began, None
        stale, self._stale = self._stale, False
        if self._page is None or stale:
            return
        if not code:
            if began is not None:
                log.info("reloaded: %s", text)
            return
        title = f"{began}: not reloaded" if began is not None else "the last change of the server was refused"
        took = f"after {time.monotonic() - self._began_at:.1f} s"
        if (generation := self._server.generation) is None:
            if began is not None:  # otherwise whoever asked for it has the answer
                log.error("%s: cannot start (%s); waiting for another change\n%s", began, took, text)
            return
        born = time.strftime("%H:%M:%S", time.localtime(time.time() - time.monotonic() + generation.born))
        serves = f"Generation {generation.number} still serves, with the code and the topology of {born}."
        self._page.show(one_line(title), serves, COLORS.sub("", text))
        if began is not None:
            log.error("%s (%s); generation %d still serves\n%s", title, took, generation.number, text)

    # the watcher's process

    def _start(self, now: float) -> None:
        """Start a watcher, or try again later."""
        try:
            self._process = self._fork()
        except OSError as error:
            self.close_inherited()
            delay = max(self._policy.delay(0.0), self._policy.first)
            self._restart = now + delay
            text = f"cannot fork the watcher: {error}; retrying {when(delay)}"
            self._server.events.record(Kind.FORK_FAILED, text, logging.ERROR, role="watcher", reason=str(error))
        else:
            self._born = now

    def _fork(self) -> int:
        reviewer = self._server.configuration.reviewer
        assert reviewer is not None  # a server that is watched knows its files
        self._watched, since = reviewer.watched, self._since

        def become() -> int:
            from poolctl.supervision.watcher import watch  # only in development

            os.setpgid(0, 0)  # out of reach of Ctrl-C
            setproctitle(f"poolctl: watcher {self._server.name}")
            self._server.close_inherited()
            self._server.configuration.discard(None)
            return watch(self._watched, since, writer, reader)

        with ExitStack() as theirs:
            self._reports, writer = os.pipe()
            theirs.callback(os.close, writer)
            reader, self._lifeline = os.pipe()
            theirs.callback(os.close, reader)
            os.set_blocking(self._reports, False)
            return fork(become)

    def died(self, dead: Mapping[int, int], now: float) -> None:
        """Some processes have ended, perhaps the watcher. ``dead``: pids and exit codes."""
        if not self._process or self._process not in dead:
            return
        status, pid = dead[self._process], self._process
        self._read()
        self.close_inherited()
        self._process, self._received = 0, b""
        delay = self._policy.delay(now - self._born)
        self._restart = now + delay
        text = f"the watcher (pid {pid}) {cause(status)}; restarting {when(delay)}"
        self._server.events.record(Kind.ROLE_DIED, text, logging.WARNING, role="watcher", pid=pid)

    def _read(self) -> None:
        """Take the names of changed files."""
        if self._reports < 0:
            return
        with suppress(BlockingIOError):
            while data := os.read(self._reports, 65536):
                self._received += data
                *lines, self._received = self._received.split(b"\n")
                for path in (path for line in lines for path in json.loads(line)):
                    self._changed[one_line(path.removeprefix(self._folder))] = None

    def close(self) -> None:
        """Watch no more: the server stops."""
        self._page = None
        self._end()

    def _end(self) -> None:
        """Kill the watcher. The next `turn` forks another one."""
        if self._process:
            with suppress(ProcessLookupError):  # not reaped, so it is still its pid
                os.kill(self._process, signal.SIGKILL)
        self._read()
        self.close_inherited()
        self._process, self._received = 0, b""

    def close_inherited(self) -> None:
        """Close the links to the watcher; in a forked process, the copies of them."""
        for fd in (self._reports, self._lifeline):
            if fd >= 0:
                os.close(fd)
        self._reports = self._lifeline = -1
