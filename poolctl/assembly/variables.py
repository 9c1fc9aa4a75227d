"""Variables of the key ``environment`` that a process reads once, when it starts: what can still be given its effect
afterwards, and what cannot.

    TMPDIR, TEMP, TMP   the directory that tempfile remembers is looked for again
    TZ                  time.tzset()
    PYTHONPATH          goes into sys.path, where Python would have put it
    the others          have no effect any more: a warning (PC427) says to set them before poolctl starts
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping

from poolctl.runtime.buffers.temporary import forget_directory

# Variables that the interpreter looks at when it starts (the library reference, "Command line and environment"), and
# nothing at a later time.
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
# And those of the loader and the C library, ld.so(8) and malloc(3).
_OF_THE_LOADER = ("LD_", "GLIBC_TUNABLES", "MALLOC_")


def set_too_late(names: Iterable[str]) -> list[str]:
    """Those that have no effect on a process that runs already; programs that the app starts have them all the same."""
    return [name for name in names if name in _OF_PYTHON or name.startswith(_OF_THE_LOADER)]


def set_variables(given: Mapping[str, str]) -> None:
    """Put them into the environment of this process, and give those their effect that Python has read already."""
    os.environ.update(given)
    if "TZ" in given:
        time.tzset()
    if "PYTHONPATH" in given:
        _search(given["PYTHONPATH"])
    forget_directory()  # without a new TMPDIR too: another user may be allowed another one


def set_module_path(home: str) -> None:
    """In this folder first, then in the working directory, then wherever Python looks. With an empty ``home`` the
    working directory comes first, which is for who imports the app to see to."""
    if home:
        first = [home, os.getcwd()]
        sys.path[:] = [*first, *(each for each in sys.path if each not in first)]


def _search(path: str) -> None:
    """Below the first entry, as Python does at its start (the library reference, sys.path); an empty entry is the
    working directory."""
    if sys.flags.ignore_environment:  # -E, -I
        return
    entries = [os.path.abspath(each) for each in path.split(os.pathsep)] if path else []
    at = 0 if sys.flags.safe_path else 1
    sys.path[at:at] = [each for each in dict.fromkeys(entries) if each not in sys.path]
