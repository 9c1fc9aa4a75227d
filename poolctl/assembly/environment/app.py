"""Whether the app can be loaded: by the code that a worker loads it with, in a process of its own.

this process                     the other one, forked
------------                     ----------------------------------------------------------
waits, at most 30 s       <---   becomes the file's user, goes to its directory, sets its environment, loads the app
reads what it reports            its output goes to a file, and is shown when it fails
ends its process group           whatever the app has started leaves with it
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import tempfile
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

from poolctl.config.choice import path_of_option
from poolctl.config.diagnostic import Diagnostic

if TYPE_CHECKING:
    from poolctl.assembly.judge import Judgement
    from poolctl.assembly.resolve import Parts

PATIENCE = 30.0  # seconds
REPORT = 200_000  # bytes
OUTPUT = 4_000  # bytes of what it printed, the last ones


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """A finding when the app cannot be loaded."""
    from poolctl.assembly.resolve import assembled_from

    chosen = judgement.combination
    assert chosen is not None
    parts = assembled_from(judgement)
    needs = chosen.service.needs
    place = judgement.tree.at_value(path_of_option(judgement.tree, judgement.choices["app"], (needs,)))
    with tempfile.TemporaryFile() as output:
        outcome = _Trial(parts, output.fileno()).outcome()
        output.seek(max(0, output.seek(0, os.SEEK_END) - OUTPUT))
        printed = output.read().decode("utf-8", "replace").strip()
    if outcome is None:
        return
    code, message, mend, detail = outcome
    if printed and code != "PC410":
        detail = f"{detail}\n\nit printed:\n{printed}".strip()
    severity = "warning" if code == "PC413" else "error"
    yield Diagnostic(code, message, place, mend, severity=severity, detail=detail)  # type: ignore[arg-type]  # of the two


Outcome = tuple[str, str, str, str]  # code, message, mend, detail


class _Trial:
    """One try to load the app."""

    def __init__(self, parts: Parts, output: int) -> None:
        self.parts = parts
        self.output = output
        self.named = str(getattr(parts.app, parts.combination.service.needs))

    def outcome(self) -> Outcome | None:
        """What went wrong; None when nothing did."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._load(writer)
        os.close(writer)
        try:
            told = self._told(reader)
        finally:
            os.close(reader)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # it may have left its group
            _, status = os.waitpid(pid, 0)
        if told is None:
            message = f"app: {self.named} is still being imported after {PATIENCE:g} s"
            return "PC413", message, "what takes long belongs into the first request, or into its own process", ""
        kind, _, text = told.decode("utf-8", "replace").partition("\n")
        if kind == "loaded":
            return None
        if kind == "unusable":
            message, _, mend = text.partition("; ")
            return "PC410", f"app: {message}", mend or "check the name, which is that of the file's app", ""
        if kind == "raised":
            last = text.rstrip().rpartition("\n")[2]
            return "PC411", f"app: {self.named} cannot be imported: {last}", "mend it in the app's own code", text
        ended = os.waitstatus_to_exitcode(status)
        how = f"was ended by signal {-ended}" if ended < 0 else f"left with exit code {ended}"
        message = f"app: the process that imported {self.named} {how}"
        return "PC412", message, "importing an app must not end its process", ""

    def _told(self, reader: int) -> bytes | None:
        """What the other one reported, empty when it ended without a word; None when it takes too long."""
        data, until = b"", monotonic() + PATIENCE
        while len(data) < REPORT:
            ready, _, _ = select.select([reader], [], [], max(0.0, until - monotonic()))
            if not ready:
                return None
            more = os.read(reader, 65536)
            if not more:
                break
            data += more
            if data.endswith(b"\0"):
                return data[:-1]
        return data

    def _load(self, writer: int) -> NoReturn:
        """In the forked process. Its word is sent before anything that the app registered for the end can run."""
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(self.output, 1)
            os.dup2(self.output, 2)
            sys.dont_write_bytecode = True  # it only looks
            # Whatever this process had in its place, what the app prints goes there.
            sys.stdout = sys.stderr = open(1, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115  # to the end
            word = self._word()
            sys.stdout.flush()
            os.write(writer, word.encode("utf-8", "backslashreplace")[-REPORT:] + b"\0")
        finally:
            os._exit(0)

    def _word(self) -> str:
        from poolctl.assembly.host import Host
        from poolctl.errors import PoolctlError
        from poolctl.runtime.app import Surroundings
        from poolctl.runtime.identity import Identity

        topology, pool = self.parts.topology, self.parts.pool
        try:
            identity = Identity.find(topology.user, topology.group)
            if topology.directory:
                os.chdir(topology.directory)
            if topology.umask is not None:
                os.umask(topology.umask)
            Host(topology, identity, None).move_in()
            self.parts.app.load(Surroundings(pool.multithread, pool.multiprocess))
        except PoolctlError as error:
            return f"unusable\n{error}"
        except SystemExit as error:
            sys.stdout.flush()
            os._exit(error.code if isinstance(error.code, int) else int(error.code is not None))
        except BaseException as error:  # noqa: BLE001  # whatever the user's code raises is shown to the user
            return f"raised\n{own_traceback(error)}"
        return "loaded"


def own_traceback(error: BaseException) -> str:
    """The traceback without the frames of poolctl and of the import machinery above the user's first one."""
    import traceback

    shown = traceback.TracebackException.from_exception(error)
    first = next((at for at, frame in enumerate(shown.stack) if not _above(frame.filename)), len(shown.stack))
    own = [frame for frame in shown.stack[first:] if not frame.filename.startswith("<frozen importlib")]
    shown.stack = traceback.StackSummary.from_list(own)
    return "".join(shown.format()).rstrip()


def _above(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", _OWN)) or "importlib" in filename


_OWN = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
