"""A part that is a plugin: its reference and its options. Only the mold creates an instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from poolctl.assembly.plugins.inspection import Description
from poolctl.assembly.plugins.reference import Reference
from poolctl.errors import PoolctlError


@dataclass(frozen=True)
class Plugin:
    """Represents the part in processes that do not import other people's code."""

    reference: Reference
    options: Mapping[str, Any]
    description: Description

    @property
    def name(self) -> str:
        """The reference as the topology has it; the protocol's own name for a protocol, because apps ask for it."""
        return str(self.description.facts.get("name") or self.reference.text)

    @property
    def alpn(self) -> tuple[str, ...]:
        """A protocol's names in ALPN."""
        return tuple(self.description.facts.get("alpn") or ())

    @property
    def concurrency(self) -> int | Literal["auto"]:
        """The requests that one thread of an app serves at once; auto: the front finds out."""
        value = self.description.values.get("concurrency") or 1
        return "auto" if value == "auto" else int(value)

    def make(self) -> Any:
        """A new instance of the part.

        Raises PoolctlError for options that it no longer accepts, and PluginError; exceptions of the plugin's own code
        are not caught.
        """
        from pydantic import ValidationError

        from poolctl.assembly.options import values_of
        from poolctl.assembly.plugins.load import load

        part = load(self.reference)
        try:
            return part(**values_of(part, self.options))
        except ValidationError as error:
            raise PoolctlError(f"{self.reference.axis} {self.name}: its options have changed: {error}") from error


def instantiate(part: Any) -> Any:
    """The part itself, or an instance of a plugin. For processes that may run a plugin's code."""
    return part.make() if isinstance(part, Plugin) else part
