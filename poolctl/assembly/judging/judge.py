"""Judges the words of a topology: whether they are known, their options valid, and whether they fit together.

Each step adds to the findings and goes on as far as it makes sense, so that everything is reported at once. Classes of
parts are imported only where there are options to validate. The file is long because each step needs the results of
those before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from poolctl.assembly.fitting import size
from poolctl.assembly.fitting.combination import (
    ACCEPTS,
    AFFINITIES,
    DISPATCHES,
    LOCKS,
    MARKS_REQUESTS,
    NEEDED,
    OWNERSHIP_OPTIONS,
    OWNERSHIPS,
    POOL_OPTIONS,
    POOLS,
    REACTIVE,
    SERVICES,
    Combination,
    Offer,
    complete,
)
from poolctl.assembly.fitting.rules import fits
from poolctl.assembly.judging.advice import advice
from poolctl.assembly.judging.class_findings import class_findings
from poolctl.assembly.judging.drain_times import drain_findings
from poolctl.assembly.judging.http_only import (
    elastic_findings,
    http_only_findings,
    is_faulty,
    overload_findings,
    warm_findings,
)
from poolctl.assembly.registry import part_class, words
from poolctl.config.choice import OF_THE_APP, given_name_key, path_of_option, place_of_name
from poolctl.config.diagnostic import Diagnostic
from poolctl.config.load import draft
from poolctl.config.model import AXES, Choice, Topology
from poolctl.config.sources import Inputs
from poolctl.config.tree import Path, Tree

if TYPE_CHECKING:
    from poolctl.assembly.plugins.plugin import Plugin


def judge(inputs: Inputs) -> Judgement:
    """Everything that can be found out about a topology without looking at the host.

    Raises Invalid when it is not YAML, Unreadable when a file cannot be read.
    """
    read = draft(inputs)
    return Judgement(read.tree, read.choices, read.topology, read.findings)


class Judgement:
    """A topology that was read, and the findings about it.

    ``topology`` and ``combination`` are None where the words are not sufficient. ``made`` has the parts whose options
    were validated, by axis, and those of the protocols of single addresses.
    """

    def __init__(
        self,
        tree: Tree,
        choices: Mapping[str, Choice],
        topology: Topology | None,
        findings: Sequence[Diagnostic] = (),
    ) -> None:
        self.tree = tree
        self.choices = dict(choices)
        self.topology = topology
        self.made: dict[str, Any] = {}
        self.plugins: dict[str, Plugin] = {}  # the parts in ``made`` that are plugins
        self._found = list(findings)
        self._reported: set[Path] = set()  # the choices of plugins that have findings
        self._valid: set[str] = set()  # the axes with known words and valid options
        self._understood = {axis for axis in choices if self._understand(axis)}
        for axis in choices:
            if axis in self._understood:
                self._options(axis, self.choices[axis])
        self.address_protocols = self._address_protocols()
        self.combination = self._fit()
        if "app" in self._understood:
            pool = self.choices.get("pool", Choice("process")).name if self._known_pool else None
            retries = "ownership" in self._understood - self.plugins.keys() and choices["ownership"].name == REACTIVE
            self._found += list(http_only_findings(tree, self._service(), pool, self._found, retries=retries))
            self._found += list(warm_findings(tree, self._service(), pool, self._found))
            ownership = self.combination.ownership if self.combination else None
            self._found += list(elastic_findings(tree, self.choices.get("pool"), ownership, self._found))
            self._found += list(overload_findings(tree, self.combination, self._found))
            if self.topology is not None and self.topology.classes and self.combination is not None:
                self._found += list(class_findings(tree, self.topology.classes, self.combination, self.workers))
        self._found += list(drain_findings(tree, self._found))
        if not self._found and not tree.findings:
            self._found += advice(self)
        self.findings = tree.report(self._found)

    @property
    def errors(self) -> list[Diagnostic]:
        """The findings that keep the topology from being run; empty if there are none."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def workers(self) -> int:
        """Processes or threads of the pool, `auto` as a number; 0 under a baseline."""
        chosen = self.combination
        assert chosen is not None  # callers have checked for errors
        return 0 if chosen.size is None else size.workers(chosen.pool, chosen.size)

    @property
    def most(self) -> int:
        """The most workers that the pool may grow to; ``workers`` if it does not."""
        given: Any = getattr(self.made.get("pool"), "size", None)
        return max(size.workers("process", given["max"]), self.workers) if isinstance(given, dict) else self.workers

    @property
    def _known_pool(self) -> bool:
        """Whether the pool is known: the file leaves it out or names a known one."""
        return "pool" in self._understood or not self.tree.has(("pool",))

    def _understand(self, axis: str) -> bool:
        """Whether the word of an axis is known. A protocol without a name is the one that the app speaks."""
        choice = self.choices[axis]
        if choice.name == OF_THE_APP:
            if "app" not in self.choices or not self._is_app(self.choices["app"]):
                return False
            choice = self.choices[axis] = replace(choice, name=self._speaks())
        return self._known(axis, choice)

    def _is_app(self, choice: Choice) -> bool:
        return "app" in self.plugins or choice.name in SERVICES

    def _speaks(self) -> str:
        """The name of the app's own protocol."""
        app = self.choices["app"]
        return (
            str(self.plugins["app"].description.facts["protocol"])
            if "app" in self.plugins
            else SERVICES[app.name].speaks
        )

    def _known(self, axis: str, choice: Choice) -> bool:
        known = words(axis)
        if choice.name in known or self._chosen(axis, axis, choice):
            return True
        if choice.path in self._reported:
            return False
        place = place_of_name(self.tree, choice)
        from poolctl.assembly.plugins.choose import help_for
        from poolctl.config.suggestions import suggest_word  # only findings need it

        help_ = suggest_word(axis, choice.name) or help_for(axis, choice.name)
        self._found.append(Diagnostic("PC205", f'unknown {axis} "{choice.name}"', place, help_))
        return False

    def _chosen(self, axis: str, key: str, choice: Choice) -> bool:
        """Whether a word that is not poolctl's own names a plugin."""
        from poolctl.assembly.plugins.choose import choose

        plugin, found = choose(axis, choice, self.tree)
        if found:
            self._found += found
            self._reported.add(choice.path)
        if plugin is not None:
            self.made[key] = self.plugins[key] = plugin
        return plugin is not None

    def _options(self, axis: str, choice: Choice) -> None:
        """Validate the options of a choice, unless it has none and needs none."""
        if axis in self.plugins:
            if choice.path not in self._reported:
                self._valid.add(axis)
            return
        if axis == "pool":
            choice = self._pool(choice)
        needs = SERVICES[choice.name].needs if axis == "app" else NEEDED.get(choice.name) if axis == "affinity" else ""
        if not choice.options and not needs:
            self._valid.add(axis)
            return
        part = self._part(axis, choice)
        if part is not None:
            self.made[axis] = part
            self._valid.add(axis)

    def _part(self, axis: str, choice: Choice) -> Any | None:
        from poolctl.assembly.options import make

        part = make(part_class(axis, choice.name), choice, self.tree)
        if isinstance(part, list):
            self._found += part
            return None
        return part

    def _pool(self, choice: Choice) -> Choice:
        """The choice without options that have better findings: the rules explain why a baseline has no size, and
        only processes can grow and shrink in number."""
        if Combination(_ANY, choice.name).baseline:
            return _without(choice, POOL_OPTIONS)
        if choice.name == "thread" and isinstance(choice.options.get("size"), dict):
            message = "pool.size: the threads of a process start and end together, so their number is fixed"
            place = self.tree.at_value(path_of_option(self.tree, choice, ("size",)))
            self._found.append(Diagnostic("PC207", message, place, "write a number or auto, or use kind: process"))
            return _without(choice, ("size",))
        return choice

    def _address_protocols(self) -> list[Choice]:
        """The protocols of single addresses."""
        found = []
        for index, entry in enumerate(_entries(self.tree)):
            given = entry.get("protocol") if isinstance(entry, dict) else None
            if not given or not isinstance(given, str | dict):
                continue
            path: Path = ("listen", index, "protocol") if self.tree.has(("listen", index)) else ("listen", "protocol")
            choice = self._protocol_at(given, path)
            if choice is None:
                continue
            key = f"listen.{index}"
            if choice.name not in words("protocol") and self._chosen("protocol", key, choice):
                found.append(replace(choice, name=self.plugins[key].name))
            elif choice.path not in self._reported and self._known("protocol", choice):
                found.append(choice)
                part = self._part("protocol", choice)
                if part is not None:
                    self.made[key] = part
        return found

    def _protocol_at(self, given: str | dict[str, Any], path: Path) -> Choice | None:
        """The protocol of one address; None where it cannot be determined."""
        if isinstance(given, str):
            return Choice(given, {}, path)
        key = given_name_key("protocol", given)
        if key in given:
            name = given[key]
            return _without(Choice(name, given, path), (key,)) if isinstance(name, str) and name else None
        return Choice(self._speaks(), given, path) if "app" in self._understood else None

    def _fit(self) -> Combination | None:
        """The combination of the file, where it is known. Adds the findings about conflicts that are certain."""
        undecided = self._undecided()
        if "app" in undecided and not self._understood:
            return None
        given = self._given(undecided)
        from poolctl.assembly.judging.conflicts import Conflicts, certain_conflicts  # only needed for conflicts

        if undecided:
            choices = {axis: choice for axis, choice in self.choices.items() if axis in self._understood}
            found = certain_conflicts(given, undecided)
            if found is not None:
                likely, rules = found
                self._found += Conflicts(self.tree, choices, (), likely, self._schemes(), rules).findings()
            return None
        whole = complete(given)
        if self.address_protocols or fits(whole):
            self._found += Conflicts(self.tree, self.choices, self.address_protocols, given, self._schemes()).findings()
        return whole

    def _undecided(self) -> dict[str, Sequence[Any]]:
        """The axes that the file sets but that could not be understood, each with its candidates."""
        written = {axis for axis in AXES if self.tree.has((axis,))} | {"app"}
        found: dict[str, Sequence[Any]] = {
            axis: CANDIDATES[axis] for axis in CANDIDATES if axis in AXES and axis in written - self._understood
        }
        for axis, options in (("pool", POOL_OPTIONS), ("ownership", OWNERSHIP_OPTIONS)):
            if axis in self._understood - self._valid:
                found |= {option: CANDIDATES[option] for option in options if self._is_faulty(axis, option)}
        return found

    def _is_faulty(self, axis: str, option: str) -> bool:
        path = path_of_option(self.tree, self.choices[axis], (option,))
        return self.tree.has(path) and is_faulty(self.tree, path, self._found)

    def _schemes(self) -> list[str]:
        """The scheme of each address, as far as it can be read."""
        found = []
        for entry in _entries(self.tree):
            at = entry.get("at") if isinstance(entry, dict) else entry
            scheme, separator, _ = at.partition("://") if isinstance(at, str) else ("", "", "")
            named = scheme if separator or at == "systemd" else ""
            found.append(named if named in ("unix", "fd", "systemd") else "tcp")
        return found or ["tcp"]

    def _given(self, undecided: Mapping[str, Sequence[Any]]) -> Combination:
        """The combination of the file, without the undecided axes."""
        choices = {axis: choice for axis, choice in self.choices.items() if axis in self._understood}
        pool = choices.get("pool", Choice("process"))
        written: dict[str, Any] = {
            axis: self._word(axis) for axis in ("ownership", "dispatch", "affinity") if axis in choices
        }
        written |= {option: _scalar(pool.options.get(option)) for option in POOL_OPTIONS if option not in undecided}
        if "ownership" in choices:
            options = choices["ownership"].options
            written |= {option: options.get(option) for option in OWNERSHIP_OPTIONS if option not in undecided}
        names = tuple((axis, each.name) for axis, each in self.plugins.items() if "like" in each.description.facts)
        kind = self._word("pool") if "pool" in choices else pool.name
        facts = self.plugins["dispatch"].description.facts if "dispatch" in self.plugins else {}
        hooks = facts.get("hooks", ())
        return Combination(
            _ANY if "app" in undecided else self._service(),
            kind,
            schemes=tuple(dict.fromkeys(self._schemes())),
            names=names,
            inspects=bool(facts.get("inspects")),
            finishes="finished" in hooks,
            **written,
        )

    def _word(self, axis: str) -> str:
        """The word of a choice; for a plugin, the word that it is like."""
        plugin = self.plugins.get(axis)
        return str(plugin.description.facts["like"]) if plugin else self.choices[axis].name

    def _service(self) -> Offer:
        app = self.choices["app"]
        chosen = self.choices.get("protocol") if "protocol" in self._understood else None
        service = service_of(self.plugins["app"]) if "app" in self.plugins else SERVICES[app.name]
        protocol = service.speaks
        if "protocol" in self.plugins:
            protocol = self.plugins["protocol"].name
        elif chosen:
            protocol = chosen.name
        elif protocol not in MARKS_REQUESTS:
            self._by_default(protocol, app)
        return replace(
            service,
            protocol=protocol,
            marks_requests=self._marks_requests(protocol),
            counts="concurrency" in app.options,
            adapts=app.options.get("concurrency") == "auto",
            multiplexes=any(each.options.get("http2") for each in (chosen, *self.address_protocols) if each),
        )

    def _by_default(self, protocol: str, app: Choice) -> None:
        """Find the protocol of an app that is a plugin, when the file does not name one."""
        from poolctl.assembly.plugins.choose import default

        plugin, found = default("protocol", protocol, place_of_name(self.tree, app))
        self._found += found
        if plugin is not None:
            self.made["protocol"] = self.plugins["protocol"] = plugin

    def _marks_requests(self, protocol: str) -> bool:
        if protocol in MARKS_REQUESTS and "protocol" not in self.plugins:
            return MARKS_REQUESTS[protocol]
        plugin = self.plugins.get("protocol")
        return bool(plugin and plugin.description.facts.get("marks_requests"))


