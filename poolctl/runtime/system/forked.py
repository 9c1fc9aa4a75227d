"""Closing poolctl's descriptors in a child that the app forks.

    app -- os.fork, multiprocessing, ProcessPoolExecutor --> child: has a copy of each of poolctl's descriptors
                                                             hook:  replaces each with /dev/null

A child that kept them would delay the end of file for clients, keep addresses in use, and hide from the supervisor that
a generation has exited; it would also share the event sets, which are one object in both processes. The descriptor
numbers stay in use, so that an object that still refers to one cannot close a file of the child. Signals get back the
handlers that they have in any Python program.

Such a child may also return from the app's code into poolctl's. Its rows of the scoreboard are released, so the first
attempt to count raises ValueError, and the error boundary that catches it calls `leave`.

The hook belongs to the process, as os.register_at_fork has it; so this module has state. poolctl itself forks with
`fork`, for which the hook does nothing. Programs that the app starts with exec are not affected: every descriptor is
closed there (PEP 446).
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections.abc import Callable, Iterable
from os import _exit, close, dup2, fstat, listdir
from os import fork as _fork
from signal import getsignal as handler_of
from signal import set_wakeup_fd
from signal import signal as set_handler
from socket import AF_INET, AF_INET6, AF_UNIX, SHUT_RDWR, getdefaulttimeout, setdefaulttimeout
from socket import socket as Socket
from threading import get_ident
from typing import Any, Protocol, runtime_checkable
from weakref import WeakSet

OWN_SIGNALS: set[Callable[..., Any]] = set()  # handlers of poolctl's that a child of the app must not have


@runtime_checkable
class DescriptorHolder(Protocol):
    """An object whose set of descriptors changes."""

    def descriptors(self) -> Iterable[int]:
        """All its descriptors at this moment."""


class HolderReference:
    """Stands for a holder that cannot be referred to weakly, as objects of compiled classes; the holder keeps it."""

    __slots__ = ("__weakref__", "descriptors")

    def __init__(self, holder: DescriptorHolder) -> None:
        self.descriptors = holder.descriptors


class _Held:
    """What this process holds. ``fixed``: descriptors for as long as it lives; ``holders``: objects with descriptors of
    their own; ``rows``: the scoreboard rows of its services; ``doors``: addresses whose connections are clients."""

    def __init__(self) -> None:
        self.fixed: set[int] = set()
        self.holders: WeakSet[Any] = WeakSet()
        self.rows: list[memoryview] = []
        self.doors: set[Any] = set()
        self.forking = 0  # the ident of the thread in which poolctl itself is forking; 0: none
        self.child = False  # this is a child that the app forked
        self.seen = False  # the app has forked: there may be children in which the hook has not run yet


_held = _Held()


def fork() -> int:
    """Fork a process of poolctl's own, which keeps its descriptors. Returns and raises as os.fork does."""
    _held.forking = get_ident()
    try:
        return _fork()
    finally:
        _held.forking = 0


def hold(descriptors: Iterable[int], *, only: bool = False) -> None:
    """Note descriptors that this process has for as long as it lives; ``only``: forget everything noted before it was
    forked."""
    if only:
        _held.fixed.clear()
        _held.holders.clear()
        _held.rows.clear()
    _held.fixed.update(descriptors)


def release(descriptors: Iterable[int]) -> None:
    """Forget descriptors that are about to be closed."""
    _held.fixed.difference_update(descriptors)


def register(holder: DescriptorHolder) -> None:
    """Note an object that has descriptors for as long as it lives."""
    _held.holders.add(holder)


def forget(holder: DescriptorHolder) -> None:
    """Forget an object that is about to close its descriptors."""
    _held.holders.discard(holder)


def register_row(row: memoryview) -> None:
    """Note a row of the scoreboard that a service writes to."""
    _held.rows.append(row)


def register_listener(listener: Socket) -> None:
    """Note a listener: every connection to its address is a client's."""
    _held.doors.add(_door(listener))


def seen() -> bool:
    """Whether the app has forked, so that a child may have a copy of a descriptor, at least for a moment."""
    return _held.seen


def shut(fd: int) -> None:
    """Shut down a connection that is about to be closed, even if other processes have a copy of it."""
    sock = Socket(fileno=fd)
    with contextlib.suppress(OSError):  # the client closed it first
        sock.shutdown(SHUT_RDWR)
    sock.detach()


def leave() -> None:
    """Called by an error boundary that caught an exception: in a child of the app, exit."""
    if _held.child:
        _exit(0)


def _door(sock: Socket) -> Any:
    """The part of an address that a listener shares with the connections that it accepts; None for other sockets."""
    if sock.family == AF_UNIX:
        return sock.getsockname()
    return (int(sock.family), sock.getsockname()[1]) if sock.family in (AF_INET, AF_INET6) else None


def _let_go() -> None:
    _held.child = _held.forking != get_ident()
    if not _held.child:
        _held.seen = False
        return
    found = _held.fixed | _clients()
    for holder in list(_held.holders):
        found |= set(holder.descriptors())
    _void(found)
    for row in _held.rows:
        row.release()
    set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if handler_of(number) in OWN_SIGNALS:
            set_handler(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    _held.fixed.clear()
    _held.holders.clear()
    _held.rows.clear()


def _clients() -> set[int]:
    """The descriptors of all connections that one of the listeners accepted, whichever object holds them now."""
    found = set()
    default = getdefaulttimeout()
    setdefaulttimeout(None)  # or every socket examined below would become non-blocking, in all processes that have it
    for name in listdir("/dev/fd") if os.path.isdir("/dev/fd") else ():
        with contextlib.suppress(OSError):  # the listing's own descriptor, closed by now
            if stat.S_ISSOCK(fstat(int(name)).st_mode):
                sock = Socket(fileno=int(name))
                try:
                    if _door(sock) in _held.doors:
                        found.add(int(name))
                finally:
                    sock.detach()
    setdefaulttimeout(default)
    return found


def _void(descriptors: set[int]) -> None:
    """Replace each descriptor with /dev/null."""
    found = sorted(fd for fd in descriptors if fd > 2)
    if not found:
        return
    first, *others = found
    with contextlib.suppress(OSError):  # not open
        close(first)  # before the open: no other number may be free
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in others:
        dup2(null, fd, inheritable=False)
    if null != first:
        dup2(null, first, inheritable=False)
        close(null)


def _note() -> None:
    if _held.forking != get_ident():
        _held.seen = True


os.register_at_fork(after_in_child=_let_go, after_in_parent=_note)
