"""What becomes of this process's descriptors in a child that the app forks.

    app -- os.fork, multiprocessing, ProcessPoolExecutor --> child: has a copy of every descriptor of poolctl's
                                                             hook:  /dev/null takes the place of each

A child that kept them would keep clients from their end of file, listening sockets from their next owner, and the
supervisor from seeing that a generation has left; it would also share the event sets, which are one object in both
processes. The numbers stay taken, so that no object that is still known by one can close a file of the child's. Signals
get back the meaning that they have in any Python program.

Such a child may also return from the app's code into poolctl's. Its rows of the scoreboard are released, so the first
thing that would be counted raises ValueError, and the boundary that this ends in asks `leave`.

The hook belongs to the process, for that is what os.register_at_fork is about; so this module has state. What poolctl
forks itself goes through `fork`, which has no part in it. Programs that the app starts by exec have none of this: every
descriptor is closed there (PEP 446).
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

OWN_SIGNALS: set[Callable[..., Any]] = set()  # handlers of poolctl's that a child of the app is not to have


@runtime_checkable
class DescriptorHolder(Protocol):
    """Something that has descriptors, which change."""

    def descriptors(self) -> Iterable[int]:
        """All of them at this moment."""


class _Held:
    """Of this process. ``fixed``: descriptors for as long as it lives; ``holders``: what has others; ``rows``: those of
    its services; ``doors``: the addresses whose connections are clients."""

    def __init__(self) -> None:
        self.fixed: set[int] = set()
        self.holders: WeakSet[Any] = WeakSet()
        self.rows: list[memoryview] = []
        self.doors: set[Any] = set()
        self.forking = 0  # the thread in which a fork of poolctl's own is under way
        self.child = False  # this is a child that the app forked
        self.seen = False  # the app has forked: there may be children that have not run the hook yet


_held = _Held()


def fork() -> int:
    """As os.fork: a process of poolctl's own, which keeps what it has."""
    _held.forking = get_ident()
    try:
        return _fork()
    finally:
        _held.forking = 0


def hold(descriptors: Iterable[int], *, only: bool = False) -> None:
    """These are this process's for as long as it lives; ``only``: and nothing that was told before the fork is."""
    if only:
        _held.fixed.clear()
        _held.holders.clear()
        _held.rows.clear()
    _held.fixed.update(descriptors)


def release(descriptors: Iterable[int]) -> None:
    """They are about to be closed."""
    _held.fixed.difference_update(descriptors)


def register(holder: DescriptorHolder) -> None:
    """This has descriptors, for as long as it lives."""
    _held.holders.add(holder)


def forget(holder: DescriptorHolder) -> None:
    """It is about to close them."""
    _held.holders.discard(holder)


def register_row(row: memoryview) -> None:
    """A row of the scoreboard that a service writes to."""
    _held.rows.append(row)


def register_listener(listener: Socket) -> None:
    """Whoever connects here is a client."""
    _held.doors.add(_door(listener))


def seen() -> bool:
    """Whether the app has forked, so that a descriptor may have a copy elsewhere, be it for a moment."""
    return _held.seen


def shut(fd: int) -> None:
    """End a connection that is about to be closed, whoever else has it."""
    sock = Socket(fileno=fd)
    with contextlib.suppress(OSError):  # the client was first
        sock.shutdown(SHUT_RDWR)
    sock.detach()


def leave() -> None:
    """For a boundary in which something was caught: a child of the app ends here."""
    if _held.child:
        _exit(0)


def _door(sock: Socket) -> Any:
    """What a listener has in common with the connections that it accepts."""
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
    """Every connection that came by one of the listeners, wherever it is held or passed on at this moment."""
    found = set()
    default = getdefaulttimeout()
    setdefaulttimeout(None)  # or each socket that is looked at would be made non-blocking, for all who have it
    for name in listdir("/dev/fd") if os.path.isdir("/dev/fd") else ():
        with contextlib.suppress(OSError):  # the listing's own descriptor, which is closed by now
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
    """Put /dev/null in the place of each that is open."""
    found = sorted(fd for fd in descriptors if fd > 2)
    if not found:
        return
    first, *others = found
    with contextlib.suppress(OSError):  # not open
        close(first)  # first of all: no other number may be free
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
