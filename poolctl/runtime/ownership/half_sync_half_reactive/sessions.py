"""Workers tell the front which sessions they have begun, before the clients can come back with them.

    app -- head of a response --> Sessions.first -- tell --> the front's router: key -> this worker's inbox
                                        +-- then its bytes --> the client

Only if the affinity learns. After each wait the front reads these messages before it reads from clients, so it knows a
session before the client's next request.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from poolctl.runtime.affinity import Affinity

INDEX = struct.Struct("<H")  # index of the inbox, before the key
SESSION_BYTES = INDEX.size + 2048  # bytes: a bounded key in UTF-8 is shorter


class Sessions:
    """Observes the outputs of one worker. ``tell``: called with the key of each session that a response begins."""

    __slots__ = ("_affinity", "_tell")

    def __init__(self, affinity: Affinity, tell: Callable[[str], None]) -> None:
        self._affinity = affinity
        self._tell = tell

    def first(self, data: bytes) -> None:
        """Tell the front the sessions in the head of a response."""
        for key in self._affinity.named(data):
            self._tell(key)

    def more(self, count: int) -> None:
        """Do nothing: a body names no session."""
