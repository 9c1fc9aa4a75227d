"""poolctl explain: describe a topology, a finding's code, a key or a word of the language."""

from __future__ import annotations

import os
import re
import sys
from enum import StrEnum
from typing import Annotated

import typer

from poolctl.cli.arguments import Listen, Overlays, Sets
from poolctl.cli.inputs import DEFAULT_NAMES, is_app
from poolctl.cli.output import echo

WRONG_USE = 2


class ExplainFormat(StrEnum):
    """The values of --format."""

    TEXT = "text"
    MERMAID = "mermaid"
    SVG = "svg"
    JSON = "json"


def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A topology, folder or app; or a code (PC301), a key (dispatch, limits.waiting), a word (random).",
            show_default=False,
        ),
    ] = "",
    overlays: Overlays = None,
    sets: Sets = None,
    listen: Listen = None,
    form: Annotated[ExplainFormat, typer.Option("--format", help="How a topology is drawn.")] = ExplainFormat.TEXT,
) -> None:
    """Explain a topology, a finding's code, a key or a word; keys and words of other servers too.

    For a topology: processes and sockets, the path of a request, the trade-offs of each choice, equivalent designs.
    """
    if re.fullmatch(r"PC\d{3}", what, re.IGNORECASE):
        echo(_code(what.upper()))
    elif not what or _is_file(what) or is_app(what):
        from poolctl.cli.draw import draw
        from poolctl.cli.load_or_exit import load_or_exit
        from poolctl.description.diagram import diagram

        judged = load_or_exit(what, overlays, sets, listen)
        echo(draw(form.value)(diagram(judged)), end="", wrap=False)  # as wide as it was drawn
        if form is ExplainFormat.TEXT and (what.endswith((".yaml", ".yml")) or os.path.isdir(what or ".")):
            for line in _measured(what or "."):
                echo(line, wrap=False)
    else:
        echo(_language(what), end="")


def _measured(what: str) -> list[str]:
    """Return what the server of this topology has learned about its requests; nothing if none runs."""
    from poolctl.cli.queue_lines import queue_lines
    from poolctl.cli.servers import control_sockets, named, same_file, statuses

    _, sockets, file = named(what, control_sockets(), WRONG_USE)
    if not file:
        return []
    running = [each for _, each in statuses(sockets)[0] if same_file(each.get("file", ""), file)]
    lines = []
    for each in running:
        if found := list(queue_lines(each.get("classes", []), each.get("routes", []))):
            lines += ["", f"Measured by {each['name']} (pid {each['pid']}), which runs this file:", *found]
    return lines


def _is_file(what: str) -> bool:
    """Whether the argument is a file or folder. A word of the language never is: write ./dispatch for such a file. A
    word of another server is a folder if that folder has a topology."""
    return what == "-" or what.endswith((".yaml", ".yml")) or what.startswith((".", os.sep)) or _only_a_file(what)


def _only_a_file(what: str) -> bool:
    from poolctl.config.other_servers import ANSWERS, KEYS
    from poolctl.description.glossary import axes_of, keys

    if not os.path.exists(what) or what in keys() or axes_of(what):
        return False
    bare = os.path.isdir(what) and not any(os.path.isfile(os.path.join(what, name)) for name in DEFAULT_NAMES)
    return not (bare and what in (*KEYS, *ANSWERS))


def _code(code: str) -> str:
    from poolctl.cli.explain_code import explain_code
    from poolctl.cli.output import terminal_width
    from poolctl.config.codes import CODES
    from poolctl.config.human import Page

    if code in CODES:
        return explain_code(code, Page(terminal_width(sys.stdout), sys.stdout.encoding or ""))
    raise _unknown(code, list(CODES))


def _language(what: str) -> str:
    from poolctl.assembly.registry import REGISTRY, words
    from poolctl.config.codes import CODES
    from poolctl.config.other_servers import ANSWERS, KEYS
    from poolctl.description.glossary import axes_of, explain_key, keys, options

    what = re.sub(r"\.\d+(?=\.|\Z)", "", what)  # findings name list entries by their index: listen.0.tls
    try:
        return explain_key(what)
    except KeyError:
        found = [f"{axis}.{what}" for axis in axes_of(what)]
        found = found or [key for key in [*keys(), *options()] if key.endswith(f".{what}")]
    if found:
        return "\n".join(map(explain_key, found))
    if answer := _of_another_server(what):
        return answer
    inner = [each.rpartition(".")[2] for each in [*keys(), *options()]]
    every = [*keys(), *options(), *inner, *(word for axis in REGISTRY for word in words(axis)), *CODES]
    raise _unknown(what, [*every, *KEYS, *ANSWERS])


def _of_another_server(what: str) -> str:
    """Return the counterpart of another server's key or word; empty if it is not one."""
    from poolctl.assembly.registry import REGISTRY
    from poolctl.config.load import NESTED
    from poolctl.config.other_servers import ANSWERS, INSIDE, KEYS, WORDS
    from poolctl.config.suggestions import suggest_key, suggest_word, without_dashes
    from poolctl.description.glossary import explain_key

    owner, _, inner = what.rpartition(".")
    plain = without_dashes(inner)
    key = INSIDE.get((owner, plain)) or ("" if owner or plain in ANSWERS else KEYS.get(plain))
    if key:
        return f"{what}: called {key} here\n\n{explain_key(key)}"
    found = [suggest_key(what, NESTED)]
    found += [suggest_word(axis, what) for axis in REGISTRY if axis != "app" or what in WORDS[axis]]
    return "".join(f"{what}: {each}\n" for each in dict.fromkeys(found) if each)


def _unknown(what: str, known: list[str]) -> typer.Exit:
    from poolctl.similar import similar

    near = similar(what, known)
    fix = (
        f'did you mean "{near}"?' if near else "name a file, a code (PC301), a key (dispatch) or a word (least-loaded)"
    )
    echo(f'error: "{what}" is neither a file nor a code, key or word of the language; {fix}', err=True)
    return typer.Exit(WRONG_USE)
