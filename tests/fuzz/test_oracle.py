"""The fuzzers find servers that their clients can harm, and name the sequence that does it."""

from __future__ import annotations

import pytest
from harness.server import Serve, Server

from fuzz import campaign, oracle
from fuzz.campaign import MAKERS, fuzz, sequence
from fuzz.driver import ANSWERED
from fuzz.sequence import Sequence
from fuzz.targets import APPS, TARGETS

FOUND = {
    "end": "it is enough to do",
    "descriptor": "descriptors kept",
    "spin": "compute though nobody asks",
    "lie": "was answered by",
    "traceback": "RuntimeError: by mistake",
}


@pytest.mark.parametrize(
    "harm", [pytest.param(harm, marks=pytest.mark.fuzz if harm in ("spin", "traceback") else ()) for harm in FOUND]
)
def test_a_server_that_is_harmed_is_found_out(serve: Serve, harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(APPS, "wsgi", {"wsgi": "harmed:wsgi"})
    monkeypatch.setenv("HARM", harm)
    monkeypatch.setattr(oracle, "SETTLING", 0.3)
    monkeypatch.setattr(campaign, "SEED", 12)  # a few of its first requests do the harm

    def start(topology: dict[str, object], **options: object) -> Server:
        topology["environment"] = {"HARM": harm}
        return serve(topology, **options)

    result = fuzz(TARGETS["wsgi-process-leader+followers-kernel"], start, 8)
    assert FOUND[harm] in "\n".join(result.found)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_sequence_is_the_same_again_and_can_be_printed(kind: str) -> None:
    target = next(target for target in TARGETS.values() if kind in target.protocols)
    for number in range(20):
        made = sequence(kind, number, target)
        assert made.steps == sequence(kind, number, target).steps
        words = {step.__class__.__name__: step.__class__ for step in made.steps}
        again = eval(made.shown().partition("\n")[2], {"Sequence": Sequence, **words})  # what is printed is Python
        assert (again.steps, again.asked, again.deaf) == (made.steps, made.asked, made.deaf)
        assert ANSWERED[made.protocol](made.asked, b"") <= len(made.asked)
    assert len({sequence(kind, number, target).shown().partition("\n")[2] for number in range(20)}) > 10
