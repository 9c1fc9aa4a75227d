"""What a topology needs around it: addresses, files, times and descriptors, with absolute paths."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from poolctl.cli.export.write import refused

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement
    from poolctl.config.address import Address

ExportedFile = Annotated[str, typer.Argument(metavar="FILE|FOLDER", help="The topology.", show_default=False)]
STOP_MARGIN_SECONDS = 10  # beyond timeouts.drain: the supervisor enforces the drain itself, within a second
FIRST_UNPRIVILEGED_PORT = 1024
OWN_APPS = ("demo", "echo", "static")  # poolctl's own: nothing of the user's is imported
STREAMS = ("stdout", "stderr")


class CommandLine:
    """The command line that serves a topology, with absolute paths. Raises typer.Exit for a topology that is not a
    file."""

    def __init__(self, file: str, overlays: Sequence[str], sets: Sequence[str], listen: Sequence[str]) -> None:
        from poolctl.cli.inputs import DEFAULT_NAMES, is_app

        if file == "-" or is_app(file):
            shown = "standard input" if file == "-" else file
            raise refused(f"{shown} is not a topology file", "write one (poolctl init), and export that")
        if not file or os.path.isdir(file):
            found = [path for name in DEFAULT_NAMES if os.path.isfile(path := os.path.join(file, name))]
            file = found[0] if found else file
        self.file = os.path.abspath(file)
        self.overlays = [os.path.abspath(each) for each in overlays]
        self.sets, self.listen = list(sets), list(listen)

    @property
    def folder(self) -> str:
        """The folder to start in: that of the file, or the current one if there are --set, whose paths are relative to
        it."""
        return os.getcwd() if self.sets else os.path.dirname(self.file)

    def options(self) -> list[str]:
        """Return the words after the file's name."""
        pairs = [("-f", each) for each in self.overlays]
        pairs += [("--set", each) for each in self.sets] + [("--listen", each) for each in self.listen]
        return [word for pair in pairs for word in pair]


class Needs:
    """What a valid topology needs."""

    def __init__(self, judgement: Judgement) -> None:
        from poolctl.assembly.environment.limits import descriptors, pairs

        assert judgement.topology is not None  # callers have loaded a valid one
        assert judgement.combination is not None
        self.judgement, self.topology = judgement, judgement.topology
        self.name = self.topology.name
        self.listen = self.topology.listen
        self.drain = self.topology.timeouts.notice + self.topology.timeouts.drain  # seconds that a stop may take
        paired = pairs(self.topology, judgement.combination)
        self.descriptors = descriptors(self.topology.limits.connections, paired=paired)
        self.user_code = judgement.combination.service.app not in OWN_APPS or bool(judgement.plugins)

    @property
    def unit(self) -> str:
        """The name as that of a unit, a folder and a user: it begins with a letter or digit."""
        return self.name.lstrip("-._") or "poolctl"

    @property
    def stop_seconds(self) -> str:
        """How long a stop may take."""
        return f"{self.drain + STOP_MARGIN_SECONDS:g}"

    @property
    def ports(self) -> list[int]:
        """The TCP ports, each once; without those that the system chooses."""
        return list(dict.fromkeys(each.port for each in self.listen if each.scheme == "tcp" and each.port))

    @property
    def low_port(self) -> bool:
        """Whether it opens a port that only root or CAP_NET_BIND_SERVICE may open."""
        return any(port < FIRST_UNPRIVILEGED_PORT for port in self.ports)

    def path(self, path: str) -> str:
        """Return a path of the topology as an absolute one."""
        return os.path.abspath(os.path.join(self.topology.directory, path))

    @property
    def absolute_directory(self) -> bool:
        """Whether the file has an absolute path at `directory`."""
        tree = self.judgement.tree
        if not self.topology.directory:
            return False
        place = tree.at_value(("directory",))
        line = place.source.text.splitlines()[place.span.line]
        return line[place.span.column :].lstrip("'\"").startswith("/")

    @property
    def unix_sockets(self) -> list[Address]:
        """The addresses that are unix sockets."""
        return [each for each in self.listen if each.scheme == "unix"]

    @property
    def log_file(self) -> str:
        """The access log, if it is a file; otherwise empty."""
        log = self.topology.access_log
        return self.path(log.to) if log and log.to not in STREAMS else ""

    @property
    def written(self) -> list[str]:
        """The paths of all files that poolctl itself creates."""
        pid_file = [self.path(self.topology.pid_file)] if self.topology.pid_file else []
        log = [self.log_file] if self.log_file else []
        return [*(each.path for each in self.unix_sockets), *pid_file, *log]

    @property
    def secrets(self) -> list[str]:
        """The paths of private keys and their passwords."""
        found = []
        for address in self.listen:
            if address.tls:
                for each in (address.tls, *address.tls.names.values()):
                    found += [each.key or each.certificate, each.password_file]
        return [self.path(path) for path in found if path]

    @property
    def variables(self) -> list[str]:
        """The environment variables that the files refer to, sorted."""
        substituted = self.judgement.tree.substituted.values()
        return sorted({name for _, names in substituted for name in names if re.fullmatch(r"\w+", name)})
