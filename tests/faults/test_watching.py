"""`poolctl run --watch` with real servers and edits of real files."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from harness.client import Client, Response, get
from harness.commands import poolctl
from harness.ports import quiet_port
from harness.server import Server, alive, wait_until

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"first"]
"""
ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first"})
"""
BROKEN = "text = '<b>&amp;</b>' +\n"
# those of a browser: with Sec-Fetch-Mode, or without it if the server is on another host
NAVIGATES = ("Accept: text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode: navigate")
OLDER = NAVIGATES[:1]
FETCHES = ("Accept: text/html", "Sec-Fetch-Mode: cors")


class Watched:
    """A server in development, and its folder."""

    def __init__(self, folder: Path, *, code: str = WSGI, app: str = "wsgi", events: bool = False, **keys: Any) -> None:
        self.folder = folder
        self.name = f"w{uuid.uuid4().hex[:8]}"
        self.keys: dict[str, Any] = {
            "name": self.name,
            "app": {app: "shop:app"},
            "listen": f"tcp://127.0.0.1:{quiet_port()}",
            "pool": {"kind": "process", "size": 2},
        }
        self.write("shop.py", code)
        without = folder.parent / "without"
        without.mkdir(exist_ok=True)
        (without / "watchfiles.py").write_text("raise ImportError('not installed')\n")
        path = {} if events else {"path": without}
        self.keys.update(keys)
        writes = {"PYTHONDONTWRITEBYTECODE": ""}  # whatever the environment of the tests says
        self.server = Server(self.keys, folder, tracebacks=True, words=("--watch",), environment=writes, **path)  # type: ignore[arg-type]
        (self.file,) = folder.glob("*.yaml")
        self.log = self.server.wait_for_log

    def write(self, name: str, text: str) -> None:
        """Save a file, as most editors do: a new file takes the place of the old one."""
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / f"{name}~").write_text(text)
        (self.folder / f"{name}~").replace(self.folder / name)

    def topology(self, **keys: Any) -> None:
        self.keys.update(keys)
        self.write(self.file.name, yaml.safe_dump(self.keys))

    def reloads(self, generation: int) -> None:
        """Wait until a generation serves after a reload."""
        self.log(rf"reloaded: generation {generation} serves \((.*, )?[0-9.]+ s\)")

    def asked(self, *headers: str, method: str = "GET") -> Response:
        with Client(self.server.port) as client:
            client.ask("/", method=method, close=True, headers=headers)
            return client.answer(head=method == "HEAD")

    @property
    def body(self) -> bytes:
        return get(self.server.port).body

    @property
    def watcher(self) -> int:
        """The pid of its watcher."""
        (pid,) = self.server.pids("watcher")
        return pid


Begin = Callable[..., Watched]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start a server in a folder of its own; it need not become ready."""
    folder = tmp_path / "shop"
    folder.mkdir()
    with ExitStack() as stack:

        def start(**options: Any) -> Watched:
            shop = Watched(folder, **options)
            stack.enter_context(shop.server)
            shop.log("watching [0-9]+ files in ")
            return shop

        yield start


def edited(code: str, word: str) -> str:
    """The code with another word of five letters in its answer."""
    return code.replace("first", word)


@pytest.mark.parametrize("events", [False, True], ids=["looking", "watchfiles"])
@pytest.mark.parametrize("preload", [False, True])
def test_saved_code_is_served(begin: Begin, events: bool, preload: bool) -> None:
    shop = begin(events=events, preload=preload)
    shop.server.ready()
    shop.write("shop.py", edited(WSGI, "other"))
    shop.log(r"info  shop\.py changed: reloading")
    shop.reloads(2)
    assert shop.body == b"other"
    assert ("with watchfiles" in shop.server.log) == events
    (shop.folder / "shop.py").write_text(edited(WSGI, "third"))  # in place, as other editors do
    shop.reloads(3)
    assert shop.body == b"third"
    assert shop.server.stop() == 0


@pytest.mark.parametrize("events", [False, True], ids=["looking", "watchfiles"])
def test_new_folders_are_watched(begin: Begin, events: bool) -> None:
    shop = begin(events=events)
    shop.server.ready()
    shop.write("prices/tax.py", "RATE = 1\n")
    shop.log(r"prices/tax\.py changed: reloading")
    shop.reloads(2)
    shop.write("prices/tax.py", "RATE = 2\n")
    shop.reloads(3)
    shop.write(".env", "RATE=3\n")
    shop.log(r"\.env changed: reloading")
    shop.reloads(4)


