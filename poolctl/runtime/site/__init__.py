"""The site: what the processes of one generation have in common. The mold makes it before it forks anything.

    data.py       SiteData: sizes, limits, parts, listeners, channels; fixed once made
    workshop.py   Workshop: makes what runs there, of that data: services, routers, loops, fronts, executors
    here          Site: what pools and ownerships see of the workshop, plugins included

Each process has its own copy (fork), and shares only what lies in descriptors and in the scoreboard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from poolctl.runtime.app import App
from poolctl.runtime.channels.inbox import Inbox
from poolctl.runtime.channels.notices import Notices
from poolctl.runtime.channels.returns import Returns
from poolctl.runtime.lifeline import Life
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import Source
from poolctl.runtime.serving.connection_loop import ConnectionLoop
from poolctl.runtime.serving.service import Service
from poolctl.runtime.timeouts import Timeouts


class Front(Protocol):
    """A loop that runs in front of the workers."""

    def run(self, service: None) -> None:
        """Until the lifeline ends. A front has no service."""


class FrontThatLends(Front, Protocol):
    """It has every connection, and lends them."""

    def welcome(self, listener: Listener) -> None:
        """Take the connections of a listener."""


class FrontThatHandsOver(Front, Protocol):
    """It gives each connection away for good, or the turn to accept one."""

    def hand_over(self, listener: Listener, number: int) -> None:
        """Accept the connections of the listener of this number, and give each to a worker."""

    def give_turns(self, listener: Listener, number: int, returns: int) -> None:
        """Have workers accept them. ``returns``: descriptor of the pipe in which they report that they took a turn."""


class Executor(Protocol):
    """What one thread of a worker runs to answer the tasks of its inbox."""

    def run(self) -> None:
        """Until the inbox ends."""


class Site(Protocol):
    """What pools and ownerships see, and all that a plugin of these axes may ask for.

    What is said here of a worker is of a process under the pool ``process``, of a thread under ``thread``.
    """

    # what there is

    @property
    def name(self) -> str:
        """The name of the topology."""

    @property
    def workers(self) -> int:
        """How many workers there are; they are numbered from 0."""

    @property
    def threads(self) -> int:
        """Threads in each worker."""

    @property
    def slots(self) -> int:
        """Rows of each worker in the scoreboard: one for each thread, or for each task that it may have at once. Those
        of worker w begin with ``w * slots``."""

    @property
    def app(self) -> App:
        """What answers requests; ``load`` imports the user's code."""

    @property
    def timeouts(self) -> Timeouts:
        """Those of the topology, in seconds."""

    @property
    def at_once(self) -> int:
        """Connections that a process which has all of them may have."""

    @property
    def listeners(self) -> Sequence[Sequence[Listener]]:
        """For each address its listener; under reuse-port one for each worker."""

    @property
    def shared_listeners(self) -> list[Listener]:
        """The listener of each address."""

    @property
    def inboxes(self) -> Sequence[Inbox]:
        """Between the front and the workers: one for all, or one for each; none without a front."""

    def inbox(self, worker: int) -> Inbox:
        """Where this worker takes its tasks from."""

    @property
    def queues(self) -> bool:
        """Whether the queue of a dispatch that pulls is in the front, which then may read inboxes too."""

    @property
    def returns(self) -> Returns:
        """The way back from workers to a front."""

    @property
    def notices(self) -> Notices:
        """What the mold tells a front of its workers."""

    def sockets(self) -> set[int]:
        """The descriptors of everything here."""

    # what a role makes of it, in the process in which it will run

    def load(self) -> None:
        """Import the app, unless this process or the mold has done so. Raises AppError, and what the user's code
        raises."""

    def service(self, worker: int, thread: int = 0) -> Service:
        """The service of one worker thread, with its row of the scoreboard."""

    def serving(self, row: memoryview, name: str) -> Service:
        """A service that counts in another row; ``name``: the worker's in the access log."""

    def connection_loop(self, life: Life, *, shared: bool, counted: bool = False) -> ConnectionLoop:
        """A loop for one worker's connections. ``shared``: several threads run it. ``counted``: a front has held them
        to the limit already, so a worker that has more than its share of them need not turn one away."""

    def threads_of(self, loop: Loop[Service], worker: int) -> list[Callable[[], None]]:
        """What each thread of a worker runs, where all of them run one loop."""

    def fewer_elsewhere(self, worker: int) -> Callable[[], bool]:
        """A function that returns whether another process has fewer connections than this worker's, and a thread with
        nothing to do."""

    def lending_front(self, life: Life) -> FrontThatLends:
        """A front that lends connections, ready to take them back."""

    def handing_front(self, life: Life) -> FrontThatHandsOver:
        """A front that hands connections over."""

    def task_executor(self, worker: int, thread: int, life: Life) -> Executor:
        """What a worker thread runs to answer the tasks of its inbox. An async app has started."""

    def arrivals(self, loop: ConnectionLoop, worker: int) -> Source[Service]:
        """A worker's inbox as a source of its loop."""
