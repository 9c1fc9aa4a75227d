"""One poller and handlers with deadlines: the loop that fronts and synchronous workers run.

A handler stands behind one descriptor; the loop calls it when something happened, twice a second to see whether it has
waited too long, and once when it is time to leave. What a handler raises ends that handler alone.

    source.py          what a handler is
    registrations.py   which handler is behind which descriptor, and what the poller waits for
    farewells.py       clients that are turned away, and linger until they have read why
    loop.py            the turns, the boundary around handlers, the drain
"""
