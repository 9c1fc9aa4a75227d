"""Any history that a server may have, searched by hypothesis: tasks come and end, workers die and are replaced.

What is drawn depends on nothing that the strategy decides; a step that has nothing to act upon does nothing. For what
hypothesis draws has to be the same again, and a strategy may draw numbers of its own where nobody sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from poolctl.runtime.dispatch import Dispatch
from poolctl.testing.simulation import Request, World, task
from poolctl.testing.violation import Violation
from poolctl.testing.watchdog import watched

CLIENTS = ("192.0.2.1", "192.0.2.2", "198.51.100.7", "2001:db8::1", "::ffff:192.0.2.9", "")
TARGETS = (b"/", b"/a/b?c=d", b"*", b"http://shop.example/a", b"/%ff%00", b"/" + b"x" * 300)
HEADERS: tuple[list[tuple[bytes, bytes]], ...] = (
    [],
    [(b"Host", b"shop.example")],
    [(b"cookie", b"sid=abc; other=1"), (b"X-Session", b"one")],
    [(b"Cookie", b"; =; sid"), (b"x-session", b"")],
    [(b"Mcp-Session-Id", b"\xff\xfe"), (b"Mcp-Session-Id", b"two")],
)
EXAMPLES, STEPS = 50, 30

asked = st.builds(
    Request, st.sampled_from(("GET", "POST", "OPTIONS")), st.sampled_from(TARGETS), st.sampled_from(HEADERS)
)
NUMBER = st.integers(0, 63)  # which of those that there are
ARRIVES = st.tuples(
    st.just("arrive"), st.sampled_from(CLIENTS), st.none() | asked, st.sampled_from((0.0, 0.001, 3600.0))
)
FINISHES = st.tuples(st.just("finish"), NUMBER, st.sampled_from((0.0, 0.001, 30.0)))
OTHERS = st.tuples(st.sampled_from(("leave", "join", "fill", "drain")), NUMBER)


def _one(those: Sequence[int], which: int) -> Sequence[int]:
    """One of them, if there is one."""
    return (those[which % len(those)],) if those else ()


def machine(make: Callable[[], Dispatch], found: list[Violation]) -> type[RuleBasedStateMachine]:  # noqa: C901  # a rule of the machine for each kind of step
    """The state machine of a strategy. ``found``: gets each violation, in their order."""

    class Histories(RuleBasedStateMachine):
        @initialize(count=st.integers(1, 8), capacity=st.sampled_from((1, 1, 3)))
        def begin(self, count: int, capacity: int) -> None:
            self.world = World(make(), count, capacity)
            self.world.found = found

        # One rule for all, because of several hypothesis leaves some out of each history: then half have no task.
        @rule(step=st.one_of(ARRIVES, FINISHES, OTHERS))
        def happens(self, step: tuple[Any, ...]) -> None:
            what, *given = step
            getattr(self, f"_{what}")(*given)

        def _arrive(self, client: str, asked: Request | None, pause: float) -> None:
            self.world.now += pause
            self.world.arrive(task(client, self.world.now, asked))

        def _finish(self, which: int, seconds: float) -> None:
            for number in _one(self.world.able, which):
                self.world.finish(number, seconds)

        def _leave(self, which: int) -> None:
            for index in _one([view.index for view in self.world.views if view.index not in self.world.away], which):
                self.world.leave(index)

        def _join(self, which: int) -> None:
            for index in _one(sorted(self.world.away), which):
                self.world.join(index)

        def _fill(self, which: int) -> None:
            for index in _one([view.index for view in self.world.offer], which):
                self.world.fill(index)

        def _drain(self, which: int) -> None:
            for index in _one(sorted(self.world.full), which):
                self.world.drain(index)

    return Histories


@watched
def any_history(make: Callable[[], Dispatch]) -> None:
    """Raises Violation with the shortest history found that the strategy does not stand."""
    found: list[Violation] = []
    try:
        _search(machine(make, found))
    except Flaky:  # it failed, and not when the same happened again
        if not found:
            raise
        again = "when the same happened again, it decided otherwise: by numbers that it draws, or by what others share"
        raise Violation(f"{found[-1].what}\n{again}", found[-1].mend) from None


def _search(histories: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(
        histories,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=True,
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
