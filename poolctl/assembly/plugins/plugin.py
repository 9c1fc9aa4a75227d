"""A part that is a plugin: where it is and what its options are. Only the mold makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poolctl.assembly.plugins.inspection import Description
from poolctl.assembly.plugins.reference import Reference
from poolctl.errors import PoolctlError


@dataclass(frozen=True)
class Plugin:
    """What stands for the part in processes that import nothing of others."""

    reference: Reference
    options: Mapping[str, Any]
    description: Description

    @property
    def name(self) -> str:
        """As the topology says it; a protocol by its own name, by which apps ask for it."""
        return str(self.description.facts.get("name") or self.reference.text)

    @property
    def alpn(self) -> tuple[str, ...]:
        """Of a protocol: its names in ALPN."""
        return tuple(self.description.facts.get("alpn") or ())

    @property
    def concurrency(self) -> int:
        """Of an app: requests that one thread serves at once."""
        return int(self.description.values.get("concurrency") or 1)

    def make(self) -> Any:
        """The part itself. Raises PoolctlError for options that it does not take any more, and PluginError; what the
        plugin's own code raises passes through."""
        from pydantic import ValidationError

        from poolctl.assembly.options import values_of
        from poolctl.assembly.plugins.load import load

        part = load(self.reference)
        try:
            return part(**values_of(part, self.options))
        except ValidationError as error:
            raise PoolctlError(f"{self.reference.axis} {self.name}: its options have changed: {error}") from error


def made(part: Any) -> Any:
    """The part itself, whether or not it is a plugin. For processes that may run a plugin's code."""
    return part.make() if isinstance(part, Plugin) else part
