"""Protocols of users that raise, hang or leak, in every process that runs them. For strategies see
tests/topologies/test_plugin_strategies.py and test_hanging_front.py."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

from harness.machine import PATIENCE
from harness.memory import resident
from harness.server import Serve, Server, alive, wait_until

from faults.models import ALL, models
from faults.test_no_processes import order

PROTOCOL = '''
import os, sys, time
from dataclasses import dataclass
from poolctl.plugin import App
from poolctl.runtime.protocol.lines import Lines, LinesConversation, LinesFramer

leaked = []


def misbehave(data, where):
    """``where`` says in which half: what is in the front's is not to be done again in the worker's."""
    word = data.decode().strip()
    if word == f"raise in {where}":
        raise KeyError(word)
    if word == f"exit in {where}":
        sys.exit(word)
    if word == f"hang in {where}":
        while True:
            time.sleep(0.1)
    if word == f"memory of {where}":
        leaked.append(bytearray(os.urandom(1 << 20) * 16))
    if word == f"descriptors of {where}":
        leaked.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(8))


class FaultyConversation(LinesConversation):
    def receive(self, data):
        misbehave(data, "worker")
        super().receive(data)


class FaultyFramer(LinesFramer):
    def receive(self, data):
        misbehave(data, "front")
        super().receive(data)


@dataclass
class Faulty(Lines):
    interface = 1
    name = "faulty"
    like = "lines"

    def conversation(self, peer):
        return FaultyConversation(self.limit)

    def framer(self):
        return FaultyFramer(self.limit)


@dataclass
class Got(App):
    interface = 1
    protocol = "faulty"

    def load(self, surroundings):
        pass

    def serve(self, request, out):
        out.send(b"got " + request + b"\\n")
        return True
'''
KEYS = {"app": "./faulty.py:Got", "protocol": "./faulty.py:Faulty"}


def talking(serve: Serve, folder: Path, name: str, **more: Any) -> Server:
    (folder / "faulty.py").write_text(PROTOCOL)
    topology = ALL[name].topology(2, **more) | KEYS
    return serve(topology, environment=ALL[name].environment, path=folder, tracebacks=True)


def where(name: str) -> list[str]:
    """In which half what a client sends is read first."""
    return ["front", "worker"] if ALL[name].lends else ["worker"]


def ask(port: int, line: str) -> bytes:
    """The answer; empty if the connection ends."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        return told(sock, line)


def told(sock: socket.socket, line: str) -> bytes:
    """The same over this connection."""
    sock.sendall(line.encode() + b"\n")
    try:
        return sock.makefile("rb").readline()
    except ConnectionResetError:
        return b""


@models(always=("hshr-processes", "hsha-front-processes", "lf-threads"))
def test_a_protocol_that_raises_ends_its_connection_alone(name: str, serve: Serve, tmp_path: Path) -> None:
    server = talking(serve, tmp_path, name)
    tree = server.tree()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as other:
        for half in where(name):
            for word in ("raise", "exit"):
                assert ask(server.port, f"{word} in {half}") == b""
                server.wait_for_log(f"{word} in {half}")
        for number in range(4):
            assert told(other, str(number)) == b"got %d\n" % number
    assert server.tree() == tree
    assert server.stop() == 0


@models(always=("hshr-processes", "lf-processes"))
def test_a_reload_ends_a_protocol_that_hangs(name: str, serve: Serve, tmp_path: Path) -> None:
    """Nothing else does: it is no request, so `timeouts.request` does not limit it."""
    server = talking(serve, tmp_path, name, timeouts={"drain": 0.5})
    before = server.tree()[1:]
    with socket.create_connection(("127.0.0.1", server.port)) as hung:
        hung.sendall(f"hang in {where(name)[0]}\n".encode())
        code, text = order(server, "reload")
        assert code == 0, text
        assert all(ask(server.port, str(number)) == b"got %d\n" % number for number in range(8))
    for pid in before:
        wait_until(lambda pid=pid: not alive(pid), f"the end of {pid}")  # type: ignore[misc]
    assert server.stop() == 0


@models((name for name in ALL if ALL[name].processes), always=())  # three samples take fifteen seconds
def test_a_worker_whose_protocol_leaks_memory_is_recycled(name: str, serve: Serve, tmp_path: Path) -> None:
    server = talking(serve, tmp_path, name, recycle={"memory": "100MiB", "least": "0s"})
    workers = set(server.pids("worker"))
    for _ in range(24):
        assert ask(server.port, "memory of worker").startswith(b"got")
    heavy = {pid for pid in workers if resident(pid) > 110 * 1024}
    assert heavy
    server.wait_for_log(r"it uses \d+ MiB \(recycle.memory\)")
    wait_until(lambda: not heavy & set(server.pids("worker")), "their end")
    assert ask(server.port, "a") == b"got a\n"
    assert server.stop() == 0


@models(always=("hshr-processes", "lf-threads"))
def test_a_protocol_that_leaks_descriptors_gives_them_back_with_its_process(
    name: str, serve_typed: Serve, tmp_path: Path
) -> None:
    """Until then clients are refused for lack of room: here their connections close."""
    (tmp_path / "faulty.py").write_text(PROTOCOL)
    server = serve_typed(
        ALL[name].topology(2) | KEYS,
        environment=ALL[name].environment,
        path=tmp_path,
        tracebacks=True,
        prefix=("prlimit", "--nofile=64:64"),
    )
    tree = server.tree()
    for half in where(name):
        for _ in range(16):
            with contextlib.suppress(OSError):
                ask(server.port, f"descriptors of {half}")
    assert server.tree() == tree
    assert order(server, "reload")[0] == 0
    assert all(ask(server.port, str(number)) == b"got %d\n" % number for number in range(8))
    assert not set(tree[1:]) & set(server.tree())
    assert server.stop() == 0
