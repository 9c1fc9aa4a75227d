"""Idle connections that move to other processes of the server, so that their clients do not notice a change.

    a process that leaves -- protocol, peer; beside it the connection --> [ channel ] --> a process that accepts

A worker that is replaced, or the generation before the current one, has nothing of a plain connection that waits for
its next request but a descriptor and a peer, so both travel (SCM_RIGHTS, unix(7)). Bytes that the client has sent
meanwhile wait in the socket. What has a state in its process stays there until it ends: TLS, HTTP/2, WebSockets.

There is one channel for the life of the server, so that connections also outlive a generation that ends before the next
one is ready, and a supervisor that an upgrade replaces. Nothing moves while the whole server stops, or if the
supervisor is gone.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from os import close
from socket import AF_UNIX
from socket import socket as Socket
from time import sleep
from typing import Final

from poolctl.runtime.channels.inbox import AT_ONCE, FD
from poolctl.runtime.listen import server_stop
from poolctl.runtime.listen.door import AcceptingLoop
from poolctl.runtime.listen.listener import Listener, own_end
from poolctl.runtime.listen.listening import DEFER_SECONDS
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import S, Source
from poolctl.runtime.system.channel import CONTROL_BYTES, LEVEL, RIGHTS, channel, descriptors
from poolctl.runtime.system.shared_page import SharedPage
from poolctl.runtime.task import NOBODY, Peer

log = logging.getLogger("poolctl")
MOVE_BYTES = 65536  # bytes of the longest message; those of a peer are a few hundred
ANY_HOST = ("0.0.0.0", "::")
MOVES_TAKEN: Final = 1  # the cell that says whether the current generation takes moved connections
SUPERVISOR: Final = 2  # the cell with the pid of the supervisor

OnMoved = Callable[[int, Peer, S, int], None]  # called with descriptor, peer, service and number of the address


class Moves:
    """The channel. The supervisor makes it, or takes it over, and every process inherits both ends."""

    def __init__(self, page: SharedPage | None = None, ends: tuple[Socket, Socket] | None = None) -> None:
        """``page``: the server's memory. ``ends``: the writing and the reading end of a server that goes on here."""
        self.writer, self.reader = ends or channel()
        self.writer.setblocking(False)
        self.reader.setblocking(False)
        self.page = page or SharedPage()
        if ends is None:
            self.belongs_to(os.getpid())

    @property
    def descriptors(self) -> set[int]:
        """Both ends."""
        return {self.writer.fileno(), self.reader.fileno()}

    def allow(self, taken: bool) -> None:
        """Called in the supervisor. ``taken``: the current generation takes moved connections."""
        self.page.cells[MOVES_TAKEN] = taken

    def belongs_to(self, supervisor: int) -> None:
        """Note the pid of the supervisor, without which nothing moves."""
        self.page.cells[SUPERVISOR] = supervisor

    @property
    def open(self) -> bool:
        """Whether a process that leaves may pass its connections on: another process takes them."""
        cells = self.page.cells
        return bool(cells[MOVES_TAKEN]) and not server_stop.announced() and _lives(cells[SUPERVISOR])

    def send(self, fd: int, protocol: str, peer: Peer) -> bool:
        """Pass a connection on; the caller then closes its own descriptor. Returns False, and has done nothing, if the
        channel is full. ``protocol``: the name of what the client speaks."""
        message = json.dumps([protocol, *peer]).encode()
        try:
            self.writer.sendmsg((message,), ((LEVEL, RIGHTS, FD.pack(fd)),))
        except OSError:  # full (EAGAIN), too many descriptors under way (ETOOMANYREFS), or no memory
            return False
        return True

    def take(self) -> tuple[int, str, Peer] | None:
        """Return (descriptor, protocol, peer) of the next connection; None if there is none, or if this process is out
        of file descriptors, so that the kernel has closed it (unix(7))."""
        try:
            message, ancillary, _, _ = self.reader.recvmsg(MOVE_BYTES, CONTROL_BYTES, AT_ONCE)
        except (BlockingIOError, ConnectionError):
            return None
        for fd in descriptors(ancillary):
            protocol, *peer = json.loads(message)
            return fd, protocol, Peer(*peer)
        if message:
            log.error("lost a connection that was to move here: out of file descriptors")
        return None

    def close_all(self) -> None:
        """Close the connections that no process has taken, at the end of the server."""
        if self.reader.fileno() < 0:
            return  # the server goes on in another process
        while (taken := self.take()) is not None:
            close(taken[0])

    def close(self) -> None:
        """Close this process's ends."""
        self.writer.close()
        self.reader.close()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it runs as another user
    return True


