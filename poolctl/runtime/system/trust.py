"""Trusted addresses and networks, as the file names them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

MEMO_ADDRESSES = 1024  # addresses whose result is cached


class Trust:
    """A set of trusted clients. ``names``: addresses, networks, or ``unix`` for all clients of unix sockets."""

    def __init__(self, names: Sequence[str]) -> None:
        self._unix = "unix" in names
        self._networks = [ipaddress.ip_network(each) for each in names if each != "unix"]
        self._known: dict[str, bool] = {}

    def holds(self, host: str) -> bool:
        """Whether this address is trusted; an empty one is the client of a unix socket."""
        if not host:
            return self._unix
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= MEMO_ADDRESSES:
                self._known.clear()
            self._known[host] = known = self._inside(host)
        return known

    def _inside(self, host: str) -> bool:
        address = ipaddress.ip_address(host)
        if address.version == 6 and address.ipv4_mapped:  # a dual-stack socket shows IPv4 clients like this
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)
