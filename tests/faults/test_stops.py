"""Stops: everything that was accepted is answered, idle connections hold nobody up, and a second signal ends it all."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from harness.client import Client, Response, clients, get
from harness.machine import within
from harness.server import PATIENCE, ROOT, Serve, alive, wait_until

from faults.hammer import Hammer
from faults.models import ALL, FEW, begin, busy, models

SIZE = 4
IN_HAND = 24
SECONDS = 0.5  # of each request: one worker may have them all where nobody dispatches
LATE = 0.1  # seconds between the signal and the first byte of a request


def read_all(waiting: list[Client]) -> list[object]:
    """The status of each one's answer, or why there was none."""

    def answer(client: Client) -> object:
        try:
            response: Response = client.answer()
            assert client.at_end()
            return response.status
        except (EOFError, ConnectionError) as error:
            return repr(error)

    return [answer(client) for client in waiting]


@models()
def test_a_stop_answers_everything_in_flight(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, SIZE)
    with clients(server.port, IN_HAND, timeout=within(IN_HAND * SECONDS + 2)) as waiting:
        for client in waiting:
            client.ask(f"/sleep?seconds={SECONDS}")
        server.signal()
        started = time.monotonic()
        assert read_all(waiting) == [200] * IN_HAND
        assert server.wait() == 0
        assert time.monotonic() - started < within(IN_HAND * SECONDS + 1.5)


@models()
def test_a_stop_answers_those_who_connected_before_and_asked_just_after(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, SIZE)
    with clients(server.port, IN_HAND, timeout=within(IN_HAND * SECONDS + 2)) as waiting:
        for client in waiting[::2]:
            client.ask("/sleep?seconds=0.2")
        server.signal()
        for client in waiting[1::2]:
            time.sleep(0.005)  # this is about what comes late, by as much as 60 ms
            client.ask("/sleep?seconds=0.2")
        assert read_all(waiting) == [200] * IN_HAND
        assert server.wait() == 0


@models()
def test_a_stop_does_not_wait_for_idle_connections(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, SIZE)
    with clients(server.port, 16) as idle:
        for client in idle:
            assert client.get().status == 200
        started = time.monotonic()
        server.signal()
        assert all(client.at_end() for client in idle)
        assert server.wait() == 0
        assert time.monotonic() - started < within(1)


@models(always=FEW)
def test_a_stop_waits_a_moment_for_those_who_never_asked(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, SIZE)
    with clients(server.port, 4) as silent:
        started = time.monotonic()
        server.signal()
        assert all(client.at_end() for client in silent)
        assert server.wait() == 0
        assert time.monotonic() - started < within(2.5)


@models()
def test_a_stop_answers_the_pipelined_and_those_who_upload(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, SIZE)
    with Client(server.port) as pipelined, Client(server.port) as upload:
        pipelined.send(b"GET /sleep?seconds=0.1 HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
        upload.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50000)
        wait_until(lambda: pipelined.sock.recv(1, 2), "the first answer")
        server.signal()
        upload.send(b"x" * 50000)
        assert upload.answer().body == b"x" * 100000
        assert [pipelined.answer().status for _ in range(5)] == [200] * 5
        assert pipelined.at_end()
        assert upload.at_end()
        assert server.wait() == 0


