"""What somebody means who names no topology: the one of a folder, or an app.

    poolctl run                 topology.yaml in this folder
    poolctl run /srv/shop       topology.yaml in that folder
    poolctl run shop:app        app: {wsgi: shop:app} or app: {asgi: shop:app}, as the source of the app says
    poolctl run shop.py         the same, of the application in that file

Nothing is imported to find out what an app is.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import typer

from poolctl.cli.say import say

if TYPE_CHECKING:
    from poolctl.config.sources import Inputs

USUAL = ("topology.yaml", "topology.yml", "poolctl.yaml", "poolctl.yml")
TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
USAGE = 2


def inputs(
    file: str, overlays: list[str] | None = None, sets: list[str] | None = None, listen: list[str] | None = None
) -> Inputs:
    """What a topology is made of, where ``file`` is what the command line says. Says on standard error what an app is
    taken for, and leaves with 2 where nothing can be meant."""
    from poolctl.config.sources import Inputs

    more = tuple(overlays or ()), tuple(sets or ()), tuple(listen or ())
    if not file or os.path.isdir(file):
        return Inputs(_in_folder(file), *more)
    if is_app(file):
        text = _topology(file)
        say(f"{file} is an app, so its topology is:\n\n{text}\n{_to_keep(file)}\n", err=True)
        return Inputs(f"<{file}>", *more, text=text)
    return Inputs(file, *more)


def is_app(what: str) -> bool:
    """Whether this names an app, as `package.module:callable` or a Python file."""
    return what.endswith(".py") or bool(TARGET.fullmatch(what) and not os.path.exists(what))


def _in_folder(folder: str) -> str:
    for name in USUAL:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    there = f"in {folder}" if folder else "here"
    raise _left(
        f"there is no topology {there} ({', '.join(USUAL)})",
        "name a file or an app (poolctl run shop:app), or let poolctl init write one",
    )


def _topology(what: str) -> str:
    """The shortest topology of an app, from what its source says."""
    import json
    from pathlib import Path

    from poolctl.assembly.proposal_scan import look

    root = ""
    if what.endswith(".py"):
        if not os.path.isfile(what):
            raise _left(f"there is no file {what}", "name a topology, or an app as package.module:callable or file.py")
        if os.path.relpath(what).startswith(".."):
            root = os.path.abspath(os.path.dirname(what))
    found = [each for each in look(Path(root)).candidates if each.kind in ("wsgi", "asgi")]
    if what.endswith(".py"):
        meant = [each for each in found if _file_of(each.app, os.path.join(root, each.directory), what)]
    else:
        meant = [each for each in found if each.app == what]
    if not meant:
        app = f"{_module(what, root)}:app" if what.endswith(".py") else what
        module = app.partition(":")[0]
        if near := next((each.app for each in found if each.app.partition(":")[0] == module), ""):
            raise _left(f"no application {app} was found", f'did you mean "{near}"?')
        lines = f"app: {{wsgi: {app}}} and app: {{asgi: {app}}}"
        raise _left(
            f"found no WSGI or ASGI application for {what}",
            f"write topology.yaml with one of the lines {lines}, or run poolctl init",
        )
    directory = os.path.join(root, meant[0].directory)
    line = f"directory: {json.dumps(directory, ensure_ascii=False)}\n" if directory else ""
    return f"app: {{{meant[0].kind}: {meant[0].app}}}\n{line}"


def _file_of(app: str, directory: str, path: str) -> bool:
    inner = os.path.join(directory, *app.partition(":")[0].split("."))
    return any(
        os.path.exists(each) and os.path.samefile(each, path) for each in (f"{inner}.py", f"{inner}/__init__.py")
    )


def _module(path: str, root: str) -> str:
    return os.path.relpath(path, root or None).removesuffix(".py").replace(os.sep, ".").removesuffix(".__init__")


def _to_keep(what: str) -> str:
    app = "" if what.endswith(".py") else f" --app {what}"
    return f"poolctl init{app} writes one to keep."


def _left(message: str, mend: str) -> typer.Exit:
    say(f"error: {message}: {mend}", err=True)
    return typer.Exit(USAGE)
