"""half-sync/half-async: the front accepts, chooses a worker, and hands the connection over for good (Schmidt et al.,
POSA2, ch. 5).

    client --> front --> inbox --> arrivals --> the worker's loop, which serves the connection until it ends

The front never reads from a connection; after the hand-over the connection belongs to the worker.
"""
