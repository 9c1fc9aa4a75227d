"""TLS in a loop, without a server: the handshake, and the tunnel to a connection that is lent or owned by its app. A
real client of ssl, socket pairs, a fake poller and a fake clock.

Every transition of the table is walked by a function of its own, and another test sees to it that none is missing.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest
import trustme
from harness.fake_poller import FakeClock, FakePoller

from poolctl.runtime.buffers.outbound import SecureSocket
from poolctl.runtime.listen import handshake, tls_pipe
from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.handshake import Handshake
from poolctl.runtime.listen.tls import CertificateFiles, server_context
from poolctl.runtime.listen.tls_door import ALERT, TlsDoor
from poolctl.runtime.listen.tls_pipe import (
    TLS_APP_ENDED,
    TLS_CLIENT_ENDED,
    TLS_CLOSED,
    TLS_OPEN,
    TRANSITIONS,
    TlsPhase,
    TlsPipe,
)
from poolctl.runtime.listen.tls_socket import TlsSocket
from poolctl.runtime.listen.tunnel import Tunnel
from poolctl.runtime.listen.tunnel_end import End
from poolctl.runtime.loop.draining import NEWCOMER_SECONDS
from poolctl.runtime.loop.farewells import Lingering
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import Handler
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.lines import Lines
from poolctl.runtime.system.poller import IN, ONCE, OUT
from poolctl.runtime.task import Peer
from poolctl.runtime.timeouts import Timeouts

PEER = Peer("127.0.0.1", "4711", "127.0.0.1", "443")
TIMEOUTS = Timeouts(head=10, write=30)
LARGE = 1 << 20  # bytes, more than the sockets in between take


class Papers:
    """A certificate for the server, one for clients, and both contexts."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        server, client = authority.issue_cert("localhost"), authority.issue_cert("a@b", common_name="Ada")
        chain, key, ca = (str(folder / name) for name in ("server.pem", "server.key", "ca.pem"))
        server.private_key_pem.write_to_path(key)
        server.cert_chain_pems[0].write_to_path(chain)
        authority.cert_pem.write_to_path(ca)
        self.server = server_context(CertificateFiles(chain, key), {}, authority=ca, required=False)
        self.client = ssl.create_default_context(cafile=ca)
        self.known = ssl.create_default_context(cafile=ca)
        client.configure_cert(self.known)


@pytest.fixture(scope="module")
def tunnel_papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


class ServingLoop(Loop[None]):
    """A loop whose connections are sockets in a list."""

    timeouts = TIMEOUTS
    takes_tls = False

    def __init__(self, lifeline: int, clock: FakeClock, *, shared: bool) -> None:
        super().__init__(lifeline, clock=clock, poller=FakePoller(clock), shared=shared)
        self.served: list[tuple[socket.socket, Peer]] = []
        self.dropped: list[bytes] = []
        self.on_serve: Callable[[int], None] = lambda fd: None

    def serve(self, fd: int, peer: Peer, service: None, door: Door, tls: SecureSocket | None = None) -> None:
        self.served.append((socket.socket(fileno=fd), peer))
        self.on_serve(fd)

    def drop(self, fd: int, service: None, words: bytes = b"") -> None:
        self.dropped.append(words)
        super().drop(fd, service, words)


class Client:
    """The client's side of TLS, in memory; what it writes goes to its socket with ``flush``."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")

    def flush(self) -> None:
        self.sock.sendall(self._out.read())

    def take(self) -> None:
        """What the server has sent by now."""
        try:
            data = self.sock.recv(1 << 22)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if data:
            self._in.write(data)
        elif not self._in.eof:
            self._in.write_eof()

    def shake(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def end(self) -> None:
        """Its farewell (close_notify), into memory."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()

    def read(self) -> bytes:
        """All that has come; ends with the server's farewell, for which ``ended`` is then true."""
        self.take()
        found = b""
        try:
            while data := self.tls.read(1 << 20):
                found += data
        except ssl.SSLWantReadError:
            return found
        except ssl.SSLZeroReturnError:  # where it has said farewell itself; b"" otherwise
            pass
        self.ended = True
        return found

    ended = False


