"""Puts a new file in its place: whole or not at all, and never over another one without --force."""

from __future__ import annotations

import os
from contextlib import suppress


class Unwritable(Exception):
    """The file cannot be put there."""


def check_place(path: str, *, force: bool) -> None:
    """Raises Unwritable for what can be known before anything is asked."""
    if os.path.isdir(path):
        raise Unwritable(f"{path} is a folder: write --output {os.path.join(path, 'topology.yaml')}")
    if os.path.lexists(path) and not force:
        raise Unwritable(_there(path))
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise Unwritable(f"{path} cannot be written: there is no folder {folder}")


def write(path: str, text: str, *, force: bool) -> None:
    """Raises Unwritable. A link is followed, so that what it points to is replaced."""
    path = os.path.realpath(path) if force else path
    temporary = f"{path}.{os.getpid()}.new"
    reserved = False
    try:
        if not force:  # takes the name, so that whoever comes meanwhile is not overwritten
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            reserved = True
        _fill(temporary, text)
        os.replace(temporary, path)
    except FileExistsError as error:
        raise Unwritable(_there(str(error.filename))) from None
    except OSError as error:
        if reserved:
            os.unlink(path)
        raise Unwritable(f"{path} cannot be written: {error.strerror}") from None
    except KeyboardInterrupt:
        if reserved:
            os.unlink(path)
        raise


def _fill(temporary: str, text: str) -> None:
    """Raises OSError, and leaves nothing behind then."""
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(file, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(file)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _there(path: str) -> str:
    return f"{path} already exists; use --force to overwrite it, or --output FILE for another one"
