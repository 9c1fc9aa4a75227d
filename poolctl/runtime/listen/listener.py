"""Listening sockets. The supervisor opens them before it starts anything else; they outlive every generation.

The file is long because each kind of address has its own way to be opened, and to end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Sequence
from os import set_blocking
from select import POLLHUP, POLLIN, poll
from typing import TYPE_CHECKING, Final, Protocol

from poolctl.errors import PoolctlError
from poolctl.runtime.listen import server_stop
from poolctl.runtime.system import bpf, forked
from poolctl.runtime.system.bind import bind_tcp, held_by_nobody
from poolctl.runtime.system.calls import ACCEPT
from poolctl.runtime.system.identity import group_number, user_number
from poolctl.runtime.task import Peer, new_peer

if TYPE_CHECKING:
    from poolctl.runtime.listen.door import Door


HANDSHAKE_MS: Final = 2  # milliseconds: a TCP handshake on one machine or in one local network takes no longer


class BoundAddress(Protocol):
    """Where to listen. ``scheme``: tcp with host and port (0: any free port), unix with a path, fd with a number.

    ``mode``, ``owner`` and ``group`` belong to the file of a unix socket; None or empty: the system's default.
    """

    @property
    def scheme(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def fd(self) -> int: ...
    @property
    def mode(self) -> int | None: ...
    @property
    def owner(self) -> str: ...
    @property
    def group(self) -> str: ...


class Listener:
    """One listening socket. ``door``: the first step of its connections. ``server_host`` and ``server_port``: the
    server's end of each connection."""

    def __init__(self, sock: socket.socket, door: Door, *, kept_outside: bool = False) -> None:
        """``kept_outside``: the program that started this server also holds the socket and keeps listening."""
        self.kept_outside = kept_outside
        self.door = door
        self.sock = sock
        self.fd = sock.fileno()
        sock.setblocking(False)
        self.family = int(sock.family)
        self.server_host, self.server_port = own_end(sock)
        # A connection is a bare descriptor from here on: socket.accept() would make an object, which costs 4
        # microseconds a connection, and objects cannot be sent to another process anyway.
        self._accept = sock._accept  # type: ignore[attr-defined]

    def accept(self) -> tuple[int, Peer]:
        """Return the non-blocking descriptor of a new connection, and its peer.

        Raises BlockingIOError if no client is waiting, and OSError as accept(2) does: EINVAL if the socket was shut.
        """
        if ACCEPT is not None:
            fd, host, port = ACCEPT(self.fd)
            return fd, new_peer(Peer, (host, port, self.server_host, self.server_port, ""))
        fd, address = self._accept()
        set_blocking(fd, False)
        if type(address) is tuple:
            return fd, new_peer(Peer, (address[0], str(address[1]), self.server_host, self.server_port, ""))
        return fd, Peer("", "", self.server_host, self.server_port)

    def release(self) -> None:
        """Close this process's descriptor: other processes use the socket."""
        forked.release({self.fd})
        self.sock.close()

    def deafen(self) -> None:
        """If the server is stopping, admit no new client to the queue; clients already queued are still accepted."""
        if server_stop.announced() and not self.kept_outside:
            with contextlib.suppress(OSError):  # not Linux, or the socket was shut
                bpf.deafen(self.sock)

    def end(self) -> bool:
        """If the server is stopping, shut the socket unless clients are queued. Returns whether clients are queued."""
        return server_stop.announced() and not self.kept_outside and not shut(self.sock) and not self.shut

    @property
    def shut(self) -> bool:
        """Whether the socket was shut because the server is stopping."""
        poller = poll()
        poller.register(self.fd, 0)  # hang-ups are always reported
        return bool(poller.poll(0))

    def __str__(self) -> str:
        return address_of(self.sock)


def address_of(sock: socket.socket) -> str:
    """Return the address of a listening socket in a topology's notation: tcp://HOST:PORT or unix:///PATH."""
    host, port = own_end(sock)
    if not port:
        return f"unix://{host}"
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def own_end(sock: socket.socket) -> tuple[str, str]:
    """Return host and port, or for a unix socket its path and an empty port."""
    name = sock.getsockname()
    return (str(name), "") if sock.family == socket.AF_UNIX else (str(name[0]), str(name[1]))


def shut(sock: socket.socket) -> bool:
    """Shut a listening socket unless clients are queued. Returns whether it was shut.

    A client that connected between the check and shutdown(2) would get a reset instead of an answer. So the kernel
    first drops connection requests; then a last check waits for handshakes already in progress. A client whose request
    was dropped retries and is refused.
    """
    if _client_waits(sock):
        return False
    with contextlib.suppress(OSError):  # not Linux, or another process shut the socket first
        bpf.deafen(sock)
        if _client_waits(sock, HANDSHAKE_MS):
            return False  # the process that accepts this client checks again
    with contextlib.suppress(OSError):  # another process shut the socket first
        sock.shutdown(socket.SHUT_RDWR)
    return True


