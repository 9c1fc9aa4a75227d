"""The complete settings of a topology: every key with its value, written or default, and the value's source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, NamedTuple, get_type_hints

from pydantic import BaseModel

from poolctl.assembly.fitting.combination import ASYNC, REACTIVE, REUSE_PORT, Combination
from poolctl.assembly.judging.judge import Judgement
from poolctl.assembly.plugins.plugin import Plugin
from poolctl.assembly.resolve import Parts, assembled_from
from poolctl.config.address import Address
from poolctl.config.choice import given_name_key, name_key, path_of_option, place_of_name
from poolctl.config.diagnostic import Place
from poolctl.config.model import AXES, Choice, Topology
from poolctl.config.tree import Path
from poolctl.description.defaults import unit_of, unit_of_field, with_unit

SECRET = re.compile(r"PASS|PWD$|SECRET|TOKEN|CREDENTIAL|PRIVATE|API_?KEY|_KEY$|^KEY$|AUTH|DSN|JWT", re.IGNORECASE)
EMPTY = ("password", "ciphers", "cache")  # texts that may be empty but not null
# The part before the @ of a URL: user:password, a bare token, and passwords with a slash that should be %2F. Also the
# passwords in connection strings (libpq, ODBC, JDBC): host=db password=secret.
CREDENTIALS = re.compile(
    r"://(?:[^/@\s]+|[^/@\s:]*:[^@\s]+)@|(?<![a-z0-9])(?:ssl)?(?:password|passwd|pwd|secret|token)\s*=\s*[^\s;&]",
    re.IGNORECASE,
)


class Setting(NamedTuple):
    """One key. ``value`` is the effective value, in seconds or bytes; ``shown`` is how a file would write it.
    ``channels``: of a strategy, the kind of channels between front and workers that it needs."""

    path: Path
    value: Any
    shown: Any
    source: str
    secret: bool = False
    channels: str = ""

    @property
    def key(self) -> str:
        """The path, joined with dots."""
        return ".".join(map(str, self.path))


def settings(judgement: Judgement) -> list[Setting]:
    """Return all settings, in the order of the model. Raises Invalid for an invalid topology."""
    return list(_Settings(judgement, assembled_from(judgement)).all())


def channels_of(chosen: Combination) -> str:
    """Return the kind of channels that a strategy needs: strategies of the same kind can replace each other while a
    server runs."""
    if chosen.ownership == REUSE_PORT:
        return "the sockets of a group"
    if chosen.dispatch == "size-aware":
        return "those of shared-queue"
    if chosen.dispatch in ("shared-queue", "leader"):
        return f"those of {chosen.dispatch}"
    return "an inbox for each worker, and heads" if chosen.inspects else "an inbox for each worker"


class _Settings:
    """Collects settings: written ones from the tree, the others from the parts and the model."""

    def __init__(self, judgement: Judgement, parts: Parts) -> None:
        self.tree = judgement.tree
        self.choices = judgement.choices
        self.parts = parts

    def all(self) -> Iterator[Setting]:
        topology = self.parts.topology
        for name, field in Topology.model_fields.items():
            if name in AXES:
                yield from self._axis(name)
            elif name == "listen":
                for index, address in enumerate(topology.listen):
                    yield from self._address(index, address)
            elif (name == "scale" and self.parts.most <= self.parts.workers) or (
                (name == "recycle" and self.parts.combination.baseline)
                or (name == "overload" and not self.parts.combination.bounds_waiting)
            ):
                continue  # it does not apply
            elif name == "overload" and self.parts.combination.ownership == ASYNC:  # whose order is that of arrival
                unit = unit_of_field(type(topology.overload).model_fields["target"])
                yield from self._value(("overload", "target"), topology.overload.target, unit)
            elif name == "classes":
                yield from self._classes(topology)
            elif name == "access_log" and topology.access_log and not self.tree.has(("access_log", "format")):
                yield from self._log(topology)
            else:
                default = {"access_log": "off", "forwarded": "off", "health": "off"}.get(name)
                yield from self._value((name,), getattr(topology, name), unit_of_field(field), default)

    def _axis(self, axis: str) -> Iterator[Setting]:
        part = getattr(self.parts, axis)
        if part is None:
            return  # a baseline has no such axis
        chosen = self.parts.combination
        word = {"app": chosen.service.app, "protocol": chosen.service.protocol}.get(axis) or chosen.shown(axis)
        choice = self.choices.get(axis)
        if choice is None or (axis in ("pool", "protocol") and self._nameless(axis)):
            source = self._default_of(axis)
        else:
            source = self._origin(place_of_name(self.tree, choice), (axis,))
        channels = channels_of(chosen) if axis == "dispatch" else ""
        yield Setting((axis, name_key(axis)), word, word, source, channels=channels)
        yield from self._options((axis,), part, choice)

    def _nameless(self, axis: str) -> bool:
        """Whether the file has only options, so that the word is the default."""
        given = self.tree.value_at((axis,))
        return isinstance(given, dict) and given_name_key(axis, given) not in given

    def _default_of(self, axis: str) -> str:
        chosen = self.parts.combination
        if axis in ("dispatch", "affinity") and chosen.ownership:
            return f"default under {chosen.ownership}"
        return f"default for app {chosen.service.app}" if axis in ("protocol", "ownership") else "default"

    def _options(self, base: Path, part: Any, choice: Choice | None) -> Iterator[Setting]:
        if isinstance(part, Plugin):
            for name, value in part.description.values.items():
                there = path_of_option(self.tree, choice, (name,)) if choice else (*base, name)
                yield from self._value((*base, name), value, "", None, there)
            return
        hints = get_type_hints(type(part), include_extras=True)
        for field in fields(part):
            there = path_of_option(self.tree, choice, (field.name,)) if choice else (*base, field.name)
            lent = field.name != "concurrency" or self.parts.combination.ownership == REACTIVE or self.tree.has(there)
            if not field.init or not lent:  # a file that sets concurrency would be asking for lending
                continue
            value, unit = getattr(part, field.name), unit_of(hints[field.name])
            source = None
            if field.name == "size" and value == "auto":
                source = f"{self._source(there) or 'default'}, {self.parts.workers} here"
            yield from self._value((*base, field.name), value, unit, None, there, source)

    def _address(self, index: int, address: Address) -> Iterator[Setting]:
        base: Path = ("listen", index)
        there = base if self.tree.has(base) else ("listen",)
        at = (*there, "at") if self.tree.has((*there, "at")) else there
        yield Setting((*base, "at"), str(address), str(address), self._source(at) or "default")
        if address.scheme == "unix":
            for key in ("mode", "owner", "group"):
                value = getattr(address, key)
                shown = f"{value:04o}" if key == "mode" and value is not None else value
                yield from self._value((*base, key), shown or None, "", None, (*there, key))
        for key in ("tls", "proxy_protocol"):
            value = getattr(address, key) or None
            yield from self._value((*base, key), value, "", None, (*there, key))
        if address.protocol is not None:
            part = self.parts.protocols[index]
            yield Setting((*base, "protocol", "use"), part.name, part.name, self._source((*there, "protocol")) or "")
            yield from self._options((*base, "protocol"), part, None)

    def _classes(self, topology: Topology) -> Iterator[Setting]:
        if not topology.classes:
            yield Setting(("classes",), [], [], "default")
        for index, entry in enumerate(topology.classes):
            base: Path = ("classes", index)
            there = base if self.tree.has(base) else ("classes",)
            yield Setting(
                (*base, "name"),
                entry.kind,
                entry.kind,
                self._source((*there, "name")) or self._source(there) or "default",
            )
            for key in type(entry).model_fields:
                if key in entry.model_fields_set - {"name"}:
                    yield from self._value((*base, key), getattr(entry, key), "", None, (*there, key))

    def _log(self, topology: Topology) -> Iterator[Setting]:
        """Yield the settings of the short form, in which the word is the format."""
        log = topology.access_log
        assert log is not None
        there = ("access_log",) if isinstance(self.tree.value_at(("access_log",)), str) else ("access_log", "format")
        yield from self._value(("access_log", "format"), log.format, "", None, there)
        yield from self._value(("access_log", "to"), log.to, "", None)

    def _value(
        self,
        path: Path,
        value: Any,
        unit: str,
        default: Any = None,
        there: Path | None = None,
        source: str | None = None,
    ) -> Iterator[Setting]:
        """Yield a value, or the values inside it. ``there``: its path in the tree, which short forms change."""
        there = path if there is None else there
        if isinstance(value, BaseModel):
            for name, field in type(value).model_fields.items():
                yield from self._value((*path, name), getattr(value, name), unit_of_field(field), None, (*there, name))
            return
        if isinstance(value, Mapping) and value:
            for name, inner in value.items():
                yield from self._value((*path, name), inner, unit, None, (*there, name))
            return
        written = self._source(there)
        value = list(value) if isinstance(value, tuple) else value
        value = None if value == "" and path[-1] not in EMPTY else value
        shown = self.tree.value_at(there) if written and not isinstance(value, dict) else with_unit(value, unit)
        if value is None and default is not None:
            value = shown = default
        if path[-1] == "umask" and isinstance(value, int):
            shown = f"{value:04o}"
        secret = _is_secret(path, value)
        source = source or written or "default"
        if source.startswith("--set ") and (secret or "{" in source or "[" in source):
            source = source.partition("=")[0]  # the option contains the secret, or that of a neighboring key
        yield Setting(path, value, shown, source, secret)

    def _source(self, path: Path) -> str:
        """Return where a value was written; empty if it was not."""
        if not self.tree.has(path):
            return ""
        return self._origin(self.tree.at_value(path), path)

    def _origin(self, place: Place, path: Path) -> str:
        shown = place.source.name if not place.source.is_file else f"{place.source.name}:{place.span.line + 1}"
        names = self.tree.variables(path)
        return f"{shown}, {' and '.join(f'${name}' for name in names)}" if names else shown


def _is_secret(path: Path, value: Any) -> bool:
    """Whether a value must not be visible on a screen or in a log."""
    if value in (None, "", [], {}):
        return False
    if path[-1] == "password":
        return True
    inside = "environment" in map(str, path[:-1])
    named = inside and SECRET.search(str(path[-1])) is not None
    texts = value if isinstance(value, list) else [value]
    return named or any(isinstance(text, str) and CREDENTIALS.search(text) is not None for text in texts)
