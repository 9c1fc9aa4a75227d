"""The origin of a running server: what `run` was given, so that a failed start can be explained and the topology read
again."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from poolctl.supervision.configuration import ExitCode, Review, WatchedFiles

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement
    from poolctl.config.diagnostic import Diagnostic
    from poolctl.config.sources import Inputs
    from poolctl.supervision.reports import Report


@dataclass(frozen=True)
class Given:
    """The inputs of `run`, and their current judgement. ``folder``: the working directory in which they were given."""

    inputs: Inputs
    judgement: Judgement
    folder: str

    @property
    def file(self) -> str:
        """The absolute path of the topology; empty if it came from standard input, or is an app."""
        if self.inputs.text is not None or self.inputs.file == "-":
            return ""
        return os.path.abspath(os.path.join(self.folder, self.inputs.file))

    @property
    def watched(self) -> WatchedFiles:
        """The files of the topology, and the folders in which the app's own modules are searched."""
        from poolctl.config.paths import files_read, module_folder
        from poolctl.supervision.python_access import python_folders

        topology = self.judgement.topology
        assert topology is not None  # it is served
        plugins = [each.reference.path for each in self.judgement.plugins.values() if each.reference.path]
        base = os.path.abspath(os.path.join(self.folder, topology.directory))
        given = f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{topology.environment.get('PYTHONPATH', '')}"
        others = python_folders()  # modules of others, poolctl included
        path = [each for each in map(os.path.abspath, filter(None, given.split(os.pathsep))) if each not in others]
        return WatchedFiles(
            tuple(dict.fromkeys([*files_read(self.judgement.tree), *plugins])),
            tuple(dict.fromkeys([base, module_folder(self.judgement.tree) or base, *path])),
        )

    def explain(self, report: Report) -> str:
        """Describe a failed start as `validate` would, if the app is the reason; otherwise return an empty string."""
        from poolctl.assembly.environment.app import why_it_failed

        found = why_it_failed(self.judgement, report)
        return "" if found is None else self._shown([found])

    def review(self) -> Review:
        """Read the topology as it is now."""
        from poolctl.assembly.environment import findings
        from poolctl.assembly.judging.judge import judge
        from poolctl.assembly.resolve import assembled_from
        from poolctl.cli.diff import line_of
        from poolctl.config.diagnostic import Invalid, in_order
        from poolctl.config.paths import tls_files
        from poolctl.description.changes import changes, hardest
        from poolctl.description.settings import settings

        if "-" in (self.inputs.file, *self.inputs.overlays):
            return Review(ExitCode.REFUSED, "the topology was read from standard input, which cannot be read again")
        os.chdir(self.folder)
        try:
            judgement = judge(self.inputs)
            parts = assembled_from(judgement)
        except Invalid as invalid:
            return Review(ExitCode.INVALID, self._shown(invalid.diagnostics))
        found = changes(settings(self.judgement), settings(judgement))
        lines = tuple(map(line_of, found))
        restart = [change for change in found if change.how == "restart"]
        if restart:
            keys = "; ".join(f"{change.key}: {change.why}" for change in restart)
            return Review(ExitCode.REFUSED, f"applying this takes a restart ({keys})", lines)
        # notes say that the addresses and the PID file are in use, which is so because this server has them
        host = [each for each in findings(judgement, app=False, running=True) if each.severity != "note"]
        errors = [each for each in host if each.severity == "error"]
        if errors:
            return Review(ExitCode.REFUSED, self._shown(in_order(errors, judgement.tree.sources)), lines)
        warnings = tuple(each.concise for each in [*judgement.findings, *host])
        hot = len(found) if hardest(found) == "hot" else 0
        made = parts, replace(self, judgement=judgement)
        return Review(ExitCode.DONE, "", (*lines, *warnings), made, hot, newest(tls_files(judgement.tree)))

    def _shown(self, found: Sequence[Diagnostic]) -> str:
        from poolctl.cli.formats.human import with_verdict

        return with_verdict(self.inputs.file, found, sys.stderr)


def newest(files: Sequence[str]) -> float:
    """Return when the last of these files, or a link to one, was changed, in seconds since 1970; 0 if there is none."""
    found = 0.0
    for file in files:
        with suppress(OSError):  # another process may replace it at this moment; a start would find that out
            found = max(found, os.stat(file).st_ctime, os.lstat(file).st_ctime)
    return found
