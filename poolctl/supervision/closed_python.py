"""A Python whose modules the user that serves cannot read: one that root has installed below /root, for instance."""

from __future__ import annotations

import os
import pwd
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import PurePath

_PATHS = ("stdlib", "platstdlib", "purelib", "platlib")  # the standard library and site-packages (sysconfig)


def folders() -> list[str]:
    """Where this interpreter has its modules, and poolctl itself."""
    own = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    return list(dict.fromkeys([*map(sysconfig.get_path, _PATHS), *_extensions(), own]))


def _extensions() -> list[str]:
    return [entry for entry in sys.path if entry.endswith("lib-dynload")]


def closed(paths: Iterable[str]) -> tuple[str, str]:
    """The first folder that the effective user may not enter, or not read where it is the last one, with the path that
    it is on; two empty texts where there is none."""
    for path in paths:
        folder = os.path.abspath(path)
        for each in [*reversed(list(map(str, PurePath(folder).parents))), folder]:
            may = os.X_OK if each != folder else os.X_OK | os.R_OK
            if not os.path.lexists(each):
                break  # or below a folder that was found closed
            if os.path.isdir(each) and not os.access(each, may, effective_ids=True):
                return each, folder
    return "", ""


def effective_user() -> str:
    """The name of the user whose rights this process has, or the number of one without an account."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def another_python(user: str) -> str:
    """What to do about it: not to open somebody's home to everybody."""
    return (
        f"install poolctl and the app for a Python that {user} can read, such as /usr/bin/python3 or one below /opt, in"
        " a virtual environment: /usr/bin/python3 -m venv /opt/shop"
    )
