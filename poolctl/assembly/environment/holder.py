"""The process that listens on an address, from the kernel's tables (proc(5): /proc/net) and the descriptors of
processes.

Without root only the user's own processes can be inspected, and other systems than Linux have no such tables.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import NamedTuple

from poolctl.config.address import Address

LISTENING = "0A"  # net/tcp_states.h
ACCEPTING = 0x10000  # net.h, of /proc/net/unix: __SO_ACCEPTCON
TITLE = 60  # characters of a command line that are shown
PROCESSES = 100_000


class PortHolder(NamedTuple):
    """The process that holds an address.

    ``pid`` is 0 for a process of another user, which only root can inspect. ``title`` is its command line, which
    programs may change. ``user`` is a number.
    """

    pid: int
    title: str
    user: int


def holder_of(address: Address) -> PortHolder | None:
    """The process that listens on an address; None when it cannot be determined."""
    try:
        users = _unix(address.path) if address.scheme == "unix" else _tcp(address)
    except OSError:
        return None
    if not users:
        return None
    seen = _process(set(users))
    others = [user for user in users.values() if user != os.geteuid()]
    return seen or (PortHolder(0, "", others[0]) if others else None)


def _tcp(address: Address) -> dict[str, int]:
    """The inodes of the listening sockets on this port that overlap with the address, with their users."""
    numbers = socket.getaddrinfo(
        address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )
    hosts = {found[4][0] for found in numbers}
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(table) as file:
            for line in file.read().splitlines()[1:]:
                fields = line.split()
                host, _, port = fields[1].partition(":")
                if fields[3] == LISTENING and int(port, 16) == address.port and _overlaps(host, hosts):
                    found[fields[9]] = int(fields[7])
    return found


def _overlaps(hexadecimal: str, hosts: set[str | int]) -> bool:
    if not hexadecimal.strip("0"):
        return True
    family = socket.AF_INET if len(hexadecimal) == 8 else socket.AF_INET6
    numbers = [int(hexadecimal[at : at + 8], 16) for at in range(0, len(hexadecimal), 8)]
    words = [number.to_bytes(4, sys.byteorder) for number in numbers]
    shown = socket.inet_ntop(family, b"".join(words))
    return shown in hosts or bool(hosts & {"0.0.0.0", "::"}) or shown.removeprefix("::ffff:") in hosts


def _unix(path: str) -> dict[str, int]:
    """The inodes of the listening sockets at a path, with the owner of the file, as the table has no users."""
    found, owner = {}, os.stat(path).st_uid
    with open("/proc/net/unix") as file:
        for line in file.read().splitlines()[1:]:
            fields = line.split(None, 7)
            if len(fields) == 8 and fields[7] == path and int(fields[3], 16) & ACCEPTING:
                found[fields[6]] = owner
    return found


def _process(inodes: set[str]) -> PortHolder | None:
    """The process that has one of these sockets open; the oldest of several, from which the others inherited it."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    seen = []
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit())[:PROCESSES]:
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            folder = f"/proc/{pid}/fd"
            if any(_link(f"{folder}/{fd}") in wanted for fd in os.listdir(folder)):
                seen.append((_started(pid), PortHolder(pid, _title(pid), os.stat(f"/proc/{pid}").st_uid)))
    return min(seen)[1] if seen else None


def _started(pid: int) -> int:
    """The start time in clock ticks (proc(5): /proc/PID/stat, field 22), as PIDs wrap around."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""  # it has been closed


def _title(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        title = file.read(4096).replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return title if len(title) <= TITLE else f"{title[: TITLE - 3]}..."
