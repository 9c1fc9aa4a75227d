"""WSGI applications (PEP 3333)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from poolctl.runtime.app import App, Surroundings
from poolctl.runtime.app.functions.target import load_wsgi
from poolctl.runtime.app.wsgi.call import Application, Calls
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.protocol.output import Output


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
        application: Application = self.find()
        if surroundings.page is not None:
            application = surroundings.page.wrap_wsgi(application)
        self._calls = Calls(application, surroundings)

    def warm(self) -> None:
        if self._surroundings.warm:
            from poolctl.runtime.app.warm import warm_wsgi  # few topologies have warm requests

            warm_wsgi(self._calls.application, self._surroundings.warm)

    def serve(self, request: HttpRequest, out: Output) -> bool:
        """Call the application and send its response. Return whether the connection may be kept."""
        return self._calls.answer(request, out)

    def serving(self) -> Callable[[Any, Output], bool]:
        """Return what does the same as ``serve``."""
        return self._calls.answer


@dataclass
class Wsgi(WsgiApp):
    """Serves the WSGI callable that the target names."""

    target: Annotated[
        str, Field(min_length=1, description="package.module:callable; the callable defaults to application")
    ]

    def find(self) -> Application:
        """Return the application. Raises AppError."""
        return load_wsgi(self.target)
