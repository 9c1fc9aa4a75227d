"""Finds the app in a folder by names and syntax trees; nothing is imported or run.

``folder`` finds the files, ``source`` reads what names are bound to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from poolctl.proposal.folder import Folder, project_name, read_folder
from poolctl.proposal.source import NAMES, Module, Object, objects, read_module

# Only modules that match can contain an application; the others are not parsed.
_HINTS = re.compile(
    r"Flask|FastAPI|Starlette|Quart|Litestar|blacksheep|falcon|bottle|get_[aw]sgi_application|Datasette|make_wsgi_app"
    r"|ProtocolTypeRouter|socketio|start_response|scope, *receive|\b(app|application)\b *[:=]|import.*\bapp"
)
_MAIN_FILES = ("wsgi", "asgi", "app", "main", "application", "server")
_THREADED = ("Django", "Flask")  # whose development servers run an app in threads


@dataclass(frozen=True)
class Candidate:
    """A possible app."""

    kind: str  # wsgi, asgi, static or cgi; empty if only its name suggests an app
    app: str  # package.module:callable, or the path of a folder
    directory: str  # to be started in; empty: the folder that was scanned
    why: str
    score: int
    thread_safe: bool = False  # whether the framework's own server runs it in threads
    websockets: bool = False  # whether its folder mentions WebSockets


@dataclass(frozen=True)
class ScanResult:
    """The likely apps of a folder, the best first, and notes for the user."""

    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]
    name: str  # of the project, valid as the name of a server


def scan(root: Path) -> ScanResult:
    """Return what could be served from a folder."""
    folder = read_folder(root)
    found = [*_applications(folder), *_folders(folder)]
    found.sort(key=lambda each: (-each.score, each.app))
    notes = [*folder.unreadable[:3], *_factories(folder, found), *([folder.truncated] if folder.truncated else [])]
    offered = [each for each in found if each.score > 0]
    return ScanResult(tuple(offered), tuple(notes), project_name(root))


def _applications(folder: Folder) -> Iterator[Candidate]:
    bases = {path: _base(folder, path) for path in folder.texts}
    read = _Modules(folder, bases)
    websockets = {path.parent for path, text in folder.texts.items() if "websocket" in text.lower()}
    for path, text in folder.texts.items():
        if not _HINTS.search(text):
            continue
        module = read.of(path)
        mentioned = any(each.is_relative_to(path.parent) for each in websockets)
        for each in read.objects(module, bases[path]):
            if not each.factory:
                yield _candidate(path, bases[path], each, websockets=mentioned)


class _Modules:
    """The parsed modules of a folder, each parsed once."""

    def __init__(self, folder: Folder, bases: dict[Path, Path]) -> None:
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
                self._folder.unreadable.append(f"{path}:{error.lineno or 1} is not valid Python: {error.msg}")
                self._read[path] = None
            except (ValueError, RecursionError, MemoryError):  # a NUL, or nested more deeply than the parser allows
                self._folder.unreadable.append(f"cannot parse {path}")
                self._read[path] = None
        return self._read[path]

    def objects(self, module: Module | None, base: Path) -> list[Object]:
        """Return the applications of a module that is started in ``base``."""
        if module is None:
            return []
        try:
            return objects(module, lambda name: self.named(base, name))
        except RecursionError:  # a.b.c... with thousands of names
            self._folder.unreadable.append(f"{module.name} is nested too deeply to be analyzed")
            return []

    def named(self, base: Path, name: str) -> Module | None:
        """Return the module of a dotted name, as a process started in ``base`` would import it."""
        inner = base.joinpath(*name.split("."))
        for path in (inner.with_name(inner.name + ".py") if inner.name else inner, inner / "__init__.py"):
            if path in self._folder.texts:
                return self.of(path)
        return None


def _base(folder: Folder, path: Path) -> Path:
    """Return the folder from which a module is imported: the innermost parent that is evidently not a package."""
    base = Path()
    inner = Path()
    for part in path.parent.parts:
        inner /= part
        package = inner / "__init__.py" in folder.texts
        started = part == "src" or inner / "manage.py" in folder.texts or _sibling_imports(folder, path, inner)
        if not part.isidentifier() or (not package and started):
            base = inner
    return base


def _sibling_imports(folder: Folder, path: Path, inner: Path) -> bool:
    """Whether a module imports a sibling by its bare name, which works only if it is started in that folder."""
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
    why = f"{what} in {path}" if each.kind else f"going by its name, {each.name} in {path}"
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


def _folders(folder: Folder) -> Iterator[Candidate]:
    for path in folder.programs:
        yield Candidate("cgi", f"./{path}", "", f"the programs in {path}", 40 - 3 * len(path.parts))
    for path in folder.sites:
        yield Candidate("static", f"./{path}", "", f"the files in {path}, which has an index.html", 30)
    if (folder.root / "index.html").is_file():
        yield Candidate("static", ".", "", "the files in this folder, which has an index.html", 10)


def _factories(folder: Folder, found: list[Candidate]) -> Iterator[str]:
    """Yield a note for a folder that has no app, but a function that creates one."""
    if any(each.score > 50 for each in found):
        return
    bases = {path: _base(folder, path) for path in folder.texts}
    read = _Modules(folder, bases)
    for path, text in folder.texts.items():
        module = read.of(path) if _HINTS.search(text) else None
        for each in read.objects(module, bases[path]):
            if each.factory and module:
                line = f"from {module.name} import {each.name}; app = {each.name}()"
                yield f"{each.name} in {path} creates an app when called; put `{line}` into wsgi.py and use wsgi:app"
                return
