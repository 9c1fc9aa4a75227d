"""From judged words to the parts of a server."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from poolctl.assembly.fitting.combination import Combination
from poolctl.assembly.judging.judge import Judgement, judge
from poolctl.assembly.registry import part_class
from poolctl.config.diagnostic import Invalid
from poolctl.config.load import Document
from poolctl.config.model import Topology
from poolctl.config.paths import module_folder, private_files
from poolctl.config.sources import Inputs

if TYPE_CHECKING:
    from poolctl.assembly.plugins.plugin import Plugin
    from poolctl.runtime.affinity import Affinity
    from poolctl.runtime.app import App
    from poolctl.runtime.app.refusal_page import RefusalPage
    from poolctl.runtime.dispatch import Dispatch
    from poolctl.runtime.ownership import Ownership
    from poolctl.runtime.pool import Pool
    from poolctl.runtime.protocol import Protocol


@dataclass(frozen=True)
class Parts:
    """The parts of one server, checked and compatible. A ``Plugin`` stands for a part that is not built in, so that no
    plugin code runs. Under a baseline there is no ownership and no dispatch."""

    topology: Topology
    combination: Combination
    workers: int  # processes or threads of the pool, `auto` as a number; 0 under a baseline
    most: int  # to which it may grow
    pool: Pool | Plugin
    ownership: Ownership | Plugin | None
    dispatch: Dispatch | Plugin | None
    affinity: Affinity
    protocols: tuple[Protocol | Plugin, ...]  # one for each address
    app: App | Plugin
    module_folder: str = ""  # searched for the app's modules before the working directory; empty: the same
    private: tuple[str, ...] = ()  # absolute paths of files that no app publishes: topologies and what they name
    is_topology: Callable[[bytes], bool] | None = None  # recognises further files that app static does not publish

    def here(self) -> MadeParts:
        """Return the parts with plugins instantiated, in a process that may run their code. Raises PoolctlError, and
        whatever a plugin raises."""
        from poolctl.assembly.plugins.plugin import instantiate

        return MadeParts(
            self.topology,
            self.combination,
            self.workers,
            self.most,
            pool=instantiate(self.pool),
            ownership=instantiate(self.ownership),
            dispatch=instantiate(self.dispatch),
            affinity=self.affinity,
            protocols=tuple(instantiate(each) for each in self.protocols),
            app=instantiate(self.app),
            private=self.private,
            is_topology=self.is_topology,
        )

    @property
    def protocol(self) -> Protocol | Plugin:
        """The protocol of the first address. All protocols of a server are of the class that its app speaks."""
        return self.protocols[0]


@dataclass(frozen=True)
class MadeParts:
    """The parts of one server with every plugin instantiated, in the mold or in a sandbox."""

    topology: Topology
    combination: Combination
    workers: int
    most: int
    pool: Pool
    ownership: Ownership | None
    dispatch: Dispatch | None
    affinity: Affinity
    protocols: tuple[Protocol, ...]
    app: App
    private: tuple[str, ...] = ()
    is_topology: Callable[[bytes], bool] | None = None
    page: RefusalPage | None = None  # in development: answers browsers while a reload is refused

    @property
    def protocol(self) -> Protocol:
        """The protocol of the first address."""
        return self.protocols[0]


def read(path: str, sets: Sequence[str] = (), listen: Sequence[str] = (), overlays: Sequence[str] = ()) -> Parts:
    """The parts of a server from files and options. Raises Invalid with everything that is wrong, and Unreadable."""
    return assembled_from(judge(Inputs(path, tuple(overlays), tuple(sets), tuple(listen))))


def resolve(document: Document) -> Parts:
    """The parts of a topology. Raises Invalid with everything that is unknown, wrong or incompatible."""
    return assembled_from(Judgement(document.tree, document.topology.choices(), document.topology))


def assembled_from(judgement: Judgement) -> Parts:
    """The parts of a judged topology. Raises Invalid when it has errors."""
    topology, chosen = judgement.topology, judgement.combination
    if judgement.errors or topology is None or chosen is None:
        raise Invalid(judgement.errors)

    def part(axis: str, word: str) -> Any:  # plugins are instantiated later, by Parts.here
        made = judgement.made.get(axis)
        return part_class(axis, word)() if made is None else made

    common = part("protocol", chosen.service.protocol)
    protocols = [judgement.made.get(f"listen.{index}", common) for index in range(len(topology.listen))]
    parts = Parts(
        topology,
        chosen,
        judgement.workers,
        judgement.most,
        pool=part("pool", chosen.pool),
        ownership=part("ownership", chosen.ownership) if chosen.ownership else None,
        dispatch=part("dispatch", chosen.dispatch) if chosen.dispatch else None,
        affinity=part("affinity", str(chosen.affinity)),
        protocols=tuple(protocols),
        app=part("app", chosen.service.app),
        module_folder=module_folder(judgement.tree),
        private=private_files(judgement.tree),
    )
    return _with_siblings(parts, judgement) if chosen.service.app == "static" else parts


def _with_siblings(parts: Parts, judgement: Judgement) -> Parts:
    """The parts of an app that serves files, which publishes neither sibling topologies nor the files they name."""
    from poolctl.config.siblings import files_named_in, is_topology  # only needed by apps that serve files
    from poolctl.runtime.app.static.app import Static

    assert isinstance(parts.app, Static)  # the only app that does
    files = [os.path.abspath(name) for name, source in judgement.tree.sources.items() if source.is_file]
    folders = [*map(os.path.dirname, files), os.path.abspath(os.path.join(parts.topology.directory, parts.app.folder))]
    return replace(parts, private=(*parts.private, *files_named_in(folders)), is_topology=is_topology)
