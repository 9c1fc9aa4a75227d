"""Reloads that change only what running processes can take: no process starts, no connection ends, and the new values
count, in every design."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from harness.client import Client, clients, get
from harness.commands import poolctl
from harness.forms import half, short
from harness.load import Load
from harness.ports import quiet_port
from harness.server import Serve, Server, wait_until
from harness.shop import APP, OTHER

from poolctl.runtime.system.loaded_code import CLOCK_SECONDS

APPS = Path(__file__).parents[1] / "topologies" / "apps"
ASGI = {"asgi": "who:answer"}
HSHR, HSHA, LF, RP = "half-sync/half-reactive", "half-sync/half-async", "leader/followers", "reuse-port"
PROCESSES, THREADS = {"kind": "process", "size": 2}, {"kind": "thread", "size": 2}
BOTH = {"kind": "process", "size": 2, "threads": 2}


def design(pool: dict[str, Any], ownership: Any, dispatch: tuple[str, str] | None = None, app: Any = "demo") -> Any:
    """A topology, and the strategy that it has afterwards."""
    keys = {"app": app, "pool": pool, "ownership": ownership}
    if dispatch is None:
        return keys, None
    return {**keys, "dispatch": dispatch[0]}, dispatch[1]


DESIGNS = {
    "hshr-processes": design(PROCESSES, HSHR, ("round-robin", "random")),
    "hshr-queue": design(PROCESSES, HSHR),
    "hshr-threads": design(THREADS, HSHR, ("least-loaded", "round-robin")),
    "hshr-both": design(BOTH, HSHR, ("random", "least-loaded")),
    "hshr-asgi": design(PROCESSES, {"use": HSHR}, ("round-robin", "power-of-choices"), ASGI),
    "hsha-processes": design(PROCESSES, HSHA, ("least-loaded", "round-robin")),
    "hsha-turns": design(PROCESSES, {"use": HSHA, "accept": "worker"}, ("least-loaded", "random")),
    "hsha-threads": design(THREADS, HSHA, ("least-loaded", "round-robin")),
    "hsha-both": design(BOTH, HSHA, ("least-loaded", "round-robin")),
    "hsha-asgi": design(PROCESSES, HSHA, ("least-loaded", "round-robin"), ASGI),
    "lf-processes": design(PROCESSES, LF),
    "lf-threads": design(THREADS, LF),
    "lf-both": design(BOTH, LF),
    "lf-asgi": design(PROCESSES, LF, None, ASGI),
    "reuse-port": design(PROCESSES, RP, ("kernel-hash", "random")),
    "reuse-port-asgi": design(PROCESSES, RP, ("random", "kernel-hash"), ASGI),
    "process-per-connection": ({"app": "demo", "pool": "process-per-connection"}, None),
    "thread-per-connection": ({"app": "demo", "pool": "thread-per-connection"}, None),
}


LENDING = [name for name in DESIGNS if name.startswith("hshr")]


LASTING = ["hshr-processes", "lf-asgi", "reuse-port", "hsha-threads"]


MOVING = [name for name in DESIGNS if not name.endswith("connection")]


CHOOSING = ["hshr-processes", "hshr-both", "hshr-threads", "hshr-asgi", "hsha-processes"]


DRAINING = ["hshr-processes", "hshr-threads", "lf-both", "hsha-asgi", "process-per-connection"]


class Changing:
    """A server whose topology a test changes."""

    def __init__(self, serve: Serve, folder: Path, **keys: Any) -> None:
        self.name = f"h{uuid.uuid4().hex[:8]}"  # commands find the servers of other tests too
        self.folder = folder
        self.port = quiet_port()
        self.keys = {"name": self.name, "listen": f"tcp://127.0.0.1:{self.port}", "app": "demo", **keys}
        time.sleep(2 * CLOCK_SECONDS)  # or the code that a test has just written might be newer than what is loaded
        self.server: Server = serve(self.keys, path=APPS, tracebacks=True)
        (self.file,) = folder.glob("*.yaml")

    def write(self, **keys: Any) -> None:
        self.keys.update(keys)
        self.file.write_text(yaml.safe_dump(self.keys))

    def reload(self, *words: str) -> subprocess.CompletedProcess[str]:
        return poolctl("reload", self.name, *words, cwd=self.folder)

    def takes(self, count: int, **keys: Any) -> None:
        """Reload with these keys, of which running processes take all."""
        self.write(**keys)
        generation, before = self.server.status()["generation"], self.roles
        done = self.reload()
        assert done.returncode == 0, done
        applied = rf"{count} settings? applied to generation {generation} \(\d+\.\d s\)$"
        assert re.search(applied, done.stdout), done.stdout
        wait_until(lambda: self.roles == before, "the end of the process that read the file, and of no other")

    def renews(self, **keys: Any) -> str:
        """Reload with these keys, for which a generation starts. Returns what the command prints."""
        self.write(**keys)
        generation = self.server.status()["generation"] + 1
        done = self.reload()
        assert done.returncode == 0, done
        assert f"reloaded: generation {generation} serves (" in done.stdout
        return done.stdout

    def closes(self, count: int, seconds: float) -> set[int]:
        """So many new connections end when they have been idle for these seconds, which is long before they did at
        first. Returns the processes that have answered."""
        with clients(self.port, count) as several:
            found = set()
            for client in several:
                found.add(client.get().process)
            began = time.monotonic()
            for client in several:
                assert client.at_end()
            assert time.monotonic() - began >= seconds
        return found

    @property
    def roles(self) -> list[int]:
        """The pids of the supervisor, the mold, and its roles; not those of the processes that these fork."""
        below = [self.server.pid]
        for _ in range(2):
            below += [child for pid in below for child in children(pid) if child not in below]
        return sorted(below)

    @property
    def workers(self) -> list[int]:
        return self.server.pids("worker") or self.server.pids("threads")


def children(pid: int) -> list[int]:
    """The processes that a process has forked."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def begin(serve: Serve, folder: Path, name: str, **more: Any) -> tuple[Changing, dict[str, Any]]:
    keys, dispatch = DESIGNS[name]
    changing = Changing(serve, folder, **{"timeouts": {"idle": "1h", "drain": "20s"}, **keys, **more})
    return changing, {} if dispatch is None else {"dispatch": dispatch}


