"""poolctl init: ask about the app, then write a commented topology for it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from poolctl.cli.init.questions import QUESTIONS
from poolctl.proposal.answers import Kind  # typer reads it


def _option(field: str, metavar: str | None = None) -> Any:
    question = QUESTIONS[field]
    return typer.Option(question.flags, metavar=metavar, help=question.asks, show_default=False)


def init(
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write it; - for standard output.")
    ] = "topology.yaml",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; use defaults for missing options.")] = False,
    name: Annotated[str, typer.Option(metavar="NAME", help="The server's name (default: the project's).")] = "",
    app: Annotated[str | None, _option("app", "MODULE:CALLABLE")] = None,
    kind: Annotated[Kind | None, _option("kind")] = None,
    production: Annotated[bool | None, _option("production")] = None,
    websockets: Annotated[bool | None, _option("websockets")] = None,
    waits: Annotated[bool | None, _option("work")] = None,
    mixed: Annotated[bool | None, _option("mixed")] = None,
    keeps: Annotated[Literal["nothing", "client", "shared"] | None, _option("keeps")] = None,
    proxy: Annotated[Literal["none", "unix", "tcp"] | None, _option("proxy")] = None,
    trust: Annotated[str | None, _option("trust", "ADDRESS")] = None,
    certificate: Annotated[str | None, _option("certificate", "FILE")] = None,
    key: Annotated[str | None, _option("key", "FILE")] = None,
    listen: Annotated[str | None, _option("listen", "ADDRESS")] = None,
    thread_safe: Annotated[bool | None, _option("thread_safe")] = None,
    preload: Annotated[bool | None, _option("preload")] = None,
) -> None:
    """Find the app in this folder, ask a few questions, and write a topology with the reason for each choice.

    Nothing is imported or run to find the app.

    Exits with 0 if the file was written, 1 if the answers ended early, 2 for an error.
    """
    given = {
        "app": app,
        "kind": kind,
        "production": production,
        "websockets": websockets,
        "work": None if waits is None else "waits" if waits else "computes",
        "mixed": mixed,
        "keeps": keeps,
        "proxy": proxy,
        "trust": trust,
        "certificate": certificate,
        "key": key,
        "listen": listen,
        "thread_safe": thread_safe,
        "preload": preload,
    }
    from poolctl.cli.init.session import InitSession  # not needed for --help

    session = InitSession(output, force=force, name=name, given={k: v for k, v in given.items() if v is not None})
    raise typer.Exit(session.run(defaults=yes))
