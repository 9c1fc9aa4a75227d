"""The router: from a task to an inbox. Affinity names a key, dispatch chooses, and the first choice is remembered.

    task -> affinity.key -> remembered inbox, or dispatch.pick of those on offer -> inbox.put
                                 |                       |
                                 | full: held for it     | none on offer, or the strategy abstains: waits here

Inboxes with room are on offer, so a full inbox stops only the tasks that are bound to it. What waits here is in the
``queue``, in one line for each class. Under a dispatch that pulls, with workers that serve several tasks at once, all
that waits is there, and an inbox gets a task only while its worker can start it. Where workers share one inbox, it gets
as many tasks as ``queue.most`` says, and the others wait here too. Only the front's thread uses the router.
``limits.waiting`` bounds the tasks that wait here and in the inboxes together: the front reads ``free`` before it
routes another task; ``overload`` bounds how long they wait. The file is long because each method changes what is on
offer and what waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from os import close
from time import monotonic
from typing import Any, Final

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.channels.inbox import Inbox
from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.dispatch.guarded import Guarded
from poolctl.runtime.inbox_view import InboxView, allow
from poolctl.runtime.queue_view import NO_LIMIT, ClassLimits, QueueView
from poolctl.runtime.routing.classes import ClassTable
from poolctl.runtime.routing.gradient import Gradient
from poolctl.runtime.routing.lane import Lane
from poolctl.runtime.routing.queue import Queue, plain
from poolctl.runtime.routing.waiting import Waiting
from poolctl.runtime.scoreboard import LIMIT, RESERVED, ROW, WAITING
from poolctl.runtime.task import Asked, Peer, Task

ALL_TICKETS: Final = (1 << 60) - 1  # no ticket is zero in these bits
NOTED_PER_SECOND: Final = 1000  # tasks, about, that are noted where a part of them is enough: 0.5 % of a core
MOST_PARTS: Final = 8  # at least one task of 256 is
SHOWN_ROUTES: Final = 40  # of those that a strategy has learned
CHOICE: Final = 256  # the oldest waiting tasks that a strategy may choose from


class Router:
    """Routes the tasks of one front."""

    def __init__(
        self,
        dispatch: Dispatch,
        affinity: Affinity,
        inboxes: Sequence[Inbox],
        limit: int,
        row: memoryview | None = None,
        vacant: Iterable[int] = (),
        gradient: Gradient | None = None,
    ) -> None:
        """``limit``: the most waiting tasks. ``row``: the front's row of the scoreboard, which shows the number of
        tasks that wait here. ``vacant``: the indices of the inboxes that have no worker. ``gradient``: finds out how
        many tasks each worker should have at once; None: as many as it can."""
        self._affinity = affinity
        self.inboxes = inboxes
        self._limit = limit
        self._only = inboxes[0] if len(inboxes) == 1 else None
        self.pulls = dispatch.pull and self._only is not None  # free workers take tasks: pick is not called
        self.queues = dispatch.pull and not self.pulls  # the queue is here
        self.row = row if row is not None else memoryview(bytearray(8 * ROW)).cast("q")
        self.row[WAITING] = 0
        self.gradient = gradient
        self._remembers = affinity.remembers
        self._chosen: dict[Hashable, Inbox] = {}
        self._vacant = set(vacant)  # inboxes without a worker: it is dead, or leaves
        self._offer = tuple(inbox.view for inbox in inboxes if inbox.index not in self._vacant)
        self._ends: dict[int, list[int]] = {}  # inboxes whose worker leaves: its pid for each thread without an end yet
        self._full: set[int] = set()  # inboxes that were reported full, until ``room`` is called for them
        self._held: dict[int, deque[Waiting]] = {}  # by the index of a full inbox: entries bound to it
        self._last: dict[int, Inbox] = {}  # the inbox of a connection's last task, if there are several inboxes
        self.queue = Queue()
        self._limit_workers()
        self._sessions = affinity.inspects
        self.refuses = affinity.refuses
        self._under_way: dict[int, tuple[Task, InboxView, float]] = {}  # by connection; where the strategy observes
        self._busy: dict[int, tuple[Lane, Task]] = {}  # by connection: tasks that workers have; where there are classes
        self._classes: ClassTable | None = None  # those of the file
        self.turn_away: Callable[[Waiting], None] = _unanswered  # called with what the strategy turns away
        self._part = 1  # of so many tasks one is noted, where a part is enough
        self.unnoted = ALL_TICKETS  # a task is noted if its ticket is zero in these bits
        self._limited: Mapping[str, ClassLimits] = {}  # what the strategy says of its classes
        self.ahead = 0  # tasks that may lie ready in the inbox of each worker
        self.loans: Sized = ()  # all tasks that are not done, those that wait here among them
        # Asked before a task that has waited is placed: has its client left, so that it is dropped?
        self.abandoned: Callable[[Waiting], bool] | None = None
        self._choose_by(dispatch)

    def _choose_by(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._hooks = dispatch.hooks
        self._guard = dispatch if isinstance(dispatch, Guarded) else None
        self._chooses = "next" in self._hooks
        self.observes = "finished" in self._hooks
        self._classifies = "classify" in self._hooks
        self._refuses = "refuses" in self._hooks
        self._hears = "served" in self._hooks
        self._tells = bool({"next", "refuses"} & self._hooks) or self._guard is not None  # reads it ``task.kind``?
        self._set_tracking()
        if "begin" in self._hooks:
            dispatch.begin(QueueView(self.queue))
        if "joined" in self._hooks:
            for inbox in self.inboxes:
                if inbox.index not in self._vacant:
                    dispatch.joined(inbox.view)

    def _set_tracking(self) -> None:
        learns = self._classifies or self._hears
        self.tracks = learns or self._classes is not None or self.gradient is not None  # is it noted what workers have?
        # where there is nothing to choose and nothing to note
        self._direct = None if self.observes or self._sessions or self._refuses else self._only
        # While a strategy that learns from samples tells no classes apart, a part of the tasks is noted, so that it
        # costs little where there are many.
        part = self._part if learns and self._dispatch.samples and not self._limited else 1
        if self._classes is not None or self.gradient is not None:
            part = 1
        self.unnoted = part - 1 if self.tracks else ALL_TICKETS
        self.queue.weight = part
        # where it is only noted which class has it
        self._quick = None if self.observes or self._sessions or self._tells or self._refuses else self._only

    def classify_by(self, classes: ClassTable | None) -> None:
        """Put tasks into these classes, before the strategy puts the others into its own; None: there are none."""
        before: Mapping[str, ClassLimits] = {} if self._classes is None else self._classes.limits
        self._classes = classes
        self.queue.limit(before, {} if classes is None else classes.limits)
        self.queue.share_out()
        self._set_tracking()

    @property
    def _workers(self) -> int:
        """The number of inboxes that have a worker, at least 1."""
        return max(len(self.inboxes) - len(self._vacant), 1)

    def _limit_workers(self) -> None:
        """Have each worker get as many tasks at once as turned out to be best."""
        self.row[LIMIT] = limit = 0 if self.gradient is None else self.gradient.limit
        if limit:
            for inbox in self.inboxes:
                allow(inbox.view, limit)
            if not self.queues:
                self.queue.most = limit * self._workers

    def look(self, now: float, rate: float = 0.0) -> None:
        """Hear what the strategy says of its classes, and reserve workers for them; limit what workers have at once.
        Called when the workers have been counted. ``rate``: tasks a second."""
        queue = self.queue
        queue.now = now
        if self.gradient is not None:
            self.gradient.look(now, self._workers)
            if self.row[LIMIT] != self.gradient.limit:
                self._limit_workers()
        if "limits" in self._hooks:
            named: Mapping[str, ClassLimits] = {} if self._classes is None else self._classes.limits
            limited = {kind: limits for kind, limits in self._dispatch.limits().items() if kind not in named}
            queue.limit(self._limited, limited)
            self._limited = limited
        part = 1 << min(int(rate / NOTED_PER_SECOND).bit_length(), MOST_PARTS)
        self._part = max(part, self._part >> 1)  # a pause says nothing about what comes after it
        self._set_tracking()
        if queue.several:
            queue.share_out()

    def _lane_of(self, task: Task) -> Lane:
        """Return the lane of a new task: that of its class in the file, or of the one that the strategy says."""
        if self._classes is not None:
            kind = self._classes.kind_of(task)
            if kind is not None:
                return self.queue.lane(kind) or self.queue.plain
        if not self._classifies:
            return self.queue.plain
        kind = self._dispatch.classify(task)
        if not kind:
            return self.queue.plain
        return self.queue.lane(kind) or self.queue.open(kind, ClassLimits())

    def choose_by(self, dispatch: Dispatch) -> list[Inbox]:
        """Have another strategy choose from now on, which uses the same inboxes. What affinity remembers stays; a
        strategy that observes hears nothing of the tasks that another one has placed. Returns the inboxes that turned
        out to be full."""
        self._under_way.clear()
        self.queue.limit(self._limited, {})
        self._limited = {}
        self._choose_by(dispatch)
        return self.retry()

    def limit_to(self, limit: int) -> None:
        """Let at most so many tasks wait from now on; those that wait stay."""
        self._limit = limit

    @property
    def free(self) -> int:
        """How many more tasks may wait for a worker (``limits.waiting``)."""
        return self._limit - self._kept() - sum(inbox.waiting for inbox in self.inboxes)

    @property
    def crowded(self) -> bool:
        """Whether more tasks wait here than may."""
        return self._kept() > self._limit

    @property
    def empty(self) -> bool:
        """Whether no task waits here."""
        return not self.queue.count and not self._held

    @property
    def load(self) -> int:
        """The number of tasks that are not done: waiting here, or sent."""
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
        line: bytes = b"",
        descriptor: int = -1,
        noted: bool = False,
    ) -> list[Inbox]:
        """Put the item into an inbox, or keep it until there is room. Returns the inboxes that turned out to be full.

        ``connection``: unique among the connections of this front. ``holder``: the descriptor in ``fds`` that was
        opened only for sending; it is closed once the item has left this process. ``line``: the request line;
        ``descriptor``: that of the connection, if it is not among ``fds``; ``noted``: whether the queue counts it while
        a worker has it. What the strategy turns away goes to ``turn_away``.
        """
        only, queue = self._direct, self.queue
        if (
            only is not None
            and not noted
            and self._offer
            and not queue.count
            and len(self.loans) <= queue.most
            and only.put(item, fds)
        ):
            if holder >= 0:
                close(holder)
            return NOWHERE
        task = Task(peer, arrived, asked, fds[0] if fds else descriptor, line)
        lane = queue.plain
        if noted:
            queue.now = arrived
            lane = self._lane_of(task)
            if self._quick is not None and lane.simple and self._put_at_once(lane, task, connection, item, fds, holder):
                return NOWHERE
            if self._tells:
                task = task._replace(kind=lane.kind)
        entry = Waiting(task, connection, item, fds, holder, lane.index, noted)
        if self._refuses and self._dispatch.refuses(task):
            self.turn_away(entry)
            return NOWHERE
        full: list[Inbox] = []
        if queue.count and (queue.several or self.queues or (queue.most < NO_LIMIT and not self._remembers)):
            queue.add(entry)  # older tasks go first, or those of another class
            if not queue.several:
                self.row[WAITING] = queue.count
                return NOWHERE
            return self.retry()
        if not self._place(entry, lane, full):
            # Once more: a worker thread that finished just now may have looked for waiting tasks before this one came.
            full += self.retry()
        return full

    def _put_at_once(
        self, lane: Lane, task: Task, connection: int, item: Any, fds: tuple[int, ...], holder: int
    ) -> bool:
        """Put the item into the only inbox if nothing waits and nothing limits that: what ``_place`` would do in the
        end. Returns whether it did."""
        only, queue = self._quick, self.queue
        if queue.count or lane.busy >= lane.limits.most or len(self.loans) > queue.most or not self._offer:
            return False
        if only is None or not only.put(item, fds):
            return False
        if holder >= 0:
            close(holder)
        lane.began(task, task.arrived)
        self._busy[connection] = lane, task
        return True

    def room(self, index: int) -> list[Inbox]:
        """Use an inbox that has room again. Returns the inboxes that turned out to be full."""
        inbox = self.inboxes[index]
        self._full.discard(index)
        if index not in self._vacant:
            self._open(inbox)
        full: list[Inbox] = []
        for entry in self._held.pop(index, ()):
            self._put(entry, inbox, full)
        self._put_ends(inbox, full)
        return full + self.retry()

    def left(self, index: int) -> None:
        """Stop offering an inbox whose workers are all dead. Their successors take the tasks in it; until then it gets
        only tasks that are bound to it."""
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

    def leaves(self, index: int, pid: int, readers: int, reclaim: Callable[[Inbox], None] | None = None) -> list[Inbox]:
        """Stop offering an inbox whose worker leaves while others go on, and have it end behind its tasks: the worker
        takes those. ``pid``, ``readers``: its process, and how many of its threads wait for the end. ``reclaim``: takes
        the tasks out first. Returns the inboxes that turned out to be full."""
        inbox = self.inboxes[index]
        if index not in self._vacant:
            self.left(index)
        self._offer = tuple(each for each in self._offer if each is not inbox.view)  # even if it was the last one
        for key in [key for key, bound in self._chosen.items() if bound is inbox]:
            del self._chosen[key]
        self.queue.put_back(self._held.pop(index, ()))
        if reclaim is not None:
            reclaim(inbox)
        full: list[Inbox] = []
        self._ends[index] = [pid] * readers
        self._put_ends(inbox, full)
        return full + self.retry()

    def _put_ends(self, inbox: Inbox, full: list[Inbox]) -> None:
        left = self._ends.get(inbox.index, [])
        while left:
            if not inbox.end_one(left[-1]):
                self._close(inbox, full)
                return
            left.pop()

    def joined(self, index: int) -> list[Inbox]:
        """Offer an inbox that has a worker again. Returns the inboxes that turned out to be full."""
        inbox = self.inboxes[index]
        self._vacant.discard(index)
        self._ends.pop(index, None)
        if "joined" in self._hooks:
            self._dispatch.joined(inbox.view)
        # The last inbox to leave stays on offer for want of another.
        self._offer = tuple(each for each in self._offer if each.index not in self._vacant)
        if index not in self._full:
            self._open(inbox)
        return self.retry()

    def put_back(self, entries: Iterable[Waiting]) -> list[Inbox]:
        """Put tasks that no worker has taken from an inbox, oldest first, back at the head of the queue. Returns the
        inboxes that turned out to be full."""
        self.queue.put_back([self._not_begun(entry) for entry in entries])
        return self.retry()

    def _not_begun(self, entry: Waiting) -> Waiting:
        """Return a task that a worker has not taken, in the lane that it came from."""
        found = self._busy.pop(entry.connection, None)
        if found is None:
            return entry
        lane, task = found
        self.queue.ended(lane, task, 0.0)
        return entry._replace(task=task, lane=lane.index, noted=True)

    def withdraw(self, index: int) -> bool:
        """Take this inbox off the offer until ``offer_again``. Returns False, and does nothing, if no other inbox could
        take a task at once."""
        if index in self._vacant:
            return False  # its worker leaves: the end behind its tasks must stay there
        view = self.inboxes[index].view
        others = tuple(each for each in self._offer if each is not view)
        if not any(each.load < each.capacity and each.waiting <= 0 for each in others):
            return False
        self._offer = others
        return True

    def offer_again(self, index: int) -> list[Inbox]:
        """Put this inbox on offer again after ``withdraw``. Returns the inboxes that turned out to be full."""
        if index not in self._vacant and index not in self._full:
            self._open(self.inboxes[index])
        return self.retry()

    @contextmanager
    def elsewhere(self, task: Task, connection: int) -> Iterator[None]:
        """While a connection's last task is routed again because its worker died: keep to the other inboxes, if any is
        on offer, and let the task's key go along. The notice that the dead worker's inbox has left comes later."""
        dead = self._last.get(connection)
        if dead is None:  # all workers take from the only inbox
            yield
            return
        key = self._affinity.key(task, connection) if self._remembers else None
        if key is not None and self._chosen.get(key) is dead:
            del self._chosen[key]
        offered = dead.view in self._offer
        self._offer = tuple(each for each in self._offer if each is not dead.view) or self._offer
        try:
            yield
        finally:
            if offered and dead.index not in self._full:
                self._open(dead)

    def finished(self, connection: int, now: float) -> None:
        """Report to the strategy that the last task of a connection is done or lost. ``now``: seconds of the monotonic
        clock."""
        found = self._under_way.pop(connection, None)
        if found is not None:
            task, view, began = found
            self._dispatch.finished(task, view, now - began)

    def ended(self, connection: int, seconds: float) -> None:
        """A worker has had the last task of a connection for so many seconds; 0: unknown. Does nothing if it was not
        ``noted``, or was called before."""
        found = self._busy.pop(connection, None)
        if found is not None:
            lane, task = found
            self.queue.ended(lane, task, seconds)
            if seconds > 0 and self.gradient is not None:
                self.gradient.took(seconds)
            if seconds > 0 and self._hears and (self._classes is None or lane.kind not in self._classes.limits):
                self._dispatch.served(task, seconds)

    def retry(self) -> list[Inbox]:
        """Try to place the waiting tasks, in order, after a change that may have made room. Returns the inboxes that
        turned out to be full."""
        full: list[Inbox] = []
        queue = self.queue
        if self._chooses:
            self._let_choose(full)
        else:
            for _ in range(queue.count):
                # It stays in the queue until it is placed: a worker thread that finishes meanwhile looks there.
                lane = queue.next_lane(len(self.loans) - queue.count if self.pulls or queue.several else 0)
                if lane is None:
                    break
                entry = lane.head
                dropped = self.abandoned is not None and self.abandoned(entry)
                if not dropped and not self._place(entry, lane, full, kept=True):
                    break
                queue.remove(entry)
        self.row[WAITING] = self._kept()
        self.row[RESERVED] = queue.hoped
        return full

    def notes(self) -> dict[str, Any]:
        """Return what there is to tell about the queue, for people: the classes, and what the strategy has learned."""
        routes = self._dispatch.learned()[:SHOWN_ROUTES] if "learned" in self._hooks else []
        learned = [
            {
                "route": plain(name),
                "class": plain(kind),
                "seconds": round(seconds, 6),
                "rate": round(rate, 3),
            }
            for name, kind, seconds, rate in routes
        ]
        return {"classes": self.queue.notes(), "routes": learned}

    def take_surplus(self) -> Waiting:
        """Remove and return the waiting task that is refused when one too many waits."""
        found = self.queue.take_surplus()
        self.row[WAITING] = self._kept()
        return found

    def take_late(self, now: float) -> list[Waiting]:
        """Remove and return the tasks that have waited for too long, if their line is overloaded. ``now``: seconds of
        the clock with which tasks arrive."""
        queue = self.queue
        if not queue.count:
            return []
        held_back = self._guard is not None and any(view.load < view.capacity for view in self._offer)
        if held_back or len(self._vacant) == len(self.inboxes):
            queue.pause(now)
            return []
        found = queue.take_late(now)
        if found:
            self.row[WAITING] = self._kept()
        return found

    def _let_choose(self, full: list[Inbox]) -> None:
        """For each inbox with room, ask the strategy which of the waiting tasks it gets."""
        queue = self.queue
        for view in self._offer:
            while queue.count and view.load < view.capacity:
                entries = self._startable()
                task = self._dispatch.next(view, tuple(entry.task for entry in entries)) if entries else None
                if task is None:
                    break
                entry = next(each for each in entries if each.task is task)
                inbox = self.inboxes[view.index]
                if not self._sent(entry, inbox):
                    self._close(inbox, full)
                    break
                queue.remove(entry)
        if queue.count and self._guard and self._offer and self._idle:
            entry = queue.oldest(1)[0]
            view = self._guard.abstained(entry.task, self._offer)
            if self._sent(entry, self.inboxes[view.index]):
                queue.remove(entry)
            else:
                self._close(self.inboxes[view.index], full)

    def _startable(self) -> list[Waiting]:
        """Return the oldest tasks whose classes let them start, and whose clients have not left."""
        queue, abandoned = self.queue, self.abandoned
        found = queue.oldest(CHOICE)
        if abandoned is not None:
            for entry in [entry for entry in found if abandoned(entry)]:
                queue.remove(entry)
                found.remove(entry)
        if not queue.several:
            return found
        sent = len(self.loans) - queue.count
        return [entry for entry in found if queue.may_start(queue.lanes[entry.lane], sent)]

    @property
    def _idle(self) -> bool:
        """Whether all workers are idle: then no task will finish, and the strategy would not be asked again."""
        return not any(inbox.load for inbox in self.inboxes)

    def sent_to(self, inbox: Inbox, connections: Iterable[int]) -> set[int]:
        """Return the connections whose last task was put into this inbox and does not wait here."""
        kept = {entry.connection for entry in self.queue}
        kept |= {entry.connection for entries in self._held.values() for entry in entries}
        sent = set(connections) - kept
        return sent if self._only is inbox else {each for each in sent if self._last.get(each) is inbox}

    def knows(self, task: Task) -> bool:
        """Return whether a task belongs to no session or to a session that a worker has."""
        key = self._affinity.key(task, 0)
        return key is None or key in self._chosen

    def bind(self, key: Hashable, index: int) -> None:
        """Bind the key of a session to the inbox whose worker began it."""
        if index not in self._vacant:  # otherwise the worker has died, and its session is lost
            self._chosen.pop(key, None)
            self._remember(key, self.inboxes[index])

    def forget(self, connection: int) -> None:
        """Drop everything remembered about a connection that is closed."""
        if self._remembers and not self._sessions:
            self._chosen.pop(connection, None)
        if self._only is None:
            self._last.pop(connection, None)
        if self.observes:
            self._under_way.pop(connection, None)

    def _kept(self) -> int:
        return self.queue.count + sum(map(len, self._held.values()))

    def _place(self, entry: Waiting, lane: Lane, full: list[Inbox], *, kept: bool = False) -> bool:
        """Place an entry, or queue it. ``kept``: it is in the queue, and stays there. Returns whether it was placed."""
        key = self._affinity.key(entry.task, entry.connection) if self._remembers else None
        bound = self._chosen.pop(key, None) if key is not None else None
        if bound is not None:
            self._chosen[key] = bound  # now the newest, and the last to be forgotten
            self._put(entry, bound, full)
            return True
        queue = self.queue
        while self._offer:
            others = len(self.loans) - queue.count - (not kept)  # tasks that workers have or could take
            if (self.pulls or queue.several) and not queue.may_start(lane, others):
                break
            offer = self._offer
            if others >= queue.most:  # of a strategy that pushes: only to workers that can start it, or soon
                offer = tuple(view for view in offer if view.load < view.capacity + self.ahead)
                if not offer:
                    break
            view = offer[0] if self.pulls else self._dispatch.pick(entry.task, offer)
            if view is None and self._guard and not self._chooses and self._idle:
                view = self._guard.abstained(entry.task, offer)
            if view is None:
                break
            inbox = self.inboxes[view.index]
            if self._sent(entry, inbox):
                self._remember(key, inbox)
                return True
            self._close(inbox, full)
        if not kept:
            queue.add(entry)
        return False

    def _put(self, entry: Waiting, inbox: Inbox, full: list[Inbox]) -> None:
        """Put an entry into this inbox and no other; hold it while the inbox is full."""
        if inbox.index not in self._held and self._sent(entry, inbox):
            return
        self._held.setdefault(inbox.index, deque()).append(entry)
        self._close(inbox, full)

    def _sent(self, entry: Waiting, inbox: Inbox) -> bool:
        """Put an entry into an inbox. Returns False if the inbox is full."""
        if not inbox.put(entry.item, entry.fds):
            return False
        if entry.holder >= 0:
            close(entry.holder)
        if self._only is None:
            self._last[entry.connection] = inbox
        if self.observes:
            self._under_way[entry.connection] = entry.task, inbox.view, monotonic()
        if entry.noted:
            lane = self.queue.lanes[entry.lane]
            self.queue.began(lane, entry.task)
            self._busy[entry.connection] = lane, entry.task
        return True

    def _open(self, inbox: Inbox) -> None:
        """Put an inbox on offer again."""
        self._offer = tuple(each.view for each in self.inboxes if each is inbox or each.view in self._offer)

    def _close(self, inbox: Inbox, full: list[Inbox]) -> None:
        self._offer = tuple(each for each in self._offer if each is not inbox.view)
        if inbox.index not in self._full:
            self._full.add(inbox.index)
            full.append(inbox)

    def _remember(self, key: Hashable | None, inbox: Inbox) -> None:
        if key is not None:
            self._chosen[key] = inbox
            if len(self._chosen) > self._remembers:
                del self._chosen[next(iter(self._chosen))]


def _unanswered(entry: Waiting) -> None:
    raise TypeError("this front turns no task away")


NOWHERE: Final[list[Inbox]] = []  # no inbox was full; never changed