@pytest.mark.parametrize(("app", "code"), [("wsgi", WSGI), ("asgi", ASGI)])
def test_a_syntax_error_leaves_the_old_code_and_browsers_see_it(begin: Begin, app: str, code: str) -> None:
    shop = begin(app=app, code=code)
    shop.server.ready()
    assert shop.asked(*NAVIGATES).body == b"first"
    shop.write("shop.py", BROKEN)
    shop.log(r"error shop\.py changed: not reloaded \(after [0-9.]+ s\); generation 1 still serves")
    shop.log(r'File ".*shop\.py", line 1\n')
    shop.log("SyntaxError: invalid syntax\n")
    page = shop.asked(*NAVIGATES)
    assert (page.status, page.headers["cache-control"]) == (500, "no-store")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    text = page.body.decode()
    assert "<h1>shop.py changed: not reloaded</h1>" in text
    assert "Generation 1 still serves" in text
    assert "text = &#x27;&lt;b&gt;&amp;amp;&lt;/b&gt;&#x27; +" in text
    assert "SyntaxError: invalid syntax" in text
    assert "src=" not in text
    assert "href=" not in text
    assert shop.asked(*OLDER).body == page.body
    others = [shop.asked(), shop.asked(*FETCHES), shop.asked(*NAVIGATES, method="POST")]
    assert [each.body for each in others] == [b"first"] * 3
    token = page.headers["poolctl-refused"]
    assert shop.asked(*NAVIGATES, f"Cookie: a=b; poolctl-refused={token}").body == b"first"
    assert shop.asked(f"poolctl-refused: {token}", method="HEAD").headers["poolctl-refused"] == token
    shop.write("shop.py", edited(code, "fixed"))
    shop.reloads(3)
    assert shop.asked(*NAVIGATES).body == b"fixed"
    assert "poolctl-refused" not in shop.asked(f"poolctl-refused: {token}", method="HEAD").headers


def test_another_refusal_is_shown_to_those_who_wanted_the_app(begin: Begin) -> None:
    shop = begin()
    shop.server.ready()
    shop.write("shop.py", BROKEN)
    shop.log("still serves")
    skips = f"Cookie: poolctl-refused={shop.asked(*NAVIGATES).headers['poolctl-refused']}"
    assert shop.asked(*NAVIGATES, skips).status == 200
    shop.write("shop.py", "import nothing_of_that_name\n")
    shop.log("still serves", 2)
    assert b"nothing_of_that_name" in shop.asked(*NAVIGATES, skips).body


@pytest.mark.parametrize("events", [False, True], ids=["looking", "watchfiles"])
def test_a_change_of_the_topology_is_applied_or_refused(begin: Begin, events: bool) -> None:
    shop = begin(events=events)
    shop.server.ready()
    shop.topology(pool={"kind": "process", "size": 3})
    shop.log(r"\.yaml changed: reloading")
    shop.reloads(2)
    assert len(shop.server.pids("worker")) == 3
    shop.topology(pool={"kind": "process", "size": 0})
    shop.log(r"\.yaml changed: not reloaded .*generation 2 still serves")
    assert b"pool.size" in shop.asked(*NAVIGATES).body
    shop.topology(pool={"kind": "process", "size": 1})
    shop.reloads(3)
    assert shop.asked(*NAVIGATES).body == b"first"


def test_the_topology_says_which_files_are_watched(begin: Begin) -> None:
    shop = begin()
    shop.server.ready()
    issued = trustme.CA().issue_cert("localhost")
    pem = shop.folder.parent / "cert.pem"
    pem.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    tls = {"certificate": str(pem), "key": str(pem)}
    shop.topology(listen={"at": shop.keys["listen"], "tls": tls})
    shop.reloads(2)
    shop.log("watching [0-9]+ files in ", 2)
    issued.private_key_and_cert_chain_pem.write_to_path(str(pem))
    shop.log(r"cert\.pem changed: reloading")
    shop.reloads(3)


def test_files_saved_at_once_are_one_reload(begin: Begin) -> None:
    shop = begin()
    shop.server.ready()
    os.kill(shop.watcher, signal.SIGSTOP)  # it must not look before all are saved, however slow this is
    for number in range(5):
        shop.write(f"part{number}.py", "x = 1\n")
    os.kill(shop.watcher, signal.SIGCONT)
    shop.log(r"part0\.py, part1\.py and 3 more changed: reloading")
    shop.reloads(2)
    shop.write("shop.py", edited(WSGI, "other"))
    shop.reloads(3)
    assert shop.server.log.count("changed: reloading") == 2


