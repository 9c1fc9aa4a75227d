"""The supervisor, with real molds, sockets and signals."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.machine import within
from harness.server import at_rest, title, wait_until
from supervising import SupervisedServer, hear, watched

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc and at pidfds"),
    pytest.mark.timeout(60),
]

Start = Callable[..., SupervisedServer]


def test_it_announces_when_all_roles_are_ready_and_sets_titles(start: Start) -> None:
    server = start(workers=2, fronts=1)
    mold, front, worker = server.ready("front 0", "worker 1")
    assert [title(pid) for pid in (server.pid, mold, front, worker)] == [
        "poolctl: supervisor shop",
        "poolctl: mold shop (generation 1)",
        "poolctl: front shop 0",
        "poolctl: worker shop 1",
    ]


def test_it_announces_once_for_all_generations(start: Start) -> None:
    server = start(workers=1)
    mold, _ = server.ready("worker 0")
    os.kill(mold, signal.SIGKILL)
    server.up("worker 0")
    assert title(server.groups[1]) == "poolctl: mold shop (generation 2)"
    server.logged("generation 2 of shop is ready")
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    assert sum(event.startswith("serving") for event in server.events_to_the_end()) == 1


def test_a_killed_mold_refuses_no_client_and_its_roles_finish(start: Start) -> None:
    server = start(workers=2)
    mold, *workers = server.ready("worker 0", "worker 1")
    busy = server.ask("work 1")
    assert busy.recv(8) == b"working "
    refused: list[OSError] = []
    answers: list[str] = []
    over = threading.Event()

    def knock() -> None:
        while not over.is_set():
            try:
                answers.append(hear(server.ask("who"))[1])
            except OSError as error:
                refused.append(error)

    clients = threading.Thread(target=knock)
    clients.start()
    with watched(*workers) as gone:
        os.kill(mold, signal.SIGKILL)
        successors = {int(server.event("up worker").split()[-1]) for _ in range(2)}
        gone()
    over.set()
    clients.join()
    assert not refused
    assert int(hear(server.ask("who"))[1]) in successors
    assert len(answers) > 5
    assert int(hear(busy)[1]) in workers
    server.logged(
        rf"mold shop \(generation 1, pid {mold}\) was killed by SIGKILL after .*; starting the next generation now"
    )
    assert server.process.poll() is None


def test_nothing_outlives_a_killed_supervisor(start: Start) -> None:
    server = start(workers=2)
    with watched(*server.ready("worker 0", "worker 1")) as gone:
        server.process.kill()
        gone()


def test_nothing_outlives_a_killed_supervisor_even_if_it_is_stuck(start: Start) -> None:
    server = start(workers=2, drain=0.3)
    pids = server.ready("worker 0", "worker 1")
    assert server.ask("stick").recv(6) == b"stuck\n"
    with watched(*pids) as gone:
        server.process.kill()
        gone()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_finishes_accepted_clients_and_requests_in_flight(start: Start, number: signal.Signals) -> None:
    server = start(workers=2)
    server.ready()
    clients = [server.ask("work 0.2") for _ in range(8)]
    clients[0].recv(1)
    server.process.send_signal(number)
    assert server.wait() == 0
    assert all(len(hear(client)) >= 4 for client in clients)
    assert server.events_to_the_end()


def test_a_stopped_server_refuses_new_clients_and_serves_queued_ones(start: Start) -> None:
    server = start(workers=1)
    _, pid = server.ready("worker 0")
    busy = server.ask("work 0.5")
    assert busy.recv(8) == b"working "
    waiting = [server.ask("work 0.5"), server.ask("stick")]
    server.process.send_signal(signal.SIGTERM)
    assert len(hear(busy)) == 4
    assert waiting[0].recv(8) == b"working "  # who is the last that waited, but one
    assert waiting[1].recv(6) == b"stuck\n"  # so nobody waits any more, and the worker has no time for a newcomer
    wait_until(lambda: not listens(server.port), "the end of listening")
    with pytest.raises(ConnectionRefusedError):
        server.ask("who")
    os.kill(pid, signal.SIGKILL)
    assert server.wait() == 1


def listens(port: int) -> bool:
    """Whether a socket listens at this port of 127.0.0.1 (proc(5), /proc/net/tcp: state 0A)."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1] == f"0100007F:{port:04X}" and line.split()[3] == "0A" for line in lines)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_immediately(start: Start, number: signal.Signals, code: int) -> None:
    server = start(workers=1)
    pids = server.ready("worker 0")
    assert server.ask("stick").recv(6) == b"stuck\n"
    with watched(*pids) as gone:
        server.process.send_signal(signal.SIGTERM)
        server.event("close_for 1")
        began = time.monotonic()
        server.process.send_signal(number)
        assert server.wait() == code
        gone()
    assert time.monotonic() - began < within(3)


def test_a_signal_to_every_process_still_drains(start: Start) -> None:
    server = start(workers=2)
    mold, *_ = server.ready()
    busy = server.ask("work 0.5")
    assert busy.recv(8) == b"working "
    os.killpg(mold, signal.SIGTERM)
    os.killpg(mold, signal.SIGINT)
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    assert len(hear(busy)) == 4
    assert "again" not in server.log()


