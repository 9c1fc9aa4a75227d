"""The command poolctl. Only the module of the command that runs is imported, so that each command starts fast."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from poolctl import __version__
from poolctl.cli import usage
from poolctl.cli.output import echo
from poolctl.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

# The command poolctl NAME is the function or group NAME in the module NAME. In the order of --help.
COMMANDS = (
    "init", "validate", "run", "explain", "config", "diff", "schema", "status", "events", "reload", "scale", "recycle",
    "drain", "resume", "upgrade", "stop", "export", "plugin",
)  # fmt: skip
# Commands of other servers, and what to type here instead.
OTHER_SERVERS = {
    "check": 'did you mean "poolctl validate", or "poolctl plugin check"?',
    "test": 'did you mean "poolctl validate"?',
    "start": 'did you mean "poolctl run"?',
    "serve": 'did you mean "poolctl run"?',
    "restart": 'did you mean "poolctl reload"? poolctl stop ends a server, poolctl run starts one',
    "systemd": 'did you mean "poolctl export systemd"?',
    "docker": 'did you mean "poolctl export container"?',
    "dockerfile": 'did you mean "poolctl export container"?',
    "top": 'not available yet; did you mean "poolctl status"?',
    "metrics": 'not available yet; "poolctl status --format json" has the current figures',
}
WRONG_USE = 2
HELP = {"help_option_names": ["-h", "--help"]}


class Commands(TyperGroup):
    """The commands by name."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"poolctl.cli.{cmd_name}")
        function: Callable[..., Any] | typer.Typer = getattr(module, cmd_name)
        if isinstance(function, typer.Typer):  # a group of commands
            group = typer.main.get_command(function)
            group.name = cmd_name  # which the list of --help shows
            return group
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(cmd_name, context_settings=HELP)(function)
        return typer.main.get_command(alone)

    def main(
        self,
        args: Any = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; `help` and `version` are the options of that name."""
        words = list(sys.argv[1:] if args is None else args)
        line = [*words[1:], "--help"] if words[:1] == ["help"] else ["--version"] if words == ["version"] else words
        try:
            code = super().main(
                line or ["--help"], prog_name or "poolctl", complete_var, False, windows_expand_args, **extra
            )
        except usage.UsageError as error:
            if not standalone_mode:
                raise
            usage.report(error, words)
            code = WRONG_USE
        if standalone_mode:
            sys.exit(code)
        return code

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        word = args[0] if args else ""
        if word and not word.startswith("-") and word not in COMMANDS:
            ctx.fail(f'unknown command "{word}"{_suggestion(word)}')
        return super().resolve_command(ctx, args)


def _suggestion(word: str) -> str:
    """Return what to type instead of an unknown command, as the end of a message; empty without a suggestion."""
    from poolctl.similar import similar

    if word in OTHER_SERVERS:
        return f": {OTHER_SERVERS[word]}"
    if word.endswith((".yaml", ".yml", ".py")) or ":" in word:
        return f': did you mean "poolctl run {word}"?'
    near = similar(word, COMMANDS)
    return f': did you mean "{near}"?' if near else ""


cli = typer.Typer(
    cls=Commands,
    help="Run a Python server from one YAML file that says how it spreads work over a pool of processes or threads.",
    context_settings=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        echo(f"poolctl {__version__} ({'compiled' if compiled() else 'pure Python'})")
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options before the command. The callback of --version does all the work."""
