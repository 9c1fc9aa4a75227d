"""Whether the app can be loaded: by the code that a worker loads it with, in a process of its own, which becomes the
file's user, goes to its directory and sets its environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from poolctl.assembly.plugins.plugin import Plugin
from poolctl.assembly.sandbox.child import Told, apart
from poolctl.assembly.sandbox.descendants import die_with_parent
from poolctl.assembly.sandbox.stack_dump import StackDump
from poolctl.config.choice import path_of_option
from poolctl.config.diagnostic import Diagnostic

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement
    from poolctl.assembly.resolve import Parts
    from poolctl.supervision.reports import Report

PATIENCE = 30.0  # seconds
LONGEST = 20_000  # characters of a traceback that are shown
IN_ITS_CODE = "fix it in the app's own code"
NOT_ITS_PROCESS = "importing an app must not end its process"


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """A finding when the app cannot be loaded."""
    from poolctl.assembly.resolve import assembled_from

    chosen = judgement.combination
    assert chosen is not None
    parts = assembled_from(judgement)
    needs = chosen.service.needs
    place = judgement.tree.at_value(path_of_option(judgement.tree, judgement.choices["app"], (needs,)))
    with StackDump() as waits:
        trial = _Trial(parts, waits)
        told = apart(trial.words, PATIENCE)
        outcome = trial.outcome(told)
    if outcome is None:
        return
    code, message, fix, detail = outcome
    if told.printed and code != "PC410":
        detail = f"{detail}\n\nit printed:\n{told.printed}".strip()
    severity = "warning" if code == "PC413" else "error"
    yield Diagnostic(code, message, place, fix, severity=severity, detail=detail)  # type: ignore[arg-type]  # of the two


Outcome = tuple[str, str, str, str]  # code, message, fix, detail


class _Trial:
    """One try to load the app. ``waits``: hears where it stands when it takes too long."""

    def __init__(self, parts: Parts, waits: StackDump) -> None:
        self.parts = parts
        self.waits = waits
        needs = parts.combination.service.needs
        self.named = str(parts.app.options[needs] if isinstance(parts.app, Plugin) else getattr(parts.app, needs))

    def outcome(self, told: Told) -> Outcome | None:
        """What went wrong; None when nothing did."""
        if told.words is None:
            message = f"app: {self.named} is still being imported after {PATIENCE:g} s"
            fix = "move slow work to the first request, or to a process of its own"
            return "PC413", message, fix, self.waits.told(__file__)
        kind, message, fix, detail = [*told.words, "", "", "", ""][:4]
        if kind == "loaded":
            return None
        if kind == "unusable":
            return "PC410", f"app: {message}", fix or IN_ITS_CODE, ""
        if kind == "raised":
            return "PC411", f"app: {self.named} cannot be imported: {message}", fix, detail
        if kind == "left":
            return "PC412", f"app: the process that imported {self.named} {message}", fix, detail
        ended = told.ended
        how = f"was ended by signal {-ended}" if ended < 0 else f"left with exit code {ended}"
        return "PC412", f"app: the process that imported {self.named} {how}", NOT_ITS_PROCESS, ""

    def words(self) -> tuple[str, ...]:
        """In the other process, what became of it: loaded; unusable, raised or left, with a message, a fix and a
        traceback."""
        self.waits.dump_before(PATIENCE)
        try:
            return tuple(_shortened(each) for each in self._words())
        finally:
            self.waits.cancel()

    def _words(self) -> tuple[str, ...]:
        from poolctl.assembly.host import Host
        from poolctl.errors import PoolctlError
        from poolctl.runtime.app import Surroundings
        from poolctl.runtime.system.identity import Identity

        topology = self.parts.topology
        try:
            identity = Identity.find(topology.user, topology.group)
            if topology.directory:
                os.chdir(topology.directory)
            if topology.umask is not None:
                os.umask(topology.umask)
            Host(topology, identity, None, self.parts.home).move_in()
            die_with_parent()
            parts = self.parts.here()
            parts.app.load(Surroundings(parts.pool.multithread, parts.pool.multiprocess))
        except PoolctlError as error:
            message, _, fix = str(error).partition("; ")
            return "unusable", message, fix
        except SystemExit as error:
            return _of_exit(error)
        except BaseException as error:  # noqa: BLE001  # whatever the user's code raises is shown to the user
            from poolctl.supervision.user_traceback import suggested_fix, summary_line, user_traceback

            return "raised", summary_line(error), suggested_fix(error), user_traceback(error)
        return ("loaded",)


def _of_exit(error: SystemExit) -> tuple[str, ...]:
    from poolctl.supervision.user_traceback import exit_description, user_traceback

    return "left", exit_description(error), NOT_ITS_PROCESS, user_traceback(error)


def why_it_failed(judgement: Judgement, report: Report) -> Diagnostic | None:
    """The finding for what a process of the server reported when it could not load the app; None where it says another
    thing."""
    chosen = judgement.combination
    assert chosen is not None
    if not report.code:
        return None
    needs = chosen.service.needs
    choice = judgement.choices["app"]
    place = judgement.tree.at_value(path_of_option(judgement.tree, choice, (needs,)) if needs else choice.path)
    named = choice.options.get(needs, choice.name)
    if report.code == "PC410":
        message, _, help_ = report.text.partition("; ")
        return Diagnostic("PC410", f"app: {message}", place, help_ or IN_ITS_CODE)
    detail = report.text
    if report.code == "PC412":
        message = f"app: the process that imported {named} {report.summary}"
        return Diagnostic("PC412", message, place, NOT_ITS_PROCESS, detail=detail)
    return Diagnostic("PC411", f"app: {named} cannot be imported: {report.summary}", place, report.fix, detail=detail)


def _shortened(text: str) -> str:
    """Without its middle, where nobody would read it all: the first frames and the last words are what counts."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}\n...\n{text[-LONGEST // 2 :]}"
