"""The worker's half of an HTTP connection, for apps that read a body as it arrives."""

from __future__ import annotations

import functools
import importlib.util
import logging

from mypy_extensions import mypyc_attr

from poolctl.runtime.protocol.http.body import Keep
from poolctl.runtime.protocol.http.conversation import HttpWorkerHalf
from poolctl.runtime.protocol.http.inflow import Inflow
from poolctl.runtime.protocol.http.reader import CONTINUE
from poolctl.runtime.protocol.http.request import HttpRequest

log = logging.getLogger("poolctl.protocol")


def asks_for_websocket(request: HttpRequest) -> bool:
    """Return whether a request with an Upgrade header may become a WebSocket (RFC 6455, 4.2.1): it asks for one
    with GET over HTTP/1.1 (RFC 9110, 7.8), and wsproto is installed."""
    if request.method != "GET" or request.version != "1.1":
        return False
    protocols = b",".join([value for name, value in request.headers if name.lower() == b"upgrade"])
    if b"websocket" not in [each.strip().lower() for each in protocols.split(b",")]:
        return False
    if importlib.util.find_spec("wsproto") is None:
        _warn_once()
        return False
    return True


@functools.cache
def _warn_once() -> None:
    log.warning("a client requested a WebSocket, which needs the package wsproto: pip install 'poolctl[websocket]'")


@mypyc_attr(allow_interpreted_subclasses=True)
class StreamingConversation(HttpWorkerHalf):
    """Requests as soon as their head is complete. One that has a body has it as its ``inflow``."""

    inflow: Inflow | None = None  # of the request whose body is incomplete
    upgrades: bool = True  # whether the connection may become a WebSocket

    def _read(self, data: bytes) -> None:
        super()._read(data)
        if self.failure and self.inflow is not None:
            self.inflow.fail()
            self.inflow = None

    def ended(self) -> None:
        """The client has finished sending: an incomplete request stays incomplete."""
        super().ended()
        if self.inflow is not None:
            self.inflow.fail()
            self.inflow = None

    def _complete(self, head: bytes) -> None:
        request = self._head.request(self)
        if self._head.upgrade and self.upgrades and asks_for_websocket(request):
            self._become_websocket(request)
        else:
            self.requests.append(request)
        if self.origins is not None and not self.failure:
            self.origins.place(request, self)

    def _become_websocket(self, request: HttpRequest) -> None:
        from poolctl.runtime.protocol.websocket.conversation import WebSocketConversation  # wsproto is optional
        from poolctl.runtime.protocol.websocket.handshake import BadHandshake

        try:
            self.hand_over(WebSocketConversation(self._http, request))
        except BadHandshake as error:
            self.failure = error.failure

    def _rest(self, data: bytes) -> None:
        """Pass bytes after the last request to the successor, if there is one."""
        if self.successor is not None:
            self.successor.receive(data)

    def _begin(self, head: bytes) -> Keep | None:
        self.inflow = inflow = Inflow()
        request = self._head.request(self)
        request.inflow = inflow
        if self.origins is not None:
            self.origins.place(request, self)
        self.requests.append(request)
        return inflow.feed

    def _expect(self) -> None:
        assert self.inflow is not None  # that of the request whose head this is
        self.inflow.reply = CONTINUE

    def _pass(self, data: bytes, start: int, end: int) -> None:
        if self.inflow is not None:
            self.inflow.reply = b""  # the client did not wait for 100 Continue

    def _finish(self) -> None:
        assert self.inflow is not None
        self.inflow.finish()
        self.inflow = None
