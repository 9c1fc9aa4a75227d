"""Ports that nobody else gets by chance."""

from __future__ import annotations

import random
import socket

BELOW = range(20_000, 30_000)  # of what the kernel chooses from for port 0 and for clients (ip_local_port_range, ip(7))


def quiet_port() -> int:
    """A free one, for tests that need it to stay so although nobody listens."""
    for port in random.sample(BELOW, 100):
        try:
            with socket.create_server(("", port)):
                return port
        except OSError:
            continue
    raise AssertionError("no free port among a hundred")
