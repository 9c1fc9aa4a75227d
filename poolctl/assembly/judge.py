"""What the words of a topology amount to: whether they are known, their options right, and whether they fit together.

The steps add to the findings, and each goes on as far as it makes sense, so that everything is said at once. Classes
of parts are imported only where options have to be judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from poolctl.assembly import size
from poolctl.assembly.advice import advice
from poolctl.assembly.combination import (
    MARKS_REQUESTS,
    NEEDED,
    OWNERSHIP_OPTIONS,
    POOL_OPTIONS,
    SERVICES,
    Combination,
    Service,
    complete,
)
from poolctl.assembly.of_requests import of_requests
from poolctl.assembly.registry import part_class, words
from poolctl.assembly.rules import fits
from poolctl.config.choice import path_of_option, place_of_name
from poolctl.config.diagnostic import Diagnostic
from poolctl.config.load import draft
from poolctl.config.model import Choice, Topology
from poolctl.config.sources import Inputs
from poolctl.config.tree import Path, Tree

if TYPE_CHECKING:
    from poolctl.assembly.plugins.plugin import Plugin


def judge(inputs: Inputs) -> Judgement:
    """Everything that can be said of a topology without looking at the host.

    Raises Invalid when it is no YAML, and Unreadable.
    """
    read = draft(inputs)
    return Judgement(read.tree, read.choices, read.topology, read.findings)


class Judgement:
    """A topology that was read, and what was found.

    ``topology`` and ``combination`` are None where the words do not say enough. ``made`` has the parts whose options
    were judged, by axis, and those of the protocols of single addresses.
    """

    def __init__(
        self,
        tree: Tree,
        choices: Mapping[str, Choice],
        topology: Topology | None,
        findings: Sequence[Diagnostic] = (),
    ) -> None:
        self.tree = tree
        self.choices = choices
        self.topology = topology
        self.made: dict[str, Any] = {}
        self.plugins: dict[str, Plugin] = {}  # those of the parts that are plugins
        self._found = list(findings)
        self._told: set[Path] = set()  # the choices of plugins with which something is wrong
        self._sound: set[str] = set()  # the axes whose words are known and whose options are right
        known = [axis for axis, choice in choices.items() if self._known(axis, choice)]
        for axis in known:
            self._options(axis, choices[axis])
        self.spoken = self._spoken(topology) if topology else []
        judgeable = (
            len(known) == len(choices) and "app" in choices and {"pool", "ownership"} & choices.keys() <= self._sound
        )
        self.combination = self._fit() if judgeable else None
        if topology and self.combination:
            self._found += of_requests(topology, self.combination, tree)
        if not self._found and not tree.findings:
            self._found += advice(self)
        self.findings = tree.told(self._found)

    @property
    def errors(self) -> list[Diagnostic]:
        """Why it cannot be run; empty when it can."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def workers(self) -> int:
        """Processes or threads of the pool, `auto` counted out; 0 under a baseline."""
        chosen = self.combination
        assert chosen is not None  # callers have looked at the errors
        return 0 if chosen.size is None else size.workers(chosen.pool, chosen.size)

    def _known(self, axis: str, choice: Choice) -> bool:
        known = words(axis)
        if choice.name in known or self._chosen(axis, axis, choice):
            return True
        if choice.path in self._told:
            return False
        place = place_of_name(self.tree, choice)
        from poolctl.assembly.plugins.choose import help_for
        from poolctl.config.elsewhere import word_for  # only who has findings needs it

        help_ = word_for(axis, choice.name) or help_for(axis, choice.name)
        self._found.append(Diagnostic("PC205", f'{axis}: there is no "{choice.name}"', place, help_))
        return False

    def _chosen(self, axis: str, key: str, choice: Choice) -> bool:
        """Whether a word that is not poolctl's own is a plugin's."""
        from poolctl.assembly.plugins.choose import choose

        plugin, found = choose(axis, choice, self.tree)
        if found:
            self._found += found
            self._told.add(choice.path)
        if plugin is not None:
            self.made[key] = self.plugins[key] = plugin
        return plugin is not None

    def _options(self, axis: str, choice: Choice) -> None:
        """Judge the options of a choice; a word that has none and needs none has nothing to be judged."""
        if axis in self.plugins:
            if choice.path not in self._told:
                self._sound.add(axis)
            return
        if axis == "pool":
            choice = self._pool(choice)
        needs = SERVICES[choice.name].needs if axis == "app" else NEEDED.get(choice.name) if axis == "affinity" else ""
        if not choice.options and not needs:
            self._sound.add(axis)
            return
        part = self._part(axis, choice)
        if part is not None:
            self.made[axis] = part
            self._sound.add(axis)

    def _part(self, axis: str, choice: Choice) -> Any | None:
        from poolctl.assembly.options import make

        part = make(part_class(axis, choice.name), choice, self.tree)
        if isinstance(part, list):
            self._found += part
            return None
        return part

    def _pool(self, choice: Choice) -> Choice:
        """Without what others say better: a baseline's rules say why it has no size, and growing pools are to come."""
        if Combination(_ANY, choice.name).baseline:
            return _without(choice, POOL_OPTIONS)
        if isinstance(choice.options.get("size"), dict):
            message = "pool.size: a pool that grows and shrinks is not available yet; give one number or auto"
            place = self.tree.at_value(path_of_option(self.tree, choice, ("size",)))
            self._found.append(Diagnostic("PC207", message, place, "for instance size: 8"))
            return _without(choice, ("size",))
        return choice

    def _spoken(self, topology: Topology) -> list[Choice]:
        """The protocols that addresses name for themselves."""
        found = []
        for index, address in enumerate(topology.listen):
            if address.protocol is None:
                continue
            path = ("listen", index, "protocol") if self.tree.has(("listen", index)) else ("listen", "protocol")
            given = address.protocol if isinstance(address.protocol, dict) else {"use": address.protocol}
            choice = _without(Choice(given["use"], given, path), ("use",))
            key = f"listen.{index}"
            if choice.name not in words("protocol") and self._chosen("protocol", key, choice):
                found.append(replace(choice, name=self.plugins[key].name))
            elif choice.path not in self._told and self._known("protocol", choice):
                found.append(choice)
                part = self._part("protocol", choice)
                if part is not None:
                    self.made[key] = part
        return found

    def _fit(self) -> Combination:
        given = self._given()
        whole = complete(given)
        if self.spoken or fits(whole):
            from poolctl.assembly.unfit import Unfit  # only what does not fit needs its words

            schemes = [address.scheme for address in self.topology.listen] if self.topology else []
            self._found += Unfit(self.tree, self.choices, self.spoken, given, schemes).findings()
        return whole

    def _given(self) -> Combination:
        pool = self.choices.get("pool", Choice("process"))
        schemes = tuple(dict.fromkeys(each.scheme for each in self.topology.listen)) if self.topology else ("tcp",)
        written: dict[str, Any] = {
            axis: self._word(axis) for axis in ("ownership", "dispatch", "affinity") if axis in self.choices
        }
        written |= {option: _scalar(pool.options.get(option)) for option in POOL_OPTIONS}
        if "ownership" in self.choices:
            written |= {option: self.choices["ownership"].options.get(option) for option in OWNERSHIP_OPTIONS}
        names = tuple((axis, each.name) for axis, each in self.plugins.items() if "like" in each.description.facts)
        kind = self._word("pool") if "pool" in self.choices else pool.name
        facts = self.plugins["dispatch"].description.facts if "dispatch" in self.plugins else {}
        hooks = facts.get("hooks", ())
        return Combination(
            self._service(),
            kind,
            schemes=schemes,
            names=names,
            inspects=bool(facts.get("inspects")),
            finishes="finished" in hooks,
            **written,
        )

    def _word(self, axis: str) -> str:
        """The word of a choice; of a plugin the one that it is like."""
        plugin = self.plugins.get(axis)
        return str(plugin.description.facts["like"]) if plugin else self.choices[axis].name

    def _service(self) -> Service:
        app = self.choices["app"]
        chosen = self.choices.get("protocol")
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
            multiplexes=any(each.options.get("http2") for each in (chosen, *self.spoken) if each),
        )

    def _by_default(self, protocol: str, app: Choice) -> None:
        """The protocol of an app that is a plugin, when the file names none."""
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


def service_of(plugin: Plugin) -> Service:
    """What the rules have to know of an app that is a plugin."""
    said, facts = plugin.description, plugin.description.facts
    speaks = str(facts["protocol"])
    return Service(
        plugin.name,
        speaks,
        speaks,
        MARKS_REQUESTS.get(speaks, False),
        owns_connection=bool(facts["owns_connection"]),
        asynchronous=bool(facts["asynchronous"]),
        lendable=bool(facts["lendable"]),
        needs=said.required[0] if said.required else "",
    )


def _scalar(value: Any) -> Any:
    return None if isinstance(value, dict) else value


def _without(choice: Choice, options: Sequence[str]) -> Choice:
    return Choice(choice.name, {key: value for key, value in choice.options.items() if key not in options}, choice.path)
