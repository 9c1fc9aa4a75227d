"""Pools: whether the workers are processes or threads, made before the first client comes, or for each client anew."""

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


class Pool(ABC):
    """A part that turns a site and an ownership into roles.

    1. Made from its options, in the supervisor; a plugin's in the mold.
    2. Asked for the sizes of the site, in the mold: ``medium`` once, ``shape``, ``multithread``, ``multiprocess``.
    3. Provisioned with all that it gets, once in the mold: ``roles`` takes the site and the ownership.
    4. Used: the mold forks the roles, each again when it has died, and calls its ``run`` in the new process.
    5. Nothing is cleaned up: a role that returns from ``run`` has ended.
    """

    interface: ClassVar[int] = INTERFACE  # the version that it was written for
    like: ClassVar[str] = "process"  # the word of poolctl's own that it fits with the same other words as

    @property
    def multithread(self) -> bool:
        """May one process call the app from several threads at once?"""
        return False

    @property
    def multiprocess(self) -> bool:
        """May several processes serve the app at once?"""
        return False

    @abstractmethod
    def medium(self) -> Medium:
        """What lies between front and workers."""

    @abstractmethod
    def shape(self, workers: int, *, shares_one_event_set: bool) -> tuple[int, int]:
        """(workers, threads in each) of the site; ``shares_one_event_set``: threads serve one event set together."""

    @abstractmethod
    def roles(self, site: Site, ownership: Ownership | None) -> list[Role]:
        """What the mold forks. Ownership is None for a pool that makes workers for each client."""
