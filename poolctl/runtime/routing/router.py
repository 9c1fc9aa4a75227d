"""The router: from a task to an inbox. Affinity names a key, dispatch chooses, and the first choice is remembered.

    task -> affinity.key -> remembered inbox, or dispatch.pick of those on offer -> inbox.put
                                 |                       |
                                 | full: held for it     | none on offer, or the strategy abstains: waits here

On offer are the inboxes that have room, so one that is full stops nobody but the tasks that are bound to it. Under a
dispatch that pulls, with workers that serve several tasks at once, the queue is here: first in, first out, and an inbox
is given a task only while its worker can begin it. The router belongs to the front and to its thread. What waits here
is bounded together with what lies in the inboxes by ``limits.waiting``: the front asks what is ``free`` before it
brings another task.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from itertools import islice
from os import close
from time import monotonic
from typing import Any, NamedTuple

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.channels.inbox import Inbox
from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.dispatch.guarded import Guarded
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.scoreboard import ROW, WAITING
from poolctl.runtime.task import Asked, Peer, Task

CHOICE = 256  # of those that wait, how many a strategy may choose from


class Parcel(NamedTuple):
    """A task that waits, and what is to be put into an inbox. ``holder`` is closed once it is there (-1: nothing)."""

    task: Task
    connection: int
    item: Any
    fds: tuple[int, ...]
    holder: int


class Router:
    """Routes the tasks of one front."""

    def __init__(
        self,
        dispatch: Dispatch,
        affinity: Affinity,
        inboxes: Sequence[Inbox],
        limit: int,
        row: memoryview | None = None,
    ) -> None:
        """``limit``: tasks that may wait. ``row``: the front's, where it is noted how many wait here."""
        self._dispatch = dispatch
        self._affinity = affinity
        self.inboxes = inboxes
        self._limit = limit
        self._only = inboxes[0] if len(inboxes) == 1 else None
        self._pulls = dispatch.pull and self._only is not None  # who is free helps itself: nobody is asked
        self.queues = dispatch.pull and not self._pulls  # the queue is here
        self._row = row if row is not None else memoryview(bytearray(8 * ROW)).cast("q")
        self._row[WAITING] = 0
        self._remembers = affinity.remembers
        self._chosen: dict[Hashable, Inbox] = {}
        self._offer = tuple(inbox.view for inbox in inboxes)
        self._vacant: set[int] = set()  # inboxes whose workers are dead
        self._held: dict[int, deque[Parcel]] = {}  # by the index of a full inbox: what is bound to it
        self._last: dict[int, Inbox] = {}  # where the last task of a connection was put, if there is more than one
        self.waiting: deque[Parcel] = deque()
        self._hooks = dispatch.hooks
        self._guard = dispatch if isinstance(dispatch, Guarded) else None
        self._chooses = "next" in self._hooks
        self.observes = "finished" in self._hooks
        self._sessions = affinity.inspects
        self.refuses = affinity.refuses
        self._direct = (
            None if self.observes or self._sessions else self._only
        )  # where there is nothing to choose and nothing to note
        self._under_way: dict[int, tuple[Task, InboxView, float]] = {}  # by connection; where the strategy observes
        if "joined" in self._hooks:
            for inbox in inboxes:
                dispatch.joined(inbox.view)

    @property
    def free(self) -> int:
        """How many more tasks the topology allows to wait for a worker."""
        return self._limit - self._kept() - sum(inbox.waiting for inbox in self.inboxes)

    @property
    def empty(self) -> bool:
        """Whether no task waits here."""
        return not self.waiting and not self._held

    @property
    def load(self) -> int:
        """Tasks that were sent and are not done."""
        return self._kept() + sum(inbox.load for inbox in self.inboxes)

    def route(
        self,
        peer: Peer,
        arrived: float,
        connection: int,
        item: Any,
        fds: tuple[int, ...] = (),
        holder: int = -1,
        asked: Asked | None = None,
    ) -> list[Inbox]:
        """Put the item where it belongs, or keep it until there is room; the inboxes that turned out to be full.

        ``connection`` tells the connections of this front apart. ``holder`` is the one of ``fds`` that was opened
        only to be sent along: it is closed when the item has left this process.
        """
        only = self._direct
        if only is not None and self._offer and not self.waiting and only.put(item, fds):
            if holder >= 0:
                close(holder)
            return NOWHERE
        task = Task(peer, arrived, asked, fds[0] if fds else -1)
        parcel = Parcel(task, connection, item, fds, holder)
        if self.queues and self.waiting:
            self.waiting.append(parcel)  # all workers are full, and others were here before it
            self._row[WAITING] = len(self.waiting)
            return NOWHERE
        full: list[Inbox] = []
        if not self._place(parcel, full):
            # Once more: a worker thread that was done just now looked for who waits before this one did.
            full += self.retry()
        return full

    def room(self, index: int) -> list[Inbox]:
        """The inbox of this index has room again; the inboxes that turned out to be full."""
        inbox = self.inboxes[index]
        if index not in self._vacant:
            self._open(inbox)
        full: list[Inbox] = []
        for parcel in self._held.pop(index, ()):
            self._put(parcel, inbox, full)
        return full + self.retry()

    def left(self, index: int) -> None:
        """All who take from this inbox are dead. What lies in it their successors will find; nothing else is sent to
        it before they are there, but for what is bound to it."""
        view = self.inboxes[index].view
        self._vacant.add(index)
        if self._affinity.forgets:
            gone = self.inboxes[index]
            for key in [key for key, inbox in self._chosen.items() if inbox is gone]:
                del self._chosen[key]
        if self.queues or len(self._vacant) < len(self.inboxes):
            self._offer = tuple(each for each in self._offer if each is not view)
        if "left" in self._hooks:
            self._dispatch.left(view)

    def joined(self, index: int) -> list[Inbox]:
        """They have successors; the inboxes that turned out to be full."""
        inbox = self.inboxes[index]
        self._vacant.discard(index)
        if "joined" in self._hooks:
            self._dispatch.joined(inbox.view)
        if index not in self._held:
            self._open(inbox)
        return self.retry()

    def put_back(self, parcels: Iterable[Parcel]) -> list[Inbox]:
        """Tasks that were put into an inbox and that nobody has taken, oldest first: they are first in the queue again.
        The inboxes that turned out to be full."""
        self.waiting.extendleft(reversed(list(parcels)))
        return self.retry()

    def withdraw(self, index: int) -> bool:
        """Offer this inbox no more until ``offer_again``; False where no other could take a task at once."""
        view = self.inboxes[index].view
        others = tuple(each for each in self._offer if each is not view)
        if not any(each.load < each.capacity and each.waiting <= 0 for each in others):
            return False
        self._offer = others
        return True

    def offer_again(self, index: int) -> list[Inbox]:
        """Its worker may take tasks again; the inboxes that turned out to be full."""
        if index not in self._vacant and index not in self._held:
            self._open(self.inboxes[index])
        return self.retry()

    def finished(self, connection: int, now: float) -> None:
        """The last task of a connection is done, or lost; ``now``: seconds of the monotonic clock."""
        found = self._under_way.pop(connection, None)
        if found is not None:
            task, view, began = found
            self._dispatch.finished(task, view, now - began)

    def retry(self) -> list[Inbox]:
        """Something has changed: what waits tries again, in its order; the inboxes that turned out to be full."""
        full: list[Inbox] = []
        if self._chooses:
            self._let_choose(full)
        else:
            for _ in range(len(self.waiting)):
                parcel = self.waiting.popleft()
                if not self._place(parcel, full, first=True):
                    break
        self._row[WAITING] = self._kept()
        return full

    def _let_choose(self, full: list[Inbox]) -> None:
        """Ask the strategy which of those that wait an inbox takes which has room."""
        for view in self._offer:
            while self.waiting and view.load < view.capacity:
                tasks = tuple(parcel.task for parcel in islice(self.waiting, CHOICE))
                task = self._dispatch.next(view, tasks)
                if task is None:
                    break
                number = next(number for number, each in enumerate(tasks) if each is task)
                parcel = self.waiting[number]
                inbox = self.inboxes[view.index]
                if not self._sent(parcel, inbox):
                    self._close(inbox, full)
                    break
                del self.waiting[number]
        if self.waiting and self._guard and self._offer and self._idle:
            parcel = self.waiting.popleft()
            view = self._guard.abstained(parcel.task, self._offer)
            if not self._sent(parcel, self.inboxes[view.index]):
                self.waiting.appendleft(parcel)
                self._close(self.inboxes[view.index], full)

    @property
    def _idle(self) -> bool:
        """Whether no worker has anything to do: then nothing will come back, and nobody would ask again."""
        return not any(inbox.load for inbox in self.inboxes)

    def sent_to(self, inbox: Inbox, connections: Iterable[int]) -> set[int]:
        """Those of the connections whose last task was put into this inbox, and does not wait here."""
        kept = {parcel.connection for parcels in (self.waiting, *self._held.values()) for parcel in parcels}
        sent = set(connections) - kept
        return sent if self._only is inbox else {each for each in sent if self._last.get(each) is inbox}

    def knows(self, task: Task) -> bool:
        """Whether a task is of a session that some worker has, or of none."""
        key = self._affinity.key(task, 0)
        return key is None or key in self._chosen

    def bind(self, key: Hashable, index: int) -> None:
        """A worker has begun a session."""
        if index not in self._vacant:  # else it has died since, and the session with it
            self._chosen.pop(key, None)
            self._remember(key, self.inboxes[index])

    def forget(self, connection: int) -> None:
        """The connection is closed."""
        if self._remembers and not self._sessions:
            self._chosen.pop(connection, None)
        if self._only is None:
            self._last.pop(connection, None)
        if self.observes:
            self._under_way.pop(connection, None)

    def _kept(self) -> int:
        return len(self.waiting) + sum(map(len, self._held.values()))

    def _place(self, parcel: Parcel, full: list[Inbox], *, first: bool = False) -> bool:
        """Whether the parcel has left the queue of those that wait."""
        key = self._affinity.key(parcel.task, parcel.connection) if self._remembers else None
        bound = self._chosen.pop(key, None) if key is not None else None
        if bound is not None:
            self._chosen[key] = bound  # last in, last to be forgotten
            self._put(parcel, bound, full)
            return True
        while self._offer:
            view = self._offer[0] if self._pulls else self._dispatch.pick(parcel.task, self._offer)
            if view is None and self._guard and not self._chooses and self._idle:
                view = self._guard.abstained(parcel.task, self._offer)
            if view is None:
                break
            inbox = self.inboxes[view.index]
            if self._sent(parcel, inbox):
                self._remember(key, inbox)
                return True
            self._close(inbox, full)
        if first:
            self.waiting.appendleft(parcel)
        else:
            self.waiting.append(parcel)
        return False

    def _put(self, parcel: Parcel, inbox: Inbox, full: list[Inbox]) -> None:
        """Into this inbox and no other."""
        if inbox.index not in self._held and self._sent(parcel, inbox):
            return
        self._held.setdefault(inbox.index, deque()).append(parcel)
        self._close(inbox, full)

    def _sent(self, parcel: Parcel, inbox: Inbox) -> bool:
        """Put it there, unless it is full."""
        if not inbox.put(parcel.item, parcel.fds):
            return False
        if parcel.holder >= 0:
            close(parcel.holder)
        if self._only is None:
            self._last[parcel.connection] = inbox
        if self.observes:
            self._under_way[parcel.connection] = parcel.task, inbox.view, monotonic()
        return True

    def _open(self, inbox: Inbox) -> None:
        """Put it on offer again."""
        self._offer = tuple(each.view for each in self.inboxes if each is inbox or each.view in self._offer)

    def _close(self, inbox: Inbox, full: list[Inbox]) -> None:
        if inbox.view in self._offer:
            self._offer = tuple(each for each in self._offer if each is not inbox.view)
            full.append(inbox)

    def _remember(self, key: Hashable | None, inbox: Inbox) -> None:
        if key is not None:
            self._chosen[key] = inbox
            if len(self._chosen) > self._remembers:
                del self._chosen[next(iter(self._chosen))]


NOWHERE: list[Inbox] = []  # no inbox was full; nobody adds to it
