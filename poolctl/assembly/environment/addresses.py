"""Checks whether the listening addresses are available, and finds the process that has them."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Literal

from poolctl.config.address import Address
from poolctl.config.diagnostic import Diagnostic, Label, Place
from poolctl.runtime.system.bind import bind_tcp, held_by_nobody

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement

Bound = tuple[str, int, bool]  # numeric host and port; whether it is dual-stack: all IPv6 and IPv4 addresses


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """Yields a finding for each address that is not available."""
    topology, tree = judgement.topology, judgement.tree
    assert topology is not None
    assert judgement.combination is not None
    held: list[tuple[Bound, Place]] = []
    named = {address.name for address in topology.listen if address.name}
    for index, address in enumerate(topology.listen):
        path: tuple[str | int, ...] = ("listen", index) if tree.has(("listen", index)) else ("listen",)
        at = (*path, "at") if tree.has((*path, "at")) else path
        place = tree.at_value(at) if tree.has(("listen",)) else tree.at_value(("app",))
        try:
            finding, bound = _try(address, place, topology.name, named)
        except (OSError, ValueError) as error:  # an invalid host name raises UnicodeError
            finding, bound = _refused(address, place, topology.name, error), None
        if finding is None and address.scheme == "unix":
            finding = _owner(address, tree.at_value((*path, "owner")), tree.at_value((*path, "group")))
        if finding is None and bound is not None and judgement.combination.ownership != "reuse-port":
            finding = _conflict(address, bound, place, held)
            held.append((bound, place))
        if finding is not None:
            yield finding


def _try(address: Address, place: Place, name: str, named: Collection[str]) -> tuple[Diagnostic | None, Bound | None]:
    """Bind the address; returns a finding, if any, and what was bound. Raises OSError and ValueError."""
    if address.scheme == "unix":
        return _unix(address, place, name), None
    if address.scheme == "systemd":
        return _activated(address, named, place), None
    if address.scheme == "fd":
        _descriptor(address.fd)
        return None, None
    with bind_tcp(address.host, address.port) as sock:
        host, port = sock.getsockname()[:2]
        both = host == "::" and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        return None, (host, port, both) if address.port else None


def _refused(address: Address, place: Place, name: str, error: OSError | ValueError) -> Diagnostic:
    message = f"cannot listen on {address}: {getattr(error, 'strerror', None) or error}"
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return _in_use(address, place, name)
    if isinstance(error, PermissionError):
        fix = "choose a port from 1024 on: ports below 1024 need root or CAP_NET_BIND_SERVICE"
        return Diagnostic("PC402", message, place, fix)
    if isinstance(error, (socket.gaierror, ValueError)):
        return Diagnostic("PC403", message, place, f'check the name: "{address.host}" has no address on this host')
    if number == errno.EADDRNOTAVAIL:
        return Diagnostic("PC403", message, place, "use an address of this host, or tcp://0.0.0.0:PORT for all of them")
    if address.scheme == "fd":
        fix = "start poolctl from a process that passes a listening socket as this descriptor"
        return Diagnostic("PC405", message, place, fix, severity="note")  # an error to `run`, which needs it
    return Diagnostic("PC403", message, place, "check the address")


def _in_use(address: Address, place: Place, name: str) -> Diagnostic:
    from poolctl.assembly.environment.holder import holder_of  # only needed for an address in use

    holder = holder_of(address)
    if holder is not None and holder.title == f"poolctl: supervisor {name}":
        message = f"{address} is in use by {name}, which is already running as process {holder.pid}"
        fix = "stop it before you start another one"
        return Diagnostic("PC401", message, place, fix, severity="note")
    if holder is None:
        holder_text = "another process is using it"
    elif holder.pid:
        holder_text = f"process {holder.pid} ({holder.title}){_of_user(holder.user)} listens there"
    else:
        holder_text = f"a process{_of_user(holder.user)} listens there; only root can see which"
    fix = "stop it, or choose another address"
    return Diagnostic("PC401", f"cannot listen on {address}: {holder_text}", place, fix)


def _of_user(uid: int) -> str:
    if uid == os.geteuid():
        return ""
    import pwd

    try:
        return f" of user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f" of user {uid}"


def _unix(address: Address, place: Place, name: str) -> Diagnostic | None:
    path, folder = address.path, os.path.dirname(address.path)
    if not os.path.isdir(folder):
        message = f"cannot listen on {address}: there is no folder {folder}"
        return Diagnostic("PC404", message, place, "create the folder first")
    if not os.access(folder, os.W_OK | os.X_OK):
        message = f"cannot listen on {address}: this user may not write to {folder}"
        return Diagnostic("PC404", message, place, "let this user write to the folder, or choose another path")
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            message = f"cannot listen on {address}: the path exists but is not a socket"
            return Diagnostic("PC404", message, place, "move it away, or choose another path")
        if not held_by_nobody(path):
            return _in_use(address, place, name)
    except FileNotFoundError:
        pass  # the usual case: the path does not exist yet
    return None


def _owner(address: Address, owner: Place, group: Place) -> Diagnostic | None:
    """The finding where the socket's file cannot be given to its owner or group; None where it can."""
    if not address.owner and not address.group:
        return None
    from poolctl.errors import PoolctlError
    from poolctl.runtime.system.identity import group_number, user_number

    place, root = owner, os.geteuid() == 0
    try:
        if address.owner and user_number(address.owner, f"listen {address}: owner") != os.geteuid() and not root:
            message = f"listen {address}: only root may give the socket to user {address.owner}"
            return Diagnostic("PC420", message, owner, "start poolctl as root, or leave owner out")
        place = group
        if address.group:
            gid = group_number(address.group, f"listen {address}: group")
            if not root and gid not in (os.getegid(), *os.getgroups()):
                message = f"listen {address}: only root may give the socket to group {address.group}"
                return Diagnostic("PC420", message, group, "start poolctl as a member of it, or leave group out")
    except PoolctlError as error:
        return Diagnostic("PC420", str(error), place, "create it, or name another")
    return None


