"""From words that were judged to the parts of a server."""

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
from poolctl.config.paths import home, private
from poolctl.config.sources import Inputs

if TYPE_CHECKING:
    from poolctl.runtime.protocol import Protocol


@dataclass(frozen=True)
class Parts:
    """One server's parts, checked and fitting. Under a baseline there is no ownership and no dispatch."""

    topology: Topology
    combination: Combination
    workers: int  # processes or threads of the pool, `auto` counted out; 0 under a baseline
    pool: Any
    ownership: Any | None
    dispatch: Any | None
    affinity: Any
    protocols: tuple[Protocol, ...]  # one for each address
    app: Any
    home: str = ""  # where the app's modules are looked for before the working directory; empty: nowhere else
    private: tuple[str, ...] = ()  # absolute paths of files that no app publishes: those that say what the server is
    is_topology: Callable[[bytes], bool] | None = None  # nor those whose text this says it of, where files are served

    def here(self) -> Parts:
        """The same with every plugin made, in a process that may run their code. Raises PoolctlError, and whatever a
        plugin raises."""
        from poolctl.assembly.plugins.plugin import made

        return replace(
            self,
            pool=made(self.pool),
            ownership=made(self.ownership),
            dispatch=made(self.dispatch),
            app=made(self.app),
            protocols=tuple(made(each) for each in self.protocols),
        )

    @property
    def protocol(self) -> Protocol:
        """That of the first address. All of one server are of the same class: the one that its app speaks."""
        return self.protocols[0]


def read(path: str, sets: Sequence[str] = (), listen: Sequence[str] = (), overlays: Sequence[str] = ()) -> Parts:
    """From files to parts. Raises Invalid with all that is wrong with them, and Unreadable."""
    return assembled_from(judge(Inputs(path, tuple(overlays), tuple(sets), tuple(listen))))


def resolve(document: Document) -> Parts:
    """The parts of a topology. Raises Invalid with all that is unknown, wrong or does not fit together."""
    return assembled_from(Judgement(document.tree, document.topology.choices(), document.topology))


def assembled_from(judgement: Judgement) -> Parts:
    """The parts of a topology that was judged. Raises Invalid when it was found wrong."""
    topology, chosen = judgement.topology, judgement.combination
    if judgement.errors or topology is None or chosen is None:
        raise Invalid(judgement.errors)

    def part(axis: str, word: str) -> Any:  # a plugin stays where it is: see Parts.here
        made = judgement.made.get(axis)
        return part_class(axis, word)() if made is None else made

    common = part("protocol", chosen.service.protocol)
    protocols = [judgement.made.get(f"listen.{index}", common) for index in range(len(topology.listen))]
    parts = Parts(
        topology,
        chosen,
        judgement.workers,
        pool=part("pool", chosen.pool),
        ownership=chosen.ownership and part("ownership", chosen.ownership),
        dispatch=chosen.dispatch and part("dispatch", chosen.dispatch),
        affinity=part("affinity", str(chosen.affinity)),
        protocols=tuple(protocols),
        app=part("app", chosen.service.app),
        home=home(judgement.tree),
        private=private(judgement.tree),
    )
    return _with_siblings(parts, judgement) if chosen.service.app == "static" else parts


def _with_siblings(parts: Parts, judgement: Judgement) -> Parts:
    """The same for an app that serves files: what topologies beside this one name is not published, nor are they."""
    from poolctl.config.siblings import files_named_in, is_topology  # only for those that serve files

    files = [os.path.abspath(name) for name, source in judgement.tree.sources.items() if source.is_file]
    folders = [*map(os.path.dirname, files), os.path.abspath(os.path.join(parts.topology.directory, parts.app.folder))]
    return replace(parts, private=(*parts.private, *files_named_in(folders)), is_topology=is_topology)
