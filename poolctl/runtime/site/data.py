"""The data that the processes of one generation have in common: made in the mold, never changed, but for ``vacant`` and
``settings``."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.affinity.connection import Connection
from poolctl.runtime.affinity.request import Request
from poolctl.runtime.app import App
from poolctl.runtime.app.loader import Loader
from poolctl.runtime.channels.inbox import Inbox, bells
from poolctl.runtime.channels.notices import Notices
from poolctl.runtime.channels.returns import Returns
from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.listen.moves import Moves
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.scoreboard import Scoreboard
from poolctl.runtime.serving.stream_limit import StreamLimit
from poolctl.runtime.site.settings import Settings
from poolctl.runtime.timeouts import Timeouts

if TYPE_CHECKING:
    from poolctl.runtime.access_log.log import AccessLog
    from poolctl.runtime.serving.health import HealthCheck


@dataclass(frozen=True, kw_only=True)
class SiteData:
    """One generation's parts, sizes, limits, listeners and channels.

    ``protocol``     protocol of the first address, in which a front refuses clients
    ``dispatch``     strategy with which the generation begins; ``settings`` make the one that a front has now
    ``settings``     limits, timeouts and strategy as they are now: a reload can change them
    ``listeners``    for each address one, or under reuse-port one for each worker
    ``moves``        by which idle connections leave for other processes of the server
    ``workers``      numbers for workers: one each, and more for those that join or take the place of another
    ``size``         workers with which the generation begins
    ``vacant``       indices of inboxes without a worker, as the mold knows them; a new front begins with these
    ``slots``        rows of one worker in the scoreboard: one for each thread, or one for each task at once
    ``adapts``       the front finds out how many of its slots a worker should use
    """

    name: str
    loader: Loader
    protocol: Protocol
    dispatch: Dispatch
    affinity: Affinity
    settings: Settings
    listeners: Sequence[Sequence[Listener]]
    workers: int
    size: int
    threads: int
    slots: int
    adapts: bool = False
    multiprocess: bool  # may several processes serve the app at once?
    scoreboard: Scoreboard
    inboxes: Sequence[Inbox]
    returns: Returns
    notices: Notices
    moves: Moves
    vacant: set[int] = field(default_factory=set)
    access: AccessLog | None = None
    health: HealthCheck | None = None
    streams: StreamLimit | None = None  # timeouts.stream of sync apps; each process has its own copy

    @property
    def app(self) -> App:
        """The app, which answers requests; ``loader`` imports the user's code."""
        return self.loader.app

    @property
    def timeouts(self) -> Timeouts:
        """The timeouts: the same object for as long as the process lives, with the values of this moment."""
        return self.settings.timeouts

    @property
    def connections(self) -> int:
        """The most connections at once, in all processes together."""
        return self.settings.connections

    @property
    def waiting(self) -> int:
        """The most tasks that wait for a worker."""
        return self.settings.waiting

    @property
    def shared_listeners(self) -> list[Listener]:
        """The listeners of all addresses; one address has several if systemd passes them."""
        return [listener for group in self.listeners for listener in group]

    def inbox(self, worker: int) -> Inbox:
        """Return the inbox from which a worker takes its tasks."""
        return self.inboxes[0 if len(self.inboxes) == 1 else worker]

    @property
    def shares_inbox(self) -> bool:
        """Whether all workers take from one inbox."""
        return len(self.inboxes) == 1 < self.workers

    def row(self, worker: int, thread: int = 0) -> memoryview:
        """Return the row of a worker thread in the scoreboard."""
        return self.scoreboard.worker(worker * self.slots + thread)

    @property
    def queues(self) -> bool:
        """Whether the front has the queue of a dispatch that pulls; then it may read inboxes too."""
        return self.dispatch.pull and len(self.inboxes) > 1

    @property
    def once(self) -> Affinity:
        """The affinity of a front that dispatches whole connections: each is dispatched once, so none is remembered."""
        return Request() if isinstance(self.affinity, Connection) else self.affinity

    def share(self, of: int) -> int:
        """Return one of ``of`` equal parts of the limit on connections, rounded up, and bounded by the descriptors of a
        process, which its threads share."""
        most = self.settings.most if self.multiprocess else max(self.settings.most // max(of, 1), 1)
        return min(-(-self.connections // max(of, 1)), most)

    @property
    def at_once(self) -> int:
        """The most connections of a process that has all of them, such as a front."""
        return self.settings.at_once

    def sockets(self) -> set[int]:
        """Return the descriptors of all listeners and channels."""
        front, work = self.returns.ends()
        found = front | work | {self.notices.writer.fileno(), self.notices.reader.fileno()}
        for group in self.listeners:
            found |= {listener.fd for listener in group}
        for inbox in self.inboxes:
            found |= inbox_ends(inbox)
        return found


def inbox_ends(inbox: Inbox) -> set[int]:
    """Return the descriptors of an inbox; an inbox in memory has none but its bells."""
    ends: list[socket.socket] = [end for name in ("reader", "writer") if (end := getattr(inbox, name, None))]
    return {end.fileno() for end in ends} | bells(inbox)
