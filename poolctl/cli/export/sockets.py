"""Socket units for the addresses of a topology, which systemd then opens."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from poolctl.cli.export.fill import filled
from poolctl.cli.export.needs import Needs
from poolctl.cli.export.write import refused

if TYPE_CHECKING:
    from poolctl.config.address import Address

FIRST_PORT = 8000


def socket_units(needs: Needs, listen: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the text of each socket unit by its name, and the values of --listen for the service.

    A topology with `systemd` addresses gets a unit for each name, whose ListenStream= is to be chosen. Any other
    topology gets one unit with its own addresses, and --listen systemd in the service.
    """
    if any(each.scheme == "systemd" for each in needs.listen):
        return _named(needs), listen
    for each in needs.listen:
        if each.tls or each.proxy_protocol or each.protocol:
            name = f"systemd://{needs.unit}"
            raise refused(
                f"{each} has options, which --listen cannot name", f"write {{at: {name}, ...}} in the topology"
            )
    files = {(each.mode, each.owner, each.group) for each in needs.unix_sockets}
    if len(files) > 1:
        raise refused("one socket unit has one mode, owner and group", "write an address systemd://NAME for each")
    return {f"{needs.unit}.socket": _unit(needs, needs.unit, [_stream(each) for each in needs.listen])}, ["systemd"]


def _named(needs: Needs) -> dict[str, str]:
    names = [each.name or needs.unit for each in needs.listen if each.scheme == "systemd"]
    units = {}
    for number, name in enumerate(dict.fromkeys(names)):
        unit = needs.unit if name in (needs.unit, f"{needs.unit}.socket") else f"{needs.unit}-{name}"
        units[f"{unit}.socket"] = _unit(needs, name, [f"127.0.0.1:{FIRST_PORT + number}"], choose=True)
    return units


def _stream(address: Address) -> str:
    """Return the value of ListenStream=."""
    if address.scheme == "unix":
        return address.path.replace("%", "%%")
    host = "127.0.0.1" if address.host == "localhost" else address.host
    if address.scheme == "fd" or not address.port:
        raise refused(
            f"a socket unit cannot open {address}", "give it a port, for instance --listen tcp://0.0.0.0:8000"
        )
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise refused(
            f"{address}: a socket unit takes an IP address", "write the address instead of the name"
        ) from None
    return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"


def _unit(needs: Needs, name: str, streams: list[str], *, choose: bool = False) -> str:
    first = (needs.unix_sockets or needs.listen)[0]
    return filled(
        "systemd.socket",
        {
            "heading": f"# sockets of {needs.unit}.service, which gets them as {name}",
            "description": f"sockets of {needs.name}",
            "choose": "Choose the address: the topology does not name one." if choose else None,
            "address": streams,
            "descriptor": name.replace("%", "%%"),
            "service": f"{needs.unit}.service",
            "backlog": str(needs.topology.backlog),
            "mode": f"{first.mode:04o}" if first.mode is not None else None,
            "owner": first.owner or None,
            "group": first.group or None,
            "no_delay": "yes" if any(not each.startswith("/") for each in streams) else None,
        },
    )
