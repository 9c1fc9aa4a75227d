"""Reads the modules of a project's folder, and finds the folders in it that could be served.

Bounded: at most FILES_MAX modules of SIZE_MAX bytes, DEPTH_MAX folders deep, without tests, environments and caches.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

FILES_MAX = 1000
SIZE_MAX = 1 << 20  # bytes of a module
DEPTH_MAX = 5

_SKIPPED = {"node_modules", "site-packages", "__pycache__", "tests", "test", "migrations", "build", "venv", "env"}
_SITES = ("public", "dist", "site", "_site", "htdocs", "www", "html")


@dataclass
class Folder:
    """What was found below ``root``; all paths are relative to it."""

    root: Path
    texts: dict[Path, str] = field(default_factory=dict)  # sources of the modules
    sites: list[Path] = field(default_factory=list)  # folders with an index.html
    programs: list[Path] = field(default_factory=list)  # folders with CGI programs
    unreadable: list[str] = field(default_factory=list)  # messages about files that could not be read or parsed
    truncated: str = ""  # a message, if there are more modules than the bound


def read_folder(root: Path) -> Folder:
    """Read a folder, within the bounds."""
    folder = Folder(root)
    for path in _files(folder):
        _read(folder, path)
    return folder


def _files(folder: Folder) -> Iterator[Path]:
    """Yield Python files breadth first, so that the bound cuts off the deepest; records sites and programs."""
    level = [PurePath()]
    for depth in range(DEPTH_MAX):
        below: list[PurePath] = []
        for inner in level:
            entries = _entries(folder.root / inner)
            for entry in entries:
                path = Path(inner / entry.name)
                if entry.is_dir(follow_symlinks=False):
                    _note(folder, path, entry.name, depth)
                    if _entered(entry):
                        below.append(path)
                elif entry.name.endswith(".py") and entry.is_file():
                    if len(folder.texts) == FILES_MAX:
                        folder.truncated = f"only the first {FILES_MAX} modules of this folder were examined"
                        return
                    yield path
        level = below


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:  # a folder that cannot be read is skipped
        return []


def _entered(entry: os.DirEntry[str]) -> bool:
    hidden = entry.name.startswith(".") or entry.name in _SKIPPED
    return not hidden and not os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))


def _note(folder: Folder, path: Path, name: str, depth: int) -> None:
    inside = folder.root / path
    if depth < 2 and name in _SITES and (inside / "index.html").is_file():
        folder.sites.append(path)
    if depth < 2 and name == "cgi-bin" and any(os.access(entry.path, os.X_OK) for entry in _entries(inside)):
        folder.programs.append(path)


def _read(folder: Folder, path: Path) -> None:
    try:
        with open(folder.root / path, "rb") as file:
            data = file.read(SIZE_MAX + 1)
    except OSError as error:
        folder.unreadable.append(f"cannot read {path}: {error.strerror}")
        return
    if len(data) <= SIZE_MAX:
        folder.texts[path] = data.decode("utf-8-sig", errors="replace")


def project_name(root: Path) -> str:
    """Return the name in pyproject.toml, or else the folder's name, made valid for the key ``name``."""
    name: object = ""
    try:
        with open(root / "pyproject.toml", "rb") as file:
            project = tomllib.loads(file.read(SIZE_MAX).decode("utf-8", errors="replace")).get("project", {})
        name = project.get("name", "") if isinstance(project, dict) else ""
    except (OSError, tomllib.TOMLDecodeError):  # no pyproject.toml, or a broken one, which other tools report
        name = ""
    if not isinstance(name, str) or not name:
        name = root.resolve().name
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:64] or "app"
