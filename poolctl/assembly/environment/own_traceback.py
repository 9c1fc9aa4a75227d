"""The traceback of an app that cannot be imported, as its author wants it: only the frames that are the author's."""

from __future__ import annotations

import importlib
import os
import traceback

_POOLCTL = os.path.dirname(os.path.dirname(os.path.dirname(__file__))) + os.sep
_IMPORTLIB = os.path.dirname(importlib.__file__) + os.sep
_FROZEN = "<frozen importlib"


def own_traceback(error: BaseException) -> str:
    """The traceback without the frames of poolctl above the author's first one, and without the import machinery."""
    shown = traceback.TracebackException.from_exception(error)
    _shorten(shown)
    return "".join(shown.format()).rstrip()


def in_a_line(error: BaseException) -> str:
    """The kind of an exception and the first line of what it says; the lines after that are in the traceback."""
    try:
        said = getattr(error, "msg", "") if isinstance(error, SyntaxError) else str(error)
    except Exception:  # noqa: BLE001  # the user's code again, and its own words are all that is lost
        said = "<exception str() failed>"  # as a traceback has it
    first = next((line for line in str(said).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _shorten(shown: traceback.TracebackException | None) -> None:
    """Of this exception and of those that led to it; a loop of them is cut by ``from_exception``."""
    while shown is not None:
        frames = list(shown.stack)
        first = next((at for at, frame in enumerate(frames) if not _above(frame.filename)), len(frames))
        own = [frame for frame in frames[first:] if not frame.filename.startswith((_FROZEN, _IMPORTLIB))]
        shown.stack = traceback.StackSummary.from_list(own)
        _shorten(shown.__cause__)
        shown = shown.__context__


def is_own(filename: str) -> bool:
    """Whether a frame is neither poolctl's nor of the import machinery."""
    return not _above(filename)


def _above(filename: str) -> bool:
    return filename.startswith((_FROZEN, _IMPORTLIB, _POOLCTL))
