"""The source texts of a project's folder, and the folders in it that could be served.

Bounded: FILES_MAX modules of at most SIZE_MAX bytes, DEPTH_MAX folders deep, and no tests, environments or caches.
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
    texts: dict[Path, str] = field(default_factory=dict)  # of modules
    sites: list[Path] = field(default_factory=list)  # folders with an index.html
    programs: list[Path] = field(default_factory=list)  # folders of them
    unreadable: list[str] = field(default_factory=list)  # what could not be looked at, and why
    cut: str = ""  # that there were more modules than are looked at


def read_folder(root: Path) -> Folder:
    """Look through a folder."""
    folder = Folder(root)
    for path in _files(folder):
        _read(folder, path)
    return folder


def _files(folder: Folder) -> Iterator[Path]:
    """Python files, breadth first, so that a bound leaves out the deepest; sites and programs are noted on the way."""
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
                        folder.cut = f"only the first {FILES_MAX} modules of this folder were looked at"
                        return
                    yield path
        level = below


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:  # one that may not be read has nothing to offer
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
        folder.unreadable.append(f"{path} cannot be read: {error.strerror}")
        return
    if len(data) <= SIZE_MAX:
        folder.texts[path] = data.decode("utf-8-sig", errors="replace")


def project_name(root: Path) -> str:
    """That of pyproject.toml, else the folder's: what the key ``name`` may be."""
    name: object = ""
    try:
        with open(root / "pyproject.toml", "rb") as file:
            project = tomllib.loads(file.read(SIZE_MAX).decode("utf-8", errors="replace")).get("project", {})
        name = project.get("name", "") if isinstance(project, dict) else ""
    except (OSError, tomllib.TOMLDecodeError):  # a project without one, or one that its own tools will complain of
        name = ""
    if not isinstance(name, str) or not name:
        name = root.resolve().name
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:64] or "app"
