"""The other side of HTTP/2, for a rig: it says what a test wants, and hears all that comes."""

from __future__ import annotations

import socket
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

from harness.phase_rig import Rig
from poolctl.runtime.protocol.http2.frames import PREFACE, FrameWatch
from poolctl.runtime.system.poller import OUT


class Http2Client:
    """The other side of HTTP/2. ``events``: all that came, by stream; those of the connection are 0's."""

    def __init__(self, rig: Rig, window: int = 1 << 24) -> None:
        self.rig = rig
        rig.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.watch = FrameWatch(1 << 20)  # h2 takes a GOAWAY for the end, and would drop open streams
        self.watch.sift(PREFACE)
        self.h2.increment_flow_control_window(window)
        self.events: dict[int, list[Any]] = {}
        self.say()
        self.hear()

    def say(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.rig.send(data)

    def ask(
        self, number: int, path: str = "/", *, data: bytes | None = None, end: bool = True, hears: bool = True
    ) -> None:
        """A request; with ``data`` it has a body, of which ``end`` says whether this is all. ``hears``: it reads."""
        method = "GET" if data is None else "POST"
        head = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "a")]
        self.h2.send_headers(number, head, end_stream=data is None)
        if data is not None:
            self.h2.send_data(number, data, end_stream=end)
        self.say()
        if hears:
            self.hear()

    def hear(self) -> None:
        """Everything that can come now."""
        while data := self.rig.read():
            self.take(data)
            self.rig.event(OUT)

    def take(self, data: bytes) -> None:
        for event in self.h2.receive_data(self.watch.sift(data)):
            self.events.setdefault(getattr(event, "stream_id", None) or 0, []).append(event)
            if isinstance(event, DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        self.say()

    def answer(self, number: int) -> tuple[int, bytes]:
        """(status, body) as far as it has come; 0: no head has."""
        self.hear()
        events = self.events.get(number, [])
        head = next((event for event in events if isinstance(event, ResponseReceived)), None)
        status = int(dict(head.headers)[b":status"]) if head is not None else 0  # type: ignore[arg-type]
        return status, b"".join(event.data for event in events if isinstance(event, DataReceived))

    def ended(self, number: int) -> str:
        """How a stream did."""
        self.hear()
        kinds = [type(event) for event in self.events.get(number, [])]
        return "whole" if StreamEnded in kinds else "reset" if StreamReset in kinds else ""

    @property
    def gone_away(self) -> bool:
        """Whether a GOAWAY came."""
        self.hear()
        return self.watch.leaving or any(isinstance(each, ConnectionTerminated) for each in self.events.get(0, []))
