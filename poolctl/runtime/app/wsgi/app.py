"""WSGI applications (PEP 3333)."""

from __future__ import annotations

import logging
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from poolctl.runtime.app import App, Surroundings
from poolctl.runtime.app.functions.target import load_wsgi
from poolctl.runtime.app.wsgi.call import Application, answer
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.protocol.output import Output

log = logging.getLogger("poolctl.app")


@dataclass
class WsgiApp(App):
    """Serves a WSGI callable, which the subclass provides."""

    protocol: ClassVar[str] = "http"

    @abstractmethod
    def find(self) -> Application:
        """Return the application. Raises AppError if there is none."""

    def load(self, surroundings: Surroundings) -> None:
        """Import the application. Raises AppError."""
        self._surroundings = surroundings
        self._reported: set[str] = set()
        self._application: Application = self.find()
        if surroundings.page is not None:
            self._application = surroundings.page.wrap_wsgi(self._application)

    def warm(self) -> None:
        if self._surroundings.warm:
            from poolctl.runtime.app.warm import warm_wsgi  # few topologies have warm requests

            warm_wsgi(self._application, self._surroundings.warm)

    def serve(self, request: HttpRequest, out: Output) -> bool:
        """Call the application and send its response. Return whether the connection may be kept."""
        call = answer(self._application, self._surroundings, request, out)
        if call.mismatch:
            self._report(call.mismatch, request)
        return call.keep

    def _report(self, mismatch: str, request: HttpRequest) -> None:
        kind = "longer" if "longer" in mismatch else "shorter"
        if kind not in self._reported:
            self._reported.add(kind)
            log.error("%s %r: %s (logged once)", request.method, request.target.decode("latin-1"), mismatch)


@dataclass
class Wsgi(WsgiApp):
    """Serves the WSGI callable that the target names."""

    target: Annotated[
        str, Field(min_length=1, description="package.module:callable; the callable defaults to application")
    ]

    def find(self) -> Application:
        """Return the application. Raises AppError."""
        return load_wsgi(self.target)
