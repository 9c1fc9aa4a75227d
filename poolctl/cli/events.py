"""poolctl events: what happened to a running server, and why."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Annotated, Any

import typer

from poolctl.cli.arguments import TextOrJson
from poolctl.cli.output import echo, terminal_width, wrap_text
from poolctl.cli.servers import Asking, NoAnswer, ServerArgument, fail, one
from poolctl.config.diagnostic import printable

PATIENCE_SECONDS = 10.0  # that a line of the answer may take, unless it is of an event to come
INDENT_COLUMNS = 21  # of the text, behind the time
NARROW_COLUMNS = 60  # below that continuation lines are hardly indented


def events(
    what: ServerArgument = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl-C or the server ends.")
    ] = False,
    form: Annotated[
        TextOrJson, typer.Option("--format", help="Output for people, or a JSON object on each line for programs.")
    ] = TextOrJson.TEXT,
) -> None:
    """Show the last 1,000 events of a running server, oldest first: what started, ended or died, and why.

    Without NAME the only running server is meant. Exits with 1 if it is not running.
    """
    found = one(what)
    try:
        with Asking(found.path, "events", None if follow else PATIENCE_SECONDS, follow=follow) as asking:
            for line in asking.lines():
                if "event" in line:
                    _show(line["event"], form)
    except NoAnswer as error:
        fail(f"{found}: {error}")
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    if "error" in line:
        fail(f"{found}: {line['error']}", line.get("fix", ""), line["exit"])
    if follow:
        echo(f"{found} has ended", err=True)


def _show(event: dict[str, Any], form: TextOrJson) -> None:
    if form is TextOrJson.JSON:
        echo(json.dumps(event), wrap=False)
        return
    moment = datetime.fromisoformat(event["time"]).astimezone()
    text, width = f"{moment:%Y-%m-%d %H:%M:%S}  {printable(event['text'])}", terminal_width(sys.stdout)
    hang = " " * (INDENT_COLUMNS if width >= NARROW_COLUMNS else 2)
    echo("\n".join(wrap_text(text, width, hang=hang)) if width else text, wrap=False)
