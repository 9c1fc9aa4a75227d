"""poolctl export container: a Dockerfile, with notes, and a compose file.

The image has the folder of the topology, and serves it as a user of its own. What the file says about this machine
does not hold in a container, so the command line replaces it: addresses of the loopback, which nobody outside could
reach; the user, the PID file; an access log in a file, which a read-only root does not take.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from poolctl.cli.arguments import Listen, Overlays, Sets
from poolctl.cli.export.fill import filled
from poolctl.cli.export.needs import CommandLine, ExportedFile, Needs
from poolctl.cli.export.write import refused, write
from poolctl.cli.output import echo

if TYPE_CHECKING:
    from poolctl.config.address import Address

DEFAULT_PORT = 8000  # for sockets that somebody else opens on this machine
LOW_PORT = "A port below 1024: Docker lets any user open it; elsewhere a port from 1024 on is simpler."
EXTRAS = {"websocket": "wsproto", "http2": "h2", "uvloop": "uvloop"}  # of the package, with the modules that they bring
EVERYWHERE = {"127.0.0.1": "0.0.0.0", "localhost": "0.0.0.0", "::1": "[::]"}


def container(
    file: ExportedFile = "",
    overlays: Overlays = None,
    sets: Sets = None,
    listen: Listen = None,
    to: Annotated[str, typer.Option("--to", metavar="FOLDER", help="Write files there instead of printing.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write a Dockerfile that serves a topology: as its own user, as PID 1, with a read-only root.

    Printed, it is the Dockerfile alone; --to writes compose.yaml and an ignore file beside it. The image is built in
    the topology's folder.
    """
    from poolctl.cli.load_or_exit import load_or_exit

    line = CommandLine(file, overlays or (), sets or (), listen or ())
    needs = Needs(load_or_exit(line.file, line.overlays, line.sets, line.listen))
    image = Image(line, needs)
    line.listen, changed = image.listen, image.changes
    # the addresses that the container has, and the proof that the changed command line is valid
    here = Needs(load_or_exit(line.file, line.overlays, [*line.sets, *image.more_sets], line.listen))
    files = {"Dockerfile": dockerfile(image, here, changed)}
    if to:
        files["Dockerfile.dockerignore"] = filled("Dockerfile.dockerignore", {})
        files["compose.yaml"] = compose(here, image.context, to)
    where = shlex.join([os.path.join(to, "Dockerfile"), "-t", needs.unit.lower(), image.context])
    for each in image.warnings:
        echo(f"warning: {each}", err=True)
    write(files, to, force=force, next_steps=[f"docker build -f {where}"])


class Image:
    """What of the command line and the topology is different in a container."""

    def __init__(self, line: CommandLine, needs: Needs) -> None:
        self.line, self.needs, self.topology = line, needs, needs.topology
        self.changes: list[str] = []
        self.warnings: list[str] = []
        self.context = self._context()
        # an absolute `directory` of the topology holds in the image too
        self.root = self.context if needs.absolute_directory else f"/srv/{needs.unit}"
        self.more_sets = self._sets()
        self.listen = self._listen()

    def _context(self) -> str:
        """Return the folder that the image gets: the lowest one with all files and modules."""
        paths = [os.path.dirname(each) for each in (self.line.file, *self.line.overlays)]
        paths += [self.needs.path(".")] if self.topology.directory else []
        found = os.path.commonpath(paths)
        if found == "/":
            raise refused("the files have no folder in common but /", "put the topology into the folder of the app")
        return found

    def inside(self, path: str) -> str:
        """Return a path of this machine as it is in the image."""
        return os.path.normpath(os.path.join(self.root, os.path.relpath(path, self.context)))

    def _sets(self) -> list[str]:
        given = self.topology
        changed = [(f"{key}=", key) for key in ("user", "group", "pid_file") if getattr(given, key)]
        if self.needs.log_file:
            changed.append(("access_log.to=stdout", "access_log"))
        if changed:
            names = ", ".join(name for _, name in changed)
            self.changes.append(f"--set: the container has its own user and a read-only root, so not {names}")
        return [text for text, _ in changed]

    def _listen(self) -> list[str]:
        """Return the addresses of the container; those of the command line or the topology if they hold there."""
        hidden = [each for each in self.needs.listen if not _reachable(each)]
        given_away = [each for each in self.needs.listen if each.owner or each.group]
        if not hidden and not given_away:
            return self.line.listen
        options = [each for each in self.needs.listen if each.tls or each.proxy_protocol or each.protocol]
        if options:
            wrong = hidden[0] if hidden else given_away[0]
            why = "cannot be reached from outside" if hidden else "cannot get another owner or group there"
            fix = f"{options[0]} has options, which --listen cannot name"
            self.warnings.append(f"in a container {wrong} {why}, and {fix}: change it in an overlay (-f)")
            return self.line.listen
        if hidden:
            self.changes.append("--listen: clients outside of the container could not reach the topology's addresses")
        if given_away:
            self.changes.append("--listen: the container's user cannot give a socket to another owner or group")
        return list(dict.fromkeys(map(_everywhere, self.needs.listen)))

    def entrypoint(self) -> list[str]:
        """Return the words of the command."""
        pairs = [("-f", self.inside(each)) for each in self.line.overlays]
        pairs += [("--set", each) for each in (*self.line.sets, *self.more_sets)]
        pairs += [("--listen", each) for each in self.listen]
        return ["poolctl", "run", self.inside(self.line.file), *(word for pair in pairs for word in pair)]


