"""Checks whether the app can be loaded: by the worker's own code, in a process of its own with the file's user,
directory and environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from poolctl.assembly.plugins.plugin import Plugin
from poolctl.assembly.sandbox.child import Result, run_in_child
from poolctl.assembly.sandbox.stack_dump import StackDump
from poolctl.config.choice import path_of_option
from poolctl.config.diagnostic import Diagnostic
from poolctl.runtime.system.prctl import die_with_parent

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement
    from poolctl.assembly.resolve import Parts
    from poolctl.supervision.reports import Report

TIMEOUT = 30.0  # seconds
MAX_TRACEBACK = 20_000  # characters that are shown
IN_ITS_CODE = "fix it in the app's own code"
FRAME = re.compile(r'^ *File "(.*)", line \d+, in ', re.MULTILINE)  # of a traceback
NOT_ITS_PROCESS = "remove what ends the process when the app is imported"


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """Yields a finding when the app cannot be loaded."""
    from poolctl.assembly.resolve import assembled_from

    chosen = judgement.combination
    assert chosen is not None
    parts = assembled_from(judgement)
    needs = chosen.service.needs
    place = judgement.tree.at_value(path_of_option(judgement.tree, judgement.choices["app"], (needs,)))
    with StackDump() as dump:
        trial = _Trial(parts, dump)
        result = run_in_child(trial.report, TIMEOUT, dump.kept)
        outcome = trial.outcome(result)
    if outcome is None:
        return
    code, message, fix, detail = outcome
    if result.output and code != "PC410":
        detail = f"{detail}\n\nit printed:\n{result.output}".strip()
    severity = "warning" if code == "PC413" else "error"
    yield Diagnostic(code, message, place, fix, severity=severity, detail=detail)  # type: ignore[arg-type]  # of the two


Outcome = tuple[str, str, str, str]  # code, message, fix, detail


class _Trial:
    """One attempt to load the app. ``dump``: receives the stack of an import that takes too long."""

    def __init__(self, parts: Parts, dump: StackDump) -> None:
        self.parts = parts
        self.dump = dump
        needs = parts.combination.service.needs
        self.named = str(parts.app.options[needs] if isinstance(parts.app, Plugin) else getattr(parts.app, needs))

    def outcome(self, result: Result) -> Outcome | None:
        """Return the finding about the attempt; None if it succeeded."""
        if result.report is None:
            message = f"app: {self.named} is still being imported after {TIMEOUT:g} s"
            fix = "move slow work to the first request, or to a process of its own"
            return "PC413", message, fix, self.dump.frames(__file__)
        kind, message, fix, detail = [*result.report, "", "", "", ""][:4]
        if kind == "loaded":
            return None
        if kind == "unusable":
            return "PC410", f"app: {message}", fix or IN_ITS_CODE, ""
        if kind == "raised":
            return "PC411", f"app: {self.named} cannot be imported: {message}", fix, detail
        if kind == "left":
            return "PC412", f"app: the process that imported {self.named} {message}", fix, detail
        code = result.exit_code
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        return "PC412", f"app: the process that imported {self.named} {how}", NOT_ITS_PROCESS, ""

    def report(self) -> tuple[str, ...]:
        """The result of loading the app, in the child process: "loaded"; or "unusable", "raised" or "left" with a
        message, a fix and a traceback."""
        self.dump.dump_before(TIMEOUT)
        try:
            return tuple(_shortened(each) for each in self._load())
        finally:
            self.dump.cancel()

    def _load(self) -> tuple[str, ...]:
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
            Host(topology, identity, None, self.parts.module_folder).apply()
            die_with_parent()
            parts = self.parts.here()
            parts.app.load(Surroundings(parts.pool.multithread, parts.pool.multiprocess))
        except PoolctlError as error:
            message, _, fix = str(error).partition("; ")
            return "unusable", message, fix
        except SystemExit as error:
            return _of_exit(error)
        except BaseException as error:  # noqa: BLE001  # whatever the user's code raises is reported to the user
            from poolctl.supervision.user_traceback import suggested_fix, summary_line, user_traceback

            return "raised", summary_line(error), suggested_fix(error), user_traceback(error)
        return ("loaded",)


def _of_exit(error: SystemExit) -> tuple[str, ...]:
    from poolctl.supervision.user_traceback import exit_description, user_traceback

    return "left", exit_description(error), NOT_ITS_PROCESS, user_traceback(error)


def why_it_failed(judgement: Judgement, report: Report) -> Diagnostic | None:
    """The finding for a report of a server process that could not load the app; None for a report about something
    else."""
    chosen = judgement.combination
    assert chosen is not None
    if not report.code:
        return None
    needs = chosen.service.needs
    blamed = _plugin_that_raised(judgement, report)
    if blamed is not None:
        return blamed
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


def _plugin_that_raised(judgement: Judgement, report: Report) -> Diagnostic | None:
    """The finding about a plugin that is not the app, if the last line that ran is in its file; otherwise None."""
    files = FRAME.findall(report.text)
    for axis, plugin in judgement.plugins.items():
        if axis != "app" and files and plugin.reference.path == files[-1]:
            message = f"{axis}: {judgement.choices[axis].name} raised at the start of the server: {report.summary}"
            place = judgement.tree.at_value(judgement.choices[axis].path)
            return Diagnostic("PC209", message, place, "fix it in the plugin's own code", detail=report.text)
    return None


def _shortened(text: str) -> str:
    """A traceback without its middle if it is long: the first frames and the last lines matter."""
    if len(text) <= MAX_TRACEBACK:
        return text
    return f"{text[: MAX_TRACEBACK // 2]}\n...\n{text[-MAX_TRACEBACK // 2 :]}"
