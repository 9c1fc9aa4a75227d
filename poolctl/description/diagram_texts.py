"""The texts of a diagram: what each choice gives and costs, and the steps of a request. The figures are those of
docs/performance.md.

The file is long because it is mostly a table of texts.
"""

from __future__ import annotations

from collections.abc import Iterator

from poolctl.assembly.describe import assembled
from poolctl.assembly.fitting.combination import ASKED, ASYNC, LEADER, QUEUES, REACTIVE, REUSE_PORT, Combination
from poolctl.config.model import Topology
from poolctl.description.sentences import ANY_WORKER, FREE_ROOM, FREE_THREAD, ONE_INTERPRETER, WAITS_IN_FRONT

MAKERS = ("process-per-connection", "thread-per-connection")

FRONT = {
    REACTIVE: "owns the connections; reads complete requests and lends each to a worker",
    f"{ASYNC}, accept front": "accepts, and passes each connection to a worker",
    f"{ASYNC}, accept worker": "watches, and notifies a worker when a connection is waiting",
}
WORKER = {
    REACTIVE: "borrows a connection for one request at a time",
    ASYNC: "owns its connections until they close",
    LEADER: "takes turns at accepting, and serves the connections that it accepted",
    REUSE_PORT: "accepts from its own socket, and serves the connections that it accepted",
}
ACCEPTS = {
    REACTIVE: "accepts",
    ASYNC: "accepts",
    LEADER: "the leader accepts",
    REUSE_PORT: "the kernel chooses the socket",
    "process-per-connection": "accepts",
    "thread-per-connection": "accepts",
    "iterative": "accepts",
}

TradeOff = tuple[str, str]  # what a choice gives, and what it costs

LEADING_PROCESSES: TradeOff = (
    "nothing stands between a client and its worker, and accepting needs no extra process",
    "a connection stays with the worker that accepted it: its requests wait behind a long one while others are free",
)
QUEUE_OF_CONNECTIONS: TradeOff = (
    "any free worker takes the oldest connection",
    "a worker keeps its connections until they close, so some workers have many connections and others few",
)
QUEUE_IN_FRONT = "no worker can be preferred, and returning connections wake the front while requests wait"
ABOUT: dict[str, dict[str, TradeOff]] = {
    "pool": {
        "process": (
            "each worker has its own interpreter and core; a crash or a leak affects only that worker",
            "each process has its own copy of the app in memory, except for what preload shares",
        ),
        "process with threads": (
            "several interpreters, each with threads that can wait at the same time",
            f"{ONE_INTERPRETER}; the app must be thread-safe, and a crash ends all threads of its process",
        ),
        "thread": (
            "one copy of the app in memory, and tasks pass between threads without the kernel",
            f"{ONE_INTERPRETER}; the app must be thread-safe, and a crash ends all threads",
        ),
        "process-per-connection": (
            "each client has its own process, which leaves nothing behind for the next",
            "a fork per client; useful to measure what a pool saves",
        ),
        "thread-per-connection": (
            "each client has its own thread",
            "a new thread per client; useful to measure what a pool saves",
        ),
        "iterative": (
            "nothing is shared and nothing is handed over",
            "one client at a time while all others wait; useful to measure what a pool saves",
        ),
    },
    "ownership": {
        REACTIVE: (
            (
                "slow clients block no worker, no request waits for one worker while another is free, and a worker that"
                " dies costs one client a 502 and no client its connection"
            ),
            (
                "a connection travels to a worker and back for each request: twice the CPU time of a small request"
                " between processes, a quarter more between threads"
            ),
        ),
        ASYNC: (
            "no overhead per request: the worker that serves a request owns its connection",
            "a connection is bound to its worker, so short requests wait behind long ones while other workers are free",
        ),
        LEADER: (
            "any thread serves any ready request, without a queue and without a front",
            "the same threads accept and serve, so while all are busy none accepts",
        ),
        REUSE_PORT: (
            "the lowest cost per request: no process accepts for another",
            "the kernel spreads connections regardless of load, and a connection is bound to its worker",
        ),
    },
    "dispatch": {
        "shared-queue": (
            f"{ANY_WORKER}, so none waits while a worker is idle",
            "no worker can be preferred, and tasks cannot be kept with one worker",
        ),
        "size-aware": (
            "short requests go first, and workers are kept free for them; which are short is learned from each route",
            "long requests wait longer, and a worker may idle while they do",
        ),
        "least-loaded": (
            "a task goes to the worker with the fewest unfinished ones",
            "the front examines all workers for each task",
        ),
        "round-robin": (
            "every worker gets the same number of tasks",
            "long tasks pile up on the workers that happen to get them",
        ),
        "random": ("no state at all", "by chance some workers have more to do than others"),
        "power-of-choices": (
            "nearly as even as least-loaded, while examining only a few workers",
            "nearly as even, but not quite",
        ),
        "leader": ("nothing is dispatched: the leader takes the next task", "even the busiest worker may take another"),
        "kernel-hash": (
            "the kernel chooses before any code of the server runs",
            "it does not know which workers are busy",
        ),
        "client": (
            "the kernel sends each address to the same worker",
            "all clients behind one proxy reach the same worker",
        ),
        "cpu": ("a connection stays on the core that it arrived on", "cores that receive few packets have few clients"),
    },
    "affinity": {
        "request": ("any request may go to any worker", "what a worker remembers does not help the next request"),
        "connection": (
            "all requests of a connection reach the same worker",
            "they wait for that worker while others are free",
        ),
        "client": (
            "all connections from an address reach the same worker",
            "all clients behind one proxy reach the same worker",
        ),
        "header": (
            "a session reaches the worker that knows it, on any connection; a worker may start one in its response",
            "a busy session waits for its worker while others are free; a worker that dies loses its sessions",
        ),
        "cookie": (
            "a session reaches the worker that knows it, on any connection; a worker may start one in its response",
            "a busy session waits for its worker while others are free; a worker that dies loses its sessions",
        ),
        "path": (
            "requests with the same path prefix reach the worker that has the data in memory",
            "a popular path has a single worker",
        ),
    },
}