class Rig:
    """A loop, a client that has connected, its handshake, and then the tunnel between them."""

    def __init__(self, papers: Papers, shared: bool = False, known: bool = False, protocol: Any = None) -> None:
        self.clock = FakeClock()
        life, self._mold = socket.socketpair()
        self.loop = ServingLoop(life.detach(), self.clock, shared=shared)
        self.poller: Any = self.loop.poller
        ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.client = Client(theirs, papers.known if known else papers.client)
        self.fd = ours.detach()
        self.door = TlsDoor(Door(protocol or Lines()), papers.server)
        self.door.enter(self.loop, self.fd, PEER, None)
        self.sent = 0  # bytes of the app's
        self.shakes: Handshake[None] = self.loop.handlers[self.fd]  # type: ignore[assignment]
        self.tunnel: Tunnel[None]  # after the handshake

    @property
    def shaking(self) -> bool:
        return self.loop.handlers.get(self.fd) is self.shakes

    @property
    def phase(self) -> TlsPhase:
        return self.tunnel.pipe.phase

    @property
    def app(self) -> socket.socket:
        """The connection behind."""
        ((sock, _),) = self.loop.served
        return sock

    def event(self, events: int = IN, *, inner: bool = False) -> None:
        """One that the poller would report."""
        end: Handler[None] = self.shakes if self.shaking else self.tunnel.inner if inner else self.tunnel.outer
        self.poller.report(end.fd, events)
        end.on_event(events, None)
        outer = self.loop.handlers.get(self.fd)
        if isinstance(outer, End):
            self.tunnel = outer.tunnel  # type: ignore[assignment]

    def said(self) -> None:
        """What the client has written reaches the tunnel."""
        self.client.flush()
        self.event()

    def opened(self) -> Rig:
        """The handshake, until the connection behind is served."""
        while not self.client.shake():
            self.said()
            self.client.take()
        self.said()
        assert self.phase is TLS_OPEN
        return self

    def answer(self, data: bytes) -> None:
        """The app sends this."""
        self.app.sendall(data)
        self.event(inner=True)

    def heard(self) -> bytes:
        """What the app can read now."""
        try:
            return self.app.recv(LARGE)
        except BlockingIOError:
            return b""

    def filled(self) -> Rig:
        """The app sends more than the client takes; some of it is in the tunnel."""
        self.app.setblocking(False)
        while not self.poller.waits_for(self.fd) & OUT:
            self.answer(b"x" * 4096)
            self.sent += 4096
        assert self.tunnel.pipe.kept
        return self

    def drained(self) -> bytes:
        """The client reads as long as there is something."""
        found = self.client.read()
        while self.poller.waits_for(self.fd) & OUT:
            self.event(OUT)
            found += self.client.read()
        return found

    def lingers(self) -> bool:
        return isinstance(self.loop.handlers.get(self.fd), Lingering)

    def close(self) -> None:
        for handler in list(self.loop.handlers.values()):
            handler.expire(inf, None)
        if hasattr(self, "tunnel") and self.phase is not TLS_CLOSED:
            self.tunnel.abort(None)
        for handler in list(self.loop.handlers.values()):
            handler.expire(inf, None)
        for sock, _ in self.loop.served:
            sock.close()
        self.client.sock.close()
        self._mold.close()
        lifeline = self.loop.handlers.popitem()[0]
        socket.socket(fileno=lifeline).close()
        assert not self.loop.handlers
        self.loop._finish()
        self.loop.close()


MakeRig = Callable[..., Rig]


