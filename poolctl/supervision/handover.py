"""What a supervisor and the one that replaces it in an upgrade say to each other.

    old --state, JSON in a memory file--> new     the variable names its descriptor, and it names all others
    old <--------- messages ------------> new     a pair of sockets; each message is an object in JSON, and whole

    new: generation   a mold has been forked: `number`, `pid`, and beside the message its presence pipe (generation.py)
    new: serves       one of its workers is ready
    new: ready        its first generation is
    new: failed       before `taken`: `exit` and `text`
    old: take         the state has been written anew, with the latest events and figures
    new: taken        control socket and PID file are its own; `listening`: the descriptors that it goes on with;
                      `version`: what it runs, for people
    old: alone        the service manager knows the new main process
    old: event        something happened in the old one, which drains
    old: ended        the old one has drained, with its last figures
    new: kill         a second signal, or the deadline of a stop: cut off what still drains

Both ends ignore kinds and keys that they do not know. A change that breaks the other end gets a new VERSION, which the
new one refuses: old and new are versions of poolctl, and either may be the older one.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any, NamedTuple

from poolctl.runtime.system.channel import CHANNEL_TYPE, CONTROL_BYTES, LEVEL, RIGHTS, descriptors, pair

VERSION = 1
VARIABLE = "POOLCTL_TAKEOVER"
STATE_BYTES = 1 << 24  # of a state; its events have at most a megabyte
HANDOVER_BYTES = 1 << 17
FAILURE_CHARACTERS = 20_000  # of a failure; the end of a longer one is kept
CLOSE_IN_PROGRAMS = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))  # Linux
SEND_SECONDS = 1.0  # that the other end has to take a message that must arrive


class Message(NamedTuple):
    """One message. ``fd``: the descriptor beside it; -1: none."""

    kind: str
    values: dict[str, Any]
    fd: int = -1


class Link:
    """One end of the pair. ``ended``: the other end is closed, so its process has ended."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.ended = False

    @classmethod
    def pair(cls) -> tuple[Link, Link]:
        """Return two connected ends. Raises OSError."""
        one, other = pair(CHANNEL_TYPE)
        return cls(one), cls(other)

    def fileno(self) -> int:
        """Return the descriptor; -1 once it is closed."""
        return self._sock.fileno()

    @property
    def watched(self) -> list[int]:
        """The descriptor, if messages may come."""
        return [] if self.ended or self.fileno() < 0 else [self.fileno()]

    def send(self, kind: str, /, fd: int = -1, *, wait: bool = True, **values: Any) -> bool:
        """Send a message. Returns False if the other end is gone, or takes none. ``wait``: for up to SEND_SECONDS."""
        if self.fileno() < 0:
            return False
        beside = [(LEVEL, RIGHTS, fd.to_bytes(4, "little"))] if fd >= 0 else []
        self._sock.settimeout(SEND_SECONDS if wait else 0)
        try:
            self._sock.sendmsg([json.dumps({"kind": kind, **values}).encode()], beside)
        except OSError:
            return False
        return True

    def receive(self) -> list[Message]:
        """Return the messages that have arrived, without waiting."""
        found: list[Message] = []
        while self.watched:
            self._sock.settimeout(0)
            try:
                data, beside, _, _ = self._sock.recvmsg(HANDOVER_BYTES, CONTROL_BYTES, CLOSE_IN_PROGRAMS)
            except BlockingIOError:
                break
            except OSError:
                data, beside = b"", []
            fds = descriptors(beside)
            if not data:
                self.ended = True
                break
            values = json.loads(data)
            found.append(Message(values.pop("kind"), values, fds[0] if fds else -1))
        return found

    def close(self) -> None:
        """Close this end."""
        self._sock.close()


def write_state(fd: int, state: dict[str, Any]) -> None:
    """Write a state in place of an earlier one. Raises OSError."""
    data = json.dumps({"poolctl": VERSION, **state}).encode()
    os.ftruncate(fd, 0)
    os.pwrite(fd, data, 0)


def read_state(fd: int) -> dict[str, Any]:
    """Return a state. Raises OSError, and ValueError with the reason if it cannot be used."""
    state = json.loads(os.pread(fd, STATE_BYTES, 0))
    version = state.get("poolctl") if isinstance(state, dict) else None
    if version != VERSION:
        reason = f"the running server hands over in version {version!r:.20}, and this poolctl knows version {VERSION}"
        raise ValueError(f"{reason}: stop it and start the new one")
    return dict(state)
