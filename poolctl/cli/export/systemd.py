"""poolctl export systemd: the units that run a topology.

User= and Group= are the topology's: all of poolctl runs as that user, with CAP_NET_BIND_SERVICE if a port needs it.
Where that user may not do what the file asks for (a socket in /run itself, a key that only root can read), poolctl
starts as root and changes user itself, as without systemd. A topology that names no user gets DynamicUser=yes instead
of root: it needs no account, and nothing on the host belongs to it.

Before systemd 253 there is no Type=notify-reload; those units have Type=notify and ExecReload=.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from poolctl.cli.arguments import Listen, Overlays, Sets
from poolctl.cli.export.fill import filled
from poolctl.cli.export.needs import CommandLine, ExportedFile, Needs
from poolctl.cli.export.quoting import command_line, path, quoted
from poolctl.cli.export.write import write
from poolctl.cli.output import echo

if TYPE_CHECKING:
    from poolctl.cli.export.fill import Values

NOTIFY_RELOAD = 253  # the first version of systemd with Type=notify-reload
# of a supervisor that starts as root: to change user, to signal the user's processes, to reach the user's files
ROOT_CAPABILITIES = ("CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_DAC_OVERRIDE", "CAP_CHOWN")
LOW_PORTS = "CAP_NET_BIND_SERVICE"
HOMES = ("/home/", "/root/", "/run/user/")  # what ProtectHome= hides
MACHINE_CODE = (
    "MemoryDenyWriteExecute=yes would break apps that make machine code (callbacks of cffi, numba): add it if yours"
    " does not."
)
SYSTEM_FOLDERS = ("/run", "/var/run", "/var/log")  # root's


def systemd(
    file: ExportedFile = "",
    overlays: Overlays = None,
    sets: Sets = None,
    listen: Listen = None,
    to: Annotated[str, typer.Option("--to", metavar="FOLDER", help="Write files there instead of printing.")] = "",
    socket: Annotated[bool, typer.Option("--socket", help="Let systemd open the sockets: .socket units too.")] = False,
    version: Annotated[
        int,
        typer.Option(
            "--for-systemd", metavar="N", help="Version of systemd; default: this machine's.", show_default=False
        ),
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write the systemd units that run a topology: hardened, with times and limits that fit it.

    The paths are those of this machine and of the poolctl that writes the units.
    """
    from poolctl.cli.load_or_exit import load_or_exit

    line = CommandLine(file, overlays or (), sets or (), listen or ())
    needs = Needs(load_or_exit(line.file, line.overlays, line.sets, line.listen))
    sockets: dict[str, str] = {}
    if socket:
        from poolctl.cli.export.sockets import socket_units

        sockets, line.listen = socket_units(needs, line.listen)
        needs = Needs(load_or_exit(line.file, line.overlays, line.sets, line.listen))
    service = f"{needs.unit}.service"
    files = {service: service_unit(line, needs, list(sockets), version or installed_version()), **sockets}
    for warning in unreadable(line, needs):
        echo(f"warning: {warning}", err=True)
    enable = " ".join(sockets) or service
    write(files, to, force=force, next_steps=[*_install(to, files), f"systemctl enable --now {enable}"])


def _install(folder: str, files: dict[str, str]) -> list[str]:
    """Return the commands that install the units."""
    copied = shlex.join(os.path.join(folder, each) for each in files)
    copy = [] if folder.startswith("/etc/systemd/") else [f"cp {copied} /etc/systemd/system/"]
    return [*copy, "systemctl daemon-reload"]


def installed_version() -> int:
    """Return the version of this machine's systemd; the first one with Type=notify-reload if it has none."""
    try:
        shown = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return NOTIFY_RELOAD
    found = re.match(r"systemd (\d+)", shown)
    return int(found[1]) if found else NOTIFY_RELOAD


def service_unit(line: CommandLine, needs: Needs, sockets: list[str], version: int) -> str:
    """Return the text of the service unit."""
    return filled("systemd.service", {**_values(line, needs, sockets, version), **_user(needs), **_files(line, needs)})


def _values(line: CommandLine, needs: Needs, sockets: list[str], version: int) -> dict[str, str | list[str] | None]:
    new = version >= NOTIFY_RELOAD
    online = any(each.scheme == "tcp" and _of_interface(each.host) for each in needs.listen)
    units = " ".join(sockets) or None
    target = "network-online.target" if online else "network.target"
    families = (
        ["AF_UNIX", "AF_INET", "AF_INET6"] if needs.user_code or needs.ports or not needs.unix_sockets else ["AF_UNIX"]
    )
    variables = needs.variables
    return {
        "heading": f"# {needs.unit}.service, for {line.file}, by poolctl export systemd",
        "name": needs.name,
        "description": f"{needs.name}, served by poolctl",
        "online": target if online else None,
        "after": f"{target} {units}" if units else target,
        "sockets": units,
        "notify_reload": "notify-reload" if new else None,
        "notify": None if new else "notify",
        "reload": None if new else "/bin/kill -HUP $MAINPID",
        "start": command_line([*program(), "run", line.file, *line.options()]),
        "directory": path(line.folder),
        "variables": f"the topology refers to {', '.join(variables)}" if variables else None,
        "environment_file": f"/etc/default/{needs.unit}" if variables else None,
        "drain": f"{needs.drain:g}",
        "stop": needs.stop_seconds,
        "descriptors": str(needs.descriptors),
        "families": " ".join(families),
        "no_code": None if needs.user_code else "yes",
        "machine_code": MACHINE_CODE if needs.user_code else None,
    }


