"""Stops that meet requests which come late, and stops that every process hears of at once."""

from __future__ import annotations

import os
import signal
import time

import pytest
from harness.client import clients
from harness.server import alive, wait_until

from faults.models import MODELS, Start, begin

NAMES = [*MODELS, "hshr-processes-selectors", "lf-threads-selectors"]
LATE = 0.1  # seconds between the signal and the first byte of a request


@pytest.mark.parametrize("name", NAMES)
def test_connections_that_ask_a_tenth_of_a_second_after_the_signal_are_answered(serve: Start, name: str) -> None:
    _, server = begin(serve, name)
    with clients(server.port, 24) as waiting:
        server.signal()
        server.wait_for_log("stopping")
        time.sleep(LATE)  # the lateness is what this is about
        for client in waiting:
            client.ask("/sleep?seconds=0.1")
        assert [client.answer().status for client in waiting] == [200] * 24
        assert all(client.at_end() for client in waiting)
        assert server.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", NAMES)
def test_a_signal_to_every_process_at_once_drains_as_one_to_the_first(
    serve: Start, name: str, number: signal.Signals
) -> None:
    """As systemd signals a unit, and a terminal its foreground group."""
    _, server = begin(serve, name)
    with clients(server.port, 8) as waiting:
        for client in waiting:
            client.ask("/sleep?seconds=0.3")
        tree = server.tree()
        for pid in reversed(tree):  # the workers first: nobody has told them yet what it means
            os.kill(pid, number)
        assert [client.answer().status for client in waiting] == [200] * 8
        assert server.wait() == 0
    for pid in tree:
        wait_until(lambda pid=pid: not alive(pid), f"the end of process {pid}")  # type: ignore[misc]
    assert "Traceback" not in server.log
    assert "is started again" not in server.log
