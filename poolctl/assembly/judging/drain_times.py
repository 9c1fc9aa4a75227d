"""The finding about a ``timeouts.stream`` that is longer than ``timeouts.drain``.

A drain has one end, at which the process is killed: that of its streams cannot come later. The processes of a
generation, the service manager and an upgrade all wait for that one end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from poolctl.assembly.judging.http_only import is_faulty
from poolctl.config.diagnostic import Diagnostic, Label
from poolctl.config.model import TimeoutsSection
from poolctl.config.tree import Tree
from poolctl.config.units import seconds

STREAM, DRAIN = ("timeouts", "stream"), ("timeouts", "drain")


def drain_findings(tree: Tree, found: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """The finding, unless the values have others. ``found`` has the findings so far."""
    if not tree.has(STREAM) or tree.value_at(STREAM) in (None, "off") or is_faulty(tree, STREAM, found):
        return
    written = tree.has(DRAIN)
    if written and is_faulty(tree, DRAIN, found):
        return
    drain = seconds(tree.value_at(DRAIN)) if written else TimeoutsSection().drain
    stream = seconds(tree.value_at(STREAM))
    if stream > drain:
        message = f"timeouts.stream: {stream:g} s is longer than the drain ({drain:g} s), whose end nothing outlasts"
        labels = (Label(tree.at_value(DRAIN), "the drain"),) if written else ()
        help_ = f"write timeouts: {{drain: {stream:g}s}}, or leave out timeouts.stream"
        yield Diagnostic("PC301", message, tree.at_value(STREAM), help_, labels)
