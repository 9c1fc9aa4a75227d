"""Looks for the app in a folder: by names and syntax trees, nothing is imported or run.

Bounded: FILES_MAX modules of at most SIZE_MAX bytes, DEPTH_MAX folders deep, and no tests, environments or caches.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from poolctl.assembly.proposal_source import NAMES, Module, Object, objects, read_module

FILES_MAX = 1000
SIZE_MAX = 1 << 20  # bytes of a module
DEPTH_MAX = 5
OFFERED_MAX = 9

_SKIPPED = {"node_modules", "site-packages", "__pycache__", "tests", "test", "migrations", "build", "venv", "env"}
_SITES = ("public", "dist", "site", "_site", "htdocs", "www", "html")
# Only modules that have one of these can have an application; the others are not parsed.
_TELLING = re.compile(
    r"Flask|FastAPI|Starlette|Quart|Litestar|blacksheep|falcon|bottle|get_[aw]sgi_application|Datasette|make_wsgi_app"
    r"|ProtocolTypeRouter|socketio|start_response|scope, *receive|\b(app|application)\b *[:=]|import.*\bapp"
)
_MAIN_FILES = ("wsgi", "asgi", "app", "main", "application", "server")
_THREADED = ("Django", "Flask")  # their own development servers run an app in threads


@dataclass(frozen=True)
class Candidate:
    """Something that could be the app."""

    kind: str  # wsgi, asgi, static or cgi; empty where only its name speaks for it
    app: str  # package.module:callable, or the path of a folder
    directory: str  # to be started in; empty: the folder that was looked through
    why: str
    score: int
    thread_safe: bool = False  # has its framework's own server run it in threads all along?
    websockets: bool = False  # is there a word of WebSockets in its project?


@dataclass(frozen=True)
class Look:
    """What a folder has: the likely apps, the best first, and what one should know besides."""

    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]
    name: str  # that of the project, fit for the name of a server


@dataclass
class _Folder:
    root: Path
    texts: dict[Path, str] = field(default_factory=dict)  # modules, relative to the root
    sites: list[Path] = field(default_factory=list)
    programs: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    cut: bool = False  # were there more files than are looked at?


def look(root: Path) -> Look:
    """What could be served from this folder."""
    folder = _Folder(root)
    for path in _files(folder):
        _read(folder, path)
    found = [*_applications(folder), *_folders(folder)]
    found.sort(key=lambda each: (-each.score, each.app))
    notes = [*folder.unreadable[:3], *_factories(folder, found)]
    if folder.cut:
        notes.append(f"only the first {FILES_MAX} modules of this folder were looked at")
    offered = [each for each in found if each.score > 0]
    return Look(tuple(offered[:OFFERED_MAX]), tuple(notes), project_name(root))


def _files(folder: _Folder) -> Iterator[Path]:
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
                        folder.cut = True
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


def _note(folder: _Folder, path: Path, name: str, depth: int) -> None:
    inside = folder.root / path
    if depth < 2 and name in _SITES and (inside / "index.html").is_file():
        folder.sites.append(path)
    if depth < 2 and name == "cgi-bin" and any(os.access(entry.path, os.X_OK) for entry in _entries(inside)):
        folder.programs.append(path)


def _read(folder: _Folder, path: Path) -> None:
    try:
        with open(folder.root / path, "rb") as file:
            data = file.read(SIZE_MAX + 1)
    except OSError as error:
        folder.unreadable.append(f"{path} cannot be read: {error.strerror}")
        return
    if len(data) <= SIZE_MAX:
        folder.texts[path] = data.decode("utf-8-sig", errors="replace")


def _applications(folder: _Folder) -> Iterator[Candidate]:
    bases = {path: _base(folder, path) for path in folder.texts}
    read = _Modules(folder, bases)
    websockets = {path.parent for path, text in folder.texts.items() if "websocket" in text.lower()}
    for path, text in folder.texts.items():
        if not _TELLING.search(text):
            continue
        module = read.of(path)
        talks = any(each.is_relative_to(path.parent) for each in websockets)
        for each in read.objects(module, bases[path]):
            if not each.factory:
                yield _candidate(path, bases[path], each, websockets=talks)


class _Modules:
    """The parsed modules of a folder, each parsed once."""

    def __init__(self, folder: _Folder, bases: dict[Path, Path]) -> None:
        self._folder = folder
        self._bases = bases
        self._read: dict[Path, Module | None] = {}

    def of(self, path: Path) -> Module | None:
        if path not in self._read:
            name = _module_name(path, self._bases[path])
            try:
                package = path.name == "__init__.py"
                self._read[path] = read_module(name, self._folder.texts[path], package=package) if name else None
            except SyntaxError as error:
                self._folder.unreadable.append(f"{path}:{error.lineno or 1} is no Python: {error.msg}")
                self._read[path] = None
            except (ValueError, RecursionError, MemoryError):  # a NUL, or nested deeper than the parser goes
                self._folder.unreadable.append(f"{path} cannot be parsed")
                self._read[path] = None
        return self._read[path]

    def objects(self, module: Module | None, base: Path) -> list[Object]:
        """The applications of a module that is started in ``base``."""
        return objects(module, lambda name: self.named(base, name)) if module else []

    def named(self, base: Path, name: str) -> Module | None:
        """The module of a dotted name, as one that is started in ``base`` would import it."""
        inner = base.joinpath(*name.split("."))
        for path in (inner.with_name(inner.name + ".py") if inner.name else inner, inner / "__init__.py"):
            if path in self._folder.texts:
                return self.of(path)
        return None


def _base(folder: _Folder, path: Path) -> Path:
    """The folder from which a module is imported: the innermost around it that is no package, for some reason."""
    base = Path()
    inner = Path()
    for part in path.parent.parts:
        inner /= part
        package = inner / "__init__.py" in folder.texts
        started = part == "src" or inner / "manage.py" in folder.texts or _sibling_imports(folder, path, inner)
        if not part.isidentifier() or (not package and started):
            base = inner
    return base


def _sibling_imports(folder: _Folder, path: Path, inner: Path) -> bool:
    """Does a module import one beside it by its bare name, which only works when it is started there?"""
    if path.parent != inner:
        return False
    for name in re.findall(r"^\s*(?:from|import)\s+([A-Za-z_]\w*)", folder.texts[path], re.MULTILINE):
        beside = inner / f"{name}.py" in folder.texts or inner / name / "__init__.py" in folder.texts
        above = Path(f"{name}.py") in folder.texts or Path(name) / "__init__.py" in folder.texts
        if beside and not above:
            return True
    return False


def _module_name(path: Path, base: Path) -> str:
    parts = path.relative_to(base).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else ""


def _candidate(path: Path, base: Path, each: Object, *, websockets: bool) -> Candidate:
    module = _module_name(path, base)
    target = module if each.name == "application" and each.framework == "Django" else f"{module}:{each.name}"
    article = f"a{'n' if each.kind.startswith('a') else ''} {each.kind.upper()} function"
    what = f"a {each.framework} application" if each.framework else article
    why = f"{what} in {path}" if each.kind else f"by its name, {each.name} in {path}"
    score = 90 if each.framework else 60 if each.kind else 20
    score += 6 * (path.stem in ("wsgi", "asgi")) + 4 * (path.stem in _MAIN_FILES) + 3 * (each.name in NAMES)
    score += 8 * (path.stem == "wsgi") * (each.framework == "Django")
    score -= 3 * len(path.parts) + 40 * any(part in ("examples", "docs", "example") for part in path.parts)
    directory = "" if base == Path() else str(base)
    return Candidate(
        each.kind,
        target,
        directory,
        why,
        score,
        thread_safe=each.framework in _THREADED,
        websockets=websockets and each.kind == "asgi",
    )


def _folders(folder: _Folder) -> Iterator[Candidate]:
    for path in folder.programs:
        yield Candidate("cgi", f"./{path}", "", f"the programs in {path}", 40 - 3 * len(path.parts))
    for path in folder.sites:
        yield Candidate("static", f"./{path}", "", f"the files in {path}, which has an index.html", 30)
    if (folder.root / "index.html").is_file():
        yield Candidate("static", ".", "", "the files of this folder, which has an index.html", 10)


def _factories(folder: _Folder, found: list[Candidate]) -> Iterator[str]:
    """Where there is no app but a function that makes one: what to write."""
    if any(each.score > 50 for each in found):
        return
    bases = {path: _base(folder, path) for path in folder.texts}
    read = _Modules(folder, bases)
    for path, text in folder.texts.items():
        module = read.of(path) if _TELLING.search(text) else None
        for each in read.objects(module, bases[path]):
            if each.factory and module:
                line = f"from {module.name} import {each.name}; app = {each.name}()"
                yield f"{each.name} in {path} makes an app when it is called: put `{line}` into a wsgi.py, for wsgi:app"
                return


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
