"""Which design suits which answers, and which others to think about."""

from __future__ import annotations

from poolctl.proposal.answers import AWAITED, BLOCKING, Answers
from poolctl.proposal.designs import Design, followers, handing, lending, reuse_port, single, threaded


def designs(answers: Answers) -> list[Design]:
    """The one that suits first, then those to think about."""
    if answers.kind in BLOCKING:
        return _of_blocking(answers)
    if answers.kind in (*AWAITED, "stream"):
        return _of_connections(answers)
    if answers.kind == "demo":
        return [lending(answers)]
    if answers.kind == "cgi":
        when = "To have a crash of one process not touch the others (a program holds a worker, so size is how many run)"
        return [followers(answers), lending(answers, when, waits=True)]
    return [reuse_port(answers), handing(answers, _FEW)] if answers.direct else [handing(answers)]


_FEW = "If connections are few and long: spread by their number, not by a hash"
_ONE_CORE = "If one core is enough: one process, which takes the least memory"
_ALONE = "If a crash must touch one request alone: processes with one thread each"
_MIXED = "If there are slow requests between the quick ones, after all"
_UNIFORM = "If all requests are quick, so that none waits long for another"
_ONLY_WAIT = "If its coroutines only wait, or for WebSockets"
_MOVED = "Once that moves to a database or cache that all processes share"


def _of_blocking(answers: Answers) -> list[Design]:
    if answers.one_process or (answers.keeps == "client" and answers.work == "waits" and answers.thread_safe):
        own = followers(answers) if answers.thread_safe else single(answers)
        return [own, lending(answers, _MOVED)]
    if answers.keeps == "client":
        own = lending(answers, client=True) if _uneven(answers) else reuse_port(answers, client=True)
        return [own, lending(answers, _MOVED)]
    if answers.work == "waits" and answers.thread_safe:
        return [threaded(answers), followers(answers, _ONE_CORE), lending(answers, _ALONE)]
    if answers.work == "waits":
        return [lending(answers), followers(answers, "If it turns out to be safe for threads: one process, any number")]
    if answers.mixed:
        return [lending(answers), _quickest(answers, _UNIFORM)]
    return [_quickest(answers), lending(answers, _MIXED)]


def _of_connections(answers: Answers) -> list[Design]:
    """Those whose workers serve many connections at a time."""
    lendable = answers.kind == "asgi" and not answers.websockets
    if answers.one_process:
        return [single(answers), handing(answers, _MOVED)]
    client = answers.keeps == "client"
    if lendable and answers.work == "computes" and answers.mixed:
        return [lending(answers, client=client), handing(answers, _ONLY_WAIT, client=client)]
    if lendable and answers.work == "computes" and answers.direct:
        own = reuse_port(answers, client=client)
        return [own, lending(answers, _MOVED if client else _MIXED)]
    own = handing(answers, client=client)
    if client:
        return [own, handing(answers, _MOVED)]
    return (
        [own, lending(answers, "If some coroutines compute for long and there are no WebSockets")]
        if lendable
        else [own]
    )


def _uneven(answers: Answers) -> bool:
    return answers.work == "waits" or answers.mixed


def _quickest(answers: Answers, when: str = "") -> Design:
    return reuse_port(answers, when) if answers.direct else handing(answers, when)