_ANY = SERVICES["demo"]
# The candidates for an axis that could not be understood.
CANDIDATES: dict[str, Sequence[Any]] = {
    "app": tuple(SERVICES[word] for word in ("demo", "asgi", "lines", "echo", "stream", "async-lines", "async-stream")),
    "pool": POOLS,
    "ownership": OWNERSHIPS,
    "dispatch": DISPATCHES,
    "affinity": AFFINITIES,
    "size": ("auto",),
    "threads": (1, 2),
    "accept": ACCEPTS,
    "lock": LOCKS,
}


def _entries(tree: Tree) -> list[Any]:
    """The entries of the key ``listen``; a single address is a list of one."""
    value = tree.value_at(("listen",)) if tree.has(("listen",)) else []
    return value if isinstance(value, list) else [value]


def service_of(plugin: Plugin) -> Offer:
    """Return the facts that the rules need about an app that is a plugin."""
    description, facts = plugin.description, plugin.description.facts
    speaks = str(facts["protocol"])
    return Offer(
        plugin.name,
        speaks,
        speaks,
        MARKS_REQUESTS.get(speaks, False),
        owns_connection=bool(facts["owns_connection"]),
        asynchronous=bool(facts["asynchronous"]),
        lendable=bool(facts["lendable"]),
        needs=description.required[0] if description.required else "",
    )


def _scalar(value: Any) -> Any:
    """The number of a size, or the least one of a range."""
    least = value.get("min") if isinstance(value, dict) else value
    return least if isinstance(least, int | str) else None


def _without(choice: Choice, options: Sequence[str]) -> Choice:
    return Choice(choice.name, {key: value for key, value in choice.options.items() if key not in options}, choice.path)