@pytest.mark.parametrize("name", short(DESIGNS, half(DESIGNS)[::2]))
def test_values_change_under_load(serve: Serve, tmp_path: Path, name: str) -> None:
    changing, dispatch = begin(serve, tmp_path, name)
    before = set(changing.workers)
    with Client(changing.port) as idle, Client(changing.port) as kept:
        assert idle.get().status == kept.get().status == 200
        with Load(changing.port, idle=0) as load:
            limits = {"connections": 500, "waiting": 400, "body_rate": 300}
            changing.takes(5 + len(dispatch), limits=limits, timeouts={"idle": "0.8s", "drain": "5s"}, **dispatch)
            load.goes_on()
        assert load.failures == []
        assert kept.get().status == 200
        if name != "process-per-connection":  # whose processes end with their client
            began = time.monotonic()
            assert kept.at_end()
            assert time.monotonic() - began >= 0.7
        assert idle.get().status == 200  # a wait that began before has its time
    changing.closes(2, 0.7)
    shown = changing.server.status()["assembly"]
    assert not dispatch or f"dispatch {dispatch['dispatch']}" in shown
    if before:
        os.kill(changing.workers[0], signal.SIGKILL)
        successors = wait_until(lambda: set(changing.workers) - before, "its successor")
        wait_until(lambda: changing.closes(8, 0.7) & successors, "a response of the successor")
    assert changing.server.stop() == 0
    assert "draining for up to 5 s" in changing.server.log


@pytest.mark.parametrize("name", short(LASTING, half(LASTING)[::2]))
def test_a_wait_keeps_its_time_however_many_changes_follow(serve: Serve, tmp_path: Path, name: str) -> None:
    changing, _ = begin(serve, tmp_path, name)
    with Client(changing.port) as idle:
        assert idle.get().status == 200
        time.sleep(1)  # a front may notice only at its next look that a worker has answered
        for number in range(6):
            changing.takes(1, timeouts={"idle": f"{0.8 - number / 100}s", "drain": "20s"})
            changing.takes(1, limits={"waiting": 100 + number})
        changing.closes(2, 0.7)
        assert idle.get().status == 200


PLUGIN = """
from dataclasses import dataclass
from pathlib import Path
from poolctl.plugin import Dispatch

@dataclass
class Last(Dispatch):
    number: int = -1
    fails: bool = False

    def __post_init__(self):
        if self.fails and b"poolctl: front" in Path("/proc/self/cmdline").read_bytes():
            raise ValueError("not in a front")

    def pick(self, task, inboxes):
        return inboxes[self.number]
"""


