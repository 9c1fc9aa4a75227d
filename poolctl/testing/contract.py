"""The contract of strategies, as a class of tests that pytest collects from the author's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar
from unittest import SkipTest

from poolctl.runtime.dispatch import Dispatch
from poolctl.testing import checks


class DispatchContract:
    """Below this, a class that names its ``strategy``; the other attributes say what it promises beyond, or cannot.

    ``strategy``  the class
    ``make``      how to make one, where the defaults of its options will not do: ``make = staticmethod(lambda: ...)``
    ``fairness``  times an equal share that one inbox may get of many clients' equal tasks, and hundreds of tasks that
                  may be taken before an older one
    ``affine``    does it keep a client's tasks together? Then at most (1 + ``slack``)/n of the clients move when
                  one of n inboxes leaves
    ``budget``    microseconds that a decision among 8 inboxes may take; None: 12 times as many as least-loaded and
                  15 more, so that a slow machine does not matter
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

    def test_any_history(self) -> None:
        """Whatever happens, it answers with an inbox that is on offer, and lets nobody wait for ever."""
        from poolctl.testing.histories import any_history

        any_history(self._made)

    def test_fairness(self) -> None:
        checks.fair(self._made, self.fairness)

    def test_affinity(self) -> None:
        if not self.affine:
            raise SkipTest("it does not promise to keep a client's tasks together")
        from poolctl.testing.other_process import steady

        checks.together(self._made, self.slack)
        steady(self._made, self.use)

    def test_memory(self) -> None:
        checks.bounded(self._made)

    def test_budget(self) -> None:
        checks.quick(self._made, self.budget)

    def test_instances(self) -> None:
        from poolctl.testing.instances import alone

        alone(self._made)

    def test_purity(self) -> None:
        from poolctl.testing.purity import pure

        pure(self._made)

    def test_live(self) -> None:
        from poolctl.testing.live import live

        live(self._made, self.use)


def names() -> Iterator[str]:
    """The tests of the contract, in their order."""
    yield from (name.removeprefix("test_") for name in vars(DispatchContract) if name.startswith("test_"))