def test_signals_that_the_caller_blocked_arrive(start: Start) -> None:
    server = start(workers=1, hide=[signal.SIGTERM, signal.SIGINT, signal.SIGCHLD])
    server.ready()
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0


def test_a_stop_before_the_server_is_ready(start: Start) -> None:
    server = start(workers=1, slow=True)
    server.event("mold")
    server.process.send_signal(signal.SIGTERM)
    server.logged("SIGTERM: draining")
    wait_until(lambda: at_rest(server.pid), "the supervisor to have told the mold, or the app might be loaded first")
    socket.create_connection(("127.0.0.1", server.gate)).close()
    assert server.wait() == 0
    assert not any(event.startswith(("up", "serving")) for event in server.events_to_the_end())


def test_a_mold_that_takes_too_long_to_build_is_killed(start: Start) -> None:
    server = start(workers=1, slow=True, drain=0.2)
    server.event("mold")
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 1
    server.events_to_the_end()


def test_a_stop_waits_for_the_orphans_of_a_killed_mold(start: Start) -> None:
    server = start(workers=1)
    mold, worker = server.ready("worker 0")
    busy = server.ask("work 1")
    assert busy.recv(8) == b"working "
    os.kill(mold, signal.SIGKILL)
    server.up("worker 0")
    with watched(worker) as gone:
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        gone()
    assert len(hear(busy)) == 4


def test_stuck_orphans_are_killed_at_the_deadline(start: Start) -> None:
    server = start(workers=1, drain=0.3)
    mold, worker = server.ready("worker 0")
    assert server.ask("stick").recv(6) == b"stuck\n"
    with watched(worker) as gone:
        os.kill(mold, signal.SIGKILL)
        server.up("worker 0")
        gone()
    assert len(hear(server.ask("who"))) == 4


def test_a_mold_killed_during_a_stop(start: Start) -> None:
    server = start(workers=1)
    mold, worker = server.ready("worker 0")
    busy = server.ask("work 0.5")
    assert busy.recv(8) == b"working "
    server.process.send_signal(signal.SIGTERM)
    server.event("close_for 1")
    with watched(worker) as gone:
        os.kill(mold, signal.SIGKILL)
        assert server.wait() == 1
        gone()
    assert len(hear(busy)) == 4


def test_a_later_generation_that_fails_to_start_is_retried(start: Start, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    server = start(workers=1, broken=str(broken))
    mold, _ = server.ready("worker 0")
    broken.touch()
    os.kill(mold, signal.SIGKILL)
    server.logged("starting the next generation in 0.2 s")
    assert server.logged("generation 2 of shop failed to start: Traceback")
    broken.unlink()
    server.up("worker 0")
    assert len(hear(server.ask("who"))) == 4


def test_a_stop_between_two_generations(start: Start, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    server = start(workers=1, broken=str(broken))
    mold, _ = server.ready("worker 0")
    broken.touch()
    os.kill(mold, signal.SIGKILL)
    server.logged("starting the next generation in 1.6 s")
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    server.events_to_the_end()
    assert len(server.groups) == server.log().count("starting the next generation")  # the last one was not started


@pytest.mark.parametrize("options", [{"build": "raise"}, {"role": "raise"}, {"role": "raise", "workers": 4}])
def test_an_app_that_cannot_be_loaded_is_reported_once_with_its_traceback(
    start: Start, options: dict[str, object]
) -> None:
    server = start(**options)
    assert server.wait() == 3
    assert not any(event.startswith("serving") for event in server.events_to_the_end())
    assert server.log().startswith("shop starts\ncannot load the app:\nTraceback (most recent call last):\n")
    assert server.log().endswith("ValueError: no such table: shop\n")
    assert server.log().count("Traceback") == 1


@pytest.mark.parametrize("options", [{"build": "app-error"}, {"role": "app-error"}])
def test_an_error_that_the_user_can_fix_has_no_traceback(start: Start, options: dict[str, object]) -> None:
    server = start(**options)
    assert server.wait() == 3
    assert server.log() == "shop starts\ncannot import 'shop.wsgi': write app: {wsgi: package.module:callable}\n"


@pytest.mark.parametrize("options", [{"build": "exit"}, {"role": "exit"}])
def test_an_app_that_exits_when_it_is_loaded(start: Start, options: dict[str, object]) -> None:
    server = start(**options)
    assert server.wait() == 3
    assert "SystemExit: the app wants to leave" in server.log()


def test_a_huge_traceback_keeps_its_end(start: Start) -> None:
    server = start(role="huge")
    assert server.wait() == 3
    assert server.log().endswith(" the end of it\n")
    assert 90_000 < len(server.log()) < 110_000


@pytest.mark.parametrize("options", [{"build": "die"}, {"role": "die", "workers": 1}])
def test_an_app_that_keeps_ending_its_process_is_given_up(start: Start, options: dict[str, object]) -> None:
    server = start(**options)
    assert server.wait() == 3
    assert "cannot load the app:\n" in server.log()
    assert "exited with status 7; 5 " in server.log()


def test_a_failed_start_leaves_nothing_behind(start: Start) -> None:
    server = start(workers=2, fronts=1, role="raise")
    assert server.wait() == 3
    server.events_to_the_end()  # every process holds stdout and stderr, the front that is ready too