@pytest.mark.parametrize("name", short(CHOOSING, half(CHOOSING)[::2]))
def test_a_plugin_chooses_from_now_on(serve: Serve, tmp_path: Path, name: str) -> None:
    """And a front that is killed, or another worker, changes nothing in that."""
    keys, _ = DESIGNS[name]
    changing = Changing(serve, tmp_path, **{**keys, "dispatch": "round-robin", "timeouts": {"idle": "1h"}})

    def answered() -> set[str]:
        found = set()
        for _ in range(6):
            found.add(get(changing.port).worker.partition(".")[0])
        return found

    assert len(answered()) == 2
    (tmp_path / "mine.py").write_text(PLUGIN)
    with Client(changing.port) as kept:
        assert kept.get().status == 200
        changing.takes(1, dispatch={"use": "./mine.py:Last"})
        assert len(found := answered()) == 1
        changing.takes(1, dispatch={"use": "./mine.py:Last", "number": 0})
        assert len(answered()) == 1
        assert answered() != found
        assert kept.get().status == 200
    for front in changing.server.pids("front"):
        os.kill(front, signal.SIGKILL)
        wait_until(lambda: (pids := changing.server.pids("front")) and front not in pids, "another front")  # noqa: B023
        wait_until(lambda: changing.server.status()["workers"], "its status")
        wait_until(lambda: serves(changing.port), "a front that serves")
        assert len(answered()) == 1
        assert answered() != found
    changing.takes(2, dispatch="round-robin")
    assert len(answered()) == 2


def serves(port: int) -> bool:
    try:
        return get(port).status == 200
    except (OSError, EOFError):
        return False


def test_a_plugin_that_fails_in_the_front_takes_a_generation(serve: Serve, tmp_path: Path) -> None:
    """The processes that run keep all of their values, and another generation has the new ones."""
    (tmp_path / "mine.py").write_text(PLUGIN)
    changing = Changing(serve, tmp_path, pool=PROCESSES, ownership=HSHR, dispatch="round-robin")
    with Client(changing.port) as kept:
        assert kept.get().status == 200
        done = changing.renews(dispatch={"use": "./mine.py:Last", "fails": True}, timeouts={"idle": "50m"})
        assert re.search(r"not applied .*front .*ValueError: not in a front.*so a new generation is needed", done)
        assert kept.get().status == 200
    assert len({get(changing.port).worker for _ in range(6)}) == 1


@pytest.mark.parametrize("app", ["demo", ASGI])
def test_the_kernel_chooses_in_another_way(serve: Serve, tmp_path: Path, app: Any) -> None:
    changing = Changing(serve, tmp_path, app=app, pool=PROCESSES, ownership=RP)

    def answered() -> set[int]:
        return {get(changing.port).process for _ in range(40)}

    assert len(answered()) == 2
    changing.takes(1, dispatch="client")
    assert len(answered()) == 1
    changing.takes(1, dispatch="kernel-hash")
    assert len(answered()) == 2
    changing.renews(dispatch="client", timeouts={"request": "1h"})
    assert len(answered()) == 1


@pytest.mark.parametrize("name", short(DESIGNS, half(DESIGNS, 1)[::2]))
def test_the_limit_on_connections_changes(serve: Serve, tmp_path: Path, name: str) -> None:
    """Connections that are open stay when it is lowered, and newcomers find room when it is raised."""
    changing, _ = begin(serve, tmp_path, name)
    with clients(changing.port, 6) as several:
        for client in several:
            assert client.get().status == 200
        changing.takes(1, limits={"connections": 2})
        with clients(changing.port, 3) as others:  # a worker may have had none, and then takes its share of one
            for client in others:
                client.ask()
            assert 503 in [client.answer().status for client in others]
        for client in several:
            assert client.get().status == 200
        changing.takes(1, limits={"connections": 4000})
        assert get(changing.port).status == 200


@pytest.mark.parametrize("name", short(MOVING, half(MOVING)[::2]))
def test_connections_beyond_a_lowered_limit_move_too(serve: Serve, tmp_path: Path, name: str) -> None:
    changing, _ = begin(serve, tmp_path, name)
    with clients(changing.port, 6) as several:
        for client in several:
            assert client.get().status == 200
        changing.takes(1, limits={"connections": 1})
        for words in (["reload"], ["recycle"]):
            assert poolctl(*words, changing.name, cwd=tmp_path).returncode == 0
            for client in several:
                client.ask()
            assert [client.answer().status for client in several] == [200] * 6


