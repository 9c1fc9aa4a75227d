"""What there is to say of each choice, in plain words. Figures are those of docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterator

from poolctl.assembly.describe import assembled
from poolctl.assembly.fitting.combination import ASKED, ASYNC, LEADER, REACTIVE, REUSE_PORT, Combination
from poolctl.config.model import Topology
from poolctl.description.sentences import ANY_WORKER, FREE_ROOM, FREE_THREAD, ONE_INTERPRETER, WAITS_IN_FRONT

MAKERS = ("process-per-connection", "thread-per-connection")

FRONT = {
    REACTIVE: "owns the connections; reads whole requests and lends each to a worker",
    f"{ASYNC}, accept front": "accepts, and passes each connection to a worker",
    f"{ASYNC}, accept worker": "watches, and tells a worker that a connection waits",
}
WORKER = {
    REACTIVE: "has a connection for one request at a time",
    ASYNC: "has its connections until they close",
    LEADER: "accepts in turn with the others, and serves what it accepted",
    REUSE_PORT: "accepts from its own socket, and serves what it accepted",
}
ACCEPTS = {
    REACTIVE: "accepts",
    ASYNC: "accepts",
    LEADER: "the leader accepts",
    REUSE_PORT: "the kernel chooses whose socket",
    "process-per-connection": "accepts",
    "thread-per-connection": "accepts",
    "iterative": "accepts",
}

Two = tuple[str, str]  # what it gives, what it costs

LEADING_PROCESSES: Two = (
    "nothing stands between a client and its worker, and no further process is needed to accept",
    "a connection stays with the worker that accepted it: its requests wait behind a long one while others are free",
)
QUEUE_OF_CONNECTIONS: Two = (
    "any worker that is free takes the oldest connection",
    "a worker keeps what it took until it closes, so some have many connections and others few",
)
QUEUE_IN_FRONT = "no worker can be preferred, and what comes back wakes the front while requests wait"
ABOUT: dict[str, dict[str, Two]] = {
    "pool": {
        "process": (
            "each worker has an interpreter and a core to itself; a crash or a leak of one is its own",
            "the app is in memory once for each process, but for what preload shares",
        ),
        "process with threads": (
            "several interpreters, and in each of them threads that wait at the same time",
            f"{ONE_INTERPRETER}; the app must be thread-safe, and a crash ends all threads of its process",
        ),
        "thread": (
            "the app is in memory once, and a task goes from thread to thread without the kernel",
            f"{ONE_INTERPRETER}; the app must be thread-safe, and a crash ends them all",
        ),
        "process-per-connection": (
            "every client has a process to itself; nothing is left behind by one for the next",
            "a fork for each client: its use is to measure what a pool saves",
        ),
        "thread-per-connection": (
            "every client has a thread to itself",
            "a thread for each client: its use is to measure what a pool saves",
        ),
        "iterative": (
            "nothing is shared and nothing is handed over",
            "one client at a time, and all others wait: its use is to measure what a pool saves",
        ),
    },
    "ownership": {
        REACTIVE: (
            (
                "slow clients hold no worker, no request waits for one worker while another is free, and a dead worker"
                " costs one client a 502 and none its connection"
            ),
            (
                "a connection goes to a worker and back for each request: twice the processor time of a small request"
                " between processes, a quarter more between threads"
            ),
        ),
        ASYNC: (
            "a request costs nothing but itself: the connection is where it is served",
            "a connection is bound to its worker, so short requests wait behind long ones while other workers are free",
        ),
        LEADER: (
            "any thread serves any ready request, without a queue and without a front",
            "the same threads accept and serve: while all are busy, none accepts",
        ),
        REUSE_PORT: (
            "the least that a request can cost: no process accepts for another",
            "the kernel spreads connections without looking at load, and a connection is bound to its worker",
        ),
    },
    "dispatch": {
        "shared-queue": (
            f"{ANY_WORKER}, so none waits while a worker has nothing to do",
            "no worker can be preferred, and nothing kept with one",
        ),
        "least-loaded": (
            "a task goes to the worker with the fewest unfinished ones",
            "the front looks at all workers for each task",
        ),
        "round-robin": (
            "every worker gets the same number of tasks",
            "long tasks pile up on the workers that happen to get them",
        ),
        "random": ("no state at all", "by chance some workers have more to do than others"),
        "power-of-choices": (
            "nearly as even as the least loaded, and only a few workers are looked at",
            "nearly as even, not as even",
        ),
        "leader": ("nothing is dispatched: the leader takes what comes", "the busiest may take one more"),
        "kernel-hash": (
            "the kernel chooses before anything of the server runs",
            "it does not know which workers are busy",
        ),
        "client": (
            "an address meets the same worker, by the kernel",
            "all clients behind one proxy meet the same worker",
        ),
        "cpu": ("a connection stays on the core on which it came", "cores that few packets come to have few clients"),
    },
    "affinity": {
        "request": ("every request may go to any worker", "nothing that a worker remembers helps the next request"),
        "connection": ("the requests of a connection meet the same worker", "they wait for it while others are free"),
        "client": (
            "an address meets the same worker, over all its connections",
            "all clients behind one proxy meet the same worker",
        ),
        "header": (
            "a session meets the worker that knows it, over all its connections; a worker may begin one in an answer",
            "a busy session waits for its worker while others are free; a worker that dies takes its sessions along",
        ),
        "cookie": (
            "a session meets the worker that knows it, over all its connections; a worker may begin one in an answer",
            "a busy session waits for its worker while others are free; a worker that dies takes its sessions along",
        ),
        "path": (
            "what a path begins with meets the worker that has it in its memory",
            "a popular path has one worker",
        ),
    },
}


def room(chosen: Combination) -> str:
    """Where a request goes while the queue is in the front."""
    return FREE_ROOM if chosen.service.asynchronous else FREE_THREAD


def of_shared_queue(chosen: Combination) -> Two:
    """What one queue gives and costs depends on where it is, and on what waits in it."""
    if chosen.queues_in_front:
        none_waits = "" if chosen.service.asynchronous else ", so none waits while a thread is free"
        return (room(chosen) + none_waits, QUEUE_IN_FRONT)
    return ABOUT["dispatch"]["shared-queue"] if chosen.ownership == REACTIVE else QUEUE_OF_CONNECTIONS


def summary(chosen: Combination, workers: int) -> str:
    """The axes in one line."""
    return ", ".join(assembled(chosen, workers))


def steps(topology: Topology, chosen: Combination) -> Iterator[str]:
    """How a request travels, one sentence a step."""
    yield _connect(chosen)
    if any(address.proxy_protocol for address in topology.listen):
        yield "A proxy of proxy_protocol says first who its client is."
    if any(address.tls for address in topology.listen):
        who = "the front" if chosen.ownership == REACTIVE else "the process that has the connection"
        yield f"TLS: {who} makes the handshake, decrypts and encrypts."
    yield from _serving(chosen)
    if chosen.service.app in ("cgi", "static"):
        yield {"cgi": "A program is run for the request.", "static": "The file is sent by the kernel (sendfile)."}[
            chosen.service.app
        ]
    if topology.access_log:
        yield f"A line goes to the access log ({topology.access_log.to})."
    yield _end(chosen)


def _connect(chosen: Combination) -> str:
    by = chosen.shown("dispatch")
    if chosen.ownership == REUSE_PORT:
        return f"A client connects; the kernel puts the connection into the socket of a worker ({by})."
    if chosen.ownership == LEADER:
        led = {
            "kernel": "the kernel wakes one of the workers that wait",
            "file": "the process that has the file lock accepts",
            "mutex": "the thread that has the mutex accepts",
        }[str(chosen.lock)]
        return f"A client connects, and {led}."
    if chosen.ownership == ASYNC and chosen.accept == "worker":
        return f"A client connects; the front tells a worker ({by}), which accepts."
    if chosen.ownership == ASYNC:
        return f"A client connects; the front accepts and hands the connection to a worker ({by})."
    if chosen.ownership == REACTIVE:
        return "A client connects; the front accepts, and the connection stays with it."
    made = {"process-per-connection": "forks a process", "thread-per-connection": "starts a thread"}.get(chosen.pool)
    return f"A client connects; the server accepts{f' and {made} for it' if made else ''}."


def _serving(chosen: Combination) -> Iterator[str]:
    service, by = chosen.service, chosen.shown("dispatch")
    if chosen.ownership == REACTIVE:
        yield "The front reads until a request is whole, head and body."
        where = "an inbox" if chosen.dispatch != "shared-queue" else "the inbox of all workers"
        if chosen.queues_in_front:
            where = room(chosen).removeprefix("a request goes to ")
        keep = {"request": "", "connection": ", where the connection's first one went", "client": ", by its address"}
        keep |= {word: f", by its {word}" for word in ASKED}
        between = "its bytes and the client's descriptor go" if chosen.pool == "process" else "it goes"
        yield f"Then {between} to {where} ({by}{keep[str(chosen.affinity)]})."
        if chosen.queues_in_front:
            yield WAITS_IN_FRONT
        if service.asynchronous:
            yield "The worker takes it beside the others that it works on, and awaits the app."
        elif (chosen.threads or 1) > 1:
            yield (
                "One of its threads takes the request, calls the app, and writes the answer to the client itself."
                " Threads whose requests compute take turns."
            )
        else:
            yield "A worker takes it, calls the app, and writes the answer to the client itself."
        yield "What the client does not take at once goes back to the front, which sends it on."
        return
    who = "The worker" if not chosen.baseline else "It"
    if service.owns_connection:
        yield f"{who} gives the connection to the app, which has it until it returns."
    elif service.asynchronous:
        yield f"{who} reads the head of a request and awaits the app in a task; the body comes as the app takes it."
    elif chosen.shares_connections or (chosen.threads or 1) > 1:
        yield "A request that is ready is served by any thread that is free; it reads, calls the app and writes."
    else:
        yield f"{who} reads a request, calls the app, and writes the answer."


def _end(chosen: Combination) -> str:
    if chosen.ownership == REACTIVE:
        return (
            "The front has the connection again and waits for the next request, which any worker may get."
            if (chosen.affinity == "request")
            else "The front has the connection again and waits for its next request."
        )
    if chosen.pool == "iterative":
        return "When the client leaves, the next one is accepted."
    if chosen.pool in MAKERS:
        return "When the client leaves, what was made for it ends."
    if chosen.shares_connections:
        return "The connection waits in the event set of all threads for its next request."
    return "The connection stays with its worker for its next requests, until it closes."


def designs(chosen: Combination) -> Iterator[str]:
    """The classic designs and servers that it equals, or comes near to."""
    threads = (chosen.threads or 1) > 1
    unp = {
        ("iterative", None, None): "0, the iterative server",
        ("process-per-connection", None, None): "1, a fork for each client",
        ("process", LEADER, "kernel"): "2, preforked, all children in accept",
        ("process", LEADER, "file"): "3, preforked, a file lock around accept",
        ("process", ASYNC, "front"): "5, preforked, descriptor passing",
        ("thread-per-connection", None, None): "6, a thread for each client",
        ("thread", LEADER, "mutex"): "7, prethreaded, a mutex around accept",
        ("thread", ASYNC, "front"): "8, prethreaded, the main thread accepts",
    }.get((chosen.pool, chosen.ownership, chosen.lock or chosen.accept))
    if unp and not threads:
        yield f"Stevens' UNIX Network Programming, chapter 30: design {unp}."
    if chosen.ownership == REACTIVE:
        yield "POSA2: Half-Sync/Half-Reactive, a reactor, a queue and a pool; as the front reads, a simulated Proactor."
    if chosen.ownership == ASYNC:
        yield "POSA2: a variant of Half-Sync/Half-Async; one loop accepts, one in each worker serves."
    if chosen.ownership == LEADER:
        yield "POSA2: Leader/Followers."
    near = _servers(chosen, threads)
    if near:
        yield f"Near to it: {near}."


def _servers(chosen: Combination, threads: bool) -> str:
    pool = "process with threads" if threads else chosen.pool
    return {
        ("process", LEADER): "gunicorn's sync workers, Apache's prefork MPM, nginx without reuseport",
        ("process with threads", LEADER): "gunicorn's gthread workers, Puma's cluster, Apache's worker MPM",
        ("process", REUSE_PORT): "nginx with reuseport, granian",
        ("thread", REACTIVE): "waitress, Puma with one worker",
        ("process with threads", REACTIVE): "Apache's event MPM",
        ("process", ASYNC): "uvicorn with several workers, but for who accepts",
    }.get((pool, str(chosen.ownership)), "")