def _of_interface(host: str) -> bool:
    """Whether an address belongs to one interface that is not the loopback."""
    return not (host in ("0.0.0.0", "::", "::1", "localhost") or host.startswith("127."))


def _user(needs: Needs) -> Values:
    """Return the values about users and privileges."""
    reasons = list(why_root(needs)) if needs.topology.user else []
    low = [LOW_PORTS] if needs.low_port else []
    user = needs.topology.user if not reasons else ""
    capabilities = [*ROOT_CAPABILITIES, *low] if reasons else low
    # changing user and owner is what a supervisor that starts as root does
    calls = ["@system-service"] if reasons else ["@system-service", "~@privileged"]
    return {
        "dynamic": None if needs.topology.user else "yes",
        "user": user or None,
        "group": (needs.topology.group or None) if not reasons else None,
        "root": "; ".join(reasons) or None,
        "root_user": "root" if reasons else None,
        "ambient": None if reasons else " ".join(low) or None,
        "capabilities": " ".join(capabilities),
        "private_users": None if capabilities else "yes",
        "system_calls": calls,
    }


def why_root(needs: Needs) -> Iterator[str]:
    """Yield what the topology's user may not do itself."""
    user, group = needs.topology.user, needs.topology.group
    for address in needs.unix_sockets:
        if address.owner and address.owner != user:
            yield f"only root gives {address.path} to {address.owner}"
        if address.group and address.group not in (user, group):
            yield f"{address.path} gets the group {address.group}"
    for written in needs.written:
        if os.path.dirname(written) in SYSTEM_FOLDERS:
            yield f"{written} is in a folder of root's"
    for secret in needs.secrets:
        if os.path.isfile(secret) and _of_root_only(secret):
            yield f"only root can read {secret}"


def _of_root_only(secret: str) -> bool:
    found = os.stat(secret)
    return found.st_uid == 0 and not found.st_mode & 0o044


def _files(line: CommandLine, needs: Needs) -> Values:
    """Return the values about folders."""
    runtime, logs, others = [needs.unit], [], []
    for written in needs.written:
        folder = os.path.dirname(written)
        parts = folder.replace("/var/run", "/run", 1).split("/")
        if parts[:2] == ["", "run"] and len(parts) >= 3 and parts[2] != "user":
            runtime.append("/".join(parts[2:]))
        elif parts[:3] == ["", "var", "log"] and len(parts) >= 4:
            logs.append("/".join(parts[3:]))
        else:
            others.append(folder)
    return {
        "runtime": " ".join(map(quoted, dict.fromkeys(runtime))),
        "logs": " ".join(map(quoted, dict.fromkeys(logs))) or None,
        "written": [quoted(f"-{each}") for each in dict.fromkeys(others)],
        "home": "read-only" if any(map(_at_home, _read(line, needs))) else "yes",
    }


def _read(line: CommandLine, needs: Needs) -> list[str]:
    """Return paths that the service reads: its interpreter, its files, and the app."""
    interpreter = [os.path.dirname(each) for each in (sys.executable, os.path.realpath(sys.executable))]
    folders = [line.folder, needs.path("."), *map(os.path.dirname, needs.secrets)]
    return [*interpreter, sys.prefix, sys.base_prefix, line.file, *line.overlays, *folders]


def _at_home(path: str) -> bool:
    return f"{path}/".startswith(HOMES)


def unreadable(line: CommandLine, needs: Needs) -> Iterator[str]:
    """Yield a warning for each path that a user of systemd's own making cannot reach."""
    if needs.topology.user:
        return
    closed = {}
    for each in _read(line, needs):
        there = each
        while there != "/":
            if os.path.exists(there) and not os.stat(there).st_mode & (0o001 if os.path.isdir(there) else 0o004):
                closed[there] = True
            there = os.path.dirname(there)
    for each in closed:
        yield f"DynamicUser= cannot read {each}, which is closed to others; open it, or name a user in the topology"


def program() -> list[str]:
    """Return the words that start the poolctl of this interpreter."""
    script = os.path.join(os.path.dirname(os.path.abspath(sys.executable)), "poolctl")
    return [script] if os.access(script, os.X_OK) else [os.path.abspath(sys.executable), "-m", "poolctl"]
