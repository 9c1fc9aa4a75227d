"""Finding the program that a path names, and splitting the path into the program's part and the rest."""

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


def is_unambiguous(raw: bytes, path: bytes) -> bool:
    """Return whether a path has only one interpretation. ``raw``: the path as received; ``path``: the decoded path.

    An encoded slash could be read as a separator or not, dot segments lead elsewhere, and no file name contains a NUL.
    """
    if path[:1] != b"/" or b"\0" in path or b"%2f" in raw.lower():
        return False
    return not any(segment in (b".", b"..") for segment in path.split(b"/"))


def in_folder(folder: bytes, path: bytes) -> ScriptPlace | int:
    """Return the program that the first segments of ``path`` name, or the HTTP status if there is none.

    ``folder``: a path without links; ``path``: an unambiguous path. Links may point to anything inside the folder;
    programs behind a link that leads out of it are not found.
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
