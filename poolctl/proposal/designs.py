"""The designs that init can write, axis by axis, each with its reason for these answers.

The figures in the reasons are those of docs/performance.md, and a test compares them with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from poolctl.description.sentences import (
    ANY_WORKER,
    FREE_ROOM,
    FREE_THREAD,
    ONE_INTERPRETER,
    WAITS_IN_FRONT,
    capital,
)
from poolctl.proposal.answers import AWAITED, AXES, BLOCKING, Answers, Otherwise, Setting

WAITING_PER_CORE = 4  # processes for a core where a request waits three quarters of its time
PROCESSES_MAX = 64
THREADS = 4  # of a process whose requests wait


@dataclass(frozen=True)
class Design:
    """All axes, and when one would write them instead of those that were chosen."""

    settings: tuple[Setting, ...]
    when: str = ""

    def instead_of(self, chosen: Design) -> Otherwise:
        """The same axes as what is chosen, so that nothing of that stays in force."""
        own = {each.key: each.value for each in self.settings}
        implied = _IMPLIED[own["ownership"]]
        keys = dict.fromkeys([*own, *(each.key for each in chosen.settings)])
        written = {key: own.get(key) or implied[key] for key in sorted(keys, key=AXES.index)}
        return Otherwise(self.when, tuple(written.items()))


# What a design that does not write an axis has there.
_IMPLIED = {
    "leader/followers": {"dispatch": "leader", "affinity": "request"},
    "half-sync/half-async": {"dispatch": "least-loaded", "affinity": "connection"},
    "half-sync/half-reactive": {"dispatch": "shared-queue", "affinity": "request"},
    "reuse-port": {"dispatch": "kernel-hash", "affinity": "connection"},
}

AUTO = Setting(
    "pool",
    "{kind: process, size: auto}",
    "A process for each core. One interpreter computes on one core at a time, and a process that crashes takes no "
    "other with it. Where a container has a quota of CPU time, write a number: auto counts the cores that may be used.",
    "a process for each core: one interpreter computes on one core at a time",
)


def followers(answers: Answers, when: str = "") -> Design:
    """leader/followers with threads: any of them answers any request."""
    programs = answers.kind == "cgi"
    who = "Its workers only wait for programs" if programs else "The app waits for most of a request"
    shared = ""
    if answers.keeps != "nothing" and not programs:
        shared = " They share one memory, so each finds what any other keeps there; it ends with the process."
    pool = Setting(
        "pool",
        "{kind: thread, size: auto}",
        f"{who}, and a thread that waits needs no core: auto is as many as cores and 4 more, 32 at the most; a number "
        f"says how many requests are answered at once.{shared} {capital(ONE_INTERPRETER)}. "
        "timeouts.request does not work for threads, which nothing can end from outside.",
        "threads that wait need no core" + (", and they share what the app keeps" if shared else ""),
    )
    ownership = Setting(
        "ownership",
        "leader/followers",
        "Any thread that is free takes the next request, whatever connection it comes from, and nothing is "
        "handed over: the least work for a request that any thread may answer.",
        "any thread that is free takes the next request",
    )
    affinity = Setting(
        "affinity",
        "request",
        "No request waits behind a slow one while a thread is free. Measured with 100 ms between 2 ms: the quick ones' "
        "p99 is 47 ms, and 264 ms where processes keep the connections that they accepted.",
        "no request waits behind a slow one while a thread is free",
    )
    return Design((pool, ownership, affinity), when)


def lending(answers: Answers, when: str = "", *, client: bool = False, waits: bool = False) -> Design:
    """half-sync/half-reactive with processes: a front lends a connection for one request."""
    waits = waits or (answers.kind in BLOCKING and answers.work == "waits")
    pool = _waiting(answers) if waits else AUTO
    if client:
        dispatch = Setting(
            "dispatch",
            "least-loaded",
            "A client that is new goes to the process with the least to do, and stays there.",
            "a new client goes where the least is to do",
        )
        return Design((pool, _lends(answers), dispatch, _client()), when)
    goes = FREE_ROOM if answers.kind in AWAITED else ANY_WORKER
    dispatch = _shared_queue(f"{capital(goes)}.", goes)
    affinity = Setting(
        "affinity",
        "request",
        "Each request of a connection may go to another process, so none may need what an earlier one left in memory.",
        "any process answers any request",
    )
    return Design((pool, _lends(answers), dispatch, affinity), when)


def threaded(answers: Answers) -> Design:
    """half-sync/half-reactive with processes that have threads: as many requests wait as there are threads."""
    pool = Setting(
        "pool",
        f"{{kind: process, size: auto, threads: {THREADS}}}",
        f"A process for each core, and {THREADS} threads in each, for a request that waits leaves the core to others. "
        f"{capital(ONE_INTERPRETER)}. A process that crashes takes the requests of its own "
        "threads along and no others, and one that hangs can be ended (timeouts.request).",
        f"threads for requests that wait; {ONE_INTERPRETER}",
    )
    dispatch = _shared_queue(f"{capital(FREE_THREAD)}. {WAITS_IN_FRONT}", FREE_THREAD)
    _, ownership, _, affinity = lending(answers).settings
    return Design((pool, ownership, dispatch, affinity))


def _shared_queue(why: str, short: str) -> Setting:
    return Setting(
        "dispatch",
        "shared-queue",
        f"{why} Measured with 100 ms between 2 ms: the quick ones' p99 is 46 ms, and 204 ms where processes keep their "
        "connections.",
        f"{short}, so none waits behind a slow one",
    )


def _lends(answers: Answers) -> Setting:
    websockets = " A WebSocket cannot be lent." if answers.kind == "asgi" else ""
    return Setting(
        "ownership",
        "half-sync/half-reactive",
        "A front reads whole requests and lends each to a process: a client that sends or reads slowly holds "
        "up no process, and when one dies, the client that it was serving gets a 502 and the others notice nothing. "
        f"That costs some 9 microseconds a request more than processes that own their connections.{websockets}",
        "slow clients hold up no process, and a crash costs one request",
    )


def _client() -> Setting:
    return Setting(
        "affinity",
        "client",
        "All connections from one address go to the process that has what it keeps for this client. That is gone when "
        "the process ends, and clients behind one router share an address, so a process.",
        "a client meets the process that keeps something for it",
    )


def _waiting(answers: Answers) -> Setting:
    size = min(PROCESSES_MAX, WAITING_PER_CORE * answers.cores)
    cores = "one core" if answers.cores == 1 else f"each of {answers.cores} cores"
    return Setting(
        "pool",
        f"{{kind: process, size: {size}}}",
        f"As many requests are answered at once as there are processes; {WAITING_PER_CORE} for {cores} suit requests "
        "that wait three quarters of their time. What you need is requests a second times the seconds of each, what "
        "you can have is bounded by memory.",
        "several processes for a core, since most of them wait",
    )


def single(answers: Answers) -> Design:
    """One worker, whose memory all requests meet."""
    if answers.kind in AWAITED:
        worker = "{kind: process, size: 1}"
        how = "One event loop serves all requests, and computes on one core."
    else:
        worker = "{kind: thread, size: 1}"
        how = "It is not safe for threads, so one thread answers one request at a time."
    if answers.kind == "stream":
        how = "Each connection has a thread of its own, so what they share needs locks."
    why = f"What is kept in memory for a later request is in one process, and ends with it; so there is one. {how}"
    pool = Setting("pool", worker, why, "one memory that all requests meet")
    return Design((pool, _hands(answers) if answers.kind not in BLOCKING else _QUEUES))


_QUEUES = Setting(
    "ownership",
    "half-sync/half-reactive",
    "A front reads whole requests and queues them: a client that sends or reads slowly does not hold the one thread.",
    "slow clients do not hold the one thread",
)


def reuse_port(answers: Answers, when: str = "", *, client: bool = False) -> Design:
    """reuse-port: a socket for each process, and nobody between it and its clients."""
    disk = " A file on a slow disk makes only its own process wait." if answers.kind == "static" else ""
    ownership = Setting(
        "ownership",
        "reuse-port",
        "Each process has a listening socket and clients of its own, with no front, lock or queue between them: a new "
        "connection with its request costs 29 microseconds, with a front 38 to 46. The price: a slow request makes the "
        f"other clients of its process wait.{disk}",
        "quick requests of one kind: nothing stands between client and process",
    )
    if client:
        dispatch = Setting("dispatch", "client", "The kernel chooses by the client's address (a BPF program, Linux).")
        return Design((AUTO, ownership, dispatch, _client()), when)
    dispatch = Setting(
        "dispatch",
        "kernel-hash",
        "The kernel spreads connections by a hash of addresses and ports, which is even when they are many.",
        "the kernel spreads many connections evenly",
    )
    return Design((AUTO, ownership, dispatch), when)


def handing(answers: Answers, when: str = "", *, client: bool = False) -> Design:
    """half-sync/half-async: a front accepts, a process has the connection until it closes."""
    return Design((AUTO, _hands(answers), _LEAST, *([_client()] if client else [])), when)


def _hands(answers: Answers) -> Setting:
    has = "until it closes, so a request of a kept connection costs the least. A slow one makes the others wait"
    if answers.kind in AWAITED:
        has = "in its event loop until it closes, among many others; what is awaited makes nobody wait"
    if answers.kind == "stream":
        has = "until the function returns, which runs in a thread of its own"
    if answers.kind == "asgi" and answers.websockets:
        has += ". A WebSocket is such a connection"
    return Setting(
        "ownership",
        "half-sync/half-async",
        f"A front accepts, and a process has the connection {has}.",
        "a process has a connection for as long as it lasts",
    )


_LEAST = Setting(
    "dispatch",
    "least-loaded",
    "The process with the fewest connections gets the next, which is even for few and long ones too.",
    "the process with the fewest connections gets the next",
)
