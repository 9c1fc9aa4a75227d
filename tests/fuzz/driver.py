"""Does sequences, many at once, in one thread: a connection each, their steps one after the other.

Every wait is bounded; what the server does not do in that time is a complaint, and so is an answer that is not right.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.machine import within

from fuzz import http1, http2, plain, websocket
from fuzz.sequence import Answers, Close, End, Enter, Half, Notify, Pause, Raw, Reset, Send, Sequence

SECONDS = 5.0  # for one step that waits for the server
DEAF = 0.01  # for a server that takes no more while nobody reads
READ = 65536
ANSWERED = {
    "http1": http1.answered,
    "http2": http2.answered,
    "websocket": websocket.answered,
    "lines": plain.answered_lines,
    "frames": plain.answered_frames,
    "stream": plain.answered_stream,
}
LEAVES_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds


@dataclass(frozen=True)
class Door:
    """Where a client comes in. ``proxy``: what it has to say first, before TLS."""

    port: int
    tls: bool = False
    proxy: bytes = b""


class Attempt:
    """One sequence at one door. ``complaint``: what was wrong with the server's part, empty so far."""

    def __init__(self, sequence: Sequence, door: Door, trusted: ssl.SSLContext) -> None:
        self.sequence = sequence
        self.door = door
        self.complaint = ""
        self.received = bytearray()
        self.over = False
        self.wake = 0.0  # when the step that waits has waited enough
        self._at = 0
        self._trusted = trusted
        self._out = door.proxy
        self._ended = False  # by the server
        self._tls: ssl.SSLObject | None = None
        self._shaking = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._waits_for: object = None  # what began to wait last
        self.sock = socket.socket()
        self.sock.settimeout(within(SECONDS))
        if sequence.deaf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            self.sock.connect(("127.0.0.1", door.port))
        except OSError as error:
            self._finish(f"cannot connect: {error!r}")
        self.sock.setblocking(False)

    def mask(self) -> int:
        """What it waits for, as a poll event."""
        reads = select.POLLIN if self._reads else 0
        return reads | (select.POLLOUT if self._out else 0)

    @property
    def _reads(self) -> bool:
        return not self._ended and (self._shaking or not self.sequence.deaf)

    # events

    def on_event(self, events: int) -> None:
        """Bytes have come, or some can be sent."""
        if self._reads and events & ~select.POLLOUT:
            self._read()
        elif events & (select.POLLHUP | select.POLLERR):
            self._end()
        if not self.over:
            self.go_on()

    def on_time(self) -> None:
        """A pause is over, or patience."""
        step = self.sequence.steps[self._at] if self._at < len(self.sequence.steps) else Close()
        if isinstance(step, Pause) and not self._out and not self._shaking:
            self._next()
            self.go_on()
        elif self.sequence.deaf:
            self._finish("")  # the server need not take more while nobody reads
        else:
            self._finish(f"waited in vain at {step!r:.60}; the last bytes were {bytes(self.received[-200:])!r}")

    def _read(self) -> None:
        try:
            data = self.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
        elif self._tls is None:
            self.received += data
        else:
            self._decrypt(data)

    def _end(self) -> None:
        self._ended = True
        self._out = b""
        self._shaking = False

    def _decrypt(self, data: bytes) -> None:
        assert self._tls is not None
        self._incoming.write(data)
        try:
            if self._shaking:
                self._tls.do_handshake()
                self._shaking = False
            while plain := self._tls.read(READ):
                self.received += plain
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:  # an alert, or its farewell: nothing comes after it
            self._shaking = False
        self._out += self._outgoing.read()

    # steps

    def go_on(self) -> None:
        """As many steps as can be done now."""
        while not self.over:
            if self._out and not self._flush():
                self._wait("room", DEAF if self.sequence.deaf else within(SECONDS))
                return
            if self._shaking:
                self._wait("handshake", within(SECONDS))
                return
            if self._at == len(self.sequence.steps):
                self._finish("")
                return
            if not self._step(self.sequence.steps[self._at]):
                return

    def _flush(self) -> bool:
        try:
            sent = self.sock.send(self._out)
        except BlockingIOError:
            return False
        except OSError:  # it reads no more; what it said may still be there
            self._out = b""
            return True
        self._out = self._out[sent:]
        return not self._out

    def _wait(self, what: object, seconds: float) -> None:
        if self._waits_for != what:
            self._waits_for = what
            self.wake = time.monotonic() + seconds

    def _next(self) -> None:
        self._at += 1

    def _step(self, step: object) -> bool:
        """Whether the step is done, or at least begun so that the loop above sees what it waits for."""
        match step:
            case Send(data) | Raw(data):
                self._out += self._encrypted(data) if isinstance(step, Send) else data
            case Enter(alpn):
                self._enter(alpn)
            case Pause(seconds):
                self._wait(self._at, seconds)
                return False
            case Answers(count):
                return self._answers_of(count)
            case End():
                if not self._ended:
                    self._wait(self._at, within(SECONDS))
                    return False
            case Notify():
                self._notify()
            case Half():
                with contextlib.suppress(OSError):
                    self.sock.shutdown(socket.SHUT_WR)
            case Reset():
                with contextlib.suppress(OSError):
                    self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LEAVES_AT_ONCE)
                self._finish("")
            case Close():
                self._finish("")
        self._next()
        return True

    def _encrypted(self, data: bytes) -> bytes:
        if self._tls is None:
            return data
        try:
            self._tls.write(data)
        except ssl.SSLError:  # over, from either side
            return b""
        return self._outgoing.read()

    def _enter(self, alpn: tuple[str, ...]) -> None:
        if not self.door.tls:
            return
        context = self._trusted
        if alpn:
            context.set_alpn_protocols(list(alpn))
        else:
            context.set_alpn_protocols(["http/1.1"])
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self._shaking = not self._ended
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self._out += self._outgoing.read()

    def _notify(self) -> None:
        if self._tls is not None and not self._ended:
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._out += self._outgoing.read()

    def _answers(self) -> int:
        return ANSWERED[self.sequence.protocol](self.sequence.asked, bytes(self.received))

    def _answers_of(self, count: int) -> bool:
        try:
            found = self._answers()
        except ValueError as error:
            self._finish(str(error))
            return False
        if found >= count:
            self._next()
            return True
        if self._ended:
            self._finish(f"the connection ended after {found} of {count} answers: {bytes(self.received[-300:])!r}")
        else:
            self._wait(self._at, within(SECONDS))
        return False

    def _finish(self, complaint: str) -> None:
        self.complaint = complaint
        self.over = True
        self.sock.close()


