"""Workers that tell the front which sessions they have begun, before their clients can come back with them.

    app -- head of a response --> Learning.send -- named --> tell --> the front's router: key -> this worker's inbox
                                        +-- bytes --> the client

Only where the affinity learns: then the class of what a worker sends by is one of these. The front looks here after
each wait, before it looks at clients, so it knows a session before the client's next request.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.buffers.outbound import Sending

INDEX = struct.Struct("<H")  # of the inbox, before the key
MESSAGE = INDEX.size + 2048  # bytes: a bounded key in UTF-8 is shorter


def learning(kind: type[Any], affinity: Affinity, tell: Callable[[str], None]) -> type[Any]:
    """A class like ``kind``, one of Sending's, that looks at the head of each response."""

    class Learning(kind):  # type: ignore[misc]  # which of them is known when a worker starts
        __slots__ = ()

        def send(self: Sending, data: bytes) -> None:
            if not self.began:
                for key in affinity.named(data):
                    tell(key)
            kind.send(self, data)

    return Learning
