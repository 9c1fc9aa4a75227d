"""What a front tells about its queue, in memory that the supervisor reads: names and numbers that need no cell.

    front -- once a second --> [ count | length | JSON ] <-- read when somebody asks for the status

The count is odd while the front writes, and differs when it has written meanwhile, so a reader that finds either reads
again (a seqlock: Lameter, "Effective Synchronization on Linux/NUMA Systems", 2005). A front that was killed while it
wrote leaves an odd count, and its successor goes on from there.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final

NOTES_BYTES: Final = 65536  # of memory
HEAD_OF_NOTES: Final = struct.Struct("=QQ")
ATTEMPTS: Final = 100  # to read what is not being written


class FrontNotes:
    """The notes in this memory of NOTES_BYTES."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory

    def write(self, notes: dict[str, Any]) -> bool:
        """Replace the notes. Returns False if they are too long, and leaves the old ones."""
        data = json.dumps(notes, separators=(",", ":")).encode()
        if len(data) > NOTES_BYTES - HEAD_OF_NOTES.size:
            return False
        count = HEAD_OF_NOTES.unpack_from(self._memory)[0] | 1
        HEAD_OF_NOTES.pack_into(self._memory, 0, count, len(data))
        self._memory[HEAD_OF_NOTES.size : HEAD_OF_NOTES.size + len(data)] = data
        HEAD_OF_NOTES.pack_into(self._memory, 0, count + 1, len(data))
        return True

    def read(self) -> dict[str, Any]:
        """Return the notes; empty if there are none, or if the front has died while it wrote them."""
        for _ in range(ATTEMPTS):
            before, length = HEAD_OF_NOTES.unpack_from(self._memory)
            data = bytes(self._memory[HEAD_OF_NOTES.size : HEAD_OF_NOTES.size + length])
            if before % 2 == 0 and HEAD_OF_NOTES.unpack_from(self._memory)[0] == before:
                found: dict[str, Any] = json.loads(data) if data else {}
                return found
        return {}
