"""Listening sockets that systemd has opened, and passes to the process that it starts (sd_listen_fds(3)).

    LISTEN_PID        the process that they are for: an environment is inherited, descriptors of others are not
    LISTEN_FDS        how many there are: descriptors 3, 4, ...
    LISTEN_FDNAMES    their names, separated by colons (FileDescriptorName=); several sockets may share one

systemd keeps them open and listening, whatever the server does with its copies: clients that connect while the server
restarts wait in the queue.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from typing import NamedTuple, Protocol

from poolctl.errors import PoolctlError
from poolctl.similar import similar

log = logging.getLogger("poolctl")

FIRST_FD = 3  # SD_LISTEN_FDS_START
LISTEN_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
UNNAMED = "unknown"  # systemd's name for a socket without one
LISTENING_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


BY_HAND = "--listen tcp://127.0.0.1:8000"


class NamedAddress(Protocol):
    """An address of the topology: ``name`` of a socket that systemd passes, ``fd`` of one of another program."""

    @property
    def scheme(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def fd(self) -> int: ...


class Passed(NamedTuple):
    """One socket that was passed."""

    fd: int
    name: str


class NotPassed(Exception):
    """The sockets cannot be used. ``fix``: what to do about it. ``activated``: whether sockets were passed to this
    process at all."""

    def __init__(self, reason: str, fix: str, *, activated: bool = True) -> None:
        super().__init__(reason)
        self.fix, self.activated = fix, activated


def passed(environment: Mapping[str, str], pid: int) -> list[Passed]:
    """Return the sockets that were passed to this process. Raises NotPassed."""
    number, owner = environment.get("LISTEN_FDS", ""), environment.get("LISTEN_PID", "")
    if not number or not owner:
        missing = "LISTEN_FDS" if not number else "LISTEN_PID"
        fix = f"start it by a socket unit (poolctl export systemd --socket writes one), or run it with {BY_HAND}"
        raise NotPassed(f"no socket was passed ({missing} is not set)", fix, activated=False)
    if owner != str(pid):
        reason = f"the sockets were passed to process {owner} (LISTEN_PID), and poolctl is process {pid}"
        fix = "if a shell script starts poolctl, let it end with: exec poolctl run FILE"
        raise NotPassed(reason, fix, activated=False)
    if not number.isdecimal() or not 0 < int(number) <= 4096:
        raise NotPassed(f"LISTEN_FDS={number} is not a number of sockets", "start it by a socket unit")
    given = environment.get("LISTEN_FDNAMES", "")
    names = given.split(":") if given else []
    names += [UNNAMED] * (int(number) - len(names))
    return [Passed(FIRST_FD + index, names[index]) for index in range(int(number))]


def chosen(name: str, named: Collection[str], every: Sequence[Passed]) -> list[Passed]:
    """Return the sockets of one address: those of its name; without a name those that no other address names.

    ``named``: the names of all addresses of the topology. Raises NotPassed if there is none, and if one of them is not
    a listening stream socket.
    """
    if not every:
        raise NotPassed("no socket was passed", f"start it by a socket unit, or run it with {BY_HAND}")
    found = [each for each in every if (each.name == name if name else each.name not in named)]
    if not found:
        names = sorted({each.name for each in every})
        if not name:
            raise NotPassed(
                "other addresses of the file name all sockets that were passed",
                f"leave this address out, or add a socket to the unit (passed: {', '.join(names)})",
            )
        near = similar(name, names)
        fix = f'did you mean "systemd://{near}"?' if near else f"use one of those that were passed: {', '.join(names)}"
        raise NotPassed(f'no socket named "{name}" was passed', fix)
    for each in found:
        _check(each)
    return found


def _check(given: Passed) -> None:
    """Raise NotPassed unless this is a listening stream socket. The descriptor is left as it is."""
    what = f"descriptor {given.fd} ({given.name})"
    fix = "give the socket unit ListenStream= and Accept=no"
    try:
        sock = socket.socket(fileno=given.fd)
    except OSError as error:
        raise NotPassed(f"{what} is not a socket: {error.strerror}", fix) from None
    try:
        if sock.type != socket.SOCK_STREAM:
            raise NotPassed(f"{what} is not a stream socket", fix)
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise NotPassed(f"{what} is not a listening socket", fix)
        if sock.family not in LISTENING_FAMILIES:
            raise NotPassed(f"{what} is neither a TCP nor a unix socket", fix)
    finally:
        sock.detach()


def take_passed(environment: MutableMapping[str, str]) -> list[Passed]:
    """Return the sockets that were passed to this process; none if there are none. Removes the variables, which are not
    for the app, and has the sockets closed in programs that the app starts."""
    try:
        found = passed(environment, os.getpid())
    except NotPassed:
        found = []  # an address that needs one says why
    for variable in LISTEN_VARIABLES:
        environment.pop(variable, None)
    for each in found:
        with contextlib.suppress(OSError):  # not an open descriptor, which is reported where it is used
            os.set_inheritable(each.fd, False)
    return found


def open_passed(name: str, named: Collection[str], backlog: int, every: Sequence[Passed]) -> list[socket.socket]:
    """Return the sockets of one address, with the topology's backlog. They are copies: another address may take the
    same socket after a reload. Raises PoolctlError with the reason and a fix."""
    try:
        found = chosen(name, named, every)
    except NotPassed as error:
        shown = f"systemd://{name}" if name else "systemd"
        raise PoolctlError(f"cannot listen on {shown}: {error}; {error.fix}") from None
    sockets = []
    for each in found:
        sock = socket.socket(fileno=os.dup(each.fd))
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Linux: inherited by accepted sockets
        sock.listen(backlog)  # systemd keeps it over several runs, and the stop of each sets its queue to 0
        sockets.append(sock)
    return sockets


def report_unused(every: Sequence[Passed], addresses: Sequence[NamedAddress]) -> None:
    """Log the sockets that no address has: their clients would wait in vain."""
    taken = {address.name for address in addresses if address.scheme == "systemd"}
    fds = {address.fd for address in addresses}
    for each in every:
        if "" not in taken and each.name not in taken and each.fd not in fds:
            log.warning("systemd passed a socket named %s, which no address of the topology uses", each.name)