def test_a_change_during_a_reload_is_not_waited_for(begin: Begin) -> None:
    shop = begin()
    shop.server.ready()
    shop.write("shop.py", "import time\nopen('began', 'w').close()\ntime.sleep(1000)\n")
    wait_until((shop.folder / "began").exists, "the import")
    shop.write("shop.py", edited(WSGI, "other"))
    shop.reloads(3)
    assert shop.body == b"other"
    wait_until(lambda: len(shop.server.pids("mold")) == 1, "the end of what hung")
    assert "not reloaded" not in shop.server.log
    assert shop.server.stop() == 0


def test_a_change_while_old_workers_drain_is_applied_after_that(begin: Begin) -> None:
    slow = "import time\n" + WSGI.replace("    start_response", "    time.sleep(1000)\n    start_response")
    shop = begin(code=slow)
    shop.server.ready()
    with Client(shop.server.port) as client:
        client.ask()
        shop.server.wait_until_busy()
        shop.write("shop.py", edited(WSGI, "other"))
        shop.reloads(2)
        assert shop.body == b"other"
        shop.write("shop.py", edited(WSGI, "third"))
        shop.reloads(3)
        assert shop.body == b"third"
    wait_until(lambda: len(shop.server.pids("mold")) == 1, "the end of the slow request")


@pytest.mark.parametrize("preload", [False, True])
def test_edits_of_one_second_and_one_length_are_seen(begin: Begin, preload: bool) -> None:
    """Bytecode has only these two to tell its source from another."""
    shop = begin(preload=preload)
    shop.server.ready()
    second = time.time_ns() // 10**9 * 10**9
    for number, word in enumerate(("other", "third", "again")):
        shop.write("new.py", edited(WSGI, word))
        os.utime(shop.folder / "new.py", ns=(second + number, second + number))
        shop.write("shop.py", f"from new import app\nNUMBER = {number}\n")
        os.utime(shop.folder / "shop.py", ns=(second + number, second + number))
        wait_until(lambda word=word: shop.body == word.encode(), f"{word} to be served")  # type: ignore[misc]


def test_a_watcher_that_dies_is_replaced_and_misses_nothing(begin: Begin) -> None:
    shop = begin()
    shop.server.ready()
    first = shop.watcher
    os.kill(first, signal.SIGSTOP)
    shop.write("shop.py", edited(WSGI, "other"))
    os.kill(first, signal.SIGKILL)
    shop.log(rf"warn  the watcher \(pid {first}\) was killed by SIGKILL; restarting now")
    shop.reloads(2)
    assert shop.body == b"other"
    assert shop.watcher != first
    os.kill(shop.watcher, signal.SIGKILL)
    shop.log("the watcher .* was killed", 2)
    shop.log("watching [0-9]+ files", 3)
    shop.write("shop.py", edited(WSGI, "third"))
    shop.reloads(3)
    assert shop.body == b"third"


def test_nothing_is_left_of_changes_and_dead_watchers(begin: Begin) -> None:
    shop = begin()
    shop.server.ready()

    def held() -> tuple[int, int]:
        wait_until(lambda: len(shop.server.pids("mold")) == 1, "the end of earlier molds")
        return len(os.listdir(f"/proc/{shop.server.pid}/fd")), len(shop.server.tree())

    before = held()
    for number in range(4):
        shop.write("shop.py", BROKEN)
        shop.log("not reloaded .* still serves", number + 1)
        shop.write("shop.py", WSGI)
        shop.reloads(2 * number + 3)
        os.kill(shop.watcher, signal.SIGKILL)
        shop.log("watching [0-9]+ files", number + 2)
    assert held() == before
    assert shop.server.stop() == 0


@pytest.mark.parametrize("preload", [False, True])
def test_a_first_start_that_fails_waits_for_a_change(begin: Begin, preload: bool) -> None:
    shop = begin(code=BROKEN, preload=preload)
    shop.log("SyntaxError: invalid syntax\n")
    shop.log(f"{shop.name} cannot start; waiting for a change")
    shown = poolctl("status", shop.name, cwd=shop.folder)
    assert f"{shop.name} (pid {shop.server.pid}): waiting for a change" in shown.stdout
    shop.write("shop.py", "import nothing_of_that_name\n")
    shop.log(r"shop\.py changed: starting")
    shop.log(r"shop\.py changed: cannot start \(after [0-9.]+ s\); waiting for another change\n")
    shop.log("ModuleNotFoundError: No module named 'nothing_of_that_name'\n")
    shop.topology(pool={"kind": "process", "size": 1})
    shop.log("waiting for another change\n", 2)
    assert poolctl("reload", shop.name, cwd=shop.folder).returncode == 1
    with Client(int(shop.keys["listen"].rpartition(":")[2])) as early:
        early.ask()
        shop.write("shop.py", WSGI)
        assert early.answer().body == b"first"
    shop.server.ready()
    assert len(shop.server.pids("worker")) == 1
    shop.write("shop.py", edited(WSGI, "other"))
    shop.log(r"shop\.py changed: reloading")
    wait_until(lambda: shop.body == b"other", "the other code")
    assert shop.server.stop() == 0


