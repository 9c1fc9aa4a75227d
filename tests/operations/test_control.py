"""`poolctl events` and `poolctl stop`, and the key `control`, with real servers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, get
from harness.commands import poolctl
from harness.machine import PATIENCE
from harness.server import ROOT, Serve, Server, alive, ask, wait_until

from poolctl.supervision.events import Kind

NOT_READ = {"poolctl": 1, "do": "events", "follow": True}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return poolctl(*words, cwd=Path.cwd())


def start(*words: str) -> subprocess.Popen[str]:
    """A command that goes on while the test does something."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "poolctl", *words], env=environment, stdout=pipe, stderr=pipe, text=True
    )


def topology(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "app": "demo", "pool": {"kind": "process", "size": 2}, **more}


def events(name: str) -> list[dict[str, Any]]:
    done = run("events", name, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def mold_of(name: str) -> int:
    """The pid of the first mold. Not by its title, which a role has too until it is named."""
    return next(each["pid"] for each in events(name) if each["kind"] == "generation-started")  # type: ignore[no-any-return]


def test_events_say_what_happened_and_why(serve: Serve, name: str) -> None:
    server = serve(topology(name, ownership="half-sync/half-reactive"))
    wait_until(lambda: [each["kind"] for each in events(name)].count("generation-ready") == 1, "the first generation")
    found = events(name)
    assert [each["number"] for each in found] == list(range(1, len(found) + 1))
    kinds = [each["kind"] for each in found]
    assert kinds[:2] == ["server-started", "generation-started"]
    assert sorted(kinds[2:]) == ["generation-ready", *["role-ready"] * 3, *["role-started"] * 3]
    assert all(each["generation"] == 1 for each in found[1:])

    worker = server.pids("worker")[0]
    os.kill(worker, signal.SIGKILL)
    server.signal(signal.SIGUSR1)
    mold = mold_of(name)
    wait_until(lambda: len(server.pids("worker")) == 2 and worker not in server.pids("worker"), "its successor")
    wait_until(lambda: [each["kind"] for each in events(name)].count("role-ready") == 4, "its successor to be ready")
    os.kill(mold, signal.SIGKILL)
    wait_until(lambda: any(each["kind"] == "generation-ended" for each in events(name)), "the end of the roles")
    wait_until(lambda: [each["kind"] for each in events(name)].count("generation-ready") == 2, "the next generation")
    found = events(name)
    of = {each["kind"]: each for each in reversed(found)}
    died = of["role-died"]
    assert (died["pid"], died["role"], died["signal"], died["generation"]) == (worker, "worker 0", "SIGKILL", 1)
    assert (of["mold-died"]["pid"], of["mold-died"]["signal"]) == (mold, "SIGKILL")
    assert of["signal"]["signal"] == "SIGUSR1"
    assert of["generation-ended"]["reason"] == "its mold was killed by SIGKILL"
    assert {each["kind"] for each in found} <= set(Kind)
    for kind in ("role-died", "mold-died", "signal", "generation-ready"):  # logged by the same call
        server.wait_for_log(re.escape(of[kind]["text"]))
    shown = run("events", str(server.pid)).stdout
    assert re.search(
        rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  worker {name} 0 \(pid {worker}\) was killed by SIGKILL", shown, re.M
    )
    assert server.stop() == 0


def test_overdue_requests_and_failed_starts_are_events(serve: Serve, name: str, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("import time\n\n\ndef app(environ, start):\n    time.sleep(60)\n")
    own = topology(name, app={"wsgi": "late:app"}, timeouts={"request": 0.2}, pool={"size": 1})
    server = serve(own, path=tmp_path, tracebacks=True)
    assert get(server.port).status == 504
    (tmp_path / "late.py").write_text("raise ValueError('a bad release')\n")
    mold = mold_of(name)
    os.kill(mold, signal.SIGKILL)
    wait_until(
        lambda: any(each["kind"] == "role-failed" or each["kind"] == "generation-failed" for each in events(name)), "it"
    )
    of = {each["kind"]: each for each in events(name)}
    assert of["role-overdue"]["reason"] == "a request took longer than timeouts.request"
    assert re.fullmatch(
        rf"worker {name} 0 .* spent .* s on a request \(timeouts.request: 0.2 s\); killed", of["role-overdue"]["text"]
    )
    failed = of.get("generation-failed") or of["role-failed"]
    assert "ValueError: a bad release" in failed["reason"]
    assert "\n" not in failed["text"]
    server.signal()
    server.wait()


def test_following_events_until_the_server_ends(serve: Serve, name: str) -> None:
    server = serve(topology(name))
    following, interrupted = start("events", name, "-f"), start("events", name, "--follow", "--format", "json")
    for command in (following, interrupted):
        assert command.stdout
        wait_until(lambda command=command: "generation 1" in command.stdout.readline(), "the first events")
    while json.loads(interrupted.stdout.readline())["kind"] != "generation-ready":  # type: ignore[union-attr]
        pass
    interrupted.send_signal(signal.SIGINT)
    assert interrupted.wait(PATIENCE) == 0
    assert interrupted.communicate(timeout=PATIENCE)[1] == ""
    assert server.stop() == 0
    shown, said = following.communicate(timeout=PATIENCE)
    assert following.returncode == 0
    lines = shown.splitlines()
    assert lines[-1].endswith(f"  {name} stopped")
    assert any(line.endswith("SIGTERM: draining for up to 30 s") for line in lines)
    assert said == f"{name} (pid {server.pid}) has ended\n"


def test_following_a_server_that_is_killed(serve: Serve, name: str) -> None:
    server = serve(topology(name))
    following = start("events", name, "-f")
    assert following.stdout
    following.stdout.readline()
    server.kill_all()
    _, said = following.communicate(timeout=PATIENCE)
    assert following.returncode == 1
    assert said == f"error: {name} (pid {server.pid}): the server ended before it had answered\n"


def stop_while_busy(server: Server, *words: str) -> tuple[int, str, str, bytes]:
    """Stop a server that answers a request; the exit code, both outputs, and the request's answer."""
    with Client(server.port) as client:
        client.ask("/sleep?seconds=1.5")
        server.wait_until_busy()
        done = run("stop", *words)
        assert not alive(server.pid)
        try:
            answer = client.answer().body
        except (OSError, EOFError):  # cut off
            answer = b""
        return done.returncode, done.stdout, done.stderr, answer


def test_stop_waits_and_says_for_what(serve: Serve, name: str) -> None:
    server = serve(topology(name, timeouts={"drain": "20s"}))
    code, out, said, answer = stop_while_busy(server, name)
    assert (code, server.wait()) == (0, 0)
    assert re.fullmatch(rf"{name} \(pid {server.pid}\) stopped after \d+\.\d s; every request was answered\n", out)
    first, second = said.splitlines()[:2]
    assert re.fullmatch(rf"{name}: draining: 1 request in flight, 0\.\d s of 20 s", first)
    assert re.fullmatch(rf"{name}: draining: (1|no) requests? in flight, \d\.\d s of 20 s", second)
    assert answer
    server.wait_for_log(r"stop, asked for by uid \d+, pid \d+\n.*stop: draining for up to 20 s")
    assert server.log.splitlines()[-1].endswith(f"{name} stopped")


def test_stop_says_which_time_streams_have_and_how_many_were_cut_off(serve: Serve, name: str) -> None:
    server = serve(topology(name, timeouts={"drain": "20s", "stream": "500ms"}))
    with Client(server.port) as client:
        client.ask("/bytes?count=30000000")
        assert client.sock.recv(64).startswith(b"HTTP/1.1 200 ")
        done = run("stop", name)
    assert (done.returncode, server.wait()) == (0, 0)
    assert re.match(rf"{name}: draining: .*, 0\.\d s of 20 s \(streams: 0.5 s\)\n", done.stderr)
    assert done.stdout.endswith("; 1 stream cut off (timeouts.stream), every other request was answered\n")
    server.wait_for_log("draining for up to 20 s, streams for up to 0.5 s")


def test_stop_says_that_requests_were_cut_off(serve: Serve, name: str) -> None:
    server = serve(topology(name, timeouts={"drain": "0.2s"}))
    code, out, _, answer = stop_while_busy(server, name)
    assert (code, server.wait(), answer) == (1, 1, b"")
    assert out.endswith("; unfinished requests were cut off\n")


@pytest.mark.parametrize("busy", [True, False])
def test_stop_now(serve: Serve, name: str, busy: bool) -> None:
    server = serve(topology(name))
    if busy:
        code, out, _, answer = stop_while_busy(server, name, "--now")
        assert (code, out, answer) == (1, f"{name} (pid {server.pid}) stopped at once; 1 request cut off\n", b"")
    else:
        done = run("stop", name, "--now")
        assert (done.returncode, done.stdout) == (
            0,
            f"{name} (pid {server.pid}) stopped at once; no request was in flight\n",
        )
    assert server.wait() == 128 + signal.SIGTERM


def test_two_stops_and_one_that_cuts_the_others_short(serve: Serve, name: str) -> None:
    server = serve(topology(name, timeouts={"drain": "60s"}))
    with Client(server.port) as client:
        client.ask("/sleep?seconds=50")
        server.wait_until_busy()
        waiting = [start("stop", name) for _ in range(2)]
        for command in waiting:
            assert command.stderr
            assert "1 request in flight" in command.stderr.readline()
        assert server.status()["at_work"]["do"] == "stop"
        shown = run("status", name).stdout.splitlines()
        assert re.fullmatch(r"  stop has been at work for \d+\.\d s \(uid \d+, pid \d+\)", shown[2])
        assert run("stop", name, "--now").returncode == 1
        for command in waiting:
            assert command.communicate(timeout=PATIENCE)[0].endswith("stopped at once; 1 request cut off\n")
            assert command.returncode == 1
    assert server.wait() == 128 + signal.SIGTERM


def test_a_stop_goes_on_without_the_command(serve: Serve, name: str) -> None:
    server = serve(topology(name))
    with Client(server.port) as client:
        client.ask("/sleep?seconds=1")
        server.wait_until_busy()
        command = start("stop", name)
        assert command.stderr
        command.stderr.readline()
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=PATIENCE)
        assert command.returncode == 130
        assert said.endswith(
            f"{name} (pid {server.pid}) goes on with stop; poolctl events {name} --follow shows its end\n"
        )
        assert client.answer().status == 200
    assert server.wait() == 0


def test_a_server_that_takes_no_commands(serve: Serve, name: str) -> None:
    reading, off = serve(topology(name, control="read")), serve(topology(f"{name}x", control="off"))
    assert run("status", name).returncode == 0
    assert events(name)
    done = run("stop", name)
    error = "stop is not allowed by control: read; set control: full, or send a signal to the supervisor"
    assert (done.returncode, done.stderr) == (1, f"error: {name} (pid {reading.pid}): {error}\n")
    for words in (("status", f"{name}x"), ("events", f"{name}x"), ("stop", f"{name}x")):
        done = run(*words)
        assert done.returncode == 1
        assert f"{name}x is not running (searched " in done.stderr
    assert get(off.port).status == 200
    assert (reading.stop(), off.stop()) == (0, 0)


def test_forked_processes_have_no_part_of_the_control_socket(serve: Serve, name: str) -> None:
    server = serve(topology(name))
    path = server.control_socket()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(json.dumps(NOT_READ).encode() + b"\n")
        client.recv(1)
        mold = mold_of(name)
        os.kill(mold, signal.SIGKILL)
        server.wait_for_log("generation 2 of .* is ready")
        lines = Path("/proc/net/unix").read_text().splitlines()
        inodes = {line.split()[6] for line in lines if line.endswith(f" {path}")}
        assert len(inodes) == 2  # the listener, and this connection
        holders = {pid for pid in server.tree() for each in sockets(pid) if each in inodes}
        assert holders == {server.pid}
    assert server.stop() == 0


def sockets(pid: int) -> set[str]:
    links = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()]
    return {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:")}


def test_a_server_serves_while_clients_misbehave(serve: Serve, name: str) -> None:
    server = serve(topology(name))
    path = str(server.control_socket())
    clients = [socket.socket(socket.AF_UNIX) for _ in range(12)]
    for number, client in enumerate(clients):
        client.connect(path)
        data = (b"", b"{", b"\0" * 70_000, json.dumps(NOT_READ).encode() + b"\n")[number % 4]
        client.sendall(data)
    assert ask(Path(path), "status")[-1]["result"]["state"] == "running"
    assert get(server.port).status == 200
    for client in clients:
        client.close()
    assert server.stop() == 0


def can_mount() -> bool:
    """Whether this user may make mount namespaces."""
    done = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace of its own")
def test_a_server_with_a_private_temporary_directory(serve_typed: Serve, name: str, open_folder: Path) -> None:
    """As under systemd's PrivateTmp=yes."""
    script = f'mount -t tmpfs none {open_folder} && exec "$@"'
    environment = {"TMPDIR": str(open_folder), "RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": ""}
    prefix = ("unshare", "-m", "sh", "-c", script, "sh")
    server = serve_typed(topology(name), environment=environment, prefix=prefix)
    assert list(open_folder.iterdir()) == []
    assert run("status", name).stdout.startswith(f"{name} (pid {server.pid}): running")
    assert run("stop", name).returncode == 0
    assert server.wait() == 0
