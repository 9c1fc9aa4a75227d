"""Pools: whether workers are processes or threads, and whether they are created in advance or for each client."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from poolctl.runtime.interface import INTERFACE
from poolctl.runtime.ownership import Ownership
from poolctl.runtime.role import Role
from poolctl.runtime.site import Site
from poolctl.runtime.site.workshop import Medium

Size = Annotated[
    Annotated[int, Field(ge=1, le=4096)] | Literal["auto"],
    Field(description="number of workers; auto: derived from the number of cores"),
]


ElasticSize = Annotated[
    Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] | Annotated[dict[str, int | str], "workers"],
    Field(
        description="number of workers; auto: derived from the number of cores; {min, max}: it grows and shrinks, as"
        " scale says"
    ),
]


class Pool(ABC):
    """A part that turns a site and an ownership into roles.

    1. Made from its options: in the supervisor, or in the mold if it comes from a plugin.
    2. Asked for the sizes of the site, in the mold: ``medium`` once, ``shape``, ``multithread``, ``multiprocess``.
    3. Provisioned, once in the mold: ``roles`` takes the site and the ownership, and a pool gets nothing else.
    4. Used: the mold forks the roles, forks each again when it dies, and calls ``run`` in the new process.
    5. Nothing is cleaned up: a role ends when ``run`` returns.
    """

    interface: ClassVar[int] = INTERFACE  # the interface version that it was written for
    like: ClassVar[str] = "process"  # the built-in pool whose rules apply: it combines with the same other words

    @property
    def multithread(self) -> bool:
        """Whether several threads of one process may call the app at once."""
        return False

    @property
    def multiprocess(self) -> bool:
        """Whether several processes may serve the app at once."""
        return False

    @abstractmethod
    def medium(self) -> Medium:
        """Return the medium between front and workers."""

    @abstractmethod
    def shape(self, workers: int, *, shares_one_event_set: bool) -> tuple[int, int]:
        """Return (workers, threads in each) of the site. ``shares_one_event_set``: threads serve one event set
        together."""

    @abstractmethod
    def roles(self, site: Site, ownership: Ownership | None) -> list[Role]:
        """Return the roles that the mold forks. ``ownership``: None for pools that create a worker for each client."""
