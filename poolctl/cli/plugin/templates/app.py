"""my-part: an app for poolctl."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from poolctl.plugin import WsgiApp
from pydantic import Field


@dataclass
class MyPart(WsgiApp):
    """Greets every client."""

    interface: ClassVar[int] = 1

    greeting: Annotated[str, Field(min_length=1, description="the body of every response")] = "hello"

    def find(self) -> Callable[..., Iterable[bytes]]:
        """Return the WSGI application (PEP 3333); called once in each worker, before it serves."""
        body = self.greeting.encode() + b"\n"
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]

        def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            start_response("200 OK", headers)
            return [body]

        return application
