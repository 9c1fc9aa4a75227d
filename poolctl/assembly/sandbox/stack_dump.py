"""The stack of an import that takes too long: the frames of its main thread, which faulthandler writes into a pipe from
a thread that does not need the interpreter."""

from __future__ import annotations

import faulthandler
import linecache
import os
import re
from typing import Self

from poolctl.runtime.system.user_frames import is_user_frame

MAX_DUMP = 65536  # bytes that a pipe holds, pipe(7)
FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)  # CPython, Python/traceback.c


class StackDump:
    """The pipe for the stack. Create it before the fork; ``with`` closes it."""

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._reader)
        os.close(self._writer)

    @property
    def kept(self) -> frozenset[int]:
        """The descriptor that the importing process needs."""
        return frozenset((self._writer,))

    def dump_before(self, timeout: float) -> None:
        """In the importing process: write the frames shortly before the timeout, in seconds."""
        faulthandler.dump_traceback_later(timeout - min(1.0, timeout / 10), file=self._writer)

    def cancel(self) -> None:
        """In the importing process: write no frames, because the import has finished."""
        faulthandler.cancel_dump_traceback_later()

    def frames(self, below: str) -> str:
        """Return the frames of the author's own code in the form of a traceback; empty if none were written.

        ``below``: the file whose frame is above them; the frames of the fork, which are further up, are left out.
        """
        try:
            return _own_frames(os.read(self._reader, MAX_DUMP).decode("utf-8", "replace"), below)
        except BlockingIOError:
            return ""


def _own_frames(dump: str, below: str) -> str:
    main = re.split("^(?:Current thread|Thread) ", dump, flags=re.MULTILINE)[-1]  # the main thread is the last
    frames = list(reversed(FRAME.findall(main)))
    start = max((at for at, (name, _, _) in enumerate(frames) if name == below), default=-1)
    lines = []
    for name, line, function in frames[start + 1 :]:
        if is_user_frame(name):
            source = linecache.getline(name, int(line)).strip()
            lines += [f'  File "{name}", line {line}, in {function}', *([f"    {source}"] if source else [])]
    return "\n".join(["it is waiting here:", *lines]) if lines else ""
