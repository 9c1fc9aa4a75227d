"""poolctl plugin: list, show, check and create plugins."""

from __future__ import annotations

import typer

from poolctl.cli.plugin.check import check
from poolctl.cli.plugin.list import list_plugins
from poolctl.cli.plugin.new import new
from poolctl.cli.plugin.show import show

HELP = {"help_option_names": ["-h", "--help"]}
plugin = typer.Typer(
    help="List, show, check or create plugins: parts of a topology that are not built in.",
    add_completion=False,
    context_settings=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
plugin.command("list", context_settings=HELP)(list_plugins)
plugin.command(context_settings=HELP)(show)
plugin.command(context_settings=HELP)(check)
plugin.command(context_settings=HELP)(new)
