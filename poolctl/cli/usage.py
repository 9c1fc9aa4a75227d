"""Reports mistakes in a command line in the form of all other errors: what is wrong, and what to write instead.

Options of other servers get the suggestion that the same word gets as a key of a topology.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import typer

from poolctl.cli.output import echo

UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # of the click package, or of the click inside typer


def report(error: Any, words: Sequence[str]) -> None:
    """Print what is wrong on standard error. ``words``: the command line, ``error``: the UsageError that it raised."""
    if type(error).__name__ == "NoArgsIsHelpError":  # of a group of commands
        error.show()
        return
    option, context = getattr(error, "option_name", ""), error.ctx
    path = context.command_path if context else "poolctl"
    lines = list(_of_options(option, context, words)) if type(error).__name__ == "NoSuchOption" and context else []
    if not lines:
        message = error.format_message().rstrip(".").replace("Value error, ", "")
        echo(f"error: {message[:1].lower()}{message[1:]}", err=True)
        shows = "lists the commands" if "command" in message else "shows the usage"
        lines = [] if message.endswith("?") else [f"{path} -h {shows}"]
    for line in lines:
        echo(f"help: {line}", err=True)


def _of_options(option: str, context: Any, words: Sequence[str]) -> Iterator[str]:
    """Print which options are unknown, and yield the lines of help for them."""
    from poolctl.config.load import NESTED
    from poolctl.config.model import Topology
    from poolctl.config.option_suggestions import suggest_options

    params = context.command.get_params(context)
    known = {
        name: not getattr(each, "is_flag", False) for each in params for name in (*each.opts, *each.secondary_opts)
    }
    found = suggest_options(words, known, Topology.model_fields, NESTED)
    found = found if option in found else {option: ""}
    several = "s" if len(found) > 1 else ""
    echo(f"error: {context.command_path}: unknown option{several} {', '.join(found)}", err=True)
    for help_ in dict.fromkeys(found.values()):
        these = [each for each in found if found[each] == help_]
        before = f"{', '.join(these)}: " if several else ""
        yield from (f"{before}{line}" for line in _lines(these, help_, context, known))


def _lines(these: list[str], help_: str, context: Any, known: dict[str, bool]) -> Iterator[str]:
    from poolctl.config.option_suggestions import as_options
    from poolctl.similar import similar

    if not help_:
        near = [name for each in these if (name := similar(each, known))]
        yield f"did you mean {' '.join(near)}?" if near else f"{context.command_path} -h lists the options"
        return
    if not help_.startswith("write ") or help_.startswith("write poolctl"):
        yield help_
        return
    here = as_options(help_)
    if here:
        here = f"; on the command line, {'add ' if '--set' in known else 'poolctl run '}{here}"
    yield f"in the topology, {help_}{here}"
