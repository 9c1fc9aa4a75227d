"""Where an import stands that takes too long: the frames of its main thread, which faulthandler writes into a pipe from
a thread that needs nothing of the interpreter."""

from __future__ import annotations

import faulthandler
import linecache
import os
import re
from typing import Self

from poolctl.supervision.user_traceback import is_user_frame

LONGEST = 65536  # bytes that a pipe holds, pipe(7)
FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)  # CPython, Python/traceback.c


class StackDump:
    """The pipe. Made before the fork, closed by ``with``."""

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._reader)
        os.close(self._writer)

    def dump_before(self, patience: float) -> None:
        """In the process that imports: write the frames shortly before it is ended."""
        faulthandler.dump_traceback_later(patience - min(1.0, patience / 10), file=self._writer)

    def cancel(self) -> None:
        """It was quick enough."""
        faulthandler.cancel_dump_traceback_later()

    def told(self, below: str) -> str:
        """The author's own frames, as a traceback has them; empty where nothing was written. ``below``: the file whose
        frame they stand below; above it is how the process came to be forked."""
        try:
            return _own_frames(os.read(self._reader, LONGEST).decode("utf-8", "replace"), below)
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
    return "\n".join(["it waits here:", *lines]) if lines else ""
