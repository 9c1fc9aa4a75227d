"""Whether the app can be loaded: by the code that a worker loads it with, in a process of its own.

this process                     the other one, forked
------------                     ----------------------------------------------------------
waits, at most 30 s       <---   becomes the file's user, goes to its directory, sets its environment, loads the app
reads what it reports     <---   its output comes through a second pipe; the end of it is shown when it fails
ends it and its offspring        whatever the app has started leaves with it
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

from poolctl.assembly.environment.offspring import adopting, die_with_parent
from poolctl.config.choice import path_of_option
from poolctl.config.diagnostic import Diagnostic

if TYPE_CHECKING:
    from poolctl.assembly.judge import Judgement
    from poolctl.assembly.resolve import Parts

PATIENCE = 30.0  # seconds
LONGEST = 20_000  # characters of a traceback that are shown
END = b"\0\0\n"  # of a report, whose fields are parted by one NUL each
NOT_ITS_PROCESS = "importing an app must not end its process"
OUTPUT = 4_000  # bytes of what it printed, the last ones


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """A finding when the app cannot be loaded."""
    from poolctl.assembly.resolve import assembled_from

    chosen = judgement.combination
    assert chosen is not None
    parts = assembled_from(judgement)
    needs = chosen.service.needs
    place = judgement.tree.at_value(path_of_option(judgement.tree, judgement.choices["app"], (needs,)))
    trial = _Trial(parts)
    with adopting():
        outcome = trial.outcome()
    printed = trial.printed.decode("utf-8", "replace").strip()
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

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.printed = b""  # the last of it
        self.named = str(getattr(parts.app, parts.combination.service.needs))

    def outcome(self) -> Outcome | None:
        """What went wrong; None when nothing did."""
        reader, writer = os.pipe()
        output, printer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os.close(output)
            self._load(writer, printer)
        os.close(writer)
        os.close(printer)
        try:
            told = self._told(reader, output)
        finally:
            for end in (reader, output):
                os.close(end)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # it may have left its group
            _, status = os.waitpid(pid, 0)
        return self._meant(told, os.waitstatus_to_exitcode(status))

    def _meant(self, told: bytes | None, ended: int) -> Outcome | None:
        """What the other one's word comes to; ``ended``: its exit code, negative for a signal."""
        if told is None:
            message = f"app: {self.named} is still being imported after {PATIENCE:g} s"
            return "PC413", message, "what takes long belongs into the first request, or into its own process", ""
        kind, message, mend, detail = [*told.decode("utf-8", "replace").split("\0"), "", "", ""][:4]
        if kind == "loaded":
            return None
        if kind == "unusable":
            return "PC410", f"app: {message}", mend or "check the name, which is that of the file's app", ""
        if kind == "raised":
            return "PC411", f"app: {self.named} cannot be imported: {message}", mend, detail
        if kind == "left":
            return "PC412", f"app: the process that imported {self.named} {message}", mend, detail
        how = f"was ended by signal {-ended}" if ended < 0 else f"left with exit code {ended}"
        return "PC412", f"app: the process that imported {self.named} {how}", NOT_ITS_PROCESS, ""

    def _told(self, reader: int, output: int) -> bytes | None:
        """What the other one reported, empty when it ended without a word; None when it takes too long."""
        data, until, open_ends = b"", monotonic() + PATIENCE, {reader, output}
        while reader in open_ends:
            ready, _, _ = select.select(list(open_ends), [], [], max(0.0, until - monotonic()))
            if not ready or monotonic() > until:
                return None
            if output in ready and not self._hear(output):
                open_ends.discard(output)
            if reader in ready:
                more = os.read(reader, 65536)
                data += more
                if not more or data.endswith(END):
                    open_ends.discard(reader)
        if output in open_ends and select.select([output], [], [], 0)[0]:
            self._hear(output)  # its last words: a pipe holds 64 KiB (pipe(7))
        return data.removesuffix(END)

    def _hear(self, output: int) -> bool:
        """Take what was printed, and keep the end of it; whether there may be more."""
        more = os.read(output, 65536)
        self.printed = (self.printed + more)[-OUTPUT:]
        return bool(more)

    def _load(self, writer: int, printer: int) -> NoReturn:
        """In the forked process. Its word is sent before anything that the app registered for the end can run."""
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(printer, 1)
            os.dup2(printer, 2)
            sys.dont_write_bytecode = True  # it only looks
            # Whatever this process had in its place, what the app prints goes there.
            sys.stdout = sys.stderr = open(1, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115  # to the end
            words = self._words()
            sys.stdout.flush()
            word = "\0".join(_shortened(each.replace("\0", "")) for each in words)
            os.write(writer, word.encode("utf-8", "backslashreplace") + END)
        finally:
            os._exit(0)

    def _words(self) -> tuple[str, ...]:
        """What became of it: loaded; unusable, raised or left, with a message, a mend and a traceback."""
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
            die_with_parent()
            self.parts.app.load(Surroundings(pool.multithread, pool.multiprocess))
        except PoolctlError as error:
            message, _, mend = str(error).partition("; ")
            return "unusable", message, mend
        except SystemExit as error:
            return _of_exit(error)
        except BaseException as error:  # noqa: BLE001  # whatever the user's code raises is shown to the user
            from poolctl.assembly.environment.own_traceback import in_a_line, own_traceback

            return "raised", in_a_line(error), _mend(error), own_traceback(error)
        return ("loaded",)


def _of_exit(error: SystemExit) -> tuple[str, ...]:
    """sys.exit("no database") prints its reason and gives 1 (the library reference, sys.exit)."""
    from poolctl.assembly.environment.own_traceback import own_traceback

    if error.code is None or isinstance(error.code, int):
        how = f"left with exit code {int(error.code or 0) & 0xFF}"
    else:
        how = f"left with exit code 1: {str(error.code).strip().partition(chr(10))[0]}"
    return "left", how, NOT_ITS_PROCESS, own_traceback(error)


def _mend(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package in sys.modules:
            return "mend it in the app's own code: the package is there, and has no such module"
        return f'install what has the module "{package}" for {sys.executable}, which runs poolctl'
    return "mend it in the app's own code"


def _shortened(text: str) -> str:
    """Without its middle, where nobody would read it all: the first frames and the last words are what counts."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}\n...\n{text[-LONGEST // 2 :]}"
