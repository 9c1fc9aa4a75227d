"""Writes a new file atomically, and overwrites an existing one only with --force."""

from __future__ import annotations

import os
from contextlib import suppress


class Unwritable(Exception):
    """The file cannot be written; the text says why."""


def check_path(path: str, *, force: bool) -> None:
    """Raise Unwritable for problems that are known before any question is asked."""
    if os.path.isdir(path):
        raise Unwritable(f"{path} is a folder; write --output {os.path.join(path, 'topology.yaml')}")
    if os.path.lexists(path) and not force:
        raise Unwritable(_exists(path))
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise Unwritable(f"cannot write {path}: folder {folder} does not exist")


def write_file(path: str, text: str, *, force: bool) -> None:
    """Write the file. Symbolic links are followed, so that their target is replaced. Raises Unwritable."""
    path = os.path.realpath(path) if force else path
    temporary = f"{path}.{os.getpid()}.new"
    reserved = False
    try:
        if not force:  # reserves the name, so that a file created meanwhile is not overwritten
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            reserved = True
        _fill(temporary, text)
        os.replace(temporary, path)
    except FileExistsError as error:
        raise Unwritable(_exists(str(error.filename))) from None
    except OSError as error:
        if reserved:
            os.unlink(path)
        raise Unwritable(f"cannot write {path}: {error.strerror}") from None
    except KeyboardInterrupt:
        if reserved:
            os.unlink(path)
        raise


def _fill(temporary: str, text: str) -> None:
    """Write and sync the temporary file. Raises OSError, after removing the file."""
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


def _exists(path: str) -> str:
    return f"{path} already exists; use --force to overwrite it, or --output FILE to write another file"