def drive(work: Iterable[tuple[Sequence, Door]], trusted: ssl.SSLContext, at_once: int = 16) -> Iterator[Attempt]:
    """Each sequence at its door, so many at once, as they end."""
    poll = select.epoll()
    active: dict[int, tuple[Attempt, int]] = {}
    waiting = iter(work)
    more = True
    with poll:
        while more or active:
            while more and len(active) < at_once:
                found = next(waiting, None)
                if found is None:
                    more = False
                    break
                attempt = Attempt(*found, trusted)
                if not attempt.over:
                    attempt.go_on()
                if attempt.over:
                    yield attempt
                else:
                    fd = attempt.sock.fileno()
                    active[fd] = attempt, attempt.mask()
                    poll.register(fd, attempt.mask())
            if not active:
                continue
            now = time.monotonic()
            next_wake = min(attempt.wake for attempt, _ in active.values())
            for fd, events in poll.poll(max(0.0, next_wake - now)):
                active[fd][0].on_event(events)
            now = time.monotonic()
            for fd, (attempt, mask) in list(active.items()):
                if not attempt.over and attempt.wake <= now:
                    attempt.on_time()
                if attempt.over:
                    del active[fd]  # epoll has forgotten a socket that is closed
                    yield attempt
                elif attempt.mask() != mask:
                    active[fd] = attempt, attempt.mask()
                    poll.modify(fd, attempt.mask())