def _client_waits(sock: socket.socket, milliseconds: int = 0) -> bool:
    """Return whether a client is queued at a listening socket that is not shut, or arrives within ``milliseconds``."""
    poller = poll()
    poller.register(sock, POLLIN)
    return any(not event & POLLHUP for _, event in poller.poll(milliseconds))


def open_listener(address: BoundAddress, backlog: int, *, reuse_port: bool = False) -> socket.socket:
    """Return a socket that listens on the address. Raises PoolctlError with the reason and a fix."""
    try:
        if address.scheme == "fd":
            sock = socket.socket(fileno=address.fd)
            if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                sock.detach()  # its opener keeps it
                raise OSError("it is not a listening socket")
            sock.set_inheritable(False)  # programs that the app starts do not get it
            sock.listen(backlog)  # its opener may keep it over several runs, and the stop of each sets its queue to 0
            return sock
        if address.scheme == "unix":
            return _open_unix(address, backlog)
        return _listening(bind_tcp(address.host, address.port, reuse_port=reuse_port), backlog)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PoolctlError(f"cannot listen on {address}: {reason}. {_fix(address, error)}") from error


def _fix(address: BoundAddress, error: Exception) -> str:
    if isinstance(error, FileExistsError):
        return "That file is not a socket and was left alone; move it, or choose another path."
    if isinstance(error, PermissionError) and address.scheme == "unix" and (address.owner or address.group):
        return "Let this user write to its folder; only root may give a file to another user or group."
    if isinstance(error, PermissionError) and address.scheme == "unix":
        return "Let this user write to its folder, or choose another path."
    if isinstance(error, PermissionError):
        return "Ports below 1024 need root or CAP_NET_BIND_SERVICE; choose another port."
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        return "Another server listens there; stop it, or choose another address."
    return "Check the address."


def _listening(sock: socket.socket, backlog: int) -> socket.socket:
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Linux: inherited by accepted sockets
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _open_unix(address: BoundAddress, backlog: int) -> socket.socket:
    """Return a listening unix socket. Replaces a socket file that a dead server left behind, but never one that a
    process still holds, nor a file of another type.

    No client can connect before the owner of the file is set: the kernel refuses connections until listen(2).
    """
    path = address.path
    uid = user_number(address.owner, f"listen {address}: owner") if address.owner else -1
    gid = group_number(address.group, f"listen {address}: group") if address.group else -1
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            if not stat.S_ISSOCK(os.stat(path).st_mode):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            if not held_by_nobody(path):
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            os.unlink(path)
        except FileNotFoundError:
            pass  # the usual case: there is no file yet
        _bind(sock, path, address.mode)
        if (uid, gid) != (-1, -1):
            os.chown(path, uid, gid, follow_symlinks=False)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, path: str, mode: int | None) -> None:
    """Bind a unix socket, so that its file is created with its permissions: a later chmod could follow a link put in
    its place."""
    if mode is None:
        sock.bind(path)
        return
    before = os.umask(0o777 & ~mode)  # affects the whole process; the supervisor has one thread
    try:
        sock.bind(path)
    finally:
        os.umask(before)


def open_group(
    address: BoundAddress, backlog: int, size: int, program: Sequence[bpf.Instruction]
) -> list[socket.socket]:
    """Return a socket for each of ``size`` workers on the same address (SO_REUSEPORT). ``program`` chooses among them;
    if it is empty, the kernel chooses by its hash.

    Raises PoolctlError if the address or the kernel does not allow it.
    """
    if address.scheme != "tcp":
        raise PoolctlError(
            f"reuse-port opens a socket for each worker, which is possible for tcp:// only, not for {address}"
        )
    group = [open_listener(address, backlog, reuse_port=True)]
    port = group[0].getsockname()[1]
    try:
        group += [_listening(bind_tcp(address.host, port, reuse_port=True), backlog) for _ in range(size - 1)]
        if program:
            bpf.attach(group[0], list(program))
    except OSError as error:
        for sock in group:
            sock.close()
        raise PoolctlError(f"the kernel cannot choose between {size} sockets on {address}: {error}") from error
    return group


def resize_group(
    group: list[socket.socket], address: BoundAddress, backlog: int, size: int, program: Sequence[bpf.Instruction]
) -> tuple[list[socket.socket], list[bpf.Instruction]]:
    """Return a group of ``size`` sockets that has those of an open one, and the program that makes it take effect:
    until that is attached the kernel chooses among the sockets of the open one. ``program``: of the strategy; without
    one the kernel then chooses at random.

    Raises PoolctlError if the kernel does not allow it.
    """
    port = group[0].getsockname()[1]
    opened: list[socket.socket] = []
    try:
        if not program and size > len(group):  # otherwise a program chooses already
            bpf.attach(group[0], bpf.random_of(len(group)))
        for _ in range(size - len(group)):
            opened.append(_listening(bind_tcp(address.host, port, reuse_port=True), backlog))  # noqa: PERF401  # closed below
    except OSError as error:
        for sock in opened:
            sock.close()
        raise PoolctlError(f"the kernel cannot choose between {size} sockets on {address}: {error}") from error
    return [*group, *opened][:size], list(program) or bpf.random_of(size)
