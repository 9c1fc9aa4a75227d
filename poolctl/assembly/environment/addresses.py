"""Whether the listening addresses can be had, and who has them."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from poolctl.config.address import Address
from poolctl.config.diagnostic import Diagnostic, Place
from poolctl.runtime.bind import bind_tcp, held_by_nobody

if TYPE_CHECKING:
    from poolctl.assembly.judge import Judgement


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """One finding for each address that cannot be had."""
    topology, tree = judgement.topology, judgement.tree
    assert topology is not None
    for index, address in enumerate(topology.listen):
        path: tuple[str | int, ...] = ("listen", index) if tree.has(("listen", index)) else ("listen",)
        if tree.has((*path, "at")):
            path = (*path, "at")
        place = tree.at_value(path) if tree.has(("listen",)) else tree.at_value(("app",))
        finding = _judged(address, place, topology.name)
        if finding is not None:
            yield finding


def _judged(address: Address, place: Place, name: str) -> Diagnostic | None:
    try:
        if address.scheme == "tcp":
            bind_tcp(address.host, address.port).close()
        elif address.scheme == "unix":
            return _unix(address, place, name)
        else:
            _descriptor(address.fd)
    except OSError as error:
        return _refused(address, place, name, error)
    return None


def _refused(address: Address, place: Place, name: str, error: OSError) -> Diagnostic:
    message = f"cannot listen on {address}: {error.strerror or error}"
    if error.errno == errno.EADDRINUSE:
        return _in_use(address, place, name)
    if isinstance(error, PermissionError):
        mend = "choose a port from 1024 up, or run with the capability CAP_NET_BIND_SERVICE"
        return Diagnostic("PC402", message, place, mend)
    if isinstance(error, socket.gaierror):
        return Diagnostic("PC403", message, place, f'"{address.host}" has no address here: check the name')
    if error.errno == errno.EADDRNOTAVAIL:
        return Diagnostic(
            "PC403", message, place, "no interface of this host has it; all of them are tcp://0.0.0.0:PORT"
        )
    if address.scheme == "fd":
        mend = "whoever starts poolctl has to leave a listening socket open under this number"
        return Diagnostic("PC405", message, place, mend)
    return Diagnostic("PC403", message, place, "check the address")


def _in_use(address: Address, place: Place, name: str) -> Diagnostic:
    from poolctl.assembly.environment.holder import holder_of  # only who is turned away asks who is there

    holder = holder_of(address)
    if holder is not None and holder.title == f"poolctl: supervisor {name}":
        message = f"{address} is held by the {name} that runs already, process {holder.pid}"
        mend = "it stays where it is; a second one could not start beside it"
        return Diagnostic("PC401", message, place, mend, severity="note")
    who = f"process {holder.pid} ({holder.title}) listens there" if holder else "another process has it"
    mend = "stop it, or choose another address"
    return Diagnostic("PC401", f"cannot listen on {address}: {who}", place, mend)


def _unix(address: Address, place: Place, name: str) -> Diagnostic | None:
    path, folder = address.path, os.path.dirname(address.path)
    if not os.path.isdir(folder):
        return Diagnostic("PC404", f"cannot listen on {address}: there is no folder {folder}", place, "make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        message = f"cannot listen on {address}: this user may not write to {folder}"
        return Diagnostic("PC404", message, place, "let this user write to the folder, or choose another path")
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            message = f"cannot listen on {address}: what is there is not a socket"
            return Diagnostic("PC404", message, place, "move it away, or choose another path")
        if not held_by_nobody(path):
            return _in_use(address, place, name)
    except FileNotFoundError:
        pass  # the usual case: nothing is there yet
    return _owner(address, place)


def _owner(address: Address, place: Place) -> Diagnostic | None:
    if not address.owner and not address.group:
        return None
    from poolctl.errors import PoolctlError
    from poolctl.runtime.identity import group_number, user_number

    try:
        if address.owner:
            user_number(address.owner, f"listen {address}: owner")
        if address.group:
            group_number(address.group, f"listen {address}: group")
    except PoolctlError as error:
        return Diagnostic("PC420", str(error), place, "create it, or name another")
    return None


def _descriptor(fd: int) -> None:
    """Raises OSError where it is no listening socket. It stays its opener's."""
    sock = socket.socket(fileno=fd)
    try:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError("it is not a listening socket")
    finally:
        sock.detach()
