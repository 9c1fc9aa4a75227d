"""Every rule refuses what it should, for its own reason, and there is always a valid choice nearby."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from harness.forms import short
from hypothesis import given
from hypothesis import strategies as st

from poolctl.assembly.fitting.combination import AFFINITIES, ASKED, SERVICES, Combination, complete
from poolctl.assembly.fitting.rules import RULES, WEIGHTS, combinations, differing, fits, nearest

REACTIVE, ASYNC, LEADER, REUSE = "half-sync/half-reactive", "half-sync/half-async", "leader/followers", "reuse-port"
WSGI, ASGI, ECHO, STREAM = (SERVICES[app] for app in ("wsgi", "asgi", "echo", "stream"))
ALL = list(combinations(affinities=(*AFFINITIES, *ASKED)))


class Refused(NamedTuple):
    combination: Combination
    axis: str
    reason: str


BASELINES: dict[str, Any] = {
    "process-per-connection": "process-per-connection starts a process for each client",
    "thread-per-connection": "thread-per-connection starts a thread for each client",
    "iterative": "iterative serves one client after the other in one process",
}

CASES = [
    Refused(
        Combination(replace(WSGI, protocol="lines")),
        "protocol",
        "wsgi speaks the protocol http, not lines",
    ),
    *(
        Refused(Combination(WSGI, pool, **{axis: word}), axis, f"{model}, so it has no {lacks}")
        for pool, model in BASELINES.items()
        for axis, word, lacks in (
            ("size", "auto", "pool size"),
            ("threads", 2, "pool threads"),
            ("ownership", REUSE, "workers to divide sockets between"),
            ("dispatch", "random", "workers to choose from"),
        )
    ),
    Refused(
        Combination(WSGI, "iterative", affinity="client"),
        "affinity",
        "the worker that accepts a connection serves all of it",
    ),
    Refused(
        Combination(WSGI, ownership=LEADER, dispatch="round-robin"),
        "dispatch",
        "no front can dispatch by round-robin",
    ),
    Refused(
        Combination(WSGI, ownership=LEADER, dispatch="kernel-hash"), "dispatch", "the leader takes each task itself"
    ),
    Refused(
        Combination(WSGI, ownership=ASYNC, dispatch="least-loaded", inspects=True),
        "dispatch",
        "least-loaded looks at what a request asks for",
    ),
    Refused(
        Combination(WSGI, ownership=ASYNC, dispatch="least-loaded", finishes=True),
        "dispatch",
        "least-loaded needs to know when a task is done",
    ),
    Refused(
        Combination(WSGI, ownership=ASYNC, affinity="header"),
        "affinity",
        "affinity header looks at what a request asks for",
    ),
    Refused(
        Combination(WSGI, ownership=REACTIVE, affinity="cookie", dispatch="shared-queue"),
        "dispatch",
        "it cannot keep requests of one cookie with one of them",
    ),
    Refused(Combination(WSGI, ownership=REACTIVE, dispatch="leader"), "dispatch", "only leader/followers has a leader"),
    Refused(Combination(WSGI, ownership=REUSE, dispatch="leader"), "dispatch", "only leader/followers has a leader"),
    Refused(Combination(WSGI, ownership=REUSE, dispatch="shared-queue"), "dispatch", "the kernel chooses the worker"),
    Refused(Combination(WSGI, ownership=ASYNC, dispatch="size-aware"), "dispatch", "learns how long the requests"),
    Refused(
        Combination(WSGI, ownership=REUSE, dispatch="least-loaded"),
        "dispatch",
        "no front can dispatch by least-loaded",
    ),
    Refused(Combination(WSGI, ownership=ASYNC, dispatch="cpu"), "dispatch", "cpu is the kernel's choice"),
    Refused(
        Combination(ECHO, ownership=REACTIVE, affinity="request"), "affinity", "raw does not mark where a request ends"
    ),
    Refused(
        Combination(WSGI, ownership=ASYNC, affinity="request"), "affinity", "belongs to its worker until it closes"
    ),
    Refused(
        Combination(WSGI, ownership=REUSE, affinity="request"), "affinity", "belongs to its worker until it closes"
    ),
    Refused(Combination(WSGI, ownership=LEADER, affinity="request"), "affinity", "only threads share them"),
    Refused(
        Combination(WSGI, "thread", ownership=LEADER, lock="mutex", affinity="request"), "affinity", "only lock kernel"
    ),
    Refused(
        Combination(WSGI, "thread", ownership=LEADER, affinity="client"),
        "affinity",
        "nothing reads the client's address",
    ),
    Refused(
        Combination(WSGI, ownership=REUSE, dispatch="cpu", affinity="client"),
        "affinity",
        "only dispatch client looks at the",
    ),
    Refused(
        Combination(WSGI, ownership=ASYNC, accept="worker", affinity="client"),
        "affinity",
        "nothing reads the client's address",
    ),
    Refused(
        Combination(WSGI, ownership=ASYNC, dispatch="shared-queue", affinity="client"),
        "dispatch",
        "cannot keep a client with",
    ),
    Refused(
        Combination(WSGI, ownership=REACTIVE, dispatch="shared-queue", affinity="connection"),
        "dispatch",
        "cannot keep a connection's requests",
    ),
    Refused(Combination(STREAM, ownership=REACTIVE), "ownership", "the app stream owns it until it returns"),
    Refused(
        Combination(SERVICES["async-lines"], ownership=REACTIVE),
        "ownership",
        "the app async-lines is async and keeps its connections",
    ),
    Refused(
        Combination(replace(ASGI, counts=True), ownership=ASYNC), "ownership", "but half-sync/half-async lends none"
    ),
    Refused(
        Combination(ASGI, "thread", ownership=LEADER, affinity="request"),
        "affinity",
        "in the event loop of one thread, which keeps the connections",
    ),
    Refused(Combination(ASGI, threads=2), "threads", "more threads in its process add nothing"),
    Refused(Combination(ASGI, "iterative"), "pool", "iterative serves each client in blocking code"),
    Refused(
        Combination(replace(WSGI, multiplexes=True), ownership=REACTIVE, affinity="request"),
        "ownership",
        "HTTP/2 has several in flight on one",
    ),
    Refused(
        Combination(WSGI, "thread", ownership=LEADER, lock="file", affinity="connection"),
        "lock",
        "held by a whole process",
    ),
    Refused(Combination(WSGI, threads=2, ownership=LEADER, lock="file"), "lock", "held by a whole process"),
    Refused(Combination(WSGI, ownership=LEADER, lock="mutex"), "lock", "chooses between threads, not processes"),
    Refused(
        Combination(WSGI, ownership=REUSE, schemes=("tcp", "unix")), "ownership", "which only tcp:// addresses allow"
    ),
    Refused(Combination(WSGI, ownership=REUSE, schemes=("fd",)), "ownership", "which only tcp:// addresses allow"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.axis}: {case.reason[:40]}")
def test_refused_for_its_reason(case: Refused) -> None:
    refusals = fits(complete(case.combination))
    assert [case.axis] == [each.axis for each in refusals if case.reason in each.reason], refusals


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.axis}: {rule.reason[:40]}")
def test_every_rule_has_a_case(rule) -> None:
    assert any(rule.refuses(complete(case.combination)) for case in CASES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.axis}: {rule.reason[:40]}")
def test_no_rule_refuses_everything(rule) -> None:
    assert any(not rule.refuses(combination) for combination in ALL)


def test_reasons_name_words_of_the_combination() -> None:
    for combination in ALL:
        for refusal in fits(combination):
            assert "{" not in refusal.reason
            assert "None" not in refusal.reason, (combination, refusal)


ALLOWED = {
    # ownership, pool, threads: what of dispatch and affinity fits for an app whose protocol marks requests
    (REACTIVE, None): {
        "request": {"shared-queue", "size-aware", "least-loaded", "round-robin", "random", "power-of-choices"}
    },
    (ASYNC, "front"): {"connection": {"shared-queue", "least-loaded", "round-robin", "random", "power-of-choices"}},
    (ASYNC, "worker"): {"connection": {"shared-queue", "least-loaded", "round-robin", "random", "power-of-choices"}},
    (REUSE, None): {"connection": {"kernel-hash", "random", "client", "cpu"}, "client": {"client"}},
}
PUSH = {"least-loaded", "round-robin", "random", "power-of-choices"}
ALLOWED[REACTIVE, None] |= dict.fromkeys(("connection", "client", "header", "cookie", "path"), PUSH)
ALLOWED[ASYNC, "front"] |= {"client": PUSH}


@pytest.mark.parametrize(("ownership", "accept"), ALLOWED)
@pytest.mark.parametrize(("pool", "threads"), [("process", 1), ("process", 2), ("thread", None)])
def test_what_the_design_allows_is_valid(ownership: str, accept: str | None, pool: str, threads: int | None) -> None:
    found: dict[str, set[str]] = {}
    chosen = (WSGI, ownership, accept, pool, threads)
    for each in ALL:
        if (each.service, each.ownership, each.accept, each.pool, each.threads) == chosen and not fits(each):
            found.setdefault(str(each.affinity), set()).add(str(each.dispatch))
    assert found == ALLOWED[ownership, accept]


def test_what_fits_with_leader_followers() -> None:
    found = {
        (each.pool, each.threads, each.lock, each.affinity)
        for each in ALL
        if each.service is WSGI and each.ownership == LEADER and not fits(each)
    }
    assert found == {
        ("process", 1, "kernel", "connection"),
        ("process", 1, "file", "connection"),
        ("process", 2, "kernel", "connection"),
        ("thread", None, "kernel", "connection"),
        ("thread", None, "kernel", "request"),
        ("thread", None, "mutex", "connection"),
    }


@functools.cache
def allowed() -> list[Combination]:
    return [each for each in ALL if not fits(each)]


def test_every_word_is_valid_somewhere() -> None:
    for axis in ("pool", "ownership", "accept", "lock", "dispatch", "affinity"):
        every = {getattr(each, axis) for each in ALL}
        assert {getattr(each, axis) for each in allowed()} == every, axis


class TestNearest:
    @given(
        st.sampled_from(ALL), st.frozensets(st.sampled_from(sorted(WEIGHTS))), st.sampled_from([("tcp",), ("unix",)])
    )
    def test_it_is_always_valid(self, combination: Combination, written: frozenset[str], schemes) -> None:
        given_one = replace(combination, schemes=schemes)
        better = nearest(given_one, written)
        assert fits(better) == []
        assert (better.service.app, better.schemes) == (combination.service.app, schemes)

    @pytest.mark.parametrize("step", short([1, 7], [7]))
    def test_a_valid_combination_is_its_own_nearest(self, step: int) -> None:
        for combination in allowed()[::step]:
            assert nearest(combination) == combination

    @given(st.sampled_from(ALL).filter(fits))
    def test_nothing_nearer_is_valid(self, combination: Combination) -> None:
        better = nearest(combination, WEIGHTS)
        steps = len(differing(combination, replace(better, size=combination.size)))  # whose default is no choice
        for other in combinations([combination.service]):
            if not fits(other):
                assert len(differing(combination, replace(other, size=combination.size))) >= steps or other.baseline

    def test_defaults_give_way_before_what_was_written(self) -> None:
        given_one = Combination(WSGI, dispatch="kernel-hash")
        better = nearest(complete(given_one), given_one.written())
        assert (better.ownership, better.dispatch) == (REUSE, "kernel-hash")

    def test_the_less_important_axis_gives_way(self) -> None:
        given_one = Combination(WSGI, "process", ownership=LEADER, affinity="request", dispatch="leader")
        better = nearest(complete(given_one), given_one.written())
        assert (better.pool, better.ownership, better.affinity) == ("process", LEADER, "connection")

    def test_the_number_of_workers_and_threads_is_kept(self) -> None:
        given_one = complete(Combination(WSGI, size=8, threads=5, ownership=REUSE, dispatch="least-loaded"))
        better = nearest(given_one, given_one.written())
        assert (better.size, better.threads, better.ownership, better.dispatch) == (8, 5, REUSE, "kernel-hash")

    @pytest.mark.parametrize("axis", ["size", "dispatch", "ownership"])
    def test_a_baseline_is_kept_and_loses_what_it_cannot_have(self, axis: str) -> None:
        word = {"size": 3, "dispatch": "random", "ownership": REUSE}[axis]
        given_one = Combination(WSGI, "iterative", **{axis: word})
        better = nearest(complete(given_one), given_one.written())
        assert better == Combination(WSGI, "iterative", affinity="connection")

    def test_the_more_usual_of_two_is_chosen(self) -> None:
        given_one = Combination(WSGI, ownership=ASYNC, dispatch="leader")
        assert nearest(complete(given_one), given_one.written()).dispatch == "least-loaded"

    def test_the_app_brings_its_protocol(self) -> None:
        wrong = complete(Combination(replace(WSGI, protocol="raw", marks_requests=False)))
        assert nearest(wrong).service == WSGI