def _activated(address: Address, named: Collection[str], place: Place) -> Diagnostic | None:
    """The finding for a socket that systemd does not pass; a note outside of systemd, which is an error to `run`."""
    from poolctl.runtime.listen.activation import NotPassed, chosen, passed  # only for such addresses

    try:
        chosen(address.name, named, passed(os.environ, os.getpid()))
    except NotPassed as error:
        severity: Literal["error", "note"] = "error" if error.activated else "note"
        return Diagnostic("PC405", f"cannot listen on {address}: {error}", place, error.fix, severity=severity)
    return None


def _descriptor(fd: int) -> None:
    """Raises OSError unless the descriptor is a listening socket. The socket is left as it is."""
    sock = socket.socket(fileno=fd)
    try:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError("it is not a listening socket")
    finally:
        sock.detach()


def _conflict(address: Address, bound: Bound, place: Place, held: list[tuple[Bound, Place]]) -> Diagnostic | None:
    """The finding for an address that overlaps with an earlier one in the file: both can be bound, but only one can
    listen (ip(7), ipv6(7))."""
    for other, where in held:
        if _overlap(bound, other):
            message = f"cannot listen on {address}: another address in this file already uses port {bound[1]}"
            label = Label(where, f"this is {other[0]}, port {other[1]}")
            fix = (
                "keep one of the two; tcp://0.0.0.0:PORT is all IPv4 addresses, tcp://[::]:PORT all IPv6 and IPv4 ones"
            )
            return Diagnostic("PC401", message, place, fix, related=(label,))
    return None


def _overlap(one: Bound, other: Bound) -> bool:
    if one[1] != other[1]:
        return False
    if one[2] or other[2]:
        return True
    hosts = {one[0], other[0]}
    return len({":" in host for host in hosts}) == 1 and (len(hosts) == 1 or bool(hosts & {"0.0.0.0", "::"}))
