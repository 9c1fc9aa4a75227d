"""What a command line means that names no topology file: the topology of a folder, or an app.

    poolctl run                 topology.yaml in this folder
    poolctl run /srv/shop       topology.yaml in that folder
    poolctl run shop:app        app: {wsgi: shop:app} or app: {asgi: shop:app}, as the source of the app says
    poolctl run shop.py         the same, of the application in that file

Nothing is imported to find out what an app is. Only where its source does not say is it imported, in a process of its
own, by commands that import apps anyway: what its module raises is then reported as for a topology.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import typer

from poolctl.cli.output import say

if TYPE_CHECKING:
    from poolctl.config.diagnostic import Diagnostic
    from poolctl.config.sources import Inputs

USUAL = ("topology.yaml", "topology.yml", "poolctl.yaml", "poolctl.yml")
TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
USAGE = 2


def inputs(
    file: str,
    overlays: list[str] | None = None,
    sets: list[str] | None = None,
    listen: list[str] | None = None,
    *,
    imports: bool = False,
) -> Inputs:
    """What a topology is made of, where ``file`` is what the command line says. ``imports``: the command imports apps.
    Says on standard error what an app is taken for, and leaves with 2 where nothing can be meant."""
    from poolctl.config.sources import Inputs

    more = tuple(overlays or ()), tuple(sets or ()), tuple(listen or ())
    if not file or os.path.isdir(file):
        return Inputs(_in_folder(file), *more)
    if is_app(file):
        text = _topology(file, imports=imports)
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


def _topology(what: str, *, imports: bool) -> str:
    """The shortest topology of an app, from what its source says."""
    from pathlib import Path

    from poolctl.proposal.scan import look

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
            raise _left(f"there is no application {app}", f'did you mean "{near}"?')
        _fails(what, app, root, imports=imports)
        lines = f"app: {{wsgi: {app}}} or app: {{asgi: {app}}}"
        raise _left(
            f"found no WSGI or ASGI application {'in' if what.endswith('.py') else 'of the name'} {what}",
            f"name it in topology.yaml, {lines}, or run poolctl init",
        )
    line = _directory(os.path.join(root, meant[0].directory))
    return f"app: {{{meant[0].kind}: {meant[0].app}}}\n{line}"


def _fails(what: str, app: str, root: str, *, imports: bool) -> None:
    """Says why the module of an app cannot be imported, and leaves; returns where that is not what is wrong."""
    import ast

    if what.endswith(".py") and not imports:
        try:
            with open(what, "rb") as file:
                ast.parse(file.read(), what)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            said = getattr(error, "msg", str(error))
            raise _left(f"{what}:{line} is no Python ({said})", "correct it") from None
    if not imports:
        return
    found = _tried(app, "wsgi", root)
    if found is None or (found.code == "PC410" and (what.endswith(".py") or _tried(app, "asgi", root) is None)):
        return  # it is there, and its source does not say what it is
    from dataclasses import replace

    from poolctl.cli.formats import Report
    from poolctl.cli.formats.human import findings, verdict
    from poolctl.config.diagnostic import Source

    found = replace(found, message=found.message.replace(app, what), place=Source(what, "", is_file=False).at(0))
    findings([found], sys.stderr)
    say(f"\n{what}: {verdict(Report(what, [found]))}", err=True)
    raise typer.Exit(USAGE)


def _tried(app: str, kind: str, root: str) -> Diagnostic | None:
    """What is found when an app is imported as one of this kind."""
    from poolctl.assembly.environment.app import check
    from poolctl.assembly.judging.judge import judge
    from poolctl.config.sources import Inputs

    judgement = judge(Inputs(f"<{app}>", text=f"app: {{{kind}: {app}}}\n{_directory(root)}"))
    return None if judgement.errors else next(check(judgement), None)


def _directory(folder: str) -> str:
    """The line that says where an app is started; none where it is this folder."""
    import json

    return f"directory: {json.dumps(folder, ensure_ascii=False)}\n" if folder else ""


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


def _left(message: str, fix: str) -> typer.Exit:
    say(f"error: {message}: {fix}", err=True)
    return typer.Exit(USAGE)
