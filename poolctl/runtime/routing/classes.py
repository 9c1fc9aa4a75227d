"""The classes of the file: which one a task belongs to, by what its request asks for and who sends it.

    classes: [{path: /v1/chat, most: 6}, {path: /login, method: POST, reserve: 1}]

The first rule that fits decides. A path fits if the segments of the rule are its first ones; ``*`` is any segment.
Pure: the front knows the task, and the answer for a request line is remembered where nothing else matters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import unquote

from poolctl.runtime.known_lines import KnownLines
from poolctl.runtime.queue_view import ClassLimits
from poolctl.runtime.task import Task

UNIX: Final = "unix"  # clients of unix sockets

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, kw_only=True)
class ClassRule:
    """Which tasks belong to a class: those that fit everything that is set.

    ``path``     first segments of the path; empty: any
    ``methods``  methods, upper case; empty: any
    ``header``   name of a header, lower case, that the request must have; empty: none
    ``value``    value of that header; None: any
    ``clients``  networks of the client's address, or "unix"; empty: any
    """

    kind: str
    limits: ClassLimits
    path: str = ""
    methods: tuple[str, ...] = ()
    header: str = ""
    value: str | None = None
    clients: tuple[str, ...] = ()


class ClassTable:
    """The rules in their order. ``limits``: by class, as the first of its rules says; ``inspects``: whether a rule
    looks at a header."""

    def __init__(self, rules: Sequence[ClassRule]) -> None:
        self.limits: Mapping[str, ClassLimits] = {rule.kind: rule.limits for rule in reversed(rules)}
        self.inspects = any(rule.header for rule in rules)
        self._rules = [
            (rule, _pattern(rule.path), [ip_network(each) for each in rule.clients if each != UNIX]) for rule in rules
        ]
        self._by_line = not any(rule.header or rule.clients for rule in rules)
        self._lines: KnownLines[str | None] = KnownLines()

    def kind_of(self, task: Task) -> str | None:
        """Return the class of a task; None if no rule fits."""
        line = task.line
        if not self._by_line:
            return self._look(task)
        if line in self._lines.found:
            return self._lines.found[line]
        return self._lines.note(line, self._look(task))

    def _look(self, task: Task) -> str | None:
        path, method = task.path, task.method
        for rule, pattern, networks in self._rules:
            if pattern is not None and not pattern.match(path):
                continue
            if rule.methods and method not in rule.methods:
                continue
            if rule.header and not _has(task, rule):
                continue
            if rule.clients and not _comes_from(task, rule, networks):
                continue
            return rule.kind
        return None


def _pattern(path: str) -> re.Pattern[str] | None:
    """Return what the beginning of a path must match; None for any path."""
    segments = [unquote(each, "utf-8", "replace") for each in path.strip("/").split("/")]
    if segments == [""]:
        return None
    return re.compile("".join("/[^/]*" if each == "*" else f"/{re.escape(each)}" for each in segments) + "(?:/|$)")


def _has(task: Task, rule: ClassRule) -> bool:
    value = task.header(rule.header)
    return value is not None and (rule.value is None or value == rule.value)


def _comes_from(task: Task, rule: ClassRule, networks: Sequence[Network]) -> bool:
    if not task.peer.client_port:
        return UNIX in rule.clients
    try:
        address = ip_address(task.client.partition("%")[0])
    except ValueError:  # unknown
        return False
    return any(address in network for network in networks)
