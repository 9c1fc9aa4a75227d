"""What changes from one topology to another, and how a running server could apply each change.

hot         running processes take the new value: none starts, and no connection ends
generation  new processes start beside the old ones, which finish their requests in flight and exit; the listening
            sockets stay open, so no connection is refused
restart     the supervisor or its open sockets depend on the value, so the server must be stopped and started
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from poolctl.description.settings import Setting

Key = tuple[str, ...]
How = Literal["hot", "generation", "restart"]
ORDER: tuple[How, ...] = ("hot", "generation", "restart")


class Change(NamedTuple):
    """One key that differs. ``old`` or ``new`` is None if that side does not have the key."""

    key: str
    old: Setting | None
    new: Setting | None
    how: How
    why: str


class ChangeRule(NamedTuple):
    """How changes of some keys are applied. ``keys``: a key, or with a trailing dot all keys below it; ``both``:
    whether the rule applies to the values of both sides."""

    keys: tuple[str, ...]
    how: How
    why: str
    both: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] = lambda old, new: True


CHANNELS = "dispatch.channels"  # no key: the channels that the strategy needs


def _grouped(values: Mapping[str, Any]) -> bool:
    return bool(values.get("ownership.use") == "reuse-port")


def _same_channels(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return bool(old.get(CHANNELS) == new.get(CHANNELS))


def _same_need_of_headers(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return _by_header(old) == _by_header(new)


def _by_header(values: Mapping[str, Any]) -> bool:
    return any(key.startswith("classes.") and key.endswith(".header") for key in values)


def _switched(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return (old.get("timeouts.request") is None) != (new.get("timeouts.request") is None)


def _stream_of(values: Mapping[str, Any]) -> Any:
    stream, drain = values.get("timeouts.stream"), values.get("timeouts.drain")
    return stream if stream is not None and drain is not None and stream < drain else None


def _streams_differ(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return bool(_stream_of(old) != _stream_of(new))


# The first rule that matches a key applies; every key of the language has one.
RULES = (
    ChangeRule(
        ("ownership.use",),
        "restart",
        "reuse-port opens its sockets as a group (SO_REUSEPORT), which an open socket cannot join or leave",
        lambda old, new: _grouped(old) != _grouped(new),
    ),
    ChangeRule(("name",), "restart", "the supervisor uses it in its title and its log"),
    ChangeRule(("pid_file",), "restart", "the supervisor holds a lock on it"),
    ChangeRule(("control",), "restart", "the supervisor creates the control socket when it starts"),
    ChangeRule(("umask", "directory"), "restart", "the supervisor uses it, and its children inherit it"),
    ChangeRule(
        ("listen.mode", "listen.owner", "listen.group"), "restart", "the file of an open socket keeps its permissions"
    ),
    ChangeRule(
        ("listen.",), "generation", "the supervisor opens new addresses first, and closes removed ones afterwards"
    ),
    ChangeRule(("backlog",), "generation", "listen(2) can be called again on an open socket"),
    ChangeRule(
        ("timeouts.request",), "generation", "a worker decides at its start whether it times requests", _switched
    ),
    ChangeRule(
        ("timeouts.stream", "timeouts.drain"),
        "generation",
        "a worker decides at its start when it cuts streams off",
        _streams_differ,
    ),
    ChangeRule(
        ("limits.", "timeouts."), "hot", "the connections of a process share one value, which changes for all of them"
    ),
    ChangeRule(
        ("dispatch.",),
        "hot",
        "the front, or under reuse-port the kernel, chooses among the same workers in another way",
        _same_channels,
    ),
    ChangeRule(("overload.",), "hot", "the front looks at its queue with the new value"),
    ChangeRule(
        ("classes.",),
        "hot",
        "the front puts requests into the new classes; those that wait stay",
        _same_need_of_headers,
    ),
    ChangeRule(("classes.",), "generation", "a front keeps the headers of requests only where classes need them"),
    ChangeRule(("scale.", "recycle."), "hot", "the mold looks at its workers with the new value"),
    ChangeRule(("reload.surge", "reload.ready"), "hot", "it is read when the next generation starts"),
    ChangeRule(
        ("app.", "protocol.", "preload", "environment", "environment."), "generation", "workers read it at their start"
    ),
    ChangeRule(
        ("pool.", "ownership.", "dispatch.", "affinity."), "generation", "processes and channels are built for it"
    ),
    ChangeRule(("user", "group"), "generation", "a process sets its user once, when it starts"),
    ChangeRule(
        ("access_log", "access_log.", "forwarded", "forwarded.", "health", "reload."),
        "generation",
        "processes read it at their start",
    ),
)


NAMING: dict[str, Key] = {"listen": ("at",), "classes": ("name",)}  # what names an entry of a list
# The key that is compared with a mapping which is off on the other side.
COUNTERPARTS: dict[Key, Key] = {("access_log",): ("access_log", "format"), ("forwarded",): ("forwarded", "trust")}


def rule_of(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> ChangeRule:
    """Return the rule for a key. Raises LookupError if it is not a key of the language."""
    for rule in RULES:
        matches = any(key == each or (each.endswith(".") and key.startswith(each)) for each in rule.keys)
        if matches and rule.both(old, new):
            return rule
    raise LookupError(key)


def changes(old: Sequence[Setting], new: Sequence[Setting]) -> list[Change]:
    """Return the keys that differ, in the order of the model. Addresses are matched by where they listen."""
    before, after = _by_key(old), _by_key(new)
    values = _values(before), _values(after)
    found = []
    for key in dict.fromkeys([*before, *after]):
        one, other = (side.get(key) or side.get(COUNTERPARTS.get(key, key)) for side in (before, after))
        if _same(one, other) or _covered(key, before, after):
            continue
        rule = rule_of(_general(key), *values)
        found.append(Change(_shown(key), one, other, rule.how, rule.why))
    return found


def _same(one: Setting | None, other: Setting | None) -> bool:
    """Whether a key counts as unchanged. A default that only one side has is part of another change. A name that
    neither file sets comes from the file names, and the new file would replace the old one."""
    if one is not None and other is not None:
        unnamed = one.path == ("name",) and one.source == other.source == "default"
        return unnamed or bool(one.value == other.value)
    there = one or other
    return there is not None and there.source.startswith("default") and there.value != "off"


def _covered(key: Key, before: Mapping[Key, Setting], after: Mapping[Key, Setting]) -> bool:
    """Whether the key's whole address or mapping was added or removed: one change, reported for its first key."""
    naming = NAMING.get(key[0])
    if naming is not None:
        return key[2:] != naming and ((*key[:2], *naming) in before) != ((*key[:2], *naming) in after)
    return (key[:1] in before) != (key[:1] in after) and len(key) > 1 and key[0] in ("access_log", "forwarded")


def hardest(found: Sequence[Change]) -> How | None:
    """Return how a running server could apply all changes together; None without changes."""
    return max((change.how for change in found), key=ORDER.index, default=None)


def _by_key(settings: Sequence[Setting]) -> dict[Key, Setting]:
    """Return the settings by key; those of an address by the address itself instead of its index, and those of a class
    by its name."""
    at = {each.path[:2]: str(each.value) for each in settings if each.path[2:] == NAMING.get(str(each.path[0]))}
    found = {}
    for each in settings:
        path = each.path
        name = at.get(path[:2])
        key = tuple(map(str, path)) if name is None else (str(path[0]), name, *map(str, path[2:]))
        found[key] = each
    return found


def _values(settings: Mapping[Key, Setting]) -> dict[str, Any]:
    found = {".".join(key): each.value for key, each in settings.items()}
    for each in settings.values():
        if each.channels:
            found[CHANNELS] = each.channels
    return found


def _general(key: Key) -> str:
    """Return the key without its address."""
    return ".".join((key[0], *key[2:]) if key[0] in NAMING else key)


def _shown(key: Key) -> str:
    naming = NAMING.get(key[0])
    if naming is None:
        return ".".join(key)
    return " ".join(key if key[2:] != naming else key[:2])
