"""Keys that are about requests of HTTP: refused with other protocols, and what only the runtime can judge of them."""

from __future__ import annotations

from collections.abc import Iterator

from poolctl.assembly.combination import Combination
from poolctl.config.diagnostic import Diagnostic, Label
from poolctl.config.model import Topology
from poolctl.config.tree import Tree

ABOUT = {
    "access_log": "its lines are about requests of HTTP",
    "forwarded": "its headers are those of requests of HTTP",
}


# Where nobody could end a request that takes too long.
ENDLESS = {
    "thread": "a thread cannot be ended, and a process of workers would take the requests of all others along",
    "thread-per-connection": "a thread cannot be ended, and its process would take all other clients along",
    "process-per-connection": "a process that was made for one client has no row in the scoreboard",
}


def _request(topology: Topology, chosen: Combination, tree: Tree) -> Iterator[Diagnostic]:
    """What is wrong with ``timeouts.request``."""
    service = chosen.service
    if topology.timeouts.request is None:
        return
    reason = "" if service.asynchronous else ENDLESS.get(chosen.pool, "")
    if service.owns_connection:
        reason = f"the app {service.app} owns its connection, and answers no requests"
    if reason:
        mending = "leave it out" if service.owns_connection else "leave it out, or use pool: process"
        place = tree.at_key(("timeouts", "request"))
        yield Diagnostic("PC301", f"timeouts.request: {reason}", place, mending)


def of_requests(topology: Topology, chosen: Combination, tree: Tree) -> list[Diagnostic]:
    """What is wrong with the keys ``access_log``, ``forwarded`` and ``timeouts.request`` of a topology that is right
    otherwise."""
    protocol = chosen.service.protocol
    found = [
        Diagnostic(
            "PC301",
            f"{key}: {about}, and the protocol here is {protocol}",
            tree.at_key((key,)),
            "leave it out",
            (Label(tree.at_value(("app",)), f"the app is {chosen.service.app}"),),
        )
        for key, about in ABOUT.items()
        if protocol != "http" and getattr(topology, key) is not None
    ]
    found += _request(topology, chosen, tree)
    access = topology.access_log
    if access is not None and "%" in access.format:
        from poolctl.runtime.access.directives import parse  # few formats have directives

        try:
            parse(access.format)
        except ValueError as error:
            message, _, known = str(error).partition("; ")
            found.append(Diagnostic("PC204", f"access_log: {message}", tree.at_value(("access_log", "format")), known))
    return found
