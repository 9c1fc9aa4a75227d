"""Sending received bytes back (RFC 862)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from poolctl.runtime.app import App, Surroundings
from poolctl.runtime.protocol.output import Output


@dataclass
class Echo(App):
    """The echo service."""

    protocol: ClassVar[str] = "raw"

    def load(self, surroundings: Surroundings) -> None:
        """Do nothing: there is no code to import."""

    def serve(self, request: bytes, out: Output) -> bool:
        """Send the bytes back. Return True: the connection may be kept."""
        out.send(request)
        return True
