"""Which program a path means, and how the path is divided between the program's name and what is left for it."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

NOT_FOUND, FORBIDDEN = 404, 403


class ScriptPlace(NamedTuple):
    """A program and the two parts of the path (RFC 3875, 4.1.5 and 4.1.13), decoded."""

    program: bytes  # absolute path of the file
    script_name: bytes
    path_info: bytes


def understood(raw: bytes, path: bytes) -> bool:
    """Whether a path means one place and no other. ``raw`` is the path as it came, ``path`` the same decoded.

    A slash in disguise would change where its segments end, dots would lead elsewhere, and no name has a NUL.
    """
    if path[:1] != b"/" or b"\0" in path or b"%2f" in raw.lower():
        return False
    return not any(segment in (b".", b"..") for segment in path.split(b"/"))


def in_folder(folder: bytes, path: bytes) -> ScriptPlace | int:
    """The program that the first segments of an understood path name below ``folder``, a real path; or the status.

    A link may point to anything inside the folder. What is reached through one that leads out of it is not found.
    """
    segments = path.split(b"/")[1:]
    file = folder
    for number, segment in enumerate(segments, start=1):
        if not segment:
            return NOT_FOUND
        file += b"/" + segment
        try:
            mode = os.stat(file).st_mode
        except OSError:
            return NOT_FOUND
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode) or not os.path.realpath(file).startswith(folder.rstrip(b"/") + b"/"):
            return NOT_FOUND
        if not os.access(file, os.X_OK):
            return FORBIDDEN
        name = b"/" + b"/".join(segments[:number])
        return ScriptPlace(file, name, path[len(name) :])
    return NOT_FOUND
