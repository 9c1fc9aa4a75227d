"""Finds a Python whose modules the serving user cannot read, for instance one that root installed below /root."""

from __future__ import annotations

import os
import pwd
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import PurePath

_PATHS = ("stdlib", "platstdlib", "purelib", "platlib")  # the standard library and site-packages (sysconfig)


def python_folders() -> list[str]:
    """The folders that hold the modules of this interpreter, and poolctl itself."""
    own = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    return list(dict.fromkeys([*map(sysconfig.get_path, _PATHS), *_extensions(), own]))


def _extensions() -> list[str]:
    return [entry for entry in sys.path if entry.endswith("lib-dynload")]


def first_inaccessible(paths: Iterable[str]) -> tuple[str, str]:
    """Return the first folder that the effective user cannot enter, and the path that it is part of.

    The last folder of a path must be readable too. Returns two empty strings when all paths are accessible.
    """
    for path in paths:
        folder = os.path.abspath(path)
        for each in [*reversed(list(map(str, PurePath(folder).parents))), folder]:
            needed = os.X_OK if each != folder else os.X_OK | os.R_OK
            if not os.path.lexists(each):
                break  # or below a folder that was found inaccessible
            if os.path.isdir(each) and not os.access(each, needed, effective_ids=True):
                return each, folder
    return "", ""


def effective_user() -> str:
    """Return the name of the user whose rights this process has, or the number of a user without an account."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def advice(user: str) -> str:
    """Return the advice for a user who cannot read this Python; it never asks to open a home directory to everyone."""
    return (
        f"install poolctl and the app for a Python that {user} can read, such as /usr/bin/python3 or one below /opt, in"
        " a virtual environment: /usr/bin/python3 -m venv /opt/shop"
    )