FOUND_LIMIT = "The front finds how many a worker should have at once, from how long they take (concurrency: auto)."


def room(chosen: Combination) -> str:
    """Return where a request goes when the queue is in the front."""
    return FREE_ROOM if chosen.service.asynchronous else FREE_THREAD


def of_shared_queue(chosen: Combination) -> TradeOff:
    """Return the trade-off of the shared queue, which depends on where it is and on what waits in it."""
    if chosen.queues_in_front:
        none_waits = "" if chosen.service.asynchronous else ", so none waits while a thread is free"
        return (room(chosen) + none_waits, QUEUE_IN_FRONT)
    return ABOUT["dispatch"]["shared-queue"] if chosen.ownership == REACTIVE else QUEUE_OF_CONNECTIONS


def summary(chosen: Combination, workers: int) -> str:
    """Return the axes on one line."""
    return ", ".join(assembled(chosen, workers))


def steps(topology: Topology, chosen: Combination) -> Iterator[str]:
    """Yield the steps of a request, one sentence each."""
    yield _connect(chosen)
    if any(address.proxy_protocol for address in topology.listen):
        yield "A proxy listed in proxy_protocol first states its client's address."
    if any(address.tls for address in topology.listen):
        process = "the front" if chosen.ownership == REACTIVE else "the process that owns the connection"
        yield f"TLS: {process} does the handshake, decrypts and encrypts."
    yield from _serving(chosen)
    if chosen.service.app in ("cgi", "static"):
        yield {"cgi": "A program is run for the request.", "static": "The kernel sends the file (sendfile)."}[
            chosen.service.app
        ]
    if topology.access_log:
        yield f"A line is written to the access log ({topology.access_log.to})."
    yield _end(chosen)


