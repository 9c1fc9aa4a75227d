"""The user's code, run in a process of its own: what it does there is undone with it.

this process                     the other one, forked
------------                     ----------------------------------------------------------
waits, for so long        <---   does the work, which runs code of the user's
reads what it reports     <---   its output comes through a second pipe
ends it and its offspring        whatever the code has started leaves with it
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple, NoReturn

from poolctl.assembly.sandbox.descendants import reaping_descendants
from poolctl.runtime.system import forked

END = b"\0\0\n"  # of a report, whose fields are parted by one NUL each
OUTPUT = 4_000  # bytes of what it printed, the last ones
LONGEST = 1 << 20  # bytes of a report that are read
Words = tuple[str, ...]


class Told(NamedTuple):
    """``words``: the report, empty when the process ended without one, None when it takes too long. ``ended``: its exit
    code, negative for a signal. ``printed``: the end of what it wrote to its outputs."""

    words: Words | None
    ended: int
    printed: str


def apart(work: Callable[[], Words], patience: float) -> Told:
    """What the work answers in a forked process, which has ``patience`` seconds. NULs in it are left out."""
    with reaping_descendants():
        return _Apart(work, patience).told()


class _Apart:
    """One such process."""

    def __init__(self, work: Callable[[], Words], patience: float) -> None:
        self.work = work
        self.patience = patience
        self.printed = b""  # the last of it

    def told(self) -> Told:
        reader, writer = os.pipe()
        output, printer = os.pipe()
        pid = forked.fork()
        if pid == 0:
            os.close(reader)
            os.close(output)
            self._become(writer, printer)
        os.close(writer)
        os.close(printer)
        try:
            report = self._report(reader, output)
        finally:
            for end in (reader, output):
                os.close(end)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # it may have left its group
            _, status = os.waitpid(pid, 0)
        words = None if report is None else tuple(report.decode("utf-8", "replace").split("\0")) if report else ()
        printed = self.printed.decode("utf-8", "replace").strip()
        return Told(words, os.waitstatus_to_exitcode(status), printed)

    def _report(self, reader: int, output: int) -> bytes | None:
        """What the other one reported, empty when it ended without a word; None when it takes too long."""
        data, until, open_ends = b"", monotonic() + self.patience, {reader, output}
        while reader in open_ends and len(data) < LONGEST:
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

    def _become(self, writer: int, printer: int) -> NoReturn:
        """In the forked process. Its word is sent before anything that the user's code registered for the end can
        run."""
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(printer, 1)
            os.dup2(printer, 2)
            sys.dont_write_bytecode = True  # it only looks
            # Whatever this process had in its place, what the user's code prints goes there.
            sys.stdout = sys.stderr = open(1, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115  # to the end
            words = self.work()
            sys.stdout.flush()
            word = "\0".join(each.replace("\0", "") for each in words).encode("utf-8", "backslashreplace") + END
            while word:
                word = word[os.write(writer, word) :]
        finally:
            os._exit(0)
