"""Ends the programs of a worker that died: nobody else would know of them.

    worker  -- "+ GROUP" at each start, "- GROUP" at each end -->  warden (a shell)

The pipe's end of file is the worker's death, however it died: the warden then ends every process group that was started
and not ended, first asking, then by force. It is started with the first program, one for a process, and holds nothing
but the pipe. A worker that is killed in the microseconds between starting a program and telling of it leaves that one
alone.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading

log = logging.getLogger("poolctl.app")

GRACE = 2  # whole seconds between asking and force
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
sleep {GRACE}
for each in $groups; do kill -KILL "-$each" 2>/dev/null; done
exit 0
"""


class Warden:
    """One for a process; made before or after its fork, started when it is first told of a program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0  # of the process that the warden watches
        self._pipe = -1
        self._shell: subprocess.Popen[bytes] | None = None

    def started(self, group: int) -> None:
        """A process group has been started."""
        self._tell(b"+ %d\n" % group)

    def ended(self, group: int) -> None:
        """A process group is about to be reaped, after which its number may be another's."""
        self._tell(b"- %d\n" % group)

    def _tell(self, line: bytes) -> None:
        with self._lock:
            if self._pid != os.getpid():
                self._start()
            try:
                os.write(self._pipe, line)
            except BrokenPipeError:
                log.warning("the warden of CGI programs was ended by somebody; another one takes its place")
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
