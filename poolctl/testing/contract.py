"""The contract of dispatch strategies, as a test class for authors to subclass, which pytest collects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar
from unittest import SkipTest

from poolctl.runtime.dispatch import Dispatch
from poolctl.testing import checks


class DispatchContract:
    """Subclasses name their ``strategy``; the other attributes adjust what is checked.

    ``strategy``  the class
    ``make``      how to make an instance, if its options need values: ``make = staticmethod(lambda: ...)``
    ``fairness``  how many times an equal share of many clients' equal tasks one inbox may get, and how many hundreds of
                  tasks may be taken before an older one
    ``affine``    whether it keeps a client's tasks together: then at most (1 + ``slack``)/n of the clients may move
                  when one of n inboxes leaves
    ``budget``    microseconds that a decision among 8 inboxes may take, with ``classify`` and ``refuses``; None: 12
                  times as many as it takes to read the load of each, plus 15, which does not depend on the speed of
                  the machine
    ``use``       how topologies name it; empty: by its file
    """

    strategy: ClassVar[type[Dispatch]]
    make: ClassVar[Callable[[], Dispatch] | None] = None
    fairness: ClassVar[float] = 3.0
    affine: ClassVar[bool] = False
    slack: ClassVar[float] = 0.5
    budget: ClassVar[float | None] = None
    use: ClassVar[str] = ""

    @classmethod
    def _made(cls) -> Dispatch:
        return cls.make() if cls.make is not None else cls.strategy()

    def test_histories(self) -> None:
        """Whatever happens, it returns an available inbox, and no task waits forever."""
        from poolctl.testing.histories import check_histories

        check_histories(self._made)

    def test_fairness(self) -> None:
        """No inbox gets many times its share of equal tasks, and waiting tasks are taken in time."""
        checks.check_fairness(self._made, self.fairness)

    def test_affinity(self) -> None:
        """If it is ``affine``: a client's tasks reach the same inbox, and few clients move when one leaves."""
        if not self.affine:
            raise SkipTest("not promised (affine is False)")
        from poolctl.testing.other_process import check_other_process

        checks.check_affinity(self._made, self.slack)
        check_other_process(self._made, self.use)

    def test_memory(self) -> None:
        """What it remembers does not grow with the number of clients, or with what they ask for."""
        checks.check_memory(self._made)

    def test_decision_time(self) -> None:
        """A decision is fast, with few and with many inboxes, and so is ``limits`` with many classes."""
        from poolctl.testing.decision_time import check_decision_time

        check_decision_time(self._made, self.budget)

    def test_classes(self) -> None:
        """It names few classes, whatever clients ask for, and says valid things of them."""
        from poolctl.testing.classes import check_classes

        check_classes(self._made)

    def test_starvation(self) -> None:
        """No class waits for ever while workers finish tasks."""
        from poolctl.testing.classes import check_starvation

        check_starvation(self._made)

    def test_refusals(self) -> None:
        """It does not refuse everything while nothing waits and workers are idle."""
        from poolctl.testing.classes import check_refusals

        check_refusals(self._made)

    def test_shared_state(self) -> None:
        """Instances share no state."""
        from poolctl.testing.shared_state import check_shared_state

        check_shared_state(self._made)

    def test_purity(self) -> None:
        """It decides only by its arguments: no files, sockets, clocks, threads or output."""
        from poolctl.testing.purity import check_purity

        check_purity(self._made)

    def test_live(self) -> None:
        """It serves in a real server, in which a worker is killed, without losing a request."""
        from poolctl.testing.live import check_live

        check_live(self._made, self.use)


def names() -> Iterator[str]:
    """Yield the names of the contract's tests, in their order."""
    yield from (name.removeprefix("test_") for name in vars(DispatchContract) if name.startswith("test_"))
