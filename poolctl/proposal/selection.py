"""Selects the design that suits the answers, and alternatives to consider."""

from __future__ import annotations

from poolctl.proposal.answers import AWAITED, BLOCKING, Answers
from poolctl.proposal.designs import (
    Design,
    half_async,
    half_reactive,
    half_reactive_threads,
    leader_followers,
    reuse_port,
    single_worker,
)


def select_designs(answers: Answers) -> list[Design]:
    """Return the design that suits the answers, followed by alternatives."""
    if answers.kind in BLOCKING:
        return _of_blocking(answers)
    if answers.kind in (*AWAITED, "stream"):
        return _of_connections(answers)
    if answers.kind == "demo":
        return [half_reactive(answers)]
    if answers.kind == "cgi":
        when = "To isolate crashes (each program occupies one process, so size is how many can run)"
        return [leader_followers(answers), half_reactive(answers, when, waits=True)]
    return [reuse_port(answers), half_async(answers, _FEW)] if answers.direct else [half_async(answers)]


_FEW = "If connections are few and long-lived: spread them by their number instead of a hash"
_ONE_CORE = "If one core is enough: one process, which needs the least memory"
_ALONE = "If a crash must affect a single request: processes with one thread each"
_MIXED = "If some requests turn out to be slow"
_UNIFORM = "If all requests are fast, so that none waits long for another"
_ONLY_WAIT = "If coroutines only wait and never compute for long, or for WebSockets"
_MOVED = "If that data moves to a database or cache that all processes share"


def _of_blocking(answers: Answers) -> list[Design]:
    if answers.one_process or (answers.keeps == "client" and answers.work == "waits" and answers.thread_safe):
        own = leader_followers(answers) if answers.thread_safe else single_worker(answers)
        return [own, half_reactive(answers, _MOVED)]
    if answers.keeps == "client":
        own = half_reactive(answers, client=True) if _uneven(answers) else reuse_port(answers, client=True)
        return [own, half_reactive(answers, _MOVED)]
    if answers.work == "waits" and answers.thread_safe:
        return [half_reactive_threads(answers), leader_followers(answers, _ONE_CORE), half_reactive(answers, _ALONE)]
    if answers.work == "waits":
        when = "If the app turns out to be thread-safe: one process with any number of threads"
        return [half_reactive(answers), leader_followers(answers, when)]
    if answers.mixed:
        return [half_reactive(answers), _quickest(answers, _UNIFORM)]
    return [_quickest(answers), half_reactive(answers, _MIXED)]


def _of_connections(answers: Answers) -> list[Design]:
    """Designs whose workers serve many connections at a time."""
    lendable = answers.kind == "asgi" and not answers.websockets
    if answers.one_process:
        return [single_worker(answers), half_async(answers, _MOVED)]
    client = answers.keeps == "client"
    if lendable and answers.work == "computes" and answers.mixed:
        return [half_reactive(answers, client=client), half_async(answers, _ONLY_WAIT, client=client)]
    if lendable and answers.work == "computes" and answers.direct:
        own = reuse_port(answers, client=client)
        return [own, half_reactive(answers, _MOVED if client else _MIXED)]
    own = half_async(answers, client=client)
    if client:
        return [own, half_async(answers, _MOVED)]
    return (
        [own, half_reactive(answers, "If some coroutines compute for a long time and there are no WebSockets")]
        if lendable
        else [own]
    )


def _uneven(answers: Answers) -> bool:
    return answers.work == "waits" or answers.mixed


def _quickest(answers: Answers, when: str = "") -> Design:
    return reuse_port(answers, when) if answers.direct else half_async(answers, when)
