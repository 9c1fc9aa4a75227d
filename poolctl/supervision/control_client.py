"""One client of the control socket, as the supervisor sees it: bytes in, bytes out, and a deadline for each.

    ASKING ---a line---> ANSWERING ---the last line---> ENDING ---all sent---> CLOSED
       \\-- too long, too slow, ended without a line: an error as the last line, or CLOSED at once

Nothing here blocks: the socket is non-blocking, and the supervisor polls it for what `interest` says. A client may take
REQUEST_SECONDS to send its line, and WRITE_SECONDS to take everything that waits for it, at most OUT_BYTES; a client
that has read everything may wait for further lines as long as it likes. What it sends after its line is not read.
"""

from __future__ import annotations

import json
import logging
import socket
from enum import Enum
from math import inf
from select import POLLIN, POLLOUT
from typing import Any

from poolctl.supervision.control_socket import Asker

log = logging.getLogger("poolctl")

LINE_BYTES = 65536  # of a request
REQUEST_SECONDS = 5.0
WRITE_SECONDS = 10.0
OUT_BYTES = 4 << 20  # that may wait for one client


class ClientPhase(Enum):
    """What a client is doing."""

    ASKING = "asking"
    ANSWERING = "answering"
    ENDING = "ending"
    CLOSED = "closed"


class ControlClient:
    """One connection. Times are monotonic seconds."""

    def __init__(self, sock: socket.socket, peer: Asker, now: float) -> None:
        sock.setblocking(False)
        self.sock, self.peer, self.phase = sock, peer, ClientPhase.ASKING
        self._received = bytearray()
        self._waiting = bytearray()
        self.deadline = now + REQUEST_SECONDS

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self.sock.fileno()

    def interest(self) -> int:
        """Return the events to poll for. That the client has disconnected is reported in any case (poll(2))."""
        return POLLIN * (self.phase is ClientPhase.ASKING) | POLLOUT * bool(self._waiting)

    def read(self) -> bytes | None:
        """Return the request if its line is complete, with its newline or with end of file; else None.

        Raises:
            ValueError: the line is too long.
        """
        while self.phase is ClientPhase.ASKING:
            try:
                data = self.sock.recv(LINE_BYTES)
            except BlockingIOError:
                return None
            except OSError:
                self.close()
                return None
            self._received += data
            line, newline, _ = self._received.partition(b"\n")
            if len(line) > LINE_BYTES:
                raise ValueError(f"the request is longer than {LINE_BYTES} bytes")
            if newline or (line and not data):
                self.phase, self.deadline = ClientPhase.ANSWERING, inf
                return bytes(line)
            if not data:  # it has asked nothing
                self.close()
        return None

    def send(self, line: dict[str, Any], now: float, last: bool = False) -> None:
        """Send a line of the answer as soon as the client takes it. ``last``: nothing follows, and the connection is
        closed afterwards. A client for which too much waits is disconnected."""
        if self.phase in (ClientPhase.ENDING, ClientPhase.CLOSED):
            return
        data = json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        if len(self._waiting) + len(data) > OUT_BYTES:
            log.warning("disconnected a client of the control socket (%s) that does not read", self.peer)
            self.close()
            return
        if not self._waiting:
            self.deadline = now + WRITE_SECONDS
        self._waiting += data
        self.phase = ClientPhase.ENDING if last else ClientPhase.ANSWERING
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the client takes it now."""
        try:
            while self._waiting:
                del self._waiting[: self.sock.send(self._waiting)]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if self.phase is ClientPhase.ENDING:
            self.close()
        else:
            self.deadline = inf

    def close(self) -> None:
        """Close the connection."""
        self._waiting.clear()
        self.phase, self.deadline = ClientPhase.CLOSED, inf
        self.sock.close()
