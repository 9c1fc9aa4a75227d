from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from poolctl.assembly.fitting.combination import AFFINITIES, OWNERSHIPS, POOLS, SERVICES, Combination, complete
from poolctl.assembly.fitting.rules import fits

REACTIVE, ASYNC, LEADER, REUSE = OWNERSHIPS


@pytest.mark.parametrize(
    ("app", "ownership", "dispatch", "affinity"),
    [
        ("wsgi", REACTIVE, "shared-queue", "request"),
        ("demo", REACTIVE, "shared-queue", "request"),
        ("lines", REACTIVE, "shared-queue", "request"),
        ("echo", ASYNC, "least-loaded", "connection"),
        ("stream", ASYNC, "least-loaded", "connection"),
    ],
)
def test_with_nothing_but_an_app(app: str, ownership: str, dispatch: str, affinity: str) -> None:
    found = complete(Combination(SERVICES[app]))
    assert (found.pool, found.size, found.threads) == ("process", "auto", 1)
    assert (found.ownership, found.dispatch, found.affinity) == (ownership, dispatch, affinity)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"ownership": REACTIVE, "affinity": "connection"}, {"dispatch": "least-loaded"}),
        ({"ownership": REACTIVE, "affinity": "client"}, {"dispatch": "least-loaded"}),
        ({"ownership": REACTIVE, "dispatch": "random"}, {"affinity": "request"}),
        ({"ownership": ASYNC}, {"accept": "front", "dispatch": "least-loaded", "affinity": "connection"}),
        ({"ownership": ASYNC, "affinity": "client"}, {"dispatch": "least-loaded"}),
        ({"ownership": LEADER}, {"lock": "kernel", "dispatch": "leader", "affinity": "connection"}),
        ({"pool": "thread", "ownership": LEADER}, {"lock": "kernel", "affinity": "request", "threads": None}),
        ({"pool": "thread", "ownership": LEADER, "lock": "mutex"}, {"affinity": "connection"}),
        ({"ownership": REUSE}, {"dispatch": "kernel-hash", "affinity": "connection"}),
        ({"ownership": REUSE, "affinity": "client"}, {"dispatch": "client"}),
        ({"ownership": REUSE, "dispatch": "client"}, {"affinity": "connection"}),
        ({"pool": "iterative"}, {"size": None, "ownership": None, "dispatch": None, "affinity": "connection"}),
    ],
)
def test_defaults_suit_what_was_chosen(given: dict[str, str], expected: dict[str, str | None]) -> None:
    found = complete(Combination(SERVICES["wsgi"], **given))
    assert {axis: getattr(found, axis) for axis in expected} == expected


def test_protocols_without_request_boundaries_keep_connections() -> None:
    found = complete(Combination(SERVICES["echo"], ownership=REACTIVE))
    assert (found.affinity, found.dispatch) == ("connection", "least-loaded")
    found = complete(Combination(SERVICES["echo"], "thread", ownership=LEADER))
    assert found.affinity == "connection"


@pytest.mark.parametrize("app", SERVICES)
@pytest.mark.parametrize("pool", POOLS)
def test_any_app_fits_with_any_pool_by_default(app: str, pool: str) -> None:
    found = complete(Combination(SERVICES[app], pool))
    assert [each.axis for each in fits(found)] == (["pool"] if SERVICES[app].asynchronous and found.baseline else [])


@pytest.mark.parametrize("ownership", OWNERSHIPS)
@pytest.mark.parametrize("pool", ["process", "thread"])
@pytest.mark.parametrize("app", ["wsgi", "lines", "echo"])
def test_any_ownership_fits_by_default(app: str, pool: str, ownership: str) -> None:
    assert fits(complete(Combination(SERVICES[app], pool, ownership=ownership))) == []


def test_what_is_chosen_is_kept() -> None:
    for pool, ownership, affinity in product(POOLS, OWNERSHIPS, AFFINITIES):
        given = Combination(SERVICES["wsgi"], pool, ownership=ownership, affinity=affinity)
        found = complete(given)
        assert {axis: getattr(found, axis) for axis in given.written()} == {
            axis: getattr(given, axis) for axis in given.written()
        }
        assert complete(found) == found
        assert replace(found, ownership=None, affinity=None) != given or pool in POOLS
