"""The listening sockets that are open when a configuration is made, by address: those of the configuration before it,
in this process, or in the supervisor that an upgrade replaces. Addresses that both have keep theirs."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from poolctl.config.address import Address
from poolctl.errors import PoolctlError
from poolctl.runtime.listen.activation import Passed

RESTART = "stop the server and start it again"


@dataclass(frozen=True)
class OpenSocket:
    """The sockets of one address. ``grouped``: opened as a group, one for each worker (SO_REUSEPORT); ``file``: mode,
    owner and group of a unix socket's file."""

    at: str
    grouped: bool
    file: tuple[int | None, str, str]
    sockets: list[socket.socket]

    @classmethod
    def of(cls, address: Address, sockets: list[socket.socket], *, grouped: bool) -> OpenSocket:
        """Return the sockets of an address."""
        return cls(str(address), grouped, (address.mode, address.owner, address.group), sockets)


class OpenSockets:
    """The sockets that are open; each is taken once. ``passed``: what systemd has passed to the server's first
    process."""

    def __init__(self, opened: Sequence[OpenSocket] = (), passed: Sequence[Passed] = ()) -> None:
        self._opened = list(opened)
        self._every = [sock for each in opened for sock in each.sockets]
        self.passed = list(passed)

    def take(self, address: Address, *, grouped: bool) -> list[socket.socket] | None:
        """Return the sockets of this address; None if it is not open. ``grouped``: they are to be a group.

        Raises PoolctlError if it is open in a way that cannot be changed.
        """
        found = next((each for each in self._opened if each.at == str(address)), None)
        if found is None:
            return None
        self._opened.remove(found)
        if found.grouped != grouped:
            reason = "under reuse-port it is a group of sockets (SO_REUSEPORT), which an open one cannot join or leave"
            raise PoolctlError(f"cannot go on listening on {address}: {reason}: {RESTART}")
        if found.file != (address.mode, address.owner, address.group):
            reason = "the file of an open socket keeps its mode, owner and group"
            raise PoolctlError(f"cannot go on listening on {address}: {reason}: {RESTART}")
        return found.sockets

    def close_all_but(self, taken: Sequence[socket.socket]) -> None:
        """Close this process's copies of all that were not taken."""
        for sock in self._every:
            if sock not in taken:
                sock.close()
        self._opened.clear()

    # between processes

    def bequest(self) -> tuple[dict[str, Any], set[int]]:
        """Return these sockets as JSON, and their descriptors."""
        opened = []
        fds = {each.fd for each in self.passed}
        for each in self._opened:
            numbers = [sock.fileno() for sock in each.sockets]
            opened.append({"at": each.at, "grouped": each.grouped, "file": each.file, "fds": numbers})
            fds.update(numbers)
        return {"listen": opened, "passed": [[each.fd, each.name] for each in self.passed]}, fds

    @classmethod
    def received(cls, bequest: dict[str, Any]) -> Self:
        """Return the sockets that another process has bequeathed to this one."""
        opened = []
        for each in bequest["listen"]:
            sockets = [socket.socket(fileno=fd) for fd in each["fds"]]
            opened.append(OpenSocket(each["at"], each["grouped"], tuple(each["file"]), sockets))
        return cls(opened, [Passed(fd, name) for fd, name in bequest["passed"]])
