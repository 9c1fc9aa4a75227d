"""Keys that are about requests of HTTP: refused with other protocols, and what only the runtime can judge of them."""

from __future__ import annotations

from poolctl.config.diagnostic import Diagnostic
from poolctl.config.model import Topology
from poolctl.config.tree import Tree
from poolctl.runtime.access.directives import parse

ABOUT = {
    "access_log": "its lines are about requests of HTTP",
    "forwarded": "its headers are those of requests of HTTP",
}


def of_requests(topology: Topology, protocol: str, tree: Tree) -> list[Diagnostic]:
    """What is wrong with the keys ``access_log`` and ``forwarded`` of a topology that is right otherwise."""
    found = [
        Diagnostic("PC301", f"{key}: {about}, and the protocol here is {protocol}", tree.at_key((key,)), "leave it out")
        for key, about in ABOUT.items()
        if protocol != "http" and getattr(topology, key) is not None
    ]
    access = topology.access_log
    if access is not None and "%" in access.format:
        try:
            parse(access.format)
        except ValueError as error:
            found.append(Diagnostic("PC204", f"access_log: {error}", tree.at_value(("access_log", "format"))))
    return found
