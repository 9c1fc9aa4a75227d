"""The traceback of an app that cannot be imported, as its author wants it: only the frames that are the author's."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

from poolctl.supervision.closed_python import another_python, closed, effective_user, folders

_POOLCTL = os.path.dirname(os.path.dirname(__file__)) + os.sep
_IMPORTLIB = os.path.dirname(importlib.__file__) + os.sep
_FROZEN = "<frozen importlib"


def own_traceback(error: BaseException) -> str:
    """The traceback without the frames of poolctl above the author's first one, and without the import machinery."""
    shown = traceback.TracebackException.from_exception(error)
    _shorten(shown)
    return "".join(shown.format()).rstrip()


def at_fault(error: BaseException) -> bool:
    """Whether it came up in code of the user's, whose frames are then all that its author wants to see."""
    if isinstance(error, SyntaxError | SystemExit):
        return True  # of a module that was not run, or meant
    return any(is_own(frame.filename) for frame in traceback.extract_tb(error.__traceback__))


def remedy(error: BaseException) -> str:
    """What to do about an app that raised this when it was imported."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package in sys.modules:
            return "fix it in the app's own code: the package is there, but has no such module"
        folder, path = closed([*folders(), *sys.path])
        if folder:
            user = effective_user()
            return f"{user} cannot enter {folder}, on the way to the modules in {path}: {another_python(user)}"
        return f'install the package that provides "{package}" for {sys.executable}, which runs poolctl'
    return "fix it in the app's own code"


def left_with(error: SystemExit) -> str:
    """What becomes of a process that does not catch it. sys.exit("no database") prints its reason and gives 1 (the
    library reference, sys.exit)."""
    if error.code is None or isinstance(error.code, int):
        return f"left with exit code {int(error.code or 0) & 0xFF}"
    return f"left with exit code 1: {str(error.code).strip().partition(chr(10))[0]}"


def in_a_line(error: BaseException) -> str:
    """The kind of an exception and the first line of what it says; the lines after that are in the traceback."""
    try:
        said = getattr(error, "msg", "") if isinstance(error, SyntaxError) else str(error)
    except BaseException:  # noqa: BLE001  # the user's code again, and its own words are all that is lost
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
