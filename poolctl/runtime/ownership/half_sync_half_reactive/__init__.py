"""half-sync/half-reactive: the front owns every connection, reads whole requests, and lends the connection to a worker
for one response (Schmidt et al., POSA2, ch. 5; with the reads in the front, the simulated Proactor of You Shuang's
book, ch. 8).

    client --> front: held connection --> inbox --> executor --> app
                 ^                                      |
                 '------------- returns ----------------'   the response goes straight to the client

The front is a reactor in a process of its own, or in a thread beside the workers (``front_process``, ``front_thread``).
A worker takes one task at a time (``executor``), or many in an event loop (``async_executor``); it has the connection's
descriptor until its response is complete, and never waits for a client.
"""
