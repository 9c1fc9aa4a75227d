"""Findings about keys for HTTP requests: with other protocols they are refused, and the runtime validates some of their
values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from poolctl.assembly.fitting.combination import ASYNC, BASELINES, FRONTED, REACTIVE, REUSE_PORT, Combination, Offer
from poolctl.assembly.fitting.seats import SOCKETS
from poolctl.config.choice import path_of_option
from poolctl.config.diagnostic import Diagnostic, Label
from poolctl.config.model import Choice
from poolctl.config.tree import Path, Tree

ABOUT = {
    "access_log": "its lines are about HTTP requests",
    "forwarded": "its headers are those of HTTP requests",
    "health": "health checks are HTTP requests",
}


# Pools in which a request that takes too long cannot be ended.
WARMED = ("wsgi", "asgi")
UNENDABLE = {
    "thread-per-connection": "requests are not timed in a thread that serves a single client",
    "process-per-connection": "requests are not timed in a process that serves a single client",
}


def http_only_findings(
    tree: Tree, service: Offer, pool: str | None, found: Sequence[Diagnostic] = (), *, retries: bool = False
) -> Iterator[Diagnostic]:
    """The findings about ``access_log``, ``forwarded``, ``health``, ``timeouts.request``, ``recycle`` and
    ``ownership.retry``, unless they have others.

    ``pool`` is None where it is unknown. ``found`` has the findings so far. ``retries``: the ownership has the option.
    """
    protocol = service.protocol
    for key, about in ABOUT.items():
        if protocol != "http" and _set(tree, (key,), found):
            message = f"{key}: {about}, but the protocol here is {protocol}"
            label = Label(tree.at_value(("app",)), f"the app is {service.app}")
            yield Diagnostic("PC301", message, tree.at_key((key,)), "leave it out", (label,))
    yield from _request(tree, service, pool, found)
    yield from _recycle(tree, pool, found)
    if retries:
        yield from _retry(tree, service, pool, found)
    yield from _directives(tree, found)


def _set(tree: Tree, path: Path, found: Sequence[Diagnostic]) -> bool:
    """Whether a key has a value other than off, without findings about it."""
    return tree.has(path) and tree.value_at(path) not in (None, "off") and not is_faulty(tree, path, found)


def is_faulty(tree: Tree, path: Path, found: Sequence[Diagnostic]) -> bool:
    """Whether there are findings in the value at a path."""
    source, span = tree.at_value(path)
    return any(
        each.place.source is source and span[:2] <= each.place.span[:2] <= (span.end_line, span.end_column)
        for each in found
    )


def _request(tree: Tree, service: Offer, pool: str | None, found: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """The findings about ``timeouts.request``."""
    path = ("timeouts", "request")
    if not _set(tree, path, found):
        return
    reason = "" if service.asynchronous else UNENDABLE.get(pool or "", "")
    if service.owns_connection:
        reason = f"the app {service.app} owns its connection and answers no requests"
    if reason:
        help_ = "leave it out" if service.owns_connection else "leave it out, or use pool: process"
        yield Diagnostic("PC301", f"timeouts.request: {reason}", tree.at_key(path), help_)


def _retry(tree: Tree, service: Offer, pool: str | None, found: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """The findings about ``ownership.retry``."""
    path = ("ownership", "retry")
    if not _set(tree, path, found):
        return
    if service.protocol != "http":
        message = f"ownership.retry: only HTTP tells which requests may be repeated; the protocol is {service.protocol}"
        label = Label(tree.at_value(("app",)), f"the app is {service.app}")
        yield Diagnostic("PC301", message, tree.at_key(path), "leave it out", (label,))
    elif pool == "thread":
        message = "ownership.retry: threads die together, with their process and its front, so none is left to retry"
        yield Diagnostic("PC301", message, tree.at_key(path), "leave it out, or use pool: process")


def _recycle(tree: Tree, pool: str | None, found: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """The findings about ``recycle``."""
    if pool in BASELINES and _set(tree, ("recycle",), found):
        message = f"recycle: pool {pool} has no workers that could be replaced"
        yield Diagnostic("PC301", message, tree.at_key(("recycle",)), "leave it out, or use pool: process")


def warm_findings(tree: Tree, service: Offer, pool: str | None, found: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """The findings about ``reload.warm``."""
    path = ("reload", "warm")
    if not _set(tree, path, found) or not tree.value_at(path):
        return
    if service.app not in WARMED:
        message = f"reload.warm: apps {' and '.join(WARMED)} answer warm requests, not {service.app}"
        label = Label(tree.at_value(("app",)), f"the app is {service.app}")
        yield Diagnostic("PC301", message, tree.at_key(path), "leave it out", (label,))
    elif pool in BASELINES:
        message = f"reload.warm: pool {pool} has no workers that could be warmed"
        yield Diagnostic("PC301", message, tree.at_key(path), "leave it out, or use pool: process")


def elastic_findings(
    tree: Tree, pool: Choice | None, ownership: str | None, found: Sequence[Diagnostic]
) -> Iterator[Diagnostic]:
    """The findings about ``scale`` and a size with min and max."""
    elastic = pool is not None and isinstance(pool.options.get("size"), dict)
    if _set(tree, ("scale",), found) and not elastic:
        help_ = "leave it out, or write pool: {kind: process, size: {min: 2, max: 8}}"
        yield Diagnostic("PC301", "scale: the pool has a fixed size", tree.at_key(("scale",)), help_)
    if pool is not None and elastic and ownership == REUSE_PORT:
        path = path_of_option(tree, pool, ("size",))
        if not is_faulty(tree, path, found):
            message = f"pool.size: {SOCKETS}, so their number is fixed"
            help_ = "write a number or auto, or use ownership: leader/followers"
            yield Diagnostic("PC301", message, tree.at_value(path), help_)


def overload_findings(tree: Tree, chosen: Combination | None, found: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """The findings about ``overload``, which bounds how long requests and connections wait in a queue of poolctl's."""
    if chosen is None or not _set(tree, ("overload",), found):
        return
    ownership, order = chosen.ownership or f"that of pool {chosen.pool}", ("overload", "order")
    if ownership not in FRONTED:
        message = f"overload: only a front has a queue that it could bound; the ownership is {ownership}"
        help_ = f"leave it out, or use ownership: {REACTIVE}"
        yield Diagnostic("PC301", message, tree.at_key(("overload",)), help_)
    elif chosen.ownership == ASYNC and chosen.accept == "worker":
        message = "overload: with accept: worker connections wait in the kernel, which does not say since when"
        yield Diagnostic("PC301", message, tree.at_key(("overload",)), "leave it out, or use accept: front")
    elif chosen.ownership == ASYNC and tree.has(order) and not is_faulty(tree, order, found):
        message = f"overload.order: {ASYNC} hands connections over in the order in which they came"
        yield Diagnostic("PC301", message, tree.at_key(order), f"leave it out, or use ownership: {REACTIVE}")


def _directives(tree: Tree, found: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    value = tree.value_at(("access_log",)) if _set(tree, ("access_log",), found) else None
    text = value.get("format") if isinstance(value, dict) else value
    if not isinstance(text, str) or "%" not in text:
        return
    from poolctl.runtime.access_log.directives import parse  # few formats have directives

    try:
        parse(text)
    except ValueError as error:
        message, _, known = str(error).partition("; ")
        yield Diagnostic("PC204", f"access_log: {message}", tree.at_value(("access_log", "format")), known)
