"""Sequences of all protocols against servers of all kinds: none of them ends, forgets or keeps busy a server."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from harness.server import Serve

from fuzz.campaign import SEED, fuzz
from fuzz.targets import TARGETS
from poolctl.assembly.fitting.combination import SERVICES

SHORT = 12  # sequences of each protocol and each kind of door, where the tests are run
LONG = 60  # the same for `make fuzz`, on nearly 200 servers
ALWAYS = (  # every word of every axis
    "wsgi-process-half-sync+half-reactive",
    "wsgi-thread-leader+followers-kernel",
    "asgi-process-half-sync+half-reactive",
    "asgi-process-half-sync+half-async-front",
    "lines-thread-half-sync+half-reactive",
    "frames-thread-leader+followers-mutex",
    "demo-process*2-reuse-port",
    "static-process-leader+followers-file",
    "cgi-process-half-sync+half-async-worker",
    "stream-process-half-sync+half-async-front",
    "echo-iterative",
    "demo-thread-per-connection",
    "lines-process-per-connection",
    "async-lines-thread-reuse-port",
    "async-frames-process-leader+followers-kernel",
    "async-stream-process-reuse-port",
)


def test_every_word_is_in_the_short_form() -> None:
    """Apps, pools, ownerships and their options; and the long form is all that fits."""

    def words(names: Iterable[str]) -> set[object]:
        chosen = [TARGETS[name].combination for name in names]
        return {
            word for each in chosen for word in (each.service.app, each.pool, each.ownership, each.accept, each.lock)
        }

    assert words(ALWAYS) == words(TARGETS)
    assert {target.app for target in TARGETS.values()} == set(SERVICES)


@pytest.mark.parametrize("name", ALWAYS)
def test_nothing_from_outside_harms_a_server(serve: Serve, name: str) -> None:
    result = fuzz(TARGETS[name], serve, SHORT)
    assert not result.found, "\n\n".join([f"{len(result.found)} found with seed {SEED}", *result.found])


@pytest.mark.fuzz
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_from_outside_harms_any_server(serve: Serve, name: str) -> None:
    result = fuzz(TARGETS[name], serve, LONG)
    print(f"{name}: {result.done} sequences")  # noqa: T201  # with -s: how many there were
    assert not result.found, "\n\n".join([f"{len(result.found)} found with seed {SEED}", *result.found])
