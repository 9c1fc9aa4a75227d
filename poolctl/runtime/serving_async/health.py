"""Health checks where a worker serves an async app: answered in place of a call of the app (see serving/health.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.serving.health import HealthCheck, HealthService

if TYPE_CHECKING:
    from poolctl.runtime.app.asgi.output import AsgiOutput, Exchanges, WebSocketOutput
    from poolctl.runtime.app.awaited import Exchange, WebSocketCall
    from poolctl.runtime.protocol.websocket.conversation import WebSocketConversation  # wsproto is optional


class HealthExchange:
    """The answer to one health check, in the form of a call of the app."""

    def __init__(self, check: HealthCheck, request: HttpRequest, out: AsgiOutput) -> None:
        self._check, self._request, self._out = check, request, out
        self.keep = request.keep_alive
        self.ended = False

    async def call(self) -> None:
        """Send the response. Raises ClientGone."""
        request, out = self._request, self._out
        if request.inflow is not None and not request.inflow.done:  # nobody will read the body
            out.last = True
        self.keep = request.keep_alive and not out.last
        out.send(self._check.response(request.method, request.version, keep=self.keep))
        self.ended = True
        out.complete(self)

    def conclude(self) -> bool:
        """Return whether the connection may be kept."""
        return self.keep


class HealthApp:
    """What a connection calls in place of the app: it answers health checks, and passes on everything else."""

    def __init__(self, app: Exchanges, service: HealthService) -> None:
        self._app, self._service = app, service

    def exchange(self, request: HttpRequest, connection: AsgiOutput) -> Exchange:
        """Return the exchange for a request, whose time has just begun."""
        if not self._service.check.asked_by(request):
            return self._app.exchange(request, connection)
        self._service.is_check()
        return HealthExchange(self._service.check, request, connection)

    def websocket(self, conversation: WebSocketConversation, connection: WebSocketOutput) -> WebSocketCall:
        """Return the app's call for one WebSocket."""
        return self._app.websocket(conversation, connection)