@pytest.mark.parametrize("name", short(LENDING, half(LENDING)[::2]))
def test_the_limit_on_waiting_tasks_changes(serve: Serve, tmp_path: Path, name: str) -> None:
    changing, _ = begin(serve, tmp_path, name)

    def refused() -> int:
        with clients(changing.port, 24) as many:
            for client in many:
                client.ask("/sleep?seconds=0.1")
            return [client.answer().status for client in many].count(503)

    assert refused() == 0
    changing.takes(1, limits={"waiting": 2})
    assert refused() >= 12
    changing.takes(1, limits={"waiting": 1000})
    assert refused() == 0


@pytest.mark.parametrize("app", [{"asgi": "slow_answer:app"}, pytest.param("demo", marks=pytest.mark.slow)])
def test_the_time_of_requests_changes(serve: Serve, tmp_path: Path, app: Any) -> None:
    """One that is in flight has what it began with. Those of async apps are looked at twice a second, so the first ones
    may have it too."""
    (tmp_path / "slow_answer.py").write_text(SLOW)
    changing = Changing(serve, tmp_path, app=app, pool=BOTH if app == "demo" else PROCESSES, timeouts={"request": "1h"})
    with Client(changing.port) as before:
        before.ask("/sleep?seconds=8")
        wait_until(lambda: changing.server.status()["in_flight"], "a request in flight")
        changing.takes(1, timeouts={"request": "1s"})
        wait_until(lambda: get(changing.port, "/sleep?seconds=3").status == 504, "a request that takes too long")
        assert before.answer().status == 200
    changing.renews(timeouts={"request": "off"})


SLOW = """
import asyncio
async def app(scope, receive, send):
    if scope["type"] == "http":
        await asyncio.sleep(float(scope["query_string"].partition(b"=")[2] or b"0"))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
"""


def test_the_mold_takes_its_own_values(serve: Serve, tmp_path: Path) -> None:
    """When workers are replaced, and how the pool shrinks."""
    changing = Changing(serve, tmp_path, pool={"kind": "process", "size": {"min": 1, "max": 3}}, ownership=HSHR)
    changing.takes(2, recycle={"requests": 5, "least": 0})
    (first,) = changing.workers
    for _ in range(8):
        assert get(changing.port).status == 200
    wait_until(lambda: changing.workers and first not in changing.workers, "a replacement")
    wait_until(lambda: changing.server.status()["pool"]["leaving"] == 0, "the end of the old worker")
    changing.takes(2, recycle={"requests": None, "least": 0}, scale={"idle": "1h"})
    with clients(changing.port, 4) as several:
        for client in several:
            client.ask("/sleep?seconds=1")
        wait_until(lambda: changing.server.status()["pool"]["size"] > 1, "a pool that grows")
        for client in several:
            assert client.answer().status == 200
    changing.takes(1, scale={"idle": "1s"})
    wait_until(lambda: changing.server.status()["pool"]["size"] == 1, "a pool that shrinks")


def test_the_next_generation_has_the_values(serve: Serve, tmp_path: Path) -> None:
    changing = Changing(serve, tmp_path, pool=PROCESSES, timeouts={"idle": "1h"})
    changing.takes(1, timeouts={"idle": "0.8s"})
    (mold,) = changing.server.pids("mold")
    os.kill(mold, signal.SIGKILL)
    wait_until(lambda: changing.server.pids("mold") not in ([], [mold]), "another mold")
    wait_until(lambda: changing.server.status()["state"] == "running", "the next generation")
    changing.closes(4, 0.7)


def test_a_key_that_takes_a_generation_takes_all_others_along(serve: Serve, tmp_path: Path) -> None:
    changing = Changing(serve, tmp_path, pool=PROCESSES, timeouts={"idle": "1h"})
    done = changing.renews(pool={"kind": "process", "size": 3}, timeouts={"idle": "0.8s"})
    assert "hot:" in done
    assert "generation:" in done
    changing.closes(2, 0.7)


