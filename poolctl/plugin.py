"""The interface for plugins: everything that they may import, which is also what poolctl's own parts are built on.

A dispatch strategy is a dataclass derived from ``Dispatch``; the base classes of the other axes are ``App``,
``Protocol``, ``Pool`` and ``Ownership``. Names that are not exported here may change without notice.
"""

from __future__ import annotations

from poolctl.errors import AppError, ClientGone, PoolctlError
from poolctl.runtime.app import App, Surroundings
from poolctl.runtime.app.functions.target import load_callable
from poolctl.runtime.app.wsgi.app import WsgiApp
from poolctl.runtime.buffers.temporary import inline_or_file
from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.dispatch.shared_queue import SharedQueue
from poolctl.runtime.dispatch.size_aware import SizeAware
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.interface import INTERFACE
from poolctl.runtime.lifeline import Life
from poolctl.runtime.ownership import Ownership
from poolctl.runtime.ownership.half_sync_half_async.ownership import HalfSyncHalfAsync
from poolctl.runtime.ownership.half_sync_half_reactive.ownership import HalfSyncHalfReactive
from poolctl.runtime.ownership.leader_followers import LeaderFollowers
from poolctl.runtime.ownership.reuse_port import ReusePort
from poolctl.runtime.pool import Pool, Size
from poolctl.runtime.pool.process import Process
from poolctl.runtime.pool.thread import Thread
from poolctl.runtime.protocol import Conversation, Framer, Protocol, Provisions
from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.protocol.output import Output
from poolctl.runtime.queue_view import ClassLimits, QueueView
from poolctl.runtime.role import Role
from poolctl.runtime.site import Site
from poolctl.runtime.task import Peer, Task

__all__ = [
    "INTERFACE",
    "App",
    "AppError",
    "ClassLimits",
    "ClientGone",
    "Conversation",
    "Dispatch",
    "Failure",
    "Framer",
    "HalfSyncHalfAsync",
    "HalfSyncHalfReactive",
    "InboxView",
    "LeaderFollowers",
    "Life",
    "Output",
    "Ownership",
    "Peer",
    "Pool",
    "PoolctlError",
    "Process",
    "Protocol",
    "Provisions",
    "QueueView",
    "ReusePort",
    "Role",
    "SharedQueue",
    "Site",
    "Size",
    "SizeAware",
    "Surroundings",
    "Task",
    "Thread",
    "WsgiApp",
    "inline_or_file",
    "load_callable",
]
