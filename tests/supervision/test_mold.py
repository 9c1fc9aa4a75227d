"""The mold and its roles, with real processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.machine import within
from supervising import SupervisedServer, hear, watched

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc and at pidfds"),
    pytest.mark.timeout(60),
]

Start = Callable[..., SupervisedServer]


def test_a_killed_worker_is_replaced_and_the_others_stay(start: Start) -> None:
    server = start(workers=2)
    mold, first, second = server.ready("worker 0", "worker 1")
    os.kill(first, signal.SIGKILL)
    server.event(f"died worker 0 {first}")  # the plan knows before the successor is there
    successor = server.up("worker 0")
    answers = [hear(server.ask("who")) for _ in range(20)]
    assert {int(pid) for _, pid, *_ in answers} <= {second, successor}
    server.logged(rf"worker shop 0 \(pid {first}\) was killed by SIGKILL after \d+\.\d s; restarting now")
    assert server.groups == [mold]


def test_workers_that_keep_dying_are_restarted_with_growing_delays(start: Start) -> None:
    server = start(workers=1)
    _, pid = server.ready("worker 0")
    began = time.monotonic()
    for _ in range(5):
        os.kill(pid, signal.SIGKILL)
        pid = server.up("worker 0")
    assert 0.7 <= time.monotonic() - began < within(5)  # 0 + 0 + 0.1 + 0.2 + 0.4
    server.logged("in 0.4 s")
    assert server.logged(r"restarting (.*)") == ["now", "now", "in 0.1 s", "in 0.2 s", "in 0.4 s"]


def test_a_crashing_role_is_logged_with_its_traceback_and_replaced(start: Start) -> None:
    server = start(workers=1)
    _, pid = server.ready("worker 0")
    assert hear(server.ask("crash")) == []
    assert server.up("worker 0") != pid
    server.logged("exited with status 1")
    assert len(server.logged("ValueError: a role that crashes")) == 1


def test_a_role_that_fails_later_is_not_a_boot_failure(start: Start, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    server = start(workers=2, missing=str(missing))
    _, first, second = server.ready("worker 0", "worker 1")
    missing.touch()
    os.kill(first, signal.SIGKILL)
    server.logged(r"worker shop 0 .* restarting in 0.2 s")
    assert server.logged(r"worker shop 0 \(pid \d+\) failed before it was ready: (Traceback)")
    assert int(hear(server.ask("who"))[1]) == second
    missing.unlink()
    server.up("worker 0")
    assert len(server.groups) == 1


def test_a_stop_has_stages_and_a_worker_is_replaced_while_the_front_drains(start: Start) -> None:
    server = start(workers=1, fronts=1)
    _, front, pid = server.ready("front 0", "worker 0")
    os.kill(pid, signal.SIGSTOP)  # so that the client waits for the successor
    client = server.ask("who")
    server.process.send_signal(signal.SIGTERM)
    server.event("end front 0")
    os.kill(pid, signal.SIGKILL)
    successor = server.up("worker 0")
    assert int(hear(client)[1]) == successor
    socket.create_connection(("127.0.0.1", server.gate)).close()
    assert server.wait() == 0
    events = server.events_to_the_end()
    order = [events.index(event) for event in (f"died front 0 {front}", "close_for 1", f"end worker 0 {successor}")]
    assert order == sorted(order)
    assert sum(event.startswith("up front") for event in events) == 1


def test_a_stuck_role_is_killed_at_the_deadline(start: Start) -> None:
    server = start(workers=2, drain=0.5)
    pids = server.ready("worker 0", "worker 1")
    assert server.ask("stick").recv(6) == b"stuck\n"
    began = time.monotonic()
    with watched(*pids) as gone:
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 1
        gone()
    assert 0.5 <= time.monotonic() - began < within(1.4)
    assert re.search(r"still busy after draining for 0.5 s; killed: worker shop \d \(pid \d+\)\n", server.log())


def test_a_stuck_front_takes_the_workers_with_it(start: Start) -> None:
    server = start(workers=1, fronts=1, drain=0.5)
    pids = server.ready("front 0", "worker 0")
    with watched(*pids) as gone:
        server.process.send_signal(signal.SIGTERM)  # nobody knocks at the gate
        assert server.wait() == 1
        gone()


def test_a_role_that_enforces_the_deadline_ends_itself_without_its_parents(start: Start) -> None:
    server = start(workers=1, drain=0.3, enforce=True)
    mold, worker = server.ready("worker 0")
    assert server.ask("stick").recv(6) == b"stuck\n"
    with watched(mold, worker) as gone:
        os.kill(server.pid, signal.SIGKILL)
        os.kill(mold, signal.SIGKILL)
        gone()


def test_a_role_has_only_the_descriptors_that_it_keeps(start: Start) -> None:
    server = start(workers=2, fronts=1)
    _, front, worker = server.ready("front 0", "worker 1")

    def held(pid: int) -> dict[str, str]:
        return {entry.name: os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}

    def access(pid: int, number: str) -> int:
        return int(Path(f"/proc/{pid}/fdinfo/{number}").read_text().split("flags:")[1].split()[0], 8) & os.O_ACCMODE

    def rows() -> list[list[str]]:
        return [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]

    def inode(port: int) -> str:
        return next(f"socket:[{row[9]}]" for row in rows() if row[1].endswith(f":{port:04X}") and row[3] == "0A")

    def local() -> set[str]:
        return {f"socket:[{line.split()[6]}]" for line in Path("/proc/net/unix").read_text().splitlines()[1:]}

    def strangers() -> set[str]:
        """Any process on this machine can connect to a port, even by mistake."""
        return {f"socket:[{row[9]}]" for row in rows() if row[3] != "0A"}

    for pid, port in ((worker, server.port), (front, server.gate)):
        among = strangers()
        rest = {number: what for number, what in held(pid).items() if number not in ("0", "1", "2")}
        rest = {number: what for number, what in rest.items() if what not in among}
        sockets = [what for what in rest.values() if what.startswith("socket:")]
        channels = [what for what in sockets if what in local()]  # its end of that with the mold
        assert len(channels) == 1
        assert [what for what in sockets if what not in channels] == [inode(port)]
        pipes = [number for number, what in rest.items() if what.startswith("pipe:")]
        assert len(pipes) + len(sockets) == len(rest)
        lifelines = 2 if pid == worker else 1  # a worker watches the front's lifeline too
        assert sorted(access(pid, number) for number in pipes) == [os.O_RDONLY] * lifelines + [os.O_WRONLY]
    socket.create_connection(("127.0.0.1", server.gate)).close()


def test_roles_draw_different_random_numbers_and_have_a_named_thread(start: Start) -> None:
    server = start(workers=2)
    _, *pids = server.ready("worker 0", "worker 1")
    drawn: dict[int, str] = {}
    while len(drawn) < 2:
        name, pid, number, thread = hear(server.ask("who"))
        assert thread == name
        drawn.setdefault(int(pid), number)
        if len(drawn) == 1:  # this one has to wait while the other answers
            os.kill(int(pid), signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    assert len(set(drawn.values())) == 2


def test_signals_do_not_end_a_role_and_programs_it_starts_do_not_ignore_them(start: Start) -> None:
    server = start(workers=1)
    _, pid = server.ready("worker 0")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGTTIN, signal.SIGTTOU):
        os.kill(pid, number)
    assert int(hear(server.ask("who"))[1]) == pid
    status = Path(f"/proc/{pid}/status").read_text()
    ignored, blocked = (int(re.search(rf"^{what}:\s*(\w+)", status, re.M)[1], 16) for what in ("SigIgn", "SigBlk"))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD):
        assert not (ignored | blocked) & 1 << (number - 1)
