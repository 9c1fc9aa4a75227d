"""The designs that init can write, axis by axis, with the reason for each choice.

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
from poolctl.proposal.answers import AWAITED, AXES, BLOCKING, Alternative, Answers, KeyLine

WAITING_PER_CORE = 4  # processes per core, for requests that wait three quarters of their time
PROCESSES_MAX = 64
THREADS = 4  # of a process whose requests wait


@dataclass(frozen=True)
class Design:
    """Settings of the axes. ``when``: the condition under which they replace the chosen design."""

    settings: tuple[KeyLine, ...]
    when: str = ""

    def instead_of(self, chosen: Design) -> Alternative:
        """Return the design as an alternative that covers every axis of the chosen one."""
        own = {each.key: each.value for each in self.settings}
        implied = _IMPLIED[own["ownership"]]
        keys = dict.fromkeys([*own, *(each.key for each in chosen.settings)])
        written = {key: own.get(key) or implied[key] for key in sorted(keys, key=AXES.index)}
        return Alternative(self.when, tuple(written.items()))


# The defaults of the axes that a design does not write.
_IMPLIED = {
    "leader/followers": {"dispatch": "leader", "affinity": "request"},
    "half-sync/half-async": {"dispatch": "least-loaded", "affinity": "connection"},
    "half-sync/half-reactive": {"dispatch": "shared-queue", "affinity": "request"},
    "reuse-port": {"dispatch": "kernel-hash", "affinity": "connection"},
}

AUTO = KeyLine(
    "pool",
    "{kind: process, size: auto}",
    "One process per core. An interpreter computes on one core at a time, and a process that crashes affects no other. "
    "In a container its CPU quota, rounded up, is the number of cores.",
    "one process per core, because an interpreter computes on one core at a time",
)


def leader_followers(answers: Answers, when: str = "") -> Design:
    """Return leader/followers with threads: any thread answers any request."""
    programs = answers.kind == "cgi"
    waits = "The workers only wait for programs" if programs else "The app spends most of a request waiting"
    shared = ""
    if answers.keeps != "nothing" and not programs:
        shared = " Threads share memory, so each sees the data that others keep; it is lost when the process ends."
    pool = KeyLine(
        "pool",
        "{kind: thread, size: auto}",
        f"{waits}, and a waiting thread needs no core. auto is the number of cores plus 4, at most 32; a number sets "
        f"how many requests are answered at the same time.{shared} {capital(ONE_INTERPRETER)}. "
        "A thread that hangs has its process replaced (timeouts.request).",
        "waiting threads need no core" + (", and threads share the app's data" if shared else ""),
    )
    ownership = KeyLine(
        "ownership",
        "leader/followers",
        "Any free thread takes the next request, whichever connection it arrives on, and nothing is handed over: the "
        "cheapest way to let any thread answer any request.",
        "any free thread takes the next request",
    )
    affinity = KeyLine(
        "affinity",
        "request",
        "No request waits behind a slow one while a thread is free. Measured with requests of 100 ms among requests of "
        "2 ms: the fast ones have a p99 of 47 ms, and of 264 ms when processes keep the connections they accepted.",
        "no request waits behind a slow one while a thread is free",
    )
    return Design((pool, ownership, affinity), when)


def half_reactive(answers: Answers, when: str = "", *, client: bool = False, waits: bool = False) -> Design:
    """Return half-sync/half-reactive with processes: a front lends each connection for one request."""
    waits = waits or (answers.kind in BLOCKING and answers.work == "waits")
    pool = _pool_that_waits(answers) if waits else AUTO
    if client:
        dispatch = KeyLine(
            "dispatch",
            "least-loaded",
            "A new client goes to the process with the fewest unfinished requests, and stays there.",
            "a new client goes to the least busy process",
        )
        return Design((pool, _half_reactive_ownership(answers), dispatch, _client_affinity()), when)
    rule = FREE_ROOM if answers.kind in AWAITED else ANY_WORKER
    dispatch = _shared_queue(f"{capital(rule)}.", rule)
    affinity = KeyLine(
        "affinity",
        "request",
        "The requests of a connection may go to different processes, so none may rely on what an earlier one left in "
        "memory.",
        "any process answers any request",
    )
    return Design((pool, _half_reactive_ownership(answers), dispatch, affinity), when)


def half_reactive_threads(answers: Answers) -> Design:
    """Return half-sync/half-reactive with multi-threaded processes: as many requests wait as there are threads."""
    pool = KeyLine(
        "pool",
        f"{{kind: process, size: auto, threads: {THREADS}}}",
        f"One process per core with {THREADS} threads each, because a waiting request leaves the core to others. "
        f"{capital(ONE_INTERPRETER)}. A process that crashes loses only the requests of its own threads, and a process "
        "that hangs can be replaced (timeouts.request).",
        f"threads for waiting requests; {ONE_INTERPRETER}",
    )
    dispatch = _shared_queue(f"{capital(FREE_THREAD)}. {WAITS_IN_FRONT}", FREE_THREAD)
    _, ownership, _, affinity = half_reactive(answers).settings
    return Design((pool, ownership, dispatch, affinity))


def _shared_queue(why: str, short: str) -> KeyLine:
    return KeyLine(
        "dispatch",
        "shared-queue",
        f"{why} Measured with requests of 100 ms among requests of 2 ms: the fast ones have a p99 of 46 ms, and of "
        "204 ms when processes keep their connections.",
        f"{short}, so none waits behind a slow one",
    )


def _half_reactive_ownership(answers: Answers) -> KeyLine:
    websockets = " A WebSocket cannot be lent." if answers.kind == "asgi" else ""
    return KeyLine(
        "ownership",
        "half-sync/half-reactive",
        "A front reads complete requests and lends each to a process, so a client that sends or reads slowly blocks no "
        "process. When a process dies, the client that it was serving gets a 502 and the others notice nothing. "
        f"It costs about 15 microseconds more per request than processes that own their connections.{websockets}",
        "slow clients block no process, and a crash costs one request",
    )


def _client_affinity() -> KeyLine:
    return KeyLine(
        "affinity",
        "client",
        "All connections from one address go to the process that keeps that client's data. The data is lost when the "
        "process ends. Clients behind the same router share an address, and so a process.",
        "a client always reaches the process that keeps its data",
    )


def _pool_that_waits(answers: Answers) -> KeyLine:
    size = min(PROCESSES_MAX, WAITING_PER_CORE * answers.cores)
    cores = "one core" if answers.cores == 1 else f"each of {answers.cores} cores"
    return KeyLine(
        "pool",
        f"{{kind: process, size: {size}}}",
        f"As many requests are answered at the same time as there are processes; {WAITING_PER_CORE} for {cores} suit "
        "requests that wait three quarters of their time. The number that you need is requests per second times "
        "seconds per request; memory limits how many you can have.",
        "several processes per core, because most of them wait",
    )


def single_worker(answers: Answers) -> Design:
    """Return a single worker, whose memory all requests share."""
    if answers.kind in AWAITED:
        worker = "{kind: process, size: 1}"
        how = "One event loop serves all requests, and computes on one core."
    else:
        worker = "{kind: thread, size: 1}"
        how = "The app is not thread-safe, so a single thread answers one request at a time."
    if answers.kind == "stream":
        how = "Each connection has its own thread, so shared data needs locks."
    why = f"A single process, because later requests need data in its memory; the data is lost when it ends. {how}"
    pool = KeyLine("pool", worker, why, "one memory that all requests share")
    return Design((pool, _half_async_ownership(answers) if answers.kind not in BLOCKING else _QUEUE_FOR_ONE_THREAD))


_QUEUE_FOR_ONE_THREAD = KeyLine(
    "ownership",
    "half-sync/half-reactive",
    "A front reads complete requests and queues them, so a client that sends or reads slowly does not block the only "
    "thread.",
    "slow clients do not block the only thread",
)


def reuse_port(answers: Answers, when: str = "", *, client: bool = False) -> Design:
    """Return reuse-port: each process has its own listening socket, and accepts its clients itself."""
    disk = " A file on a slow disk delays only its own process." if answers.kind == "static" else ""
    ownership = KeyLine(
        "ownership",
        "reuse-port",
        "Each process has its own listening socket and clients, with no front, lock or queue in between: a new "
        "connection with one request costs 20 microseconds, and 28 to 53 with a front. In return, a slow request "
        f"delays the other clients of its process.{disk}",
        "for fast requests of one kind; there is nothing between client and process",
    )
    if client:
        dispatch = KeyLine("dispatch", "client", "The kernel chooses by the client's address (a BPF program, Linux).")
        return Design((AUTO, ownership, dispatch, _client_affinity()), when)
    dispatch = KeyLine(
        "dispatch",
        "kernel-hash",
        "The kernel spreads connections by a hash of addresses and ports, which is even if there are many.",
        "the kernel spreads many connections evenly",
    )
    return Design((AUTO, ownership, dispatch), when)


def half_async(answers: Answers, when: str = "", *, client: bool = False) -> Design:
    """Return half-sync/half-async: a front accepts, and a process owns the connection until it closes."""
    return Design(
        (AUTO, _half_async_ownership(answers), _LEAST_LOADED, *([_client_affinity()] if client else [])), when
    )


def _half_async_ownership(answers: Answers) -> KeyLine:
    owns = "until it closes, so a request on a kept connection costs the least. A slow request delays the others"
    if answers.kind in AWAITED:
        owns = "in its event loop until it closes, among many others; requests that await something delay no others"
    if answers.kind == "stream":
        owns = "until the function returns, which runs in a thread of its own"
    if answers.kind == "asgi" and answers.websockets:
        owns += ". A WebSocket is such a connection"
    return KeyLine(
        "ownership",
        "half-sync/half-async",
        f"A front accepts, and a process owns the connection {owns}.",
        "a process owns a connection for as long as it lasts",
    )


_LEAST_LOADED = KeyLine(
    "dispatch",
    "least-loaded",
    "The process with the fewest connections gets the next one, which is even for few, long-lived connections too.",
    "the process with the fewest connections gets the next one",
)