def test_a_dry_run_and_a_comparison_say_what_is_hot(serve: Serve, tmp_path: Path) -> None:
    changing = Changing(serve, tmp_path, pool=PROCESSES)
    before = changing.roles
    old = tmp_path / "old.yml"
    old.write_text(changing.file.read_text())
    changing.write(timeouts={"idle": "7s"}, limits={"waiting": 7})
    done = changing.reload("--dry-run")
    assert done.returncode == 0
    assert done.stdout.count("    hot: ") == 2
    assert "generation" not in done.stdout
    compared = poolctl("diff", str(old), str(changing.file), cwd=tmp_path)
    assert compared.stdout.endswith("A running server could apply this without starting new processes.\n")
    assert changing.roles == before
    assert changing.server.status()["generation"] == 1


@pytest.mark.parametrize("name", LENDING)
def test_the_bound_of_an_overload_changes(serve: Serve, tmp_path: Path, name: str) -> None:
    """What it does is in tests/topologies/test_overload.py."""
    changing = Changing(serve, tmp_path, **DESIGNS[name][0], overload="off")
    changing.takes(1, overload={"target": "2s"})
    changing.takes(2, overload={"target": "3s", "order": "oldest"})
    changing.takes(2, overload="off")
    with clients(changing.port, 3) as several:
        for client in several:
            client.get()


@pytest.mark.parametrize("preload", [False, True])
def test_changed_code_takes_a_generation(serve: Serve, tmp_path: Path, preload: bool) -> None:
    """Old code with new values would be neither what was nor what is asked for."""
    (tmp_path / "shop.py").write_text(APP)
    changing = Changing(serve, tmp_path, app={"wsgi": "shop:app"}, pool=PROCESSES, preload=preload)
    changing.takes(1, timeouts={"idle": "7s"})
    (tmp_path / "shop.py").write_text(OTHER)
    assert "shop.py has changed since it was loaded" in changing.renews(timeouts={"idle": "8s"})
    assert get(changing.port).body == b"other"
    changing.takes(1, timeouts={"idle": "9s"})


