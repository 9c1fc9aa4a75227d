"""What supervision needs to know of an assembled server: its roles, and which descriptors each of them keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from poolctl.runtime.role import Role

__all__ = ["Plan", "Role"]


class Plan(ABC):
    """A generation's server, made inside the mold: channels open, nothing forked yet."""

    name: str  # of the topology
    roles: list[Role]
    owned: set[int]  # every descriptor that poolctl made: listeners, channels; not those of the user's app
    drain: float  # seconds
    request: float | None = None  # seconds for one request of a role, past which its process is ended; None: any time
    reopen: Callable[[], None] | None = None  # opens the log's file again, in whichever process it is called

    @abstractmethod
    def died(self, role: Role, pid: int) -> None:
        """In the mold, when a role's process has been reaped and before it is forked again."""

    def ready(self, role: Role) -> None:  # noqa: B027  # most plans have nothing to tell
        """In the mold, when a role's process is ready."""

    @property
    def guards(self) -> bool:
        """Whether code of a plugin runs in a front, which could hang there."""
        return False

    def hanging(self) -> float:
        """In the mold, where it ``guards``: seconds for which the front has been in that code; 0: it is not."""
        return 0.0

    def overdue(self, role: Role) -> float:
        """In the mold, where ``request`` is set: seconds that the oldest request in a role's hands has taken, where it
        has taken too long; otherwise 0."""
        return 0.0

    @abstractmethod
    def close_for(self, stage: int) -> None:
        """In the mold, when all roles of the stages before this one have left: close what must reach its end of
        file."""
