"""poolctl export: write what runs a topology as a service: systemd units, or a container's Dockerfile.

    FILE --judged--> needs.py       what the topology needs around it: ports, files, times, descriptors
                     systemd.py     those needs as values for templates/systemd.service and .socket
                     container.py   the same for templates/Dockerfile and compose.yaml
                     sockets.py     the addresses as .socket units
                     quoting.py     values as systemd reads them
                     fill.py        a template with its values
                     write.py       files into a folder, or text to standard output

The templates are complete files: every line that depends on the topology has its placeholder there, with its comment.
"""

from __future__ import annotations

import typer

from poolctl.cli.export.container import container
from poolctl.cli.export.systemd import systemd

HELP = {"help_option_names": ["-h", "--help"]}
export = typer.Typer(
    help="Write what runs a topology as a service: systemd units, or a Dockerfile.",
    add_completion=False,
    context_settings=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
export.command(context_settings=HELP)(systemd)
export.command(context_settings=HELP)(container)