def test_a_release_that_a_link_names_takes_a_generation(serve: Serve, tmp_path: Path) -> None:
    """Its files may be older than the server, as when a deployment is taken back."""
    for name, code in (("one", APP), ("other", OTHER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shop.py").write_text(code)
    (tmp_path / "current").symlink_to("one")
    path = str(tmp_path / "current")
    changing = Changing(serve, tmp_path, app={"wsgi": "shop:app"}, pool=PROCESSES, environment={"PYTHONPATH": path})
    changing.takes(1, timeouts={"idle": "7s"})
    (tmp_path / "next").symlink_to("other")
    (tmp_path / "next").rename(tmp_path / "current")
    changing.renews(timeouts={"idle": "8s"})
    assert get(changing.port).body == b"other"


def test_a_module_that_becomes_a_package_takes_a_generation(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    changing = Changing(serve, tmp_path, app={"wsgi": "shop:app"}, pool=PROCESSES)
    (tmp_path / "shop.py").unlink()
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text(OTHER)
    changing.renews(timeouts={"idle": "8s"})
    assert get(changing.port).body == b"other"


def test_a_renewed_certificate_takes_a_generation(serve: Serve, tmp_path: Path) -> None:
    files = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    authority = trustme.CA()

    def renew() -> None:
        made = authority.issue_cert("localhost")
        made.cert_chain_pems[0].write_to_path(files["certificate"])
        made.private_key_pem.write_to_path(files["key"])

    renew()
    changing = Changing(serve, tmp_path, pool=PROCESSES)
    changing.renews(listen={"at": f"tcp://127.0.0.1:{changing.port}", "tls": files})
    changing.takes(1, timeouts={"idle": "7s"})
    renew()
    assert "read at a start has changed too" in changing.renews(timeouts={"idle": "8s"})


def test_a_process_that_does_not_answer_takes_a_generation(serve: Serve, tmp_path: Path) -> None:
    changing = Changing(serve, tmp_path, pool=PROCESSES, timeouts={"idle": "1h", "drain": "1s"})
    stopped = changing.workers[0]
    os.kill(stopped, signal.SIGSTOP)
    done = changing.renews(timeouts={"idle": "0.8s", "drain": "1s"})
    assert f"(pid {stopped}) did not prepare the new values within 5 s), so a new generation is needed" in done
    changing.closes(4, 0.7)


@pytest.mark.slow
def test_a_mold_that_does_not_answer_is_replaced(serve: Serve, tmp_path: Path) -> None:
    changing = Changing(serve, tmp_path, pool=PROCESSES, timeouts={"idle": "1h", "drain": "1s"})
    (mold,) = changing.server.pids("mold")
    os.kill(mold, signal.SIGSTOP)
    assert "the mold did not answer within 6 s" in changing.renews(timeouts={"idle": "0.8s", "drain": "1s"})
    changing.closes(4, 0.7)


def test_the_events_say_what_was_applied(serve: Serve, tmp_path: Path) -> None:
    changing = Changing(serve, tmp_path, pool=PROCESSES)
    changing.takes(1, timeouts={"idle": "7s"})
    shown = poolctl("events", changing.name, "--format", "json", cwd=tmp_path)
    found = [json.loads(line) for line in shown.stdout.splitlines()]
    (event,) = [each for each in found if each["kind"] == "values-changed"]
    assert (event["text"], event["generation"]) == ("1 setting applied to generation 1", 1)


def test_a_hangup_changes_values_too(serve: Serve, tmp_path: Path) -> None:
    changing = Changing(serve, tmp_path, pool=PROCESSES)
    before = changing.roles
    changing.write(timeouts={"idle": "7s"})
    changing.server.signal(signal.SIGHUP)
    changing.server.wait_for_log(r"1 setting applied to generation 1\b")
    wait_until(lambda: changing.roles == before, "the end of the process that read the file")


PATCHED = (
    """
from gevent import monkey
monkey.patch_all()
"""
    + APP
)


@pytest.mark.parametrize("name", short(["hshr-both", "hsha-threads", "lf-processes"], ["hsha-threads"]))
def test_an_app_that_patches_the_library_changes_nothing(serve: Serve, tmp_path: Path, name: str) -> None:
    (tmp_path / "shop.py").write_text(PATCHED)
    changing, dispatch = begin(serve, tmp_path, name, app={"wsgi": "shop:app"})
    with Load(changing.port, idle=0) as load:
        changing.takes(1 + len(dispatch), timeouts={"idle": "0.8s", "drain": "20s"}, **dispatch)
        load.goes_on()
    assert load.failures == []
    with Client(changing.port) as client:
        assert client.get().body == b"one"
        assert client.at_end()


def test_workers_that_an_operator_has_chosen_stay(serve: Serve, tmp_path: Path) -> None:
    """If they are of the same generation; another one begins with those of the file."""
    changing = Changing(serve, tmp_path, pool=PROCESSES, ownership=HSHR)
    assert poolctl("scale", changing.name, "3", cwd=tmp_path).returncode == 0
    changing.takes(1, timeouts={"idle": "7s"})
    assert len(changing.workers) == 3
    assert poolctl("scale", changing.name, "7", cwd=tmp_path).returncode == 0
    assert changing.server.status()["generation"] == 2
    assert "not that of the file" in changing.renews(timeouts={"idle": "8s"})
    assert len(changing.workers) == 2


@pytest.mark.parametrize("name", short(DRAINING, half(DRAINING, 1)[::2]))
def test_a_drain_has_the_new_time(serve: Serve, tmp_path: Path, name: str) -> None:
    """In the roles too, which end by themselves when their mold is dead."""
    changing, _ = begin(serve, tmp_path, name)
    changing.takes(1, timeouts={"idle": "1h", "drain": "1s"})
    with Client(changing.port) as client:
        client.ask("/sleep?seconds=30")
        wait_until(lambda: changing.server.status()["in_flight"], "a request in flight")
        (mold,) = changing.server.pids("mold")
        os.kill(mold, signal.SIGKILL)
        assert client.until_end() == b""
        changing.server.wait_for_log("still busy 1 s after the stop")


def test_many_changes_under_load_leave_nothing_behind(serve: Serve, tmp_path: Path) -> None:
    changing = Changing(serve, tmp_path, pool=BOTH, ownership=HSHR, dispatch="random", timeouts={"idle": "1h"})

    def descriptors() -> dict[int, int]:
        return {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in changing.roles}

    changing.takes(1, timeouts={"idle": "1000s"})
    assert get(changing.port).status == 200
    before = descriptors()
    with Load(changing.port) as load:
        for number in range(8):
            dispatch = ("round-robin", "least-loaded")[number % 2]
            changing.takes(2, timeouts={"idle": f"{900 - number}s"}, dispatch=dispatch)
        load.goes_on()
    assert load.failures == []
    wait_until(lambda: all(count <= before[pid] for pid, count in descriptors().items()), "the descriptors of before")
