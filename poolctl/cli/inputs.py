"""Resolves the FILE|FOLDER|APP argument of a command to the inputs of a topology.

    poolctl run                 topology.yaml in this folder
    poolctl run /srv/shop       topology.yaml in that folder
    poolctl run shop:app        app: {wsgi: shop:app} or app: {asgi: shop:app}, depending on the app's source
    poolctl run shop.py         the same, for the application in that file

The kind of an app is read from its source, without importing it. If the source does not tell, commands that import apps
anyway import it in a separate process, and what its module raises is reported as for a topology.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from poolctl.cli.output import echo

if TYPE_CHECKING:
    from poolctl.config.diagnostic import Diagnostic
    from poolctl.config.sources import Inputs

DEFAULT_NAMES = ("topology.yaml", "topology.yml", "poolctl.yaml", "poolctl.yml")
TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
USAGE = 2


def resolve_inputs(
    file: str,
    overlays: list[str] | None = None,
    sets: list[str] | None = None,
    listen: list[str] | None = None,
    *,
    imports: bool = False,
) -> Inputs:
    """Return the inputs of the topology that ``file`` names.

    ``imports``: whether the command imports apps. For an app the topology made for it is printed on standard error. If
    there is no topology and no app, prints an error and exits with 2.
    """
    from poolctl.config.sources import Inputs

    more = tuple(overlays or ()), tuple(sets or ()), tuple(listen or ())
    if not file or os.path.isdir(file):
        return Inputs(_in_folder(file), *more)
    if is_app(file):
        text = _topology(file, imports=imports)
        echo(f"{file} is an app; serving it with this topology:\n\n{text}\n{_to_keep(file)}\n", err=True)
        return Inputs(f"<{file}>", *more, text=text)
    return Inputs(file, *more)


def topology_file(what: str) -> str:
    """Return the file that ``what``, a file or a folder, means. If there is no topology in the folder, prints an error
    and exits with 2."""
    return _in_folder(what) if os.path.isdir(what) else what


def is_app(what: str) -> bool:
    """Whether the argument names an app: `package.module:callable`, or a Python file."""
    return what.endswith(".py") or bool(TARGET.fullmatch(what) and not os.path.exists(what))


def _in_folder(folder: str) -> str:
    for name in DEFAULT_NAMES:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    where = folder or "this folder"
    raise _error(
        f"no topology in {where} ({', '.join(DEFAULT_NAMES)})",
        "name a file or an app (poolctl run shop:app), or run poolctl init to write one",
    )


def _topology(what: str, *, imports: bool) -> str:
    """Return the shortest topology for an app, derived from its source."""
    from pathlib import Path

    from poolctl.proposal.scan import scan

    root = ""
    if what.endswith(".py"):
        if not os.path.isfile(what):
            raise _error(f"{what} does not exist", "name a topology, or an app as package.module:callable or file.py")
        if os.path.relpath(what).startswith(".."):
            root = os.path.abspath(os.path.dirname(what))
    found = [each for each in scan(Path(root)).candidates if each.kind in ("wsgi", "asgi")]
    if what.endswith(".py"):
        matches = [each for each in found if _file_of(each.app, os.path.join(root, each.directory), what)]
    else:
        matches = [each for each in found if each.app == what]
    if not matches:
        app = f"{_module(what, root)}:app" if what.endswith(".py") else what
        module = app.partition(":")[0]
        if near := next((each.app for each in found if each.app.partition(":")[0] == module), ""):
            raise _error(f"no application {app}", f'did you mean "{near}"?')
        _report_import_error(what, app, root, imports=imports)
        lines = f"app: {{wsgi: {app}}} or app: {{asgi: {app}}}"
        raise _error(
            f"no WSGI or ASGI application found {'in' if what.endswith('.py') else 'by the name'} {what}",
            f"name it in topology.yaml, {lines}, or run poolctl init",
        )
    line = _directory(os.path.join(root, matches[0].directory))
    return f"app: {{{matches[0].kind}: {matches[0].app}}}\n{line}"


def _report_import_error(what: str, app: str, root: str, *, imports: bool) -> None:
    """If the module of an app cannot be imported, print why and exit; otherwise return."""
    import ast

    if what.endswith(".py") and not imports:
        try:
            with open(what, "rb") as file:
                ast.parse(file.read(), what)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            reason = getattr(error, "msg", str(error))
            raise _error(f"{what}:{line} is not valid Python ({reason})", "fix the syntax") from None
    if not imports:
        return
    found = _import_finding(app, "wsgi", root)
    if found is None or (found.code == "PC410" and (what.endswith(".py") or not _import_finding(app, "asgi", root))):
        return  # it can be imported, but its source does not tell its kind
    from dataclasses import replace

    from poolctl.cli.formats.human import with_verdict
    from poolctl.config.diagnostic import SourceText

    found = replace(found, message=found.message.replace(app, what), place=SourceText(what, "", is_file=False).at(0))
    sys.stderr.write(with_verdict(what, [found], sys.stderr))
    raise SystemExit(USAGE)


def _import_finding(app: str, kind: str, root: str) -> Diagnostic | None:
    """Import an app as one of this kind. Returns the finding, or None when it can be served."""
    from poolctl.assembly.environment.app import check
    from poolctl.assembly.judging.judge import judge
    from poolctl.config.sources import Inputs

    judgement = judge(Inputs(f"<{app}>", text=f"app: {{{kind}: {app}}}\n{_directory(root)}"))
    return None if judgement.errors else next(check(judgement), None)


def _directory(folder: str) -> str:
    """Return the topology's line for the folder that an app is started in; empty for the current folder."""
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
    return f"To save a topology, run poolctl init{app}."


def _error(message: str, fix: str) -> SystemExit:
    echo(f"error: {message}; {fix}", err=True)
    return SystemExit(USAGE)
