"""Everything that the author of a plugin may import: the same that poolctl's own parts are made of.

A dispatch strategy is a dataclass below ``Dispatch``; the other axes have ``App``, ``Protocol``, ``Pool`` and
``Ownership``. What is not named here may change without notice.
"""

from __future__ import annotations

from poolctl.errors import AppError, ClientGone, PoolctlError
from poolctl.runtime.app import App, Output, Surroundings
from poolctl.runtime.app.target import load_callable
from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.interface import INTERFACE
from poolctl.runtime.ownership import Ownership
from poolctl.runtime.pool import Pool, Size
from poolctl.runtime.protocol import Conversation, Framer, Protocol
from poolctl.runtime.task import Peer, Task

__all__ = [
    "INTERFACE",
    "App",
    "AppError",
    "ClientGone",
    "Conversation",
    "Dispatch",
    "Framer",
    "InboxView",
    "Output",
    "Ownership",
    "Peer",
    "Pool",
    "PoolctlError",
    "Protocol",
    "Size",
    "Surroundings",
    "Task",
    "load_callable",
]