@pytest.fixture
def rig(tunnel_papers: Papers) -> Iterator[MakeRig]:
    made: list[Rig] = []

    def make(**options: Any) -> Rig:
        made.append(Rig(tunnel_papers, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


# the table


def says_farewell(rig: Rig) -> None:
    rig.opened().client.end()
    rig.said()
    assert rig.app.recv(100) == b""


def sends_no_more(rig: Rig) -> None:
    """Without a farewell, as many clients do."""
    rig.opened().client.sock.shutdown(socket.SHUT_WR)
    rig.event()
    assert rig.app.recv(100) == b""


def breaks_the_rules(rig: Rig) -> None:
    rig.opened().client.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    rig.event()
    with pytest.raises(ssl.SSLError, match="ALERT"):
        rig.client.read()
    assert rig.app.recv(100) == b""


def app_closes(rig: Rig) -> None:
    rig.opened().app.send(b"bye")
    rig.app.close()
    rig.event(inner=True)  # the bytes
    rig.event(inner=True)  # the end
    assert (rig.client.read(), rig.client.ended) == (b"bye", True)


def app_answers_a_farewell_and_closes(rig: Rig) -> None:
    says_farewell(rig)
    rig.app.send(b"bye")
    rig.app.close()
    rig.event(inner=True)  # the bytes
    rig.event(inner=True)  # the end
    assert (rig.client.read(), rig.client.ended) == (b"bye", True)


def leaves_before_the_answer(rig: Rig) -> None:
    says_farewell(rig)
    rig.client.sock.close()
    rig.answer(b"answer")
    assert not rig.lingers()


WALKS: dict[tuple[TlsPhase, TlsPhase], list[Callable[[Rig], None]]] = {
    (TLS_OPEN, TLS_CLIENT_ENDED): [says_farewell, sends_no_more],
    (TLS_OPEN, TLS_APP_ENDED): [app_closes],
    (TLS_OPEN, TLS_CLOSED): [breaks_the_rules],
    (TLS_CLIENT_ENDED, TLS_APP_ENDED): [app_answers_a_farewell_and_closes],
    (TLS_CLIENT_ENDED, TLS_CLOSED): [leaves_before_the_answer],
    (TLS_APP_ENDED, TLS_CLOSED): [app_closes, app_answers_a_farewell_and_closes],
}


def test_every_transition_of_the_table_has_a_walk() -> None:
    assert set(WALKS) == {(before, after) for before, those in TRANSITIONS.items() for after in those}
    assert set(TRANSITIONS) == set(TlsPhase)


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
@pytest.mark.parametrize(
    ("transition", "walk"),
    [
        pytest.param(transition, walk, id=f"{transition[0].name}-{transition[1].name}-{walk.__name__}")
        for transition, walks in WALKS.items()
        for walk in walks
    ],
)
def test_a_legal_transition(
    transition: tuple[TlsPhase, TlsPhase],
    walk: Callable[[Rig], None],
    shared: bool,
    rig: MakeRig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walked: list[tuple[TlsPhase, TlsPhase]] = []

    def enter(pipe: TlsPipe, phase: TlsPhase, enter: Callable[[TlsPipe, TlsPhase], None] = TlsPipe.enter) -> None:
        walked.append((pipe.phase, phase))
        enter(pipe, phase)

    monkeypatch.setattr(TlsPipe, "enter", enter)
    made = rig(shared=shared)
    walk(made)
    assert transition in walked
    if made.phase is TLS_CLOSED:
        assert set(made.loop.handlers) - {made.fd} == made.loop.sources - {made.fd}


@pytest.mark.parametrize(
    ("before", "after"),
    [(before, after) for before in TlsPhase for after in TlsPhase if after not in TRANSITIONS[before]],
    ids=lambda phase: phase.name,
)
def test_an_illegal_transition_raises(before: TlsPhase, after: TlsPhase, tunnel_papers: Papers) -> None:
    pipe = TlsPipe(-1, TlsSocket(tunnel_papers.server), 0.0)
    pipe.phase = before
    with pytest.raises(RuntimeError, match=f"from {before.name} to {after.name}"):
        pipe.enter(after)
    assert pipe.phase is before
    for fd in (pipe.inner, pipe.behind):
        os.close(fd)


# the bytes


def test_bytes_go_both_ways_whatever_their_number(rig: MakeRig) -> None:
    made = rig().opened()
    for data in (b"x", b"y" * 16384, b"z" * 20000):
        made.client.tls.write(data)
        found = b""
        pending = made.client._out.read()
        while pending or len(found) < len(data):
            pending = pending[made.client.sock.send(pending) :] if pending else b""
            made.event()
            found += made.heard()
        assert found == data
    made.answer(b"answer")
    assert made.client.read() == b"answer"


def test_what_comes_with_the_end_of_the_handshake_is_there_when_the_connection_is_served(rig: MakeRig) -> None:
    made = rig()
    heard: list[bytes] = []
    made.loop.on_serve = lambda fd: heard.append(made.app.recv(100, socket.MSG_DONTWAIT))
    while not made.client.shake():
        made.said()
        made.client.take()
    made.client.tls.write(b"GET")
    made.client.end()
    made.said()
    assert heard == [b"GET"]
    made.event()
    assert made.phase is TLS_CLIENT_ENDED
    assert made.app.recv(100) == b""


def test_an_answer_that_is_there_when_the_connection_is_served_goes_out_at_once(rig: MakeRig) -> None:
    made = rig()
    made.loop.on_serve = lambda fd: made.app.sendall(b"hello")
    made.opened()
    assert made.client.read() == b"hello"


def test_the_handler_behind_is_called_without_a_round_of_the_poller(rig: MakeRig) -> None:
    class Upper:
        """Answers what it reads."""

        def __init__(self, fd: int) -> None:
            self.fd = fd

        def on_event(self, events: int, service: None) -> None:
            made.app.sendall(made.app.recv(100).upper())

    made = rig()
    made.loop.on_serve = lambda fd: made.loop.handlers.update({fd: Upper(fd)})  # type: ignore[dict-item]
    made.opened().client.tls.write(b"hello")
    made.said()
    assert made.client.read() == b"HELLO"
    del made.loop.handlers[made.tunnel.behind]


def test_a_slow_client_is_felt_by_the_app(rig: MakeRig) -> None:
    """The app is not read from while something waits for the client; then all of it arrives, in order."""
    made = rig().opened().filled()
    assert not made.poller.waits_for(made.tunnel.inner.fd)
    found = made.drained()
    while len(found) < made.sent:
        made.event(inner=True)
        found += made.drained()
    assert found == b"x" * made.sent
    assert made.poller.waits_for(made.tunnel.inner.fd) == IN
    assert made.poller.waits_for(made.fd) == IN


def test_a_slow_app_is_felt_by_the_client(rig: MakeRig) -> None:
    made = rig().opened()
    sent = 0
    while made.poller.waits_for(made.fd) & IN:
        made.client.tls.write(b"x" * 4096)
        sent += 4096
        made.said()
    assert made.poller.waits_for(made.tunnel.inner.fd) == IN | OUT
    assert 0 < len(made.tunnel.pipe.plain) <= tls_pipe.PIPE_BYTES
    made.client.tls.write(b"x" * 1000)
    sent += 1000
    made.client.flush()
    made.answer(b"an event of the other end")
    assert not made.tunnel.pipe.tls._incoming.pending  # that was not read
    found = made.heard()
    while made.poller.waits_for(made.tunnel.inner.fd) & OUT:
        made.event(OUT, inner=True)
        found += made.heard()
    while len(found) < sent:
        made.event()
        found += made.heard()
    assert found == b"x" * sent
    assert made.poller.waits_for(made.fd) == IN


def test_nothing_is_kept_for_an_app_that_has_closed_while_its_last_bytes_go_out(rig: MakeRig) -> None:
    """The client takes nothing and sends on; at the end it gets all that the app sent, and its farewell."""
    made = rig().opened().filled()
    made.app.close()
    for _ in range(50):
        for _ in range(4):
            made.client.tls.write(b"x" * 500)
        made.said()
        assert not made.tunnel.pipe.plain
        assert not made.tunnel.pipe.tls._incoming.pending
    found = made.drained()
    while made.phase is TLS_OPEN:
        made.event(inner=True)
        found += made.drained()
    assert found + made.client.read() == b"x" * made.sent
    assert made.client.ended


# breaking off


@pytest.mark.parametrize(("known", "subject"), [(False, ""), (True, "CN=Ada")])
def test_the_subject_of_a_clients_certificate_is_that_of_its_peer(rig: MakeRig, known: bool, subject: str) -> None:
    ((_, peer),) = rig(known=known).opened().loop.served
    assert peer.subject.startswith(subject)
    assert bool(peer.subject) == known
    assert peer[:4] == PEER[:4]


def test_plain_http_gets_a_400(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    made = rig(protocol=Http())
    made.client.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    made.event()
    (words,) = made.loop.dropped
    assert words.startswith(b"HTTP/1.1 400")
    assert made.client.sock.recv(4096) == words
    assert made.lingers()
    assert "no TLS handshake with 127.0.0.1" in caplog.text


def test_a_client_that_does_not_trust_the_certificate_is_dropped(rig: MakeRig) -> None:
    made = rig()
    made.client.tls = ssl.create_default_context().wrap_bio(
        made.client._in, made.client._out, server_hostname="localhost"
    )
    assert not made.client.shake()
    made.said()
    made.client.take()
    with pytest.raises(ssl.SSLCertVerificationError):
        made.client.shake()
    made.said()
    assert not made.shaking
    assert len(made.loop.dropped) == 1
    assert not made.loop.served


def test_what_breaks_the_rules_with_the_end_of_the_handshake_reaches_no_app(rig: MakeRig) -> None:
    made = rig()
    while not made.client.shake():
        made.said()
        made.client.take()
    made.client.sock.sendall(made.client._out.read() + b"GET / HTTP/1.1\r\n\r\n")
    made.event()
    assert made.heard() == b""
    assert made.lingers()
    with pytest.raises(ssl.SSLError, match="ALERT"):
        made.client.read()


def test_a_subject_that_is_too_long_ends_the_handshake(rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(certificate: object) -> str:
        raise ValueError("longer than 1024 characters")

    monkeypatch.setattr(handshake, "subject", refuse)
    made = rig()
    while not made.client.shake():
        made.said()
        made.client.take()
    made.said()
    assert not made.shaking
    assert len(made.loop.dropped) == 1
    assert not made.loop.served


def test_no_descriptor_for_the_pair_ends_the_connection(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(kind: int) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(tls_pipe, "pair", none_left)
    made = rig()
    while not made.client.shake():
        made.said()
        made.client.take()
    made.said()
    assert not made.shaking
    assert len(made.loop.dropped) == 1
    assert not made.loop.served


def test_an_event_after_the_end_does_nothing(rig: MakeRig) -> None:
    made = rig()
    breaks_the_rules(made)
    made.tunnel.turn(None)
    made.tunnel.abort(None)
    made.tunnel.expire(inf, None)
    assert made.phase is TLS_CLOSED
    assert made.loop.dropped == []


def test_what_raises_ends_the_tunnel_before_and_after_the_handshake(rig: MakeRig) -> None:
    early, late = rig(), rig().opened()
    early.loop.fail(early.shakes, None, ValueError("on purpose"))
    late.loop.fail(late.tunnel.outer, None, ValueError("on purpose"))
    assert (early.shaking, late.phase) == (False, TLS_CLOSED)
    assert (len(early.loop.dropped), len(late.loop.dropped)) == (1, 0)
    assert late.app.recv(100) == b""


# time


def test_a_handshake_has_the_time_of_a_head(rig: MakeRig) -> None:
    made = rig()
    began = made.clock.now
    made.shakes.expire(began + TIMEOUTS.head, None)
    assert made.shaking
    made.shakes.expire(began + TIMEOUTS.head + 0.1, None)
    assert not made.shaking
    assert len(made.loop.dropped) == 1


def test_an_idle_client_is_left_to_the_connection_behind(rig: MakeRig) -> None:
    made = rig().opened()
    made.tunnel.outer.expire(made.clock.now + 3600, None)
    assert made.phase is TLS_OPEN


def test_a_client_that_takes_nothing_has_the_time_of_a_write(rig: MakeRig) -> None:
    made = rig().opened().filled()
    began = made.clock.now
    made.loop.now = began + TIMEOUTS.write
    made.client.take()
    made.event(OUT)  # it took something: its time begins anew
    made.filled()
    made.tunnel.outer.expire(made.loop.now + TIMEOUTS.write, None)
    assert made.phase is TLS_OPEN
    made.tunnel.outer.expire(made.loop.now + TIMEOUTS.write + 0.1, None)
    assert made.phase is TLS_CLOSED


def test_a_drain_shortens_a_handshake_and_nothing_else(rig: MakeRig) -> None:
    made, other = rig(), rig().opened()
    ends: tuple[Handler[None], ...] = made.shakes, other.tunnel.outer
    for each in ends:
        each.drain(None)
        each.expire(made.clock.now + NEWCOMER_SECONDS, None)
    assert (made.shaking, other.phase) == (True, TLS_OPEN)
    for each in ends:
        each.expire(made.clock.now + NEWCOMER_SECONDS + 0.1, None)
    assert (made.shaking, other.phase) == (False, TLS_OPEN)


# ends


def test_an_end_that_waits_for_nothing_is_not_in_the_poller(rig: MakeRig) -> None:
    made = rig()
    says_farewell(made)
    assert made.fd not in made.poller.masks
    assert made.fd in made.loop.handlers


def test_an_end_of_a_shared_loop_is_rearmed_after_its_event(rig: MakeRig) -> None:
    made = rig(shared=True).opened()
    assert made.poller.masks[made.fd] == IN | ONCE
    made.client.tls.write(b"x")
    made.said()
    assert made.fd not in made.poller.silent


def test_an_end_that_has_left_the_loop_is_not_armed(rig: MakeRig) -> None:
    made = rig().opened()
    made.loop.remove(made.tunnel.outer)
    made.tunnel.outer.wait_for(IN | OUT)
    assert made.fd not in made.poller.masks
    made.loop.add(made.tunnel.outer)


# the door


def test_a_client_past_the_limit_gets_an_alert(tunnel_papers: Papers) -> None:
    assert TlsDoor(Door(Http()), tunnel_papers.server).busy(PEER) == ALERT


def test_conversations_know_that_clients_come_by_https(tunnel_papers: Papers) -> None:
    door = TlsDoor(Door(Http()), tunnel_papers.server)
    assert door.conversation(PEER).scheme == "https"
    assert door.streaming(PEER).scheme == "https"
