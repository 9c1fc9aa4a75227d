"""The sources of a topology: files, standard input, and options of the command line."""

from __future__ import annotations

import re
import sys
from pathlib import Path as FilePath
from typing import NamedTuple

from yaml.error import Mark

from poolctl.config.diagnostic import Diagnostic, Invalid, Place, SourceText, Span, Unreadable
from poolctl.config.loader import MAX_BYTES
from poolctl.config.node_checks import NO_TEXT

STDIN = "<stdin>"


class Inputs(NamedTuple):
    """The inputs of a topology, each merged over those before it."""

    file: str  # "-": standard input
    overlays: tuple[str, ...] = ()  # further files (-f)
    sets: tuple[str, ...] = ()  # KEY=VALUE (--set)
    listen: tuple[str, ...] = ()  # addresses that replace the file's (--listen)
    text: str | None = None  # the content of ``file``, which is then a name in <> instead of a path


def read_source(path: str, otherwise: str = "check the path; poolctl init writes a topology") -> SourceText:
    """The text of a file, or of standard input for "-": UTF-8 of at most MAX_BYTES.

    ``otherwise`` is the help for a file that does not exist. Raises Invalid, Unreadable.
    """
    name = STDIN if path == "-" else path
    try:
        data = _bytes(path)
    except OSError as error:
        message = f"cannot read {name}: {error.strerror}"
        raise Unreadable([Diagnostic("PC100", message, _start(name), _help(error, otherwise))]) from error
    except ValueError as error:  # a NUL in the path
        raise Unreadable([Diagnostic("PC100", f"cannot read {name}: {error}", _start(name), "name a file")]) from error
    if len(data) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES >> 10} KiB"
        raise Invalid(
            [
                Diagnostic(
                    "PC103", message, _start(name), "check that this is the right file: a topology takes a few lines"
                )
            ]
        )
    try:
        return SourceText(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        good = SourceText(name, data[: error.start].decode("utf-8-sig"))
        message = f"byte {error.start} is not UTF-8 (0x{data[error.start]:02x})"
        raise Invalid([Diagnostic("PC102", message, good.at(len(good.text)), "save the file as UTF-8")]) from None


def _bytes(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


def _start(name: str) -> Place:
    return Place(SourceText(name, ""), Span(0, 0, 0, 1))


def _help(error: OSError, otherwise: str) -> str:
    if isinstance(error, IsADirectoryError):
        return "name a file in it"
    if isinstance(error, PermissionError):
        return "let the user who starts poolctl read it"
    return _beside(FilePath(str(error.filename))) or otherwise if isinstance(error, FileNotFoundError) else ""


def _beside(path: FilePath) -> str:
    """The help that names the file which was probably meant."""
    from poolctl.similar import similar  # only findings need it

    try:
        names = {each.stem: each.name for each in path.parent.iterdir() if each.suffix in (".yaml", ".yml")}
    except OSError:
        return ""
    near = similar(path.stem, names)  # without the extension, which all of them share
    return f'did you mean "{path.with_name(names[near])}"?' if near else ""


def default_name(path: str) -> str:
    """The file's stem, with the characters replaced that a name must not have."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", FilePath(path).stem)[:64].strip("-") or "poolctl"


def option(text: str) -> SourceText:
    """An option of the command line as a source. Raises Invalid when it has undecodable bytes (PEP 383)."""
    source = SourceText(text, text, is_file=False)
    found = NO_TEXT.search(text)
    if found:
        message = f"{text.split(' ', maxsplit=1)[0]}: a byte is not valid in the locale's encoding"
        raise Invalid([Diagnostic("PC102", message, source.at(found.start()), "use the locale's encoding")])
    return source


def mark_at(source: SourceText, index: int) -> Mark:
    """A position in the text, as a mark of the parser."""
    span = source.at(index).span
    return Mark(source.name, index, span.line, span.column, None, index)


def mark(source: SourceText, column: int) -> Mark:
    """A position on the first line, as a mark of the parser."""
    return Mark(source.name, column, 0, column, None, column)
