"""Whether the listening addresses can be had, and who has them."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from poolctl.config.address import Address
from poolctl.config.diagnostic import Diagnostic, Label, Place
from poolctl.runtime.system.bind import bind_tcp, held_by_nobody

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement

Bound = tuple[str, int, bool]  # host and port in numbers; whether it is one of all IPv6 addresses that takes IPv4 too


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """One finding for each address that cannot be had."""
    topology, tree = judgement.topology, judgement.tree
    assert topology is not None
    assert judgement.combination is not None
    held: list[tuple[Bound, Place]] = []
    for index, address in enumerate(topology.listen):
        path: tuple[str | int, ...] = ("listen", index) if tree.has(("listen", index)) else ("listen",)
        at = (*path, "at") if tree.has((*path, "at")) else path
        place = tree.at_value(at) if tree.has(("listen",)) else tree.at_value(("app",))
        try:
            finding, bound = _judged(address, place, topology.name)
        except (OSError, ValueError) as error:  # a name that is none raises UnicodeError
            finding, bound = _refused(address, place, topology.name, error), None
        if finding is None and address.scheme == "unix":
            finding = _owner(address, tree.at_value((*path, "owner")), tree.at_value((*path, "group")))
        if finding is None and bound is not None and judgement.combination.ownership != "reuse-port":
            finding = _met(address, bound, place, held) if held else None
            held.append((bound, place))
        if finding is not None:
            yield finding


def _met(address: Address, bound: Bound, place: Place, held: list[tuple[Bound, Place]]) -> Diagnostic | None:
    return _taken(address, bound, place, held)


def _judged(address: Address, place: Place, name: str) -> tuple[Diagnostic | None, Bound | None]:
    """What stands in its way, and where it was bound. Raises OSError and ValueError."""
    if address.scheme == "unix":
        return _unix(address, place, name), None
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
        fix = "choose a port from 1024 up, or run with the capability CAP_NET_BIND_SERVICE"
        return Diagnostic("PC402", message, place, fix)
    if isinstance(error, (socket.gaierror, ValueError)):
        return Diagnostic("PC403", message, place, f'"{address.host}" has no address here: check the name')
    if number == errno.EADDRNOTAVAIL:
        return Diagnostic(
            "PC403", message, place, "no interface of this host has it; all of them are tcp://0.0.0.0:PORT"
        )
    if address.scheme == "fd":
        fix = "whoever starts poolctl has to leave a listening socket open under this number"
        return Diagnostic("PC405", message, place, fix, severity="note")  # an error to `run`, which needs it
    return Diagnostic("PC403", message, place, "check the address")


def _in_use(address: Address, place: Place, name: str) -> Diagnostic:
    from poolctl.assembly.environment.holder import holder_of  # only who is turned away asks who is there

    holder = holder_of(address)
    if holder is not None and holder.title == f"poolctl: supervisor {name}":
        message = f"{address} is held by the {name} that runs already, process {holder.pid}"
        fix = "it stays where it is; a second one could not start beside it"
        return Diagnostic("PC401", message, place, fix, severity="note")
    if holder is None:
        who = "another process has it"
    elif holder.pid:
        who = f"process {holder.pid} ({holder.title}){_of_user(holder.user)} listens there"
    else:
        who = f"a process{_of_user(holder.user)} listens there, which only root can see more of"
    fix = "stop it, or choose another address"
    return Diagnostic("PC401", f"cannot listen on {address}: {who}", place, fix)


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
    return None


def _owner(address: Address, owner: Place, group: Place) -> Diagnostic | None:
    """Whom the socket's file cannot be given to."""
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


def _descriptor(fd: int) -> None:
    """Raises OSError where it is no listening socket. It stays its opener's."""
    sock = socket.socket(fileno=fd)
    try:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError("it is not a listening socket")
    finally:
        sock.detach()


def _taken(address: Address, bound: Bound, place: Place, held: list[tuple[Bound, Place]]) -> Diagnostic | None:
    """What is wrong with an address whose port an earlier one of the file has: both can be bound, and only one can
    listen (ip(7), ipv6(7))."""
    for other, where in held:
        if _meet(bound, other):
            message = f"cannot listen on {address}: another address of this file has port {bound[1]} already"
            label = Label(where, f"this is {other[0]}, port {other[1]}")
            fix = "leave one of the two out; tcp://0.0.0.0:PORT is all addresses of IPv4, tcp://[::]:PORT all there are"
            return Diagnostic("PC401", message, place, fix, related=(label,))
    return None


def _meet(one: Bound, other: Bound) -> bool:
    if one[1] != other[1]:
        return False
    if one[2] or other[2]:
        return True
    hosts = {one[0], other[0]}
    return len({":" in host for host in hosts}) == 1 and (len(hosts) == 1 or bool(hosts & {"0.0.0.0", "::"}))
