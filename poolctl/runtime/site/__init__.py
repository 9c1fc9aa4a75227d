"""The site: everything that the processes of one generation have in common. The mold makes it before the first fork.

    settings.py   Settings: limits, timeouts and the strategy, which a reload can change
    data.py       SiteData: sizes, parts, listeners, channels; never changed once made
    workshop.py   Workshop: makes services, routers, loops, fronts and executors from that data
    here          Site: the interface of the workshop for pools and ownerships, including those of plugins

Each process has its own copy (fork); only descriptors and the scoreboard are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from poolctl.runtime.app import App
from poolctl.runtime.channels.inbox import Inbox
from poolctl.runtime.channels.notices import Notices
from poolctl.runtime.channels.returns import Returns
from poolctl.runtime.front_notes import FrontNotes
from poolctl.runtime.lifeline import Life
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.listen.moves import Moves
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import Source
from poolctl.runtime.routing.classes import ClassTable
from poolctl.runtime.routing.overload import OverloadLimits
from poolctl.runtime.serving.connection_loop import ConnectionLoop
from poolctl.runtime.serving.health import HealthCheck
from poolctl.runtime.serving.service import Service
from poolctl.runtime.site.settings import AdjustableFront
from poolctl.runtime.timeouts import Timeouts


class Front(Protocol):
    """A loop that runs in front of the workers."""

    def run(self, service: None) -> None:
        """Run until the lifeline ends. A front has no service."""


class FrontThatLends(Front, AdjustableFront, Protocol):
    """A front that owns every connection and lends it to a worker for each request."""

    def welcome(self, listener: Listener) -> None:
        """Accept the connections of a listener."""

    def join_moves(self, moves: Moves, listeners: Sequence[Listener]) -> None:
        """Serve connections that move here from other processes, and pass idle ones on in a drain. The site calls it
        first."""

    def answer_checks(self, check: HealthCheck) -> None:
        """Answer health checks instead of lending them."""

    def tell(self, notes: FrontNotes) -> None:
        """Write there what people want to know of the queue."""

    def bound_by(self, limits: OverloadLimits | None) -> None:
        """Bound the queue of requests by time; None: by ``limits.waiting`` alone."""

    def classify_by(self, classes: ClassTable | None) -> None:
        """Put requests into these classes; None: the file has none."""


class FrontThatHandsOver(Front, AdjustableFront, Protocol):
    """A front that gives each connection, or the turn to accept one, to a worker for good."""

    def hand_over(self, listener: Listener, number: int) -> None:
        """Accept the connections of a listener and give each to a worker. ``number``: index of the listener."""

    def join_moves(self, moves: Moves, listeners: Sequence[Listener]) -> None:
        """Give connections that move here from other processes to workers. The site calls it first."""

    def give_turns(self, listener: Listener, number: int, returns: int) -> None:
        """Have workers accept the connections of a listener. ``returns``: descriptor of the pipe in which they report
        that they took a turn."""


class Executor(Protocol):
    """Answers the tasks of an inbox in one thread of a worker."""

    def run(self) -> None:
        """Run until the inbox ends."""


class Site(Protocol):
    """The site as pools and ownerships see it; a plugin of these axes may use nothing else.

    A worker is a process under the pool ``process``, a thread under the pool ``thread``.
    """

    # data

    @property
    def name(self) -> str:
        """The name of the topology."""

    @property
    def workers(self) -> int:
        """The number of indexes that workers may have, which begin with 0."""

    @property
    def size(self) -> int:
        """The number of workers with which the generation begins. It differs from ``workers`` only where no plugin
        provides the pool or the ownership."""

    @property
    def threads(self) -> int:
        """Threads in each worker."""

    @property
    def slots(self) -> int:
        """Rows of each worker in the scoreboard: one for each thread, or one for each task that it may have at once.
        The rows of worker w begin at ``w * slots``."""

    @property
    def app(self) -> App:
        """The app, which answers requests; ``load`` imports the user's code."""

    @property
    def timeouts(self) -> Timeouts:
        """The timeouts of the topology, in seconds: one object, whose values a reload may change."""

    @property
    def at_once(self) -> int:
        """The most connections of a process that has all of them, such as a front. A reload may change it."""

    @property
    def listeners(self) -> Sequence[Sequence[Listener]]:
        """For each address its listener, or under reuse-port one for each worker."""

    @property
    def shared_listeners(self) -> list[Listener]:
        """The listener of each address."""

    @property
    def inboxes(self) -> Sequence[Inbox]:
        """The inboxes between the front and the workers: one for all, or one for each worker; empty without a front."""

    def inbox(self, worker: int) -> Inbox:
        """Return the inbox from which a worker takes its tasks."""

    @property
    def shares_inbox(self) -> bool:
        """Whether all workers take from one inbox."""

    @property
    def queues(self) -> bool:
        """Whether the front has the queue of a dispatch that pulls; then it may read inboxes too."""

    @property
    def returns(self) -> Returns:
        """The channels from workers back to a front."""

    @property
    def notices(self) -> Notices:
        """The channel in which the mold notifies a front about its workers."""

    def sockets(self) -> set[int]:
        """Return the descriptors of all listeners and channels."""

    # makers; a role calls them in the process in which the result will run

    def load(self) -> None:
        """Import the app, unless this process or the mold has done so. Raises AppError, and any exception of the user's
        code."""

    def heed_drain(self, life: Life) -> None:
        """Have timeouts.stream begin with the drain of this process. Called for the loops and executors that the site
        makes; by a pool that makes its own in ``Baseline``."""

    def warm(self) -> None:
        """Have the app answer its warm requests, in a worker and after ``load``. Raises as ``load``."""

    def service(self, worker: int, thread: int = 0) -> Service:
        """Return the service of one worker thread, with its row of the scoreboard."""

    def serving(self, row: memoryview, name: str) -> Service:
        """Return a service that counts in the given row. ``name``: of the worker, for the access log."""

    def connection_loop(self, life: Life, *, shared: bool, counted: bool = False) -> ConnectionLoop:
        """Return a loop for one worker's connections. ``shared``: several threads run it. ``counted``: a front already
        enforces the limit, so a worker with more than its share turns no connection away."""

    def threads_of(self, loop: Loop[Service], worker: int) -> list[Callable[[], None]]:
        """Return a function for each thread of a worker whose threads all run one loop."""

    def fewer_elsewhere(self, worker: int) -> Callable[[], bool]:
        """Return a function that returns whether another process has an idle thread and fewer connections than this
        worker's."""

    def lending_front(self, life: Life, *, retries: bool = False) -> FrontThatLends:
        """Return a front that lends connections, ready to take them back. ``retries``: an idempotent request whose
        worker process died goes to another one, once."""

    def handing_front(self, life: Life) -> FrontThatHandsOver:
        """Return a front that hands connections over."""

    def task_executor(self, worker: int, thread: int, life: Life) -> Executor:
        """Return the executor of one worker thread. An async app has started by then."""

    def arrivals(self, loop: ConnectionLoop, worker: int) -> Source[Service]:
        """Return a worker's inbox as a source of its loop."""