def test_a_first_start_that_hangs_does_not_keep_the_next_one_waiting(begin: Begin) -> None:
    shop = begin(code="import time\nopen('began', 'w').close()\ntime.sleep(1000)\n", preload=True)
    wait_until((shop.folder / "began").exists, "the import")
    shop.write("shop.py", WSGI)
    shop.log(r"shop\.py changed: starting")
    shop.server.ready()
    assert shop.body == b"first"
    assert shop.server.stop() == 0


def test_a_mold_that_dies_after_a_failed_first_start_is_replaced(begin: Begin) -> None:
    shop = begin(code=BROKEN)
    shop.log("waiting for a change")
    shop.write("shop.py", WSGI)
    shop.server.ready()
    (mold,) = shop.server.pids("mold")
    os.kill(mold, signal.SIGKILL)
    shop.log(r"starting the next generation now")
    wait_until(lambda: mold not in shop.server.pids("mold") and shop.body == b"first", "the next generation")


@pytest.mark.parametrize("code", [WSGI, BROKEN], ids=["serving", "waiting"])
def test_a_stop_waits_for_nothing_idle_and_leaves_nothing(begin: Begin, code: str) -> None:
    shop = begin(code=code)
    shop.log("serves on|waiting for a change")
    tree = shop.server.tree()
    with ExitStack() as stack:
        if code is WSGI:
            assert stack.enter_context(Client(shop.server.port)).get().body == b"first"
        shop.server.signal(signal.SIGINT)
        assert shop.server.wait() == 0
    shop.log("SIGINT: draining for up to 2 s")
    wait_until(lambda: not any(map(alive, tree)), "the end of all processes")


def test_a_request_in_flight_holds_a_stop_only_for_a_moment(begin: Begin) -> None:
    slow = "import time\n" + WSGI.replace("    start_response", "    time.sleep(1000)\n    start_response")
    shop = begin(code=slow, timeouts={"drain": "1h"})
    shop.server.ready()
    with Client(shop.server.port) as client:
        client.ask()
        shop.server.wait_until_busy()
        assert shop.server.stop() == 1
    shop.log("still busy after draining for 2 s; killed")


def test_a_watcher_ends_with_its_supervisor(begin: Begin) -> None:
    shop = begin()
    shop.server.ready()
    watcher = shop.watcher
    os.kill(shop.server.pid, signal.SIGKILL)
    wait_until(lambda: not alive(watcher), "the end of the watcher")


def test_reloads_by_hand_go_on_and_change_the_page(begin: Begin) -> None:
    shop = begin()
    shop.server.ready()
    shop.write("shop.py", BROKEN)
    shop.log("still serves")
    assert poolctl("reload", shop.name, cwd=shop.folder).returncode == 1
    assert "<h1>the last change of the server was refused</h1>" in shop.asked(*NAVIGATES).body.decode()
    events = poolctl("events", shop.name, "--format", "json", cwd=shop.folder).stdout.splitlines()
    ended = [each for each in map(json.loads, events) if each["kind"] == "command-done"]
    assert [each["status"] for each in ended] == [1, 1]
    assert ended[0]["text"].startswith("reload (shop.py changed) ended after ")


def test_names_of_files_are_text(begin: Begin) -> None:
    """Whatever is in them reaches neither the terminal nor the page."""
    shop = begin()
    shop.server.ready()
    shop.write("shop.py", BROKEN)
    shop.log("still serves")
    name = "<script>alert(1)<\x1b[31m.py"
    (shop.folder / name).write_text("x = 1\n")
    shop.log(r"<script>alert\(1\)< \[31m\.py changed: not reloaded")
    text = shop.asked(*NAVIGATES).body.decode()
    assert "<h1>&lt;script&gt;alert(1)&lt; [31m.py changed: not reloaded</h1>" in text
    assert "\x1b" not in shop.server.log


def test_standard_input_cannot_be_watched(tmp_path: Path) -> None:
    done = poolctl("run", "-", "--watch", cwd=tmp_path)
    assert done.returncode == 2
    assert "standard input cannot be read again; name a file" in done.stderr


def test_without_it_nothing_is_watched(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "shop" / "shop.py").write_text(WSGI)
    with Server({"app": {"wsgi": "shop:app"}, "name": f"w{uuid.uuid4().hex[:8]}"}, tmp_path / "shop") as server:
        server.ready()
        assert not server.pids("watcher")
        assert server.stop() == 0
