"""Looks for the app in a folder: by names and syntax trees, nothing is imported or run.

What names are bound to is read in ``source``, the files are found in ``folder``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from poolctl.proposal.folder import Folder, project_name, read_folder
from poolctl.proposal.source import NAMES, Module, Object, objects, read_module

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


def look(root: Path) -> Look:
    """What could be served from this folder."""
    folder = read_folder(root)
    found = [*_applications(folder), *_folders(folder)]
    found.sort(key=lambda each: (-each.score, each.app))
    notes = [*folder.unreadable[:3], *_factories(folder, found), *([folder.cut] if folder.cut else [])]
    offered = [each for each in found if each.score > 0]
    return Look(tuple(offered), tuple(notes), project_name(root))


def _applications(folder: Folder) -> Iterator[Candidate]:
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
                self._folder.unreadable.append(f"{path}:{error.lineno or 1} is no Python: {error.msg}")
                self._read[path] = None
            except (ValueError, RecursionError, MemoryError):  # a NUL, or nested deeper than the parser goes
                self._folder.unreadable.append(f"{path} cannot be parsed")
                self._read[path] = None
        return self._read[path]

    def objects(self, module: Module | None, base: Path) -> list[Object]:
        """The applications of a module that is started in ``base``."""
        if module is None:
            return []
        try:
            return objects(module, lambda name: self.named(base, name))
        except RecursionError:  # a.b.c... of thousands of names
            self._folder.unreadable.append(f"{module.name} is nested too deep to be followed")
            return []

    def named(self, base: Path, name: str) -> Module | None:
        """The module of a dotted name, as one that is started in ``base`` would import it."""
        inner = base.joinpath(*name.split("."))
        for path in (inner.with_name(inner.name + ".py") if inner.name else inner, inner / "__init__.py"):
            if path in self._folder.texts:
                return self.of(path)
        return None


def _base(folder: Folder, path: Path) -> Path:
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


def _sibling_imports(folder: Folder, path: Path, inner: Path) -> bool:
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


def _folders(folder: Folder) -> Iterator[Candidate]:
    for path in folder.programs:
        yield Candidate("cgi", f"./{path}", "", f"the programs in {path}", 40 - 3 * len(path.parts))
    for path in folder.sites:
        yield Candidate("static", f"./{path}", "", f"the files in {path}, which has an index.html", 30)
    if (folder.root / "index.html").is_file():
        yield Candidate("static", ".", "", "the files of this folder, which has an index.html", 10)


def _factories(folder: Folder, found: list[Candidate]) -> Iterator[str]:
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
