"""Environment variables that a process reads once, at its start: how the key ``environment`` still gives effect to some
of them.

    TMPDIR, TEMP, TMP   tempfile's cached directory is determined again
    TZ                  time.tzset()
    PYTHONPATH          is inserted in sys.path where Python would have put it
    the others          have no effect: a warning (PC427) says to set them before poolctl starts
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping

from poolctl.runtime.buffers.temporary import forget_directory

# Variables that only the interpreter reads, at its start (Python Setup and Usage, "Command line and environment").
_OF_PYTHON = {
    "PYTHONCASEOK",
    "PYTHONCOERCECLOCALE",
    "PYTHONDEBUG",
    "PYTHONDEVMODE",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONFAULTHANDLER",
    "PYTHONHASHSEED",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONINTMAXSTRDIGITS",
    "PYTHONIOENCODING",
    "PYTHONMALLOC",
    "PYTHONMALLOCSTATS",
    "PYTHONNODEBUGRANGES",
    "PYTHONNOUSERSITE",
    "PYTHONOPTIMIZE",
    "PYTHONPERFSUPPORT",
    "PYTHONPLATLIBDIR",
    "PYTHONPROFILEIMPORTTIME",
    "PYTHONPYCACHEPREFIX",
    "PYTHONSAFEPATH",
    "PYTHONSTARTUP",
    "PYTHONTRACEMALLOC",
    "PYTHONUNBUFFERED",
    "PYTHONUSERBASE",
    "PYTHONUTF8",
    "PYTHONVERBOSE",
    "PYTHONWARNDEFAULTENCODING",
    "PYTHONWARNINGS",
    "PYTHON_CPU_COUNT",
    "PYTHON_FROZEN_MODULES",
    "PYTHON_GIL",
    "PYTHON_JIT",
}
# Variables of the dynamic loader and the C library, ld.so(8) and mallopt(3).
_OF_THE_LOADER = ("LD_", "GLIBC_TUNABLES", "MALLOC_")


def set_too_late(names: Iterable[str]) -> list[str]:
    """The variables that have no effect on a process that is already running, but only on programs that the app
    starts."""
    return [name for name in names if name in _OF_PYTHON or name.startswith(_OF_THE_LOADER)]


def set_variables(given: Mapping[str, str]) -> None:
    """Set environment variables of this process, and apply those that Python reads only at its start."""
    os.environ.update(given)
    if "TZ" in given:
        time.tzset()
    if "PYTHONPATH" in given:
        _insert(given["PYTHONPATH"])
    forget_directory()  # even without a new TMPDIR: another user may have access to another one


def set_module_path(folder: str) -> None:
    """Search for modules in this folder first, then in the working directory, then where Python does. An empty folder
    changes nothing: the code that imports the app puts the working directory first."""
    if folder:
        first = [folder, os.getcwd()]
        sys.path[:] = [*first, *(each for each in sys.path if each not in first)]


def _insert(path: str) -> None:
    """Insert a PYTHONPATH after the first entry, as Python does at its start (the library reference, sys.path); an
    empty entry is the working directory."""
    if sys.flags.ignore_environment:  # -E, -I
        return
    entries = [os.path.abspath(each) for each in path.split(os.pathsep)] if path else []
    at = 0 if sys.flags.safe_path else 1
    sys.path[at:at] = [each for each in dict.fromkeys(entries) if each not in sys.path]
