"""Any history that a server may have, searched by hypothesis: tasks come and end, workers die and are replaced."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from poolctl.runtime.dispatch import Dispatch
from poolctl.testing.world import Request, World, task

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


def machine(make: Callable[[], Dispatch]) -> type[RuleBasedStateMachine]:
    """The state machine of a strategy."""

    class Histories(RuleBasedStateMachine):
        @initialize(count=st.integers(1, 8), capacity=st.sampled_from((1, 1, 3)))
        def begin(self, count: int, capacity: int) -> None:
            self.world = World(make(), count, capacity)

        @rule(client=st.sampled_from(CLIENTS), asked=st.none() | asked, pause=st.sampled_from((0.0, 0.001, 3600.0)))
        def arrive(self, client: str, asked: Request | None, pause: float) -> None:
            self.world.now += pause
            self.world.arrive(task(client, self.world.now, asked))

        @precondition(lambda self: self.world.able)
        @rule(data=st.data(), seconds=st.sampled_from((0.0, 0.001, 30.0)))
        def finish(self, data: st.DataObject, seconds: float) -> None:
            self.world.finish(data.draw(st.sampled_from(self.world.able)), seconds)

        @precondition(lambda self: len(self.world.away) < len(self.world.views))
        @rule(data=st.data())
        def leave(self, data: st.DataObject) -> None:
            here = [view.index for view in self.world.views if view.index not in self.world.away]
            self.world.leave(data.draw(st.sampled_from(here)))

        @precondition(lambda self: self.world.away)
        @rule(data=st.data())
        def join(self, data: st.DataObject) -> None:
            self.world.join(data.draw(st.sampled_from(sorted(self.world.away))))

        @precondition(lambda self: self.world.offer)
        @rule(data=st.data())
        def fill(self, data: st.DataObject) -> None:
            self.world.fill(data.draw(st.sampled_from([view.index for view in self.world.offer])))

        @precondition(lambda self: self.world.full)
        @rule(data=st.data())
        def drain(self, data: st.DataObject) -> None:
            self.world.drain(data.draw(st.sampled_from(sorted(self.world.full))))

    return Histories


def any_history(make: Callable[[], Dispatch]) -> None:
    """Raises Violation with the shortest history found that the strategy does not stand."""
    run_state_machine_as_test(
        machine(make),
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