def _reachable(address: Address) -> bool:
    if address.scheme != "tcp":
        return address.scheme == "unix"
    return not (address.host in EVERYWHERE or address.host.startswith("127.")) and bool(address.port)


def _everywhere(address: Address) -> str:
    """Return the same port on all interfaces."""
    if address.scheme == "unix":
        return str(address)
    host = EVERYWHERE.get(address.host, "0.0.0.0")
    return f"tcp://{host}:{address.port or DEFAULT_PORT}"


def dockerfile(image: Image, needs: Needs, changes: list[str]) -> str:
    """Return the text of the Dockerfile."""
    from importlib.util import find_spec

    from poolctl import __version__

    ports, name = [str(port) for port in needs.ports], needs.unit.lower()
    extras = [extra for extra, module in EXTRAS.items() if find_spec(module) is not None]
    package = f"poolctl[{','.join(extras)}]=={__version__}" if extras else f"poolctl=={__version__}"
    has = os.path.isfile(os.path.join(image.context, "requirements.txt"))
    sockets = [os.path.dirname(each.path) for each in needs.unix_sockets]
    return filled(
        "Dockerfile",
        {
            "heading": f"# Dockerfile for {os.path.basename(image.line.file)}, by poolctl export container",
            "image": name,
            "publish": "".join(f"-p {port}:{port} " for port in ports),
            "stop": needs.stop_seconds,
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "root": image.root,
            "requirements_file": "requirements.txt" if has else None,
            "requirements": "-r requirements.txt" if has else None,
            "package": package if has else None,
            "package_only": None if has else package,
            "unit": needs.unit,
            "name": needs.name,
            "low_port": LOW_PORT if needs.low_port else None,
            "variables": f"the topology refers to {', '.join(needs.variables)}: pass -e" if needs.variables else None,
            "folder": image.inside(image.line.folder) if image.line.folder.startswith(image.context) else image.root,
            "ports": " ".join(ports) or None,
            "unix": f"mount a volume at {', '.join(dict.fromkeys(sockets))} for the unix socket" if sockets else None,
            "changed": changes,
            "entrypoint": json.dumps(image.entrypoint(), ensure_ascii=False),
        },
    )


def compose(needs: Needs, context: str, folder: str) -> str:
    """Return the text of the compose file, which is in ``folder``."""
    ports = [str(port) for port in needs.ports]
    return filled(
        "compose.yaml",
        {
            "heading": f"# {needs.name} with docker compose: the options of `docker run` in the Dockerfile",
            "service": needs.unit.lower(),
            "context": json.dumps(os.path.relpath(context, folder)),
            "dockerfile": json.dumps(os.path.relpath(os.path.join(folder, "Dockerfile"), context)),
            "drain": f"{needs.drain:g}",
            "stop": needs.stop_seconds,
            "ports_key": "ports:" if ports else None,
            "port": ports,
        },
    )
