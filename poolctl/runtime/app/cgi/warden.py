"""Ending the programs of a worker that died, which no other process knows.

    worker  -- "+ GROUP" at each start, "- GROUP" at each end -->  warden (a shell)

End of file on the pipe means that the worker is dead, however it died. The warden then signals every process group that
was started and has not ended: SIGTERM first, SIGKILL later. A process starts its warden with its first program, and the
warden holds only the pipe. If a worker is killed in the microseconds between starting a program and reporting it, that
program keeps running.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading

log = logging.getLogger("poolctl.app")

WARDEN_GRACE_SECONDS = 2  # whole seconds between SIGTERM and SIGKILL
_SCRIPT = f"""
trap '' TERM INT HUP
groups=
while read -r what group; do
    if [ "$what" = + ]; then
        groups="$groups $group"
        continue
    fi
    others=
    for each in $groups; do
        [ "$each" = "$group" ] || others="$others $each"
    done
    groups=$others
done
[ -n "$groups" ] || exit 0
for each in $groups; do kill -TERM "-$each" 2>/dev/null; done
sleep {WARDEN_GRACE_SECONDS}
for each in $groups; do kill -KILL "-$each" 2>/dev/null; done
exit 0
"""


class Warden:
    """The warden of one process. It may be created before a fork; its shell is started with the first program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0  # of the process that the warden watches
        self._pipe = -1
        self._shell: subprocess.Popen[bytes] | None = None

    def started(self, group: int) -> None:
        """Report that a process group was started."""
        self._report(b"+ %d\n" % group)

    def ended(self, group: int) -> None:
        """Report that a process group is about to be reaped, after which its ID may be reused."""
        self._report(b"- %d\n" % group)

    def _report(self, line: bytes) -> None:
        with self._lock:
            if self._pid != os.getpid():
                self._start()
            try:
                os.write(self._pipe, line)
            except BrokenPipeError:
                log.warning("the CGI warden died; starting another")
                self._start()
                os.write(self._pipe, line)

    def _start(self) -> None:
        if self._pid:
            os.close(self._pipe)
        if self._shell is not None and self._pid == os.getpid():
            self._shell.wait()
        reader, self._pipe = os.pipe()
        try:
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT],
                stdin=reader,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PATH": "/usr/bin:/bin"},
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(reader)
        self._pid = os.getpid()
