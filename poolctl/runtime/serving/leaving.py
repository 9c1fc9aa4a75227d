"""Has a client left by a reset? What it has asked for over HTTP is then not executed any more.

Other protocols have messages for which nobody awaits an answer: they are served as long as they can be read. Which of
the two holds is said by conversations and framers (``forgets``).

The kernel keeps what a client sent before its reset, and read(2) gives it out first; that the connection is broken is
known from its events. A client that closed its connection in order is served: over TCP nobody can tell it from one that
only sends no more and waits for its answer.
"""

from __future__ import annotations

from select import poll as new_poll
from typing import Final

from poolctl.runtime.system.poller import ERR, HUP
from poolctl.runtime.task import Peer

BROKEN = ERR | HUP
WAITED: Final = 0.02  # seconds in a queue after which it pays to ask the kernel whether the client is still there
LEFT_EARLY: Final = 499  # in the access log, of a client that left while its request waited; as nginx has it


def left(events: int, peer: Peer) -> bool:
    """Whether these events of a connection say so. A hang-up alone is that of TLS, whose tunnel is closed then; that of
    a client without a port is a unix socket's, which was closed in order."""
    return bool(events & ERR or (events & HUP and peer.client_port))


def state(fd: int) -> int:
    """Those of ERR and HUP that a connection would get as events now."""
    poll = new_poll()
    poll.register(fd, 0)  # an error and a hang-up are reported unasked (poll(2))
    found = poll.poll(0)
    return found[0][1] if found else 0