def peer_of(fd: int) -> Peer:
    """Return both ends of a connection as the kernel has them; NOBODY if the client has left."""
    with Socket(fileno=fd) as sock:
        try:
            server, client = own_end(sock), sock.getpeername()
        except OSError:
            return NOBODY
        finally:
            sock.detach()
    host, port = ("", "") if sock.family == AF_UNIX else (str(client[0]), str(client[1]))
    return Peer(host, port, *server)


class MovedConnections(Source[S]):
    """The connections that move here, as a source of a loop: until the loop drains."""

    def __init__(
        self,
        loop: Loop[S],
        moves: Moves,
        listeners: Sequence[Listener],
        on_moved: OnMoved[S],
        room: Callable[[], bool],
        crowded: Callable[[S], bool] | None = None,
        able: Callable[[], bool] = lambda: True,
    ) -> None:
        """``listeners``: one of each address. ``on_moved`` is called with each connection. ``room``: returns whether
        there is room for one within limits.connections; otherwise it is left to other processes, and taken all the
        same if they have none: it was counted before it moved, and stays open as others do if that limit is lowered.
        ``crowded``: called with the service, returns whether others that are idle have fewer connections; they get a
        moment to be faster. ``able``: returns whether one can be taken at all."""
        self.loop = loop
        self.moves = moves
        self.fd = moves.reader.fileno()
        self.on_moved = on_moved
        self.room = room
        self.crowded = crowded
        self._able = able
        self._had_room = True  # at the last event; without room the first one is left to others until the next sweep
        self.protocols = [listener.door.protocol.name for listener in listeners]
        self.plain = [listener.door.scheme == "http" for listener in listeners]
        self.exact = {(each.server_host, each.server_port): number for number, each in enumerate(listeners)}
        self.by_port = {
            each.server_port: number for number, each in enumerate(listeners) if each.server_host in ANY_HOST
        }
        loop.contend(self)
        loop.add_source(self)

    def on_event(self, events: int, service: S) -> None:
        had_room, self._had_room = self._had_room, self.room()
        if not self._had_room and (had_room or not self._able()):
            self.loop.pause(self)
            return
        if self.crowded is not None and self.crowded(service):
            sleep(DEFER_SECONDS)
        taken = self.moves.take()
        if taken is None:
            return  # another process was faster
        fd, protocol, peer = taken
        self.loop.step_back(self)
        number = self._address_of(fd)
        if number is None or self.protocols[number] != protocol or not self.plain[number]:
            close(fd)  # its address is gone, or speaks another protocol now
            return
        self.on_moved(fd, peer, service, number)

    def _address_of(self, fd: int) -> int | None:
        """The number of the address to which the client has connected; None if it is not one of this generation's."""
        with Socket(fileno=fd) as sock:
            try:
                end = own_end(sock)
            except OSError:  # the connection was reset
                return None
            finally:
                sock.detach()
        return self.exact.get(end, self.by_port.get(end[1]))

    def drain(self, service: S) -> None:
        """Take no more: this process leaves."""
        self.loop.remove(self)


def adopt_in(
    loop: AcceptingLoop[S],
    moves: Moves,
    listeners: Sequence[Listener],
    crowded: Callable[[S], bool] | None = None,
) -> None:
    """Have a loop serve the connections that move here, each from the last door of its address. ``crowded``: see
    ``MovedConnections``."""

    def on_moved(fd: int, peer: Peer, service: S, number: int) -> None:
        loop.adopt(fd, peer, service, listeners[number].door)

    MovedConnections(loop, moves, listeners, on_moved, lambda: loop.open < loop.limit or not loop.full(), crowded)