ON_ITS_WAY_BACK = """
import pathlib, sys, time

from poolctl.runtime.serving.phases import CLOSED


class Missed(set):
    def __contains__(self, ticket):
        front, client = FOUND
        if not front.draining:
            pathlib.Path("cleared").touch()
            end = time.monotonic() + 5
            while client.phase is not CLOSED and not (front.draining and client.ticket) and time.monotonic() < end:
                time.sleep(0.001)
        return super().__contains__(ticket)


FOUND = []


def application(environ, start_response):
    frame = sys._getframe()
    while "give_back" not in frame.f_locals:
        frame = frame.f_back
    if not FOUND:
        front, client = frame.f_locals["give_back"].__self__, frame.f_locals["client"]
        FOUND[:] = front, client
        front.expected_back = Missed(front.expected_back)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def test_a_stop_between_two_pipelined_requests_ends_neither(serve: Serve, tmp_path: Path) -> None:
    # The worker thread has cleared the ticket, and the front hears of the stop before it hears of that.
    (tmp_path / "on_its_way_back.py").write_text(ON_ITS_WAY_BACK)
    topology = ALL["hshr-threads"].topology(1, app={"wsgi": "on_its_way_back:application"})
    server = serve(topology, path=tmp_path)
    with Client(server.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        wait_until((tmp_path / "cleared").exists, "the first answer")
        server.signal()
        assert [client.answer().status for _ in range(3)] == [200] * 3
        assert client.at_end()
    assert server.wait() == 0


@models(always=FEW)
def test_a_stop_sends_all_of_a_large_answer_to_a_slow_reader(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, SIZE)
    with Client(server.port) as client:
        client.ask("/bytes?count=20000000")
        wait_until(lambda: client.sock.recv(1, 2), "the first byte")
        server.signal()
        time.sleep(0.3)  # a slow reader
        assert client.answer().body == b"x" * 20_000_000
        assert server.wait() == 0


@models(always=FEW)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGQUIT, 131), (signal.SIGINT, 130)])
def test_a_second_signal_ends_everything_at_once(serve: Serve, name: str, number: signal.Signals, code: int) -> None:
    _, server = begin(serve, name, SIZE)
    with busy(server.port, 20) as client:
        server.wait_until_busy()
        pids = server.tree()
        server.signal(number)
        server.wait_for_log("draining")
        started = time.monotonic()
        server.signal(number)
        assert server.wait() == code
        assert time.monotonic() - started < within(1)
        for pid in pids:
            wait_until(lambda pid=pid: not alive(pid), f"the end of process {pid}")  # type: ignore[misc]
        assert client.at_end()


@pytest.mark.parametrize("name", ["hshr-processes", "hshr-threads", "lf-threads", "lf-processes"])
def test_a_stop_ends_by_force_when_the_time_to_drain_is_over(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, SIZE, timeouts={"drain": "1500ms"})
    with busy(server.port, 20):
        server.wait_until_busy()
        short = busy(server.port, 0.3)
        started = time.monotonic()
        server.signal()
        assert short.answer().status == 200
        assert server.wait() == 1
        assert 1.4 < time.monotonic() - started < within(2.5)
        short.close()


class Terminal:
    """A server whose controlling terminal is a pty: what is typed there reaches its whole foreground group."""

    def __init__(self, folder: Path, topology: dict[str, object]) -> None:
        file = folder / "t.yaml"
        file.write_text(yaml.safe_dump(topology))
        command = [sys.executable, "-m", "poolctl", "run", str(file), "--listen", "tcp://127.0.0.1:0"]
        self.keys, terminal = pty.openpty()
        self.process = subprocess.Popen(
            # setsid -c: a session of its own with this terminal, as a login has
            ["setsid", "-c", *command],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        )
        os.close(terminal)
        self.seen = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.keys, 4096)
            except OSError:  # EIO: the last process has closed the terminal
                return
            self.seen += data.decode(errors="replace")

    def port(self) -> int:
        found = wait_until(lambda: re.search(r"serves on http://[^:]*:(\d+)", self.seen), "the server")
        return int(found[1])

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(PATIENCE)
        os.close(self.keys)


@pytest.mark.parametrize(("name", "key", "code"), [("hshr-processes", b"\x03", 130), ("lf-threads", b"\x1c", 131)])
def test_ctrl_c_at_a_terminal_drains_and_a_second_one_ends_it(tmp_path: Path, name: str, key: bytes, code: int) -> None:
    """The same as Ctrl-\\."""
    terminal = Terminal(tmp_path, ALL[name].topology(SIZE))
    try:
        port = terminal.port()
        with busy(port, 1) as client, Client(port) as idle:
            assert idle.get().status == 200
            os.write(terminal.keys, key)
            assert client.answer().status == 200
        assert terminal.process.wait(PATIENCE) == 0
        assert "Traceback" not in terminal.seen, terminal.seen
    finally:
        terminal.close()

    terminal = Terminal(tmp_path, ALL[name].topology(SIZE))
    try:
        with busy(terminal.port(), 20):
            os.write(terminal.keys, key)
            wait_until(lambda: "draining" in terminal.seen, "the first one")
            os.write(terminal.keys, key)
            assert terminal.process.wait(PATIENCE) == code
        assert "Traceback" not in terminal.seen, terminal.seen
    finally:
        terminal.close()


@models()
def test_a_stop_comes_to_an_end_while_newcomers_knock(serve: Serve, name: str) -> None:
    _, server = begin(serve, name, SIZE)
    with Hammer(server.port) as hammer:
        server.signal()
        started = time.monotonic()
        assert server.wait() == 0
        assert time.monotonic() - started < within(3)
    assert hammer.answered


@models()
def test_connections_that_ask_a_tenth_of_a_second_after_the_signal_are_answered(serve: Serve, name: str) -> None:
    _, server = begin(serve, name)
    with clients(server.port, 24) as waiting:
        server.signal()
        server.wait_for_log("draining")
        time.sleep(LATE)  # the lateness is what this is about
        for client in waiting:
            client.ask("/sleep?seconds=0.1")
        assert [client.answer().status for client in waiting] == [200] * 24
        assert all(client.at_end() for client in waiting)
        assert server.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
@models()
def test_a_signal_to_every_process_at_once_drains_as_one_to_the_first(
    serve: Serve, name: str, number: signal.Signals
) -> None:
    """As systemd signals a unit, and a terminal its foreground group (for Ctrl-C and Ctrl-\\)."""
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
    assert "restarting" not in server.log


@models(always=("hshr-processes", "hshr-threads", "hsha-front-processes", "hsha-worker-processes", "lf-threads"))
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_newcomers_are_refused_at_once_while_a_request_is_still_answered(
    serve: Serve, name: str, kind: str, request: pytest.FixtureRequest
) -> None:
    """Not let into a queue that nobody will look at, and not left without an answer to their SYN."""
    if kind == "unix" and name == "reuse-port":
        pytest.skip("reuse-port is for tcp alone")
    path = f"/tmp/poolctl-{os.getpid()}-{name}.sock"  # that of pytest would be too long
    request.addfinalizer(lambda: Path(path).unlink(missing_ok=True))
    listen = f"unix://{path}" if kind == "unix" else "tcp://127.0.0.1:0"
    _, server = begin(serve, name, 2, listen=[listen, "tcp://127.0.0.1:0"])
    address = (socket.AF_UNIX, path) if kind == "unix" else (socket.AF_INET, ("127.0.0.1", server.port))
    with busy(server.ports[-1], 2) as client:
        server.wait_until_busy()
        server.signal()
        server.wait_for_log("draining")
        wait_until(lambda: refused(*address), "a refusal")
        assert server.process.poll() is None
        assert client.answer().status == 200
        assert server.wait() == 0


def refused(family: socket.AddressFamily, address: object) -> bool:
    """Whether somebody who comes now is refused; whoever is admitted in the last moment is served, or told that it is
    the end."""
    with socket.socket(family, socket.SOCK_STREAM) as newcomer:
        newcomer.settimeout(10)
        try:
            newcomer.connect(address)
        except ConnectionRefusedError:
            return True
        with contextlib.suppress(ConnectionError):
            newcomer.recv(1)
        return False


@models()
def test_nobody_who_gets_a_connection_during_a_stop_is_reset(serve: Serve, name: str) -> None:
    """Whoever comes is answered or refused, at whatever moment."""
    _, server = begin(serve, name, 2)
    ends: list[object] = []

    def come_until_refused() -> None:
        while True:
            try:
                client = Client(server.port, timeout=PATIENCE)
            except ConnectionRefusedError:
                ends.append("refused")
                return
            with client:
                try:
                    client.ask(close=True)
                    assert client.answer().status in (200, 503)
                except (EOFError, ConnectionError, AssertionError) as error:
                    ends.append(repr(error))
                    return

    crowd = [threading.Thread(target=come_until_refused) for _ in range(4)]
    for each in crowd:
        each.start()
    wait_until(lambda: all(each.is_alive() for each in crowd) and get(server.port).status == 200, "all of them")
    server.signal()
    for each in crowd:
        each.join()
    assert server.wait() == 0
    assert ends == ["refused"] * len(crowd)


@models(always=("hshr-processes", "hshr-threads", "hsha-front-processes", "lf-threads"))
def test_a_stop_does_not_wait_for_clients_to_the_end(serve: Serve, name: str) -> None:
    """A client that sends its request drop by drop, or reads nothing, does not decide how the server ends."""
    _, server = begin(serve, name, 2, timeouts={"drain": "4s", "head": "10m", "idle": "10m", "write": "10m"})
    with Client(server.port) as head, Client(server.port) as body, Client(server.port) as deaf:
        head.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        body.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        deaf.ask("/bytes?n=50000000")
        wait_until(lambda: select.select([deaf.sock], [], [], 0)[0], "its head")
        server.signal()
        with contextlib.suppress(ConnectionError):  # which is the end
            while server.process.poll() is None:
                body.send(b"x")
                select.select([], [], [], 0.1)  # a drop now and then
    assert server.wait() == 0
    assert "killed" not in server.log


@models(always=("hshr-processes", "lf-threads"))
def test_signals_for_the_supervisor_change_nothing_in_the_others(serve: Serve, name: str) -> None:
    """As those send them who name a program, or a unit; SIGTTIN and SIGTTOU must not stop a process either."""
    _, server = begin(serve, name, 2)
    before = server.tree()
    for pid in before[1:]:
        for number in (signal.SIGUSR2, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH):
            os.kill(pid, number)
    with Client(server.port) as client:
        assert client.get().status == 200
    assert server.tree() == before
    assert server.stop() == 0
    server.wait_for_log("stopped")


@pytest.mark.parametrize("kind", ["hsha-front-processes", "lf-threads", "thread-per-connection"])
def test_a_conversation_that_its_client_keeps_open_ends_before_the_time_is_over(serve: Serve, kind: str) -> None:
    """Its function finds the client gone, and everything that it has begun comes to its end."""
    topology: dict[str, object] = {"app": {"stream": "patching:stream"}, "timeouts": {"drain": 3}}
    topology["pool"] = {"kind": kind} if kind not in ALL else {"kind": ALL[kind].kind, "size": 2}
    if kind in ALL:
        topology["ownership"] = ALL[kind].ownership
    server = serve(topology, environment={"PATCH": ""})
    with Client(server.port) as client:
        client.send(b"line\n")
        assert client.line() == b"line\n"
        server.signal()
        server.wait_for_log("draining")
        client.send(b"more\n")
        assert client.line() == b"more\n"
        assert client.at_end()
    assert server.wait() == 0