def _connect(chosen: Combination) -> str:
    by = chosen.shown("dispatch")
    if chosen.ownership == REUSE_PORT:
        return f"A client connects; the kernel puts the connection into the socket of a worker ({by})."
    if chosen.ownership == LEADER:
        led = {
            "kernel": "the kernel wakes one of the waiting workers",
            "file": "the process that holds the file lock accepts",
            "mutex": "the thread that holds the mutex accepts",
        }[str(chosen.lock)]
        return f"A client connects, and {led}."
    if chosen.ownership == ASYNC and chosen.accept == "worker":
        return f"A client connects; the front notifies a worker ({by}), which accepts."
    if chosen.ownership == ASYNC:
        return f"A client connects; the front accepts and hands the connection to a worker ({by})."
    if chosen.ownership == REACTIVE:
        return "A client connects; the front accepts, and the connection stays with it."
    made = {"process-per-connection": "forks a process", "thread-per-connection": "starts a thread"}.get(chosen.pool)
    return f"A client connects; the server accepts{f' and {made} for it' if made else ''}."


def _serving(chosen: Combination) -> Iterator[str]:
    service, by = chosen.service, chosen.shown("dispatch")
    if chosen.ownership == REACTIVE:
        yield "The front reads until the request is complete, head and body."
        where = "an inbox" if chosen.dispatch not in QUEUES else "the inbox of all workers"
        if chosen.queues_in_front:
            where = room(chosen).removeprefix("a request goes to ")
        keep = {"request": "", "connection": ", where the connection's first one went", "client": ", by its address"}
        keep |= {word: f", by its {word}" for word in ASKED}
        between = "its bytes and the client's descriptor go" if chosen.pool == "process" else "it goes"
        yield f"Then {between} to {where} ({by}{keep[str(chosen.affinity)]})."
        if chosen.queues_in_front:
            yield WAITS_IN_FRONT
        if service.asynchronous:
            yield "The worker serves it concurrently with its other requests, and awaits the app."
            if service.adapts:
                yield FOUND_LIMIT
        elif (chosen.threads or 1) > 1:
            yield (
                "One of its threads takes the request, calls the app, and writes the response to the client itself."
                " Threads whose requests compute take turns."
            )
        else:
            yield "A worker takes it, calls the app, and writes the response to the client itself."
        yield "What the client does not read immediately goes back to the front, which sends the rest."
        return
    server = "The worker" if not chosen.baseline else "It"
    if service.owns_connection:
        yield f"{server} gives the connection to the app, which owns it until it returns."
    elif service.asynchronous:
        yield f"{server} reads the head of a request and awaits the app in a task; the app receives the body in parts."
    elif chosen.shares_connections or (chosen.threads or 1) > 1:
        yield "Any free thread serves a request that is ready: it reads, calls the app, and writes the response."
    else:
        yield f"{server} reads a request, calls the app, and writes the response."


def _end(chosen: Combination) -> str:
    if chosen.ownership == REACTIVE:
        return (
            "The front owns the connection again and waits for the next request, which any worker may get."
            if (chosen.affinity == "request")
            else "The front owns the connection again and waits for its next request."
        )
    if chosen.pool == "iterative":
        return "When the client disconnects, the next one is accepted."
    if chosen.pool in MAKERS:
        ended = "process" if chosen.pool == "process-per-connection" else "thread"
        return f"When the client disconnects, its {ended} ends."
    if chosen.shares_connections:
        return "The connection waits in the event set of all threads for its next request."
    return "The connection stays with its worker for its next requests, until it closes."


def designs(chosen: Combination) -> Iterator[str]:
    """Yield the classic designs that it is equivalent to, and the servers that it is close to."""
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
        yield "POSA2: a variant of Half-Sync/Half-Async; one loop accepts, and a loop in each worker serves."
    if chosen.ownership == LEADER:
        yield "POSA2: Leader/Followers."
    near = _servers(chosen, threads)
    if near:
        yield f"Close to it: {near}."


def _servers(chosen: Combination, threads: bool) -> str:
    pool = "process with threads" if threads else chosen.pool
    return {
        ("process", LEADER): "gunicorn's sync workers, Apache's prefork MPM, nginx without reuseport",
        ("process with threads", LEADER): "gunicorn's gthread workers, Puma's cluster, Apache's worker MPM",
        ("process", REUSE_PORT): "nginx with reuseport, granian",
        ("thread", REACTIVE): "waitress, Puma with one worker",
        ("process with threads", REACTIVE): "Apache's event MPM",
        ("process", ASYNC): "uvicorn with several workers, except that those accept by themselves",
    }.get((pool, str(chosen.ownership)), "")
