"""One poller and handlers with deadlines: the loop that fronts and synchronous workers run.

A handler serves one descriptor. The loop calls it for each event, twice a second to check its timeouts, and once when
the loop drains. An exception from a handler closes that handler only.

    source.py          the interface of a handler
    registrations.py   the handler of each descriptor, and the events that the poller waits for
    farewells.py       clients that are turned away and linger until they have read the refusal
    loop.py            the turns, the boundary around handlers, the drain
"""
