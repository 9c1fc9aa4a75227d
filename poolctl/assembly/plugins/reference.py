"""From a word of a topology to where the plugin is: `./my_dispatch.py:Mine`, or the name of an entry point.

Nothing is imported here: only the names of entry points are read from installed distributions.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

AXES = ("dispatch", "app", "protocol", "ownership", "pool")
OF_A_FILE = re.compile(r"\.py(:|$)|^(\.{0,2}|~)/")
OF_A_MODULE = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")
CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

MAX_PATH = 200  # characters of a path in a message


class Reference(NamedTuple):
    """The location of a plugin.

    ``text`` is the reference as the topology has it. A file has an absolute ``path``; an entry point has a ``module``
    and its ``distribution`` with the version.
    """

    axis: str
    text: str
    name: str  # of the class, with dots for one inside another
    path: str = ""
    module: str = ""
    distribution: str = ""

    @property
    def where(self) -> str:
        """The file as the topology has it, or the module."""
        return self.text.rpartition(":")[0] if self.path else self.module

    @property
    def origin(self) -> str:
        """The file or the distribution, as text for people."""
        return self.path or self.distribution


class NotFound(NamedTuple):
    """Raised if there is no such plugin; with the reason and a fix."""

    message: str
    help: str


def group(axis: str) -> str:
    """The group of an axis's entry points."""
    return f"poolctl.{axis}"


def is_file(text: str) -> bool:
    """Whether a word refers to a file: it begins like a path, or names a Python file."""
    return bool(OF_A_FILE.search(text))


def suggest_file(text: str) -> str:
    """The help for `module:Class`: the file that is probably meant; empty for anything else."""
    found = OF_A_MODULE.fullmatch(text)
    return f'name a plugin by its file: "./{found[1].replace(".", "/")}.py:{found[2]}"' if found else ""


def find(axis: str, text: str, folder: Path) -> Reference | NotFound | None:
    """The plugin that ``text`` refers to in a topology in ``folder``; None when no distribution has that name."""
    return _in_file(axis, text, folder) if is_file(text) else _installed(axis, text)


def _in_file(axis: str, text: str, folder: Path) -> Reference | NotFound:
    place, colon, name = text.rpartition(":")
    if not colon:
        module = text.removeprefix("./").removesuffix(".py").replace("/", ".")
        instead = f", or name an application as app: {{wsgi: {module}:application}}" if axis == "app" else ""
        return NotFound(f"{axis}: {text} does not name a class", f"name a plugin as {text}:CLASS{instead}")
    try:
        path = (folder / Path(place).expanduser()).resolve()
        exists = _is_file(path)
    except (OSError, RuntimeError, ValueError) as error:  # an unknown home, circular links, no permission, too long
        why = (isinstance(error, OSError) and error.strerror) or error
        shown = place if len(place) <= MAX_PATH else f"{place[:MAX_PATH]}..."
        return NotFound(f"{axis}: {shown} cannot be found: {why}", "give the path from the folder of the file")
    if not exists:
        siblings = sorted(each.name for each in path.parent.glob("*.py"))[:8] if path.parent.is_dir() else []
        others = f"; found there: {', '.join(siblings)}" if siblings else ""
        return NotFound(
            f"{axis}: no such file: {place}", f"give the path from the folder of the file that names it{others}"
        )
    if path.suffix != ".py":
        return NotFound(f"{axis}: {place} is not a Python file", "name a file that ends in .py")
    if not CLASS.fullmatch(name):
        return NotFound(f'{axis}: "{name}" is not the name of a class', f"for instance {place}:Mine")
    return Reference(axis, text, name, path=str(path))


def _is_file(path: Path) -> bool:
    """Whether it is a regular file. Unlike Path.is_file, raises OSError for circular links."""
    try:
        return S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _installed(axis: str, text: str) -> Reference | NotFound | None:
    found = installed(axis).get(text, [])
    if len(found) > 1:
        owners = " and ".join(_owner(each) for each in found)
        return NotFound(f'{axis}: {owners} both have a plugin "{text}"', "uninstall all but one of them")
    return _reference(axis, found[0]) if found else None


def _reference(axis: str, entry: EntryPoint) -> Reference:
    return Reference(axis, entry.name, entry.attr or "", module=entry.module, distribution=_owner(entry))


@lru_cache(maxsize=8)
def installed(axis: str) -> dict[str, list[EntryPoint]]:
    """The entry points of an axis by name; several where distributions use the same name."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=group(axis)):
        others = found.setdefault(entry.name, [])
        if all((each.value, _owner(each)) != (entry.value, _owner(entry)) for each in others):  # on sys.path twice
            others.append(entry)
    return dict(sorted(found.items()))


def references(axis: str) -> list[Reference]:
    """References to all installed plugins of an axis, also to those that share a name."""
    return [_reference(axis, entry) for entries in installed(axis).values() for entry in entries]


def _owner(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unnamed distribution"
