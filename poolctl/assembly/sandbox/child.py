"""Runs the user's code in a child process, so that its side effects on the process end with the child.

this process                        the child
------------                        ---------------------------------------------------------
waits, up to a timeout       <---   does the work, which runs the user's code
reads its report and output  <---   writes them to a pipe each
kills it and its descendants        so that nothing that the code has started remains
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

END = b"\0\0\n"  # ends a report, whose fields are separated by NULs
MAX_OUTPUT = 4_000  # bytes kept of the child's output: its end
MAX_REPORT = 1 << 20  # bytes read of a report
Report = tuple[str, ...]


class Result(NamedTuple):
    """The result of a child process.

    ``report`` is empty if the child ended without one, and None if it timed out. ``exit_code`` is negative for a
    signal. ``output`` is the end of the child's standard output and standard error.
    """

    report: Report | None
    exit_code: int
    output: str


def run_in_child(work: Callable[[], Report], timeout: float, keeps: frozenset[int] = frozenset()) -> Result:
    """Run the work in a forked process for at most ``timeout`` seconds. NULs in its report are removed. ``keeps``: the
    descriptors of this process that the work needs."""
    with reaping_descendants():
        return _Child(work, timeout, keeps).run()


class _Child:
    """One child process."""

    def __init__(self, work: Callable[[], Report], timeout: float, keeps: frozenset[int]) -> None:
        self.work = work
        self.keeps = keeps
        self.timeout = timeout
        self.output = b""  # its last bytes

    def run(self) -> Result:
        """Fork the child, wait for its report, kill it, and return the result."""
        reader, writer = os.pipe()
        output, printer = os.pipe()
        pid = forked.fork()
        if pid == 0:
            os.close(reader)
            os.close(output)
            self._run_in_child(writer, printer)
        os.close(writer)
        os.close(printer)
        try:
            report = self._read_report(reader, output)
        finally:
            for end in (reader, output):
                os.close(end)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # the child may have left its process group
            _, status = os.waitpid(pid, 0)
        fields = None if report is None else tuple(report.decode("utf-8", "replace").split("\0")) if report else ()
        printed = self.output.decode("utf-8", "replace").strip()
        return Result(fields, os.waitstatus_to_exitcode(status), printed)

    def _read_report(self, reader: int, output: int) -> bytes | None:
        """Return the child's report; empty if the child ended without one, None if it timed out."""
        data, until, open_ends = b"", monotonic() + self.timeout, {reader, output}
        while reader in open_ends and len(data) < MAX_REPORT:
            ready, _, _ = select.select(list(open_ends), [], [], max(0.0, until - monotonic()))
            if not ready or monotonic() > until:
                return None
            if output in ready and not self._read_output(output):
                open_ends.discard(output)
            if reader in ready:
                more = os.read(reader, 65536)
                data += more
                if not more or data.endswith(END):
                    open_ends.discard(reader)
        if output in open_ends and select.select([output], [], [], 0)[0]:
            self._read_output(output)  # the rest: a pipe holds 64 KiB (pipe(7))
        return data.removesuffix(END)

    def _read_output(self, output: int) -> bool:
        """Read output of the child and keep its end. Returns whether there may be more."""
        more = os.read(output, 65536)
        self.output = (self.output + more)[-MAX_OUTPUT:]
        return bool(more)

    def _run_in_child(self, writer: int, printer: int) -> NoReturn:
        """In the child: do the work, and send the report before exit handlers of the user's code can run."""
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(printer, 1)
            os.dup2(printer, 2)
            # Everything else is this process's: the review of a running server, for instance, has its result in a pipe.
            close_others({writer, *self.keeps})
            sys.dont_write_bytecode = True  # a check leaves no files behind
            # The user's code prints there, whatever sys.stdout was in this process.
            sys.stdout = sys.stderr = open(1, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115  # to the end
            fields = self.work()
            sys.stdout.flush()
            report = "\0".join(each.replace("\0", "") for each in fields).encode("utf-8", "backslashreplace") + END
            while report:
                report = report[os.write(writer, report) :]
        finally:
            os._exit(0)


def close_others(kept: set[int]) -> None:
    """Close all descriptors but these and the standard streams."""
    before = 2
    for fd in sorted(kept):
        os.closerange(before + 1, fd)
        before = fd
    os.closerange(before + 1, os.sysconf("SC_OPEN_MAX"))
