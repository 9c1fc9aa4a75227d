"""Describes a failed import to the author of the app: a traceback of the author's own frames, and a suggested fix."""

from __future__ import annotations

import sys
import traceback

from poolctl.runtime.system.user_frames import is_user_frame, user_part
from poolctl.supervision.python_access import advice, effective_user, first_inaccessible, python_folders


def user_traceback(error: BaseException) -> str:
    """Format a traceback without poolctl's frames above the author's first one, and without the import machinery."""
    shown = traceback.TracebackException.from_exception(error)
    _shorten(shown)
    return "".join(shown.format()).rstrip()


def raised_by_user_code(error: BaseException) -> bool:
    """Whether the user's code raised the error, so that its frames are all that the author wants to see."""
    if isinstance(error, SyntaxError | SystemExit):
        return True  # the module did not run, or it exited on purpose
    return any(is_user_frame(frame.filename) for frame in traceback.extract_tb(error.__traceback__))


def suggested_fix(error: BaseException) -> str:
    """Return how to fix an app that raised this error when it was imported."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package in sys.modules:
            return "fix it in the app's own code: the package is installed, but has no such module"
        folder, path = first_inaccessible([*python_folders(), *sys.path])
        if folder:
            user = effective_user()
            return f"{user} cannot enter {folder} and so cannot read the modules in {path}: {advice(user)}"
        return f'install the package that provides "{package}" for {sys.executable}, which runs poolctl'
    return "fix it in the app's own code"


def exit_description(error: SystemExit) -> str:
    """Describe the exit of a process that does not catch the error, with its code and the first line of its reason.

    sys.exit("no database") prints the reason and exits with 1 (the library reference, sys.exit).
    """
    if error.code is None or isinstance(error.code, int):
        return f"exited with code {int(error.code or 0) & 0xFF}"
    return f"exited with code 1: {str(error.code).strip().partition(chr(10))[0]}"


def summary_line(error: BaseException) -> str:
    """Return the type of an exception and the first line of its message; the traceback has the other lines."""
    try:
        message = getattr(error, "msg", "") if isinstance(error, SyntaxError) else str(error)
    except BaseException:  # noqa: BLE001  # __str__ is the user's code too; only the message is lost
        message = "<exception str() failed>"  # the words that tracebacks use
    first = next((line for line in str(message).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _shorten(shown: traceback.TracebackException | None) -> None:
    """Shorten the stacks of this exception and of those that led to it; ``from_exception`` has cut circular chains."""
    while shown is not None:
        shown.stack = traceback.StackSummary.from_list(user_part(shown.stack))
        _shorten(shown.__cause__)
        shown = shown.__context__
