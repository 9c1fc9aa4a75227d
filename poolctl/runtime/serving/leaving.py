"""Has a client left with a reset? Its waiting HTTP requests are then not executed.

Other protocols have messages that expect no response: they are served as long as they can be read. Conversations and
framers say which of the two applies (``forgets``).

The kernel keeps the bytes that a client sent before its reset, and read(2) returns them first; only events show that
the connection is broken. A client that closed its connection in order is served: over TCP it cannot be told from one
that has only ended its sending side and waits for its response.
"""

from __future__ import annotations

from typing import Final

from poolctl.runtime.system.poller import ERR, HUP
from poolctl.runtime.task import Peer

BROKEN: Final = ERR | HUP
WAITED_SECONDS: Final = 0.02  # seconds of waiting after which it pays to ask the kernel whether the client has left
LEFT_EARLY: Final = 499  # status in the access log if a client left while its request waited, as in nginx


def left(events: int, peer: Peer) -> bool:
    """Whether these events of a connection mean a reset: an error, or a hang-up alone, which a TLS tunnel that was
    closed reports. A hang-up of a client without a port is a unix socket that was closed in order."""
    return bool(events & ERR or (events & HUP and peer.client_port))
