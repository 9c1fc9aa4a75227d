"""The command poolctl. A command's module is imported when it is the one that is asked for, so that each is quick."""

from __future__ import annotations

import errno
import gc
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from poolctl import __version__
from poolctl.cli import usage
from poolctl.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Callable

# Each is the function, or the group, of its name in the module of its name, in the order of --help.
COMMANDS = ("init", "validate", "run", "explain", "config", "diff", "schema", "status", "plugin")
# Commands of other servers, and what to type here.
ELSEWHERE = {
    "check": 'did you mean "poolctl validate", or "poolctl plugin check"?',
    "test": 'did you mean "poolctl validate"?',
    "start": 'did you mean "poolctl run"?',
    "serve": 'did you mean "poolctl run"?',
    "stop": "send SIGTERM to the process that poolctl status names",
    "restart": "there is none yet; stop it with SIGTERM, and start it with poolctl run",
    "reload": "there is none yet; stop it with SIGTERM, and start it with poolctl run",
    "top": 'there is none yet; did you mean "poolctl status"?',
    "metrics": 'there are none yet; "poolctl status --format json" has the figures that there are',
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
        meant = [*words[1:], "--help"] if words[:1] == ["help"] else ["--version"] if words == ["version"] else words
        try:
            code = super().main(
                meant or ["--help"], prog_name or "poolctl", complete_var, False, windows_expand_args, **extra
            )
        except usage.UsageError as error:
            if not standalone_mode:
                raise
            usage.tell(error, words)
            code = WRONG_USE
        if standalone_mode:
            sys.exit(code)
        return code

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        word = args[0] if args else ""
        if word and not word.startswith("-") and word not in COMMANDS:
            ctx.fail(f'unknown command "{word}"{_meant(word)}')
        return super().resolve_command(ctx, args)


def _meant(word: str) -> str:
    """What to type in place of a word that is no command."""
    from poolctl.similar import similar

    if word in ELSEWHERE:
        return f": {ELSEWHERE[word]}"
    if word.endswith((".yaml", ".yml", ".py")) or ":" in word:
        return f': did you mean "poolctl run {word}"?'
    near = similar(word, COMMANDS)
    return f': did you mean "{near}"?' if near else ""


cli = typer.Typer(
    cls=Commands,
    help="One YAML file chooses how a server spreads its work over a pool of processes or threads, and runs it.",
    context_settings=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"poolctl {__version__}")
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """What stands before the command; its callback has done all there is to do."""


STREAMS = ("stdin", "stdout", "stderr")  # by their descriptors


def open_what_is_closed() -> None:
    """Put /dev/null in the place of standard streams that whoever starts poolctl has closed (`>&-`): otherwise a socket
    gets their number, and is written to."""
    for number, name in enumerate(STREAMS):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115  # to the end


def main() -> None:
    """The program."""
    open_what_is_closed()
    try:
        os.getcwd()
    except OSError:  # where everything relative would be looked for
        sys.stderr.write("error: the working directory has been removed: change to another one\n")
        sys.exit(2)
    if sys.argv[1:2] == ["run"]:
        cli()
    # What is printed may have any character, and the encoding of the terminal or the pipe not have it.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # the stream of the start
    # All others end before there is anything to collect, and looking for it, and taking everything apart at the end,
    # would take a fifth of their time (mypy leaves in the same way).
    gc.disable()
    code = 0
    try:
        try:
            cli()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO) or error.filename is not None:
            raise
        sys.stderr.write(f"error: cannot write to standard output: {error.strerror}\n")
        code = 2
    sys.stderr.flush()
    os._exit(code)
