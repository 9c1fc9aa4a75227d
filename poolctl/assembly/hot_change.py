"""Changes that a running generation takes: its processes get new values, and none of them is started anew.

    reviewer: which keys differ --> supervisor: are the parts alike otherwise? --> mold --> each process

What may differ is listed in ``description/changes.py``. All values are made from the topology by the functions that
make them at a start.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from poolctl.assembly.environment.limits import affordable, descriptors, pairs, raise_descriptors
from poolctl.assembly.plugins.plugin import Plugin, instantiate
from poolctl.assembly.resolve import MadeParts, Parts
from poolctl.assembly.site import class_table, descriptors_per_connection, overload_limits, timeouts
from poolctl.config.model import Topology
from poolctl.errors import PoolctlError
from poolctl.runtime.dispatch import Dispatch, KernelDispatch
from poolctl.runtime.site.settings import Values
from poolctl.runtime.system.loaded_code import LoadedCode

if TYPE_CHECKING:
    from poolctl.runtime.site.workshop import Workshop


SECTIONS = ("limits", "timeouts", "overload", "classes", "scale", "recycle", "reload")  # that processes read again


@dataclass(frozen=True)
class HotChange:
    """What travels to the processes. ``topology``: has the sections that processes read again, and no others;
    ``dispatch``: None if it stays as it is."""

    topology: Topology
    dispatch: Dispatch | Plugin | None

    def sent(self) -> bytes:
        """Return it for the way to another process of the generation."""
        return pickle.dumps(self)


def hot_change(old: Parts, new: Parts) -> HotChange | None:
    """Return the change from parts to others; None if processes must start for it."""
    if _rest_of(old) != _rest_of(new):
        return None
    sections = {name: getattr(new.topology, name) for name in SECTIONS}
    return HotChange(Topology.model_construct(**sections), None if old.dispatch == new.dispatch else new.dispatch)


def _rest_of(parts: Parts) -> Parts:
    """Return the parts without what processes can take while they run. Of timeouts remains whether requests are timed
    at all and how long streams may go on, of ``reload`` what workers do at their start, and of ``classes`` whether
    they look at headers."""
    topology, chosen = parts.topology, parts.combination
    times = topology.timeouts
    left = {
        "timeouts": (times.request is None, times.shorter_stream),
        "reload": topology.reload.warm,
        "classes": any(each.header for each in topology.classes),
    }
    taken = dict.fromkeys(("limits", "overload", "scale", "recycle", "dispatch"))
    names = tuple((axis, name) for axis, name in chosen.names if axis != "dispatch")
    return replace(
        parts,
        topology=topology.model_copy(update={**taken, **left}),
        combination=replace(chosen, dispatch=None, names=names, finishes=False),
        dispatch=None,
    )


def received(change: bytes) -> HotChange:
    """Return the change that has come from the supervisor, which is trusted."""
    found = pickle.loads(change)
    assert isinstance(found, HotChange)
    return found


@dataclass(frozen=True)
class HotTerms:
    """What the processes of a generation keep of the start, for a change. ``code``: that they have loaded; ``each``:
    descriptors of a connection; ``paired``: whether it may have a pair of sockets; ``workers``, ``most``: of the pool;
    ``asynchronous``: whether the app is."""

    code: LoadedCode
    each: int
    paired: bool
    workers: int
    most: int
    asynchronous: bool


def terms_of(parts: MadeParts, code: LoadedCode) -> HotTerms:
    """Return the terms of a generation that starts."""
    return HotTerms(
        code,
        descriptors_per_connection(parts),
        pairs(parts.topology, parts.combination),
        parts.workers,
        parts.most,
        parts.app.asynchronous,
    )


def values(change: HotChange, site: Workshop, terms: HotTerms) -> Values:
    """Make the new values in this process, and change nothing but the limit on descriptors. Raises PoolctlError, and
    whatever a plugin raises."""
    if changed := terms.code.newer():
        raise PoolctlError(f"{changed} has changed since it was loaded")
    topology = change.topology
    raise_descriptors(descriptors(topology.limits.connections, paired=terms.paired))
    return Values(
        timeouts=timeouts(topology),
        connections=topology.limits.connections,
        most=affordable(terms.each),
        waiting=topology.limits.waiting,
        overload=overload_limits(topology),
        classes=class_table(topology),
        dispatch=_maker(change.dispatch, site, terms.code),
    )


def _maker(part: Dispatch | Plugin | None, site: Workshop, code: LoadedCode) -> Callable[[], Dispatch] | None:
    """Return what makes the strategy; where there is a front, the one that is made."""
    if part is None or isinstance(part, KernelDispatch):
        return None
    make: Callable[[], Dispatch] = partial(code.load, partial(instantiate, part))
    if not site.settings.has_front:
        return make
    made = make()
    for need in ("pull", "inspects"):
        if getattr(made, need) != getattr(site.dispatch, need):
            raise PoolctlError(f"the channels of this generation are made for another strategy ({need})")
    if len(site.inboxes) == 1 and made.hooks & {"joined", "left"}:
        raise PoolctlError("the front of this generation is not told when its only inbox loses its worker")
    return lambda: site.guarded(made)
