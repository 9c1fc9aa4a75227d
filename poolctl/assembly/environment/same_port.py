"""Addresses of one file that want the same port: both can be bound, and only one can listen (ip(7), ipv6(7))."""

from __future__ import annotations

from poolctl.assembly.environment.addresses import Bound
from poolctl.config.address import Address
from poolctl.config.diagnostic import Diagnostic, Label, Place


def met(address: Address, bound: Bound, place: Place, held: list[tuple[Bound, Place]]) -> Diagnostic | None:
    """What is wrong with an address whose port an earlier one has already."""
    for other, where in held:
        if _meet(bound, other):
            message = f"cannot listen on {address}: another address of this file has port {bound[1]} already"
            label = Label(where, f"this is {other[0]}, port {other[1]}")
            fix = "leave one of the two out; tcp://0.0.0.0:PORT is all addresses of IPv4, tcp://[::]:PORT all there are"
            return Diagnostic("PC401", message, place, fix, related=(label,))
    return None


def _meet(one: Bound, other: Bound) -> bool:
    if one[1] != other[1]:
        return False
    if one[2] or other[2]:
        return True
    hosts = {one[0], other[0]}
    return len({":" in host for host in hosts}) == 1 and (len(hosts) == 1 or bool(hosts & {"0.0.0.0", "::"}))
