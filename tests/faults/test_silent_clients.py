"""Silent and slow clients: they hold no worker and stop no loop."""

from __future__ import annotations

import time

import pytest
from harness.client import Client, clients, get
from harness.machine import within
from harness.server import Serve, wait_until

from faults.models import FEW, begin, models

HALF = b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: "
PROMPT = 0.1  # seconds


def fastest(port: int, tries: int = 3) -> float:
    """Seconds of the quickest of a few requests, each on a connection of its own: the machine is shared."""
    took = []
    for _ in range(tries):
        started = time.monotonic()
        assert get(port).status == 200
        took.append(time.monotonic() - started)
    return min(took)


@models()
def test_a_request_is_answered_at_once_beside_sixteen_silent_clients(serve: Serve, name: str) -> None:
    _, server = begin(serve, name)
    with clients(server.port, 16) as silent, clients(server.port, 16) as halves:
        for client in halves:
            client.send(HALF)
        assert fastest(server.port) < within(PROMPT)
        for client in halves:  # none of them was forgotten
            client.send(b"done\r\n\r\n")
            assert client.answer().status == 200
        for client in silent:
            assert client.get().status == 200


@models(always=FEW)
def test_a_head_that_comes_byte_by_byte_is_cut_off_with_408(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, 2, timeouts={"head": "1s"})
    with Client(server.port) as slow, Client(server.port) as silent:
        started = time.monotonic()
        for byte in HALF + b"x" * 1000:
            try:
                slow.send(bytes([byte]))
            except (BrokenPipeError, ConnectionResetError):
                break
            if slow.sock in wait_readable(slow, 0.05):
                break
        assert slow.answer().status == 408
        assert 0.9 < time.monotonic() - started < within(3)
        assert slow.at_end()
        assert silent.at_end()
        assert get(server.port).status == 200


def wait_readable(client: Client, seconds: float) -> list[object]:
    import select

    return list(select.select([client.sock], [], [], seconds)[0])


@models(always=FEW)
def test_an_idle_connection_is_closed_after_its_time(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, 2, timeouts={"idle": "1s"})
    with Client(server.port) as client:
        assert client.get().status == 200
        started = time.monotonic()
        assert client.at_end()
        assert 0.9 < time.monotonic() - started < within(3)


@models(always=FEW)
def test_a_client_that_does_not_read_is_cut_and_stops_nobody(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, 2, timeouts={"write": "1s"})
    rss = memory(server.tree())
    with Client(server.port) as deaf:
        deaf.ask("/bytes?count=50000000")
        wait_until(lambda: deaf.sock.recv(1, 2), "the first byte")  # MSG_PEEK
        peak = 0.0

        def cut() -> bool:
            nonlocal peak
            assert get(server.port, timeout=within(0.5)).status == 200
            peak = max(peak, memory(server.tree()) - rss)
            return not established(deaf)

        wait_until(cut, "the end of the one that does not read")
        with pytest.raises(EOFError):
            deaf.answer()
    assert peak < 20e6


def established(client: Client) -> bool:
    """Whether the server's end of a connection is open still; the client's would not know before it has read all."""
    (_, ours), (_, theirs) = client.sock.getpeername(), client.sock.getsockname()
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file]
    return any(row[1].endswith(f":{ours:04X}") and row[2].endswith(f":{theirs:04X}") and row[3] == "01" for row in rows)


def memory(pids: list[int]) -> float:
    """Resident bytes of these processes, what they share counted for each."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/statm") as file:
            total += int(file.read().split()[1]) * 4096
    return total
