"""The control socket: its protocol, its limits, and clients that misbehave; with real sockets, one turn at a time."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from select import poll
from typing import Any

import pytest
from harness.machine import PATIENCE

from poolctl.supervision import control_client
from poolctl.supervision.control import CLIENTS, Command, Control, Mode, Refused, Transaction
from poolctl.supervision.control_client import LINE_BYTES, OUT_BYTES
from poolctl.supervision.events import Events, Kind, Ring

ASK = {"poolctl": 1}


class Rig:
    """A control socket with commands of this test, whose loop runs while the test waits."""

    def __init__(self, mode: Mode = "full") -> None:
        self.ring = Ring()
        self.open: list[Transaction] = []  # of the commands that do not finish
        commands = [
            Command("look", self.look, changes=False, arguments={"word": str, "often": int, "share": float}),
            Command("flood", self.flood, changes=False, arguments={"bytes": int}),
            Command("watch", self.hold, changes=False),
            Command("reload", self.hold),
            Command("scale", self.hold),
            Command("stop", self.hold, always=True),
            Command("raise", self.fail),
            Command("refuse", self.refuse),
        ]
        self.control = Control("shop", commands, Events(self.ring.add), mode)

    def look(self, transaction: Transaction, arguments: dict[str, Any]) -> None:
        transaction.finish(0, **arguments)

    def flood(self, transaction: Transaction, arguments: dict[str, Any]) -> None:
        for _ in range(arguments["bytes"] // 1000 + 1):
            transaction.say("x" * 1000)
        transaction.finish()

    def hold(self, transaction: Transaction, arguments: dict[str, Any]) -> None:
        self.open.append(transaction)

    def fail(self, transaction: Transaction, arguments: dict[str, Any]) -> None:
        raise ZeroDivisionError("in a command")

    def refuse(self, transaction: Transaction, arguments: dict[str, Any]) -> None:
        raise Refused("not today", "come back tomorrow")

    def turn(self) -> None:
        poller = poll()
        for descriptor, events in self.control.interest().items():
            poller.register(descriptor, events)
        self.control.turn({descriptor for descriptor, _ in poller.poll(5)})

    def until(self, true: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while not (found := true()):
            assert time.monotonic() < end
            self.turn()
        return found

    def connect(self, data: bytes = b"") -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.control.path)
        client.setblocking(False)
        if data:
            client.sendall(data)
        return client

    def ask(self, do: str, **arguments: Any) -> socket.socket:
        return self.connect(json.dumps({**ASK, "do": do, **arguments}).encode() + b"\n")

    def answer(self, client: socket.socket) -> list[dict[str, Any]]:
        """The lines up to the end of the connection."""
        received = bytearray()

        def ended() -> bool:
            try:
                data = client.recv(1 << 20)
            except BlockingIOError:
                return False
            except ConnectionResetError:  # what it sent in vain was not read
                return True
            received.extend(data)
            return not data

        self.until(ended)
        client.close()
        return [json.loads(line) for line in received.splitlines()]

    def last(self, client: socket.socket) -> dict[str, Any]:
        (line,) = self.answer(client)
        assert line["poolctl"] == 1
        assert line["done"] is True
        return line

    def kinds(self) -> list[Kind]:
        return [event.kind for event in self.ring.since(0)]


@pytest.fixture
def runtime_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short path: that of a unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory() as name:
        monkeypatch.setenv("RUNTIME_DIRECTORY", name)
        yield Path(name)


@pytest.fixture
def make(runtime_folder: Path) -> Iterator[Callable[..., Rig]]:
    rigs = []

    def make(mode: Mode = "full") -> Rig:
        rigs.append(Rig(mode))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.control.close()
    assert list(runtime_folder.iterdir()) == []


@pytest.fixture
def rig(make: Callable[..., Rig]) -> Rig:
    return make()


def test_a_command_is_answered_in_one_line(rig: Rig) -> None:
    assert rig.last(rig.ask("look", word="naïve \x1b", often=3, share=2))["result"] == {
        "word": "naïve \x1b",
        "often": 3,
        "share": 2,
    }
    assert rig.kinds() == []  # it changes nothing
    assert stat.S_IMODE(os.stat(rig.control.path).st_mode) == 0o600


ERRORS = {
    "not JSON": (b"status\n", "the request is not JSON"),
    "not UTF-8": (b'{"poolctl": 1, "do": "\xff"}\n', "the request is not JSON"),
    "nested deeply": (b"[" * 60_000 + b"\n", "the request is not JSON"),
    "a list": (b"[1]\n", "the request is not an object with the keys poolctl and do"),
    "no command": (b'{"poolctl": 1}\n', "the request is not an object"),
    "a later version": (b'{"poolctl": 2, "do": "look"}\n', "unknown protocol version 2; this server speaks version 1"),
    "no version": (b'{"poolctl": true, "do": "look"}\n', "unknown protocol version True"),
    "unknown command": (b'{"poolctl": 1, "do": "relaod"}\n', "unknown command 'relaod'"),
    "a command that is a list": (b'{"poolctl": 1, "do": []}\n', "unknown command []"),
    "unknown argument": (b'{"poolctl": 1, "do": "look", "at": 1}\n', "look has no argument 'at'"),
    "another type": (b'{"poolctl": 1, "do": "look", "often": true}\n', "look: often is not of type int"),
    "too long": (b'"' + b"x" * (LINE_BYTES + 1), f"the request is longer than {LINE_BYTES} bytes"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_request_gets_a_clear_error(rig: Rig, case: str) -> None:
    data, error = ERRORS[case]
    line = rig.last(rig.connect(data))
    assert line["exit"] == 2
    assert line["error"].startswith(error)
    assert line["fix"]


def test_errors_suggest_the_next_command(rig: Rig) -> None:
    assert rig.last(rig.ask("relaod"))["fix"] == 'did you mean "reload"?'
    assert rig.last(rig.ask("x"))["fix"].startswith("use one of look, flood, ")


def test_a_line_may_arrive_in_pieces_and_end_with_the_connection(rig: Rig) -> None:
    client = rig.connect()
    for byte in b'{"poolctl": 1, "do": "look"}':
        client.send(bytes([byte]))
        rig.turn()
    client.shutdown(socket.SHUT_WR)
    assert rig.last(client)["exit"] == 0


def test_a_client_that_has_half_closed_costs_no_turns_and_gets_its_answer(rig: Rig) -> None:
    client = rig.ask("reload")
    client.shutdown(socket.SHUT_WR)
    rig.until(lambda: rig.open)
    poller = poll()
    for descriptor, events in rig.control.interest().items():
        poller.register(descriptor, events)
    assert poller.poll(0) == []
    rig.open[0].say("half", share=0.5)
    rig.open[0].finish(0, "done", seconds=1)
    said, last = rig.answer(client)
    assert said == {"says": "half", "share": 0.5}
    assert last == {"poolctl": 1, "done": True, "exit": 0, "result": {"text": "done", "seconds": 1}}


def test_a_client_that_asks_nothing_is_closed(rig: Rig) -> None:
    client = rig.connect()
    client.shutdown(socket.SHUT_WR)
    assert rig.answer(client) == []


@pytest.mark.parametrize("data", [b"", b'{"poolctl"'], ids=["silent", "in the middle"])
def test_a_slow_client_is_answered_and_closed(rig: Rig, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_client, "REQUEST_SECONDS", 0.05)
    client = rig.connect(data)
    rig.until(lambda: rig.control.clients)
    assert rig.control.due() <= time.monotonic() + 0.05
    assert rig.last(client)["error"] == "no complete request arrived in time"


def test_dripping_does_not_extend_the_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_client, "REQUEST_SECONDS", 0.1)
    client = rig.connect()
    rig.until(lambda: rig.control.clients)
    end = time.monotonic() + PATIENCE
    while rig.control.clients and time.monotonic() < end:
        client.send(b" ")
        rig.turn()
    assert not rig.control.clients
    client.close()


def test_a_client_that_does_not_read_is_closed_and_delays_no_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_client, "WRITE_SECONDS", 0.1)
    client = rig.ask("flood", bytes=1 << 20)
    rig.until(lambda: rig.control.clients and rig.control.clients[0].interest())
    assert rig.last(rig.ask("look"))["exit"] == 0
    rig.until(lambda: not rig.control.clients)
    client.close()


def test_what_waits_for_a_client_is_bounded(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    client = rig.ask("flood", bytes=2 * OUT_BYTES)
    rig.until(lambda: "that does not read" in caplog.text)
    assert not rig.control.clients
    client.close()


def test_a_long_answer_arrives_whole(rig: Rig) -> None:
    lines = rig.answer(rig.ask("flood", bytes=OUT_BYTES // 2))
    assert len(lines) == OUT_BYTES // 2000 + 2
    assert lines[-1]["exit"] == 0


def test_clients_beyond_the_limit_are_refused_until_one_leaves(rig: Rig) -> None:
    clients = []
    for number in range(CLIENTS):
        clients.append(rig.ask("watch"))
        rig.until(lambda number=number: len(rig.open) == number + 1)
    late = rig.last(rig.connect())
    assert (late["exit"], late["error"]) == (1, f"{CLIENTS} clients use this control socket")
    clients.pop().close()
    rig.until(lambda: len(rig.control.clients) < CLIENTS)
    assert rig.last(rig.ask("look"))["exit"] == 0
    assert len(rig.control.transactions) == CLIENTS - 1  # whoever only watched ends with its client
    for client in clients:
        client.close()


def test_a_client_that_disconnects_at_once_harms_nobody(rig: Rig) -> None:
    for data in (b"", b"{", b'{"poolctl": 1, "do": "look"}\n'):
        for _ in range(20):
            rig.connect(data).close()
            rig.turn()
    rig.until(lambda: not rig.control.clients)
    assert rig.last(rig.ask("look"))["exit"] == 0


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user")
def test_another_user_is_refused_whatever_the_mode(rig: Rig, runtime_folder: Path) -> None:
    runtime_folder.chmod(0o755)
    os.chmod(rig.control.path, 0o666)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        client = rig.connect()
        client.setblocking(True)
        os.write(writer, client.recv(1000))
        os._exit(0)
    rig.until(lambda: os.waitpid(pid, os.WNOHANG)[0])
    assert json.loads(os.read(reader, 1000))["error"] == "uid 65534 may not control this server"
    os.close(reader)
    os.close(writer)


def test_an_error_in_serving_a_client_ends_it_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(rig.control, "_parsed", {}.__getitem__)
        assert rig.answer(rig.ask("look")) == []
    assert "KeyError" in caplog.text
    assert rig.last(rig.ask("look"))["exit"] == 0


# Transactions


def test_one_change_at_a_time_and_stop_always(rig: Rig) -> None:
    reload = rig.ask("reload")
    rig.until(lambda: rig.open)
    refused = rig.last(rig.ask("scale"))
    assert refused["exit"] == 1
    assert refused["error"].startswith("reload has been at work for 0.")
    assert refused["error"].endswith(f" s (uid {os.getuid()}, pid {os.getpid()})")
    stop = rig.ask("stop")
    rig.until(lambda: len(rig.open) == 2)
    rig.open[0].fail("the server is stopping", "start it again")
    assert rig.last(reload)["error"] == "the server is stopping"
    rig.open[1].finish()
    assert rig.last(stop)["exit"] == 0
    scale = rig.ask("scale")
    rig.until(lambda: len(rig.open) == 3)
    rig.open[2].finish()
    assert rig.last(scale)["exit"] == 0


def test_a_change_continues_without_its_client_and_its_end_is_logged(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "poolctl")
    rig.ask("reload").close()
    rig.until(lambda: rig.open and not rig.control.clients)
    assert rig.control.at_work is rig.open[0]
    rig.open[0].say("nobody listens")
    rig.open[0].finish()
    rig.turn()
    assert rig.control.at_work is None
    who = f"uid {os.getuid()}, pid {os.getpid()}"
    first, second = rig.ring.since(0)
    assert (first.kind, first.text) == (Kind.COMMAND, f"reload, asked for by {who}")
    assert (first.where["uid"], first.where["asked_by"]) == (os.getuid(), os.getpid())
    assert second.kind == Kind.COMMAND_DONE
    assert [first.text, second.text] == caplog.messages
    assert second.text.startswith(f"reload ({who}) ended after 0.")


def test_steps_are_taken_until_the_end_and_wake_the_loop(rig: Rig) -> None:
    times: list[float] = []

    def step(now: float) -> None:
        times.append(now)
        transaction.wake_at(now + 100)
        if len(times) == 3:
            transaction.finish(0)

    client = rig.ask("reload")
    (transaction,) = rig.until(lambda: rig.open)
    transaction.proceed(step)
    rig.turn()
    assert rig.control.due() == times[0] + 100
    assert rig.last(client)["exit"] == 0
    rig.turn()
    assert len(times) == 3


def test_what_a_command_raises_ends_it_alone(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    line = rig.last(rig.ask("raise"))
    assert (line["exit"], line["error"]) == (1, "raise raised ZeroDivisionError")
    assert "in a command" in caplog.text
    line = rig.last(rig.ask("refuse"))
    assert (line["exit"], line["error"], line["fix"]) == (1, "not today", "come back tomorrow")
    assert rig.last(rig.ask("look"))["exit"] == 0
    assert not rig.control.transactions


def test_what_a_step_raises_ends_its_transaction(rig: Rig) -> None:
    client = rig.ask("reload")
    (transaction,) = rig.until(lambda: rig.open)
    transaction.proceed({}.__getitem__)
    assert rig.last(client)["error"] == "reload raised KeyError"
    assert rig.control.at_work is None


def test_a_signal_begins_a_transaction_too(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "poolctl")
    first = rig.control.start("reload", {}, "SIGHUP")
    second = rig.control.start("reload", {}, "SIGHUP")
    assert (first.exit_code, second.exit_code) == (None, 1)
    assert rig.control.at_work is first
    first.say("generation 2 starts")
    assert caplog.messages[-1] == "reload: generation 2 starts"
    first.finish(0, "generation 2 serves", seconds=1)
    assert re.fullmatch(
        r"reload \(SIGHUP\) ended after \d+\.\d s with exit code 0: generation 2 serves", caplog.messages[-1]
    )
    assert "exit code 1: reload has been at work for 0.0 s (SIGHUP)" in caplog.text


def test_read_allows_no_change_except_by_signals(make: Callable[..., Rig]) -> None:
    rig = make("read")
    assert rig.last(rig.ask("look"))["exit"] == 0
    for command in ("reload", "stop"):
        line = rig.last(rig.ask(command))
        assert (line["exit"], line["error"]) == (1, f"{command} is not allowed by control: read")
    assert not rig.open
    assert rig.control.start("reload", {}, "SIGHUP").exit_code is None


def test_off_has_no_socket_but_signals(make: Callable[..., Rig], runtime_folder: Path) -> None:
    rig = make("off")
    assert rig.control.interest() == {}
    assert list(runtime_folder.iterdir()) == []
    assert rig.control.start("reload", {}, "SIGHUP").exit_code is None
    rig.turn()


# The end


def test_the_last_lines_arrive_before_the_socket_is_closed(rig: Rig) -> None:
    stop, watch, reload, idle = rig.ask("stop"), rig.ask("watch"), rig.ask("reload"), rig.connect()
    rig.until(lambda: len(rig.open) == 2 and len(rig.control.clients) == 3)  # reload was refused
    assert rig.last(reload)["exit"] == 1
    by_name = {each.command.name: each for each in rig.open}
    by_name["stop"].proceed(lambda now: None, lambda: by_name["stop"].finish(0, exit_code=0))
    rig.control.end(reading=False)
    assert by_name["watch"].exit_code is None
    rig.control.end(reading=True)
    rig.control.close()
    assert rig.last(stop)["result"] == {"exit_code": 0}
    assert rig.last(watch)["error"] == "the server has stopped"
    assert rig.answer(idle) == []


def test_a_client_that_does_not_read_does_not_delay_the_end_for_ever(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poolctl.supervision.control.FLUSH_SECONDS", 0.1)
    client = rig.ask("flood", bytes=1 << 20)
    rig.until(lambda: rig.control.clients and rig.control.clients[0].interest())
    rig.control.close()
    assert not os.path.exists(rig.control.path)
    client.close()


def test_a_forked_process_keeps_none_of_it(rig: Rig) -> None:
    client = rig.ask("watch")
    rig.until(lambda: rig.open)
    pid = os.fork()
    if pid == 0:
        before = {each.fileno() for each in rig.control.clients} | set(rig.control.interest())
        rig.control.close_inherited()
        left = [descriptor for descriptor in before if os.path.exists(f"/proc/self/fd/{descriptor}")]
        os._exit(len(left))
    assert os.waitpid(pid, 0)[1] == 0
    rig.open[0].finish()  # the parent's are still open
    assert rig.last(client)["exit"] == 0
