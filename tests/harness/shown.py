"""What a running server of two workers has to show: that dispatch and affinity are those that its topology names.

Every check is exact where the choice is, and waits for all workers to appear where it is a draw: 60 draws between two
workers miss one of them once in 10^18 times. Where a strategy looks at loads a check may be tried again: a worker
counts a task as done after the client has its answer, so a quick client can meet a load that is about to fall.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.talk import TALKS, Talk, Who
from poolctl.assembly.fitting.combination import ASYNC, Combination

WORKERS = 2
DRAWS = 60
HOLDS = (0.06, 0.15, 0.4, 1.0, 2.0)  # seconds that a worker is kept busy, longer where the machine was too slow


@dataclass
class Shown:
    """A server of one combination, at a port."""

    combination: Combination
    port: int

    def __post_init__(self) -> None:
        self.addresses = (f"127.0.{net}.{host}" for net in itertools.count(1) for host in range(1, 255))
        self.sessions = map(str, itertools.count())

    def talk(self, source: str = "127.0.0.1") -> Talk:
        return TALKS[self.combination.service.app](self.port, source)

    @property
    def threads(self) -> int:
        """Threads that can answer at the same time."""
        return WORKERS * (self.combination.threads or 1)

    # It serves

    def serves_many(self) -> None:
        """Eight clients at once that keep their connections, and four that do not."""
        with contextlib.ExitStack() as stack:
            talks = [stack.enter_context(self.talk()) for _ in range(8)]
            for _ in range(3):
                for talk in talks:
                    talk.ask()
                for talk in talks:
                    talk.answer()
        with contextlib.ExitStack() as stack:
            talks = [stack.enter_context(self.talk()) for _ in range(4)]
            for talk in talks:
                talk.ask(last=True)
            for talk in talks:
                talk.answer()
                assert talk.client.at_end()

    # Affinity

    def keeps_affinity(self) -> None:
        if self.combination.affinity == "connection":
            self.connections_stay()
        elif self.combination.affinity == "client":
            self.addresses_stay()
        else:
            self.requests_roam()
        if self.combination.affinity == "header":
            self.sessions_stay()

    def connections_stay(self) -> None:
        """All requests of a connection meet one worker, whatever other connections do meanwhile."""
        with contextlib.ExitStack() as stack:
            talks = [stack.enter_context(self.talk()) for _ in range(5)]
            rounds = [[talk.who().worker for talk in talks] for _ in range(4)]
        assert rounds == [rounds[0]] * 4

    def addresses_stay(self) -> None:
        """All connections of an address meet one worker."""
        addresses = [next(self.addresses) for _ in range(3)]
        rounds = []
        for _ in range(3):
            found = []
            for address in addresses:
                with self.talk(address) as talk:
                    found += [talk.who().worker, talk.who(last=True).worker]
            rounds.append(found)
        assert rounds == [rounds[0]] * 3
        assert rounds[0][::2] == rounds[0][1::2]

    def sessions_stay(self) -> None:
        """All requests of a session meet one worker, over all connections."""
        rounds = []
        sessions = [next(self.sessions) for _ in range(3)]
        for _ in range(3):
            with self.talk() as one, self.talk() as other:
                found = []
                for one.session in sessions:
                    other.session = one.session
                    found += [one.who().worker, other.who().worker]
            rounds.append(found)
        assert rounds == [rounds[0]] * 3
        assert rounds[0][::2] == rounds[0][1::2]

    def requests_roam(self) -> None:
        """The requests of one connection meet several workers: while one is busy, another answers."""
        seen = set()
        with self.talk() as one, self.talk() as other:
            for draw in range(DRAWS):
                for _ in range(1 + draw % 2):  # workers that take turns must not keep step with what is asked
                    seen.add(one.who().thread)
                other.ask(0.01)
                seen.add(one.who().thread)
                other.answer()
                if len(seen) >= WORKERS:
                    return
        raise AssertionError(f"one connection met only {seen}")

    # Dispatch

    def dispatches(self) -> None:
        CHECKS[str(self.combination.dispatch)](self)

    @contextlib.contextmanager
    def fresh(self) -> Iterator[Callable[[], Talk]]:
        """Gives a talk whose next request is to be dispatched: what affinity says must not be bound already."""
        with contextlib.ExitStack() as stack:
            if self.combination.affinity in ("request", "header"):  # there only what names a session is bound
                one = stack.enter_context(self.talk())
                yield lambda: one
            elif self.combination.affinity == "client":
                yield lambda: stack.enter_context(self.talk(next(self.addresses)))
            else:
                yield lambda: stack.enter_context(self.talk())

    def takes_turns(self) -> None:
        """round-robin: exactly."""
        with self.fresh() as talk:
            met = [talk().who().worker for _ in range(9)]
        assert met == [met[0], met[1]] * 4 + [met[0]]
        assert met[0] != met[1]

    def reaches_all(self) -> None:
        """A draw."""
        seen = set()
        with self.fresh() as talk:
            for _ in range(DRAWS):
                seen.add(talk().who().worker)
                if len(seen) == WORKERS:
                    return
        raise AssertionError(f"{DRAWS} draws met only {seen}")

    def avoids_the_busy(self) -> None:
        """As many tasks as there are threads are in hand at once, and each is in the hands of another."""
        for hold in HOLDS:
            met = self._held(hold)
            if len(set(met)) == self.threads:
                return
        raise AssertionError(f"{self.threads} tasks at once were answered by {met}")

    def _held(self, hold: float) -> list[Who]:
        with contextlib.ExitStack() as stack:
            talks = []
            for _ in range(self.threads):
                source = next(self.addresses) if self.combination.affinity == "client" else "127.0.0.1"
                talk = stack.enter_context(self.talk(source))
                talk.ask(hold)
                talks.append(talk)
            return [talk.answer() for talk in talks]

    def evens_connections(self) -> None:
        """least-loaded where a connection is the task: those that are open are spread evenly."""
        for hold in HOLDS:
            with self.fresh() as talk:
                met = [talk().who().worker for _ in range(6)]
            if all(met.count(worker) == 3 for worker in met):
                return
            time.sleep(hold)  # a worker without a core has not seen yet that the connections of before are closed
        raise AssertionError(f"six open connections are with {met}")

    def looks_at_the_load(self) -> None:
        if self.combination.ownership == ASYNC:
            self.evens_connections()
        else:
            self.avoids_the_busy()

    def looks_at_the_core(self) -> None:
        """cpu: a client on loopback arrives on the core that it runs on."""
        allowed = os.sched_getaffinity(0)
        try:
            for core in sorted(allowed)[:4]:
                os.sched_setaffinity(0, {core})
                for _ in range(4):
                    with self.talk() as talk:
                        assert talk.who().worker == f"worker {core % WORKERS}"
        finally:
            os.sched_setaffinity(0, allowed)

    def looks_at_the_address(self) -> None:
        """client, under reuse-port."""
        self.addresses_stay()
        seen = set()
        for address in itertools.islice(self.addresses, 16):
            with self.talk(address) as talk:
                seen.add(talk.who().worker)
        assert len(seen) == WORKERS

    def takes_more(self) -> None:
        """Where the app owns connections, a conversation that lasts keeps its worker from no other."""
        for hold in HOLDS:
            with self.talk() as lasting, contextlib.ExitStack() as stack:
                lasting.ask(hold)
                for _ in range(self.threads + 1):
                    stack.enter_context(self.talk()).who()
                if not select.select([lasting.client.sock], [], [], 0)[0]:
                    return
        raise AssertionError("new clients waited for a conversation that lasts")

    def pulls(self) -> None:
        if self.combination.service.owns_connection:
            self.takes_more()
        else:
            self.avoids_the_busy()

    # Without a pool

    def has_no_pool(self) -> None:
        """The baselines: a process or a thread for each client, or one for all."""
        iterative = self.combination.pool == "iterative"
        with contextlib.ExitStack() as stack:
            talks = [stack.enter_context(self.talk()) for _ in range(4)]
            for talk in talks:
                talk.ask()
            met = []
            for talk in talks:
                found = [talk.answer(), talk.who(), talk.who(last=True)]
                assert found == found[:1] * 3
                met.append(found[0])
                if iterative:
                    talk.client.close()
        processes, threads = {who.process for who in met}, {who.thread for who in met}
        expected = {"process-per-connection": (4, 4), "thread-per-connection": (1, 4), "iterative": (1, 1)}
        assert (len(processes), len(threads)) == expected[self.combination.pool]


CHECKS: dict[str, Callable[[Shown], None]] = {
    "round-robin": Shown.takes_turns,
    "random": Shown.reaches_all,
    "kernel-hash": Shown.reaches_all,
    "cpu": Shown.looks_at_the_core,
    "client": Shown.looks_at_the_address,
    "least-loaded": Shown.looks_at_the_load,
    "power-of-choices": Shown.looks_at_the_load,
    "shared-queue": Shown.pulls,
    "size-aware": Shown.pulls,
    "leader": Shown.pulls,
}


def show(combination: Combination, port: int) -> None:
    """All that this combination has to show."""
    shown = Shown(combination, port)
    if combination.pool != "iterative":
        shown.serves_many()
    if combination.service.app == "echo":
        if combination.pool == "iterative":
            with shown.talk() as talk:
                talk.who()
        return
    if combination.baseline:
        shown.has_no_pool()
        return
    shown.keeps_affinity()
    shown.dispatches()
