"""half-sync/half-async: the front accepts, chooses a worker, and hands the connection over for good (Schmidt et al.,
POSA2, ch. 5).

    client --> front --> inbox --> arrivals --> the worker's loop, which serves the connection until it ends

The front never reads more than a strategy has to look at; from the hand-over on, the connection is the worker's.
"""
