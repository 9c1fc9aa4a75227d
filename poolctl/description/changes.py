"""What changes from one topology to another, and how a running server could take each change over.

hot         what runs goes on and looks at the new value when it needs it
generation  new processes are started beside the old ones, which finish their requests in flight and leave; the
            listening sockets stay open, so no connection is refused
restart     it belongs to the supervisor, or to sockets that it has open: stop and start
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from poolctl.description.settings import Setting

Key = tuple[str, ...]
How = Literal["hot", "generation", "restart"]
ORDER: tuple[How, ...] = ("hot", "generation", "restart")


class Change(NamedTuple):
    """One key that differs. None where one of the two does not have it."""

    key: str
    old: Setting | None
    new: Setting | None
    how: How
    why: str


class Rule(NamedTuple):
    """How changes of keys are taken over. ``keys``: one, or with a dot at its end all below it; ``both``: for which
    pairs of files, by their values."""

    keys: tuple[str, ...]
    how: How
    why: str
    both: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] = lambda old, new: True


def _grouped(values: Mapping[str, Any]) -> bool:
    return bool(values.get("ownership.use") == "reuse-port")


# In this order, the first that is about a key; what no rule is about is not a key of the language.
RULES = (
    Rule(
        ("ownership.use",),
        "restart",
        "sockets of reuse-port are opened as a group (SO_REUSEPORT), and an open one cannot join or leave it",
        lambda old, new: _grouped(old) != _grouped(new),
    ),
    Rule(
        ("pool.size", "pool.kind"),
        "restart",
        "under reuse-port there is a socket for each worker, and closing one drops the connections that wait in it",
        lambda old, new: _grouped(old) and _grouped(new),
    ),
    Rule(("name",), "restart", "the supervisor has it in its title and in its log"),
    Rule(("pid_file",), "restart", "the supervisor holds a lock on it"),
    Rule(("umask", "directory"), "restart", "the supervisor works with it, and its children inherit it"),
    Rule(("listen.mode", "listen.owner", "listen.group"), "restart", "the file of an open socket keeps what it has"),
    Rule(("listen.",), "generation", "the supervisor opens what is new before, and closes what is left over after"),
    Rule(("backlog",), "generation", "listen(2) may be called again on an open socket"),
    Rule(("timeouts.drain",), "hot", "it counts from the moment a server begins to stop"),
    Rule(("app.", "protocol.", "preload", "environment", "environment."), "generation", "workers start with it"),
    Rule(("pool.", "ownership.", "dispatch.", "affinity."), "generation", "processes and channels are made for it"),
    Rule(("user", "group"), "generation", "a process changes its user once, when it starts"),
    Rule(
        ("limits.", "timeouts.", "access_log", "access_log.", "forwarded", "forwarded."),
        "generation",
        "processes take it with them when they start",
    ),
)


# What stands for a mapping that is off on the other side.
WHOLE: dict[Key, Key] = {("access_log",): ("access_log", "format"), ("forwarded",): ("forwarded", "trust")}


def rule_of(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Rule:
    """The rule about a key. Raises LookupError for what is no key of the language."""
    for rule in RULES:
        about = any(key == each or (each.endswith(".") and key.startswith(each)) for each in rule.keys)
        if about and rule.both(old, new):
            return rule
    raise LookupError(key)


def changes(old: Sequence[Setting], new: Sequence[Setting]) -> list[Change]:
    """The keys that differ, in the order of the model. Addresses are the same where they listen at the same place."""
    before, after = _by_key(old), _by_key(new)
    values = _values(before), _values(after)
    found = []
    for key in dict.fromkeys([*before, *after]):
        one, other = (side.get(key) or side.get(WHOLE.get(key, key)) for side in (before, after))
        if _same(one, other) or _told(key, before, after):
            continue
        rule = rule_of(_general(key), *values)
        found.append(Change(_shown(key), one, other, rule.how, rule.why))
    return found


def _same(one: Setting | None, other: Setting | None) -> bool:
    """A default on one side only belongs to something else that has changed. A name that neither file gives comes
    from the file's own name, and the new file is to take the old one's place."""
    if one is not None and other is not None:
        unnamed = one.path == ("name",) and one.source == other.source == "default"
        return unnamed or bool(one.value == other.value)
    there = one or other
    return there is not None and there.source.startswith("default") and there.value != "off"


def _told(key: Key, before: Mapping[Key, Setting], after: Mapping[Key, Setting]) -> bool:
    """Whether what the key is in is new or gone as a whole, which is one change and told by its first key."""
    if key[0] == "listen":
        return key[2:] != ("at",) and ((*key[:2], "at") in before) != ((*key[:2], "at") in after)
    return (key[:1] in before) != (key[:1] in after) and len(key) > 1 and key[0] in ("access_log", "forwarded")


def hardest(found: Sequence[Change]) -> How | None:
    """How a running server could take over all of it; None when there is nothing."""
    return max((change.how for change in found), key=ORDER.index, default=None)


def _by_key(settings: Sequence[Setting]) -> dict[Key, Setting]:
    """By key; those of an address by the address and not by its number."""
    at = {each.path[1]: str(each.value) for each in settings if each.path[0] == "listen" and each.path[2:] == ("at",)}
    found = {}
    for each in settings:
        path = each.path
        key = ("listen", at[path[1]], *map(str, path[2:])) if path[0] == "listen" else tuple(map(str, path))
        found[key] = each
    return found


def _values(settings: Mapping[Key, Setting]) -> dict[str, Any]:
    return {".".join(key): each.value for key, each in settings.items()}


def _general(key: Key) -> str:
    """The key without the address."""
    return ".".join((key[0], *key[2:]) if key[0] == "listen" else key)


def _shown(key: Key) -> str:
    if key[0] != "listen":
        return ".".join(key)
    return " ".join(key if key[2:] != ("at",) else key[:2])
