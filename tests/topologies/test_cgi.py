"""CGI programs, as people have them: scripts in a folder, and git's own."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, Response, get
from harness.forms import half, short
from harness.machine import within
from harness.server import Serve, Server, alive, wait_until

MODELS: dict[str, dict[str, Any]] = {
    "half-sync/half-reactive": {"pool": {"size": 2}},
    "half-sync/half-reactive threads": {"pool": {"kind": "thread", "size": 2}},
    "half-sync/half-async": {"pool": {"size": 1}, "ownership": "half-sync/half-async"},
    "leader/followers threads": {"pool": {"kind": "thread", "size": 2}, "ownership": "leader/followers"},
    "reuse-port": {"pool": {"size": 1}, "ownership": "reuse-port"},
    "process-per-connection": {"pool": "process-per-connection"},
}
PROGRAMS = {
    "show": """
        echo Content-Type: text/plain
        echo
        env | sort
        echo --
        cat""",
    "status": """
        printf 'Status: 418 Short and stout\\r\\nX-Tea: yes\\r\\nContent-Type: text/plain\\r\\n\\r\\nteapot'""",
    "away": "printf 'Location: https://example.org/there\\n\\n'",
    "local": "printf 'Location: /show/after?from=local\\n\\n'",
    "loop": "printf 'Location: /loop\\n\\n'",
    "moved": "printf 'Status: 301 Moved\\nLocation: /show\\nContent-Type: text/plain\\n\\ngo there'",
    "empty": "true",
    "headless": "echo there are no headers",
    "blank": "printf '\\nbody'",
    "split": "printf 'Content-Type: text/plain\\nX: a\\r\\n b\\n\\n'",
    "large": "printf 'Content-Type: text/plain\\n\\n'; head -c 5000000 /dev/zero",
    "short": "printf 'Content-Type: text/plain\\nContent-Length: 10\\n\\nfive.'",
    "digest": "printf 'Content-Type: text/plain\\n\\n'; sha256sum | cut -d' ' -f1 | tr -d '\\n'",
    "says": "echo first >&2; echo second >&2; printf 'Content-Type: text/plain\\n\\nsaid'; exit 3",
    "slow": """
        echo $$ > "$PIDS/leader"
        sh -c 'echo $$ > "$PIDS/child"; trap "" TERM; while :; do sleep 1; done' &
        echo begun >&2
        sleep 60""",
    "late": """
        echo $$ > "$PIDS/leader"
        printf 'Content-Type: text/plain\\n\\nbegin'
        sleep 60""",
    "endless": """
        echo $$ > "$PIDS/leader"
        printf 'Content-Type: text/plain\\n\\n'
        exec cat /dev/zero""",
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cgi") / "bin"
    made.mkdir()
    for name, text in PROGRAMS.items():
        (made / name).write_text(f"#!/bin/sh\n{text}\n")
        (made / name).chmod(0o755)
    (made / "deep").mkdir()
    shutil.copy(made / "show", made / "deep" / "show")
    (made / "data").write_text("no program")
    (made.parent / "outside").write_text("#!/bin/sh\necho Content-Type: text/plain\necho\necho outside\n")
    (made.parent / "outside").chmod(0o755)
    (made / "out").symlink_to(made.parent / "outside")
    (made / "link").symlink_to(made / "show")
    return made


def serve_programs(serve: Serve, folder: Path, model: str = "half-sync/half-reactive", **more: Any) -> Server:
    app = {"use": "cgi", "program": str(folder), **more.pop("app", {})}
    return serve({"name": "cgi", "app": app, **MODELS[model], **more})


def shown(response: Response) -> tuple[dict[str, str], str]:
    """The environment that the program had, and its input."""
    environment, _, body = response.body.decode().partition("--\n")
    return dict(line.split("=", 1) for line in environment.splitlines()), body


@pytest.mark.parametrize("model", short(MODELS, half(MODELS)))
def test_programs_run_under_every_model(model: str, programs: Path, serve: Serve) -> None:
    server = serve_programs(serve, programs, model)
    with Client(server.port) as client:
        client.ask("/show/a%20b/c?q=1&r=%20", method="POST", body=b"hello")
        environment, body = shown(client.answer())
        assert body == "hello"
        assert environment["SCRIPT_NAME"] == "/show"
        assert environment["PATH_INFO"] == "/a b/c"
        assert environment["QUERY_STRING"] == "q=1&r=%20"
        assert environment["REQUEST_METHOD"] == "POST"
        assert environment["CONTENT_LENGTH"] == "5"
        assert environment["GATEWAY_INTERFACE"] == "CGI/1.1"
        assert environment["SERVER_PROTOCOL"] == "HTTP/1.1"
        assert environment["SERVER_NAME"] == "localhost"
        assert environment["SERVER_PORT"] == str(server.port)
        assert environment["REMOTE_ADDR"] == "127.0.0.1"
        assert environment["PWD"] == str(programs)
        sent = os.urandom(2_000_000)
        client.ask("/digest", method="POST", body=sent)
        assert client.answer().body.decode() == hashlib.sha256(sent).hexdigest()
        assert client.get("/large").body == bytes(5_000_000)
    assert server.stop() == 0
    assert "left of its group" not in server.log


def test_what_a_program_may_answer(programs: Path, serve: Serve) -> None:
    server = serve_programs(serve, programs)
    with Client(server.port) as client:
        tea = client.get("/status")
        assert (tea.status, tea.headers["x-tea"], tea.body) == (418, "yes", b"teapot")
        away = client.get("/away")
        assert (away.status, away.headers["location"]) == (302, "https://example.org/there")
        moved = client.get("/moved")
        assert (moved.status, moved.headers["location"], moved.body) == (301, "/show", b"go there")
        client.ask("/local", method="POST", body=b"gone by then")
        environment, body = shown(client.answer())
        assert (environment["REQUEST_METHOD"], environment["PATH_INFO"], body) == ("GET", "/after", "")
        assert environment["QUERY_STRING"] == "from=local"
        client.ask("/show", method="HEAD")
        assert client.answer(head=True).status == 200
        assert client.get("/says").body == b"said"
    server.wait_for_log("says: second")
    server.wait_for_log("says: ended with exit code 3")
    assert "says: first" in server.log


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("empty", 502, "it is empty"),
        ("headless", 502, "it ended after 21 bytes, before the empty line"),
        ("blank", 502, "it begins with an empty line"),
        ("split", 502, "is not a header"),
        ("loop", 502, "more than 10 local redirects"),
        ("data", 403, ""),
    ],
)
def test_what_it_may_not(name: str, status: int, said: str, programs: Path, serve: Serve) -> None:
    server = serve_programs(serve, programs)
    assert get(server.port, f"/{name}").status == status
    server.wait_for_log(said)


def test_a_body_shorter_than_it_says_can_be_told(programs: Path, serve: Serve) -> None:
    server = serve_programs(serve, programs)
    with Client(server.port) as client, pytest.raises(EOFError):
        client.get("/short")
    server.wait_for_log("5 bytes short of its Content-Length of 10")


WAYS_OUT = [
    "/../outside", "/deep/../../outside", "/%2e%2e/outside", "/..%2foutside", "/out", "/show%00", "/./show", "//show",
    "/deep%2fshow", "/nothing", "/deep", "/", "/deep/", "/data/../show", "/out/more",
]  # fmt: skip


def test_nothing_outside_the_folder_runs(programs: Path, serve: Serve) -> None:
    server = serve_programs(serve, programs)
    with Client(server.port) as client:
        for path in WAYS_OUT:
            assert client.get(path).status == 404, path
        assert shown(client.get("/deep/show/x"))[0]["SCRIPT_NAME"] == "/deep/show"
        assert shown(client.get("/link"))[0]["SCRIPT_NAME"] == "/link"


def test_the_environment_is_clean(programs: Path, serve: Serve) -> None:
    more = {"environment": {"GREETING": "hello", "REMOTE_USER": "alice"}, "documents": str(programs.parent)}
    headers = (
        b"GET /show/x HTTP/1.1\r\nHost: shop.test:81\r\nProxy: evil\r\n"
        b"Authorization: Basic QTpC\r\nX_Y: 1\r\nX-Y: 2\r\n\r\n"
    )
    server = serve_programs(serve, programs, app=more, environment={"SECRET": "of the server"})
    with Client(server.port) as client:
        client.send(headers)
        environment, _ = shown(client.answer())
    assert environment["GREETING"] == "hello"
    assert environment["REMOTE_USER"] == "alice"
    assert environment["HTTP_X_Y"] == "2"
    assert environment["SERVER_NAME"] == "shop.test"
    assert environment["PATH_TRANSLATED"] == f"{programs.parent}/x"
    assert not {"HTTP_PROXY", "HTTP_AUTHORIZATION", "SECRET", "PYTHONPATH"} & set(environment)
    server = serve_programs(serve, programs, app={"credentials": True})
    with Client(server.port) as client:
        client.send(headers)
        assert shown(client.answer())[0]["HTTP_AUTHORIZATION"] == "Basic QTpC"


def pid(folder: Path, name: str) -> int:
    def read() -> int:
        file = folder / name
        return int(file.read_text() or 0) if file.exists() else 0

    return int(wait_until(read, f"the program {name}"))


def test_the_time_is_over_for_a_program_and_all_it_started(programs: Path, serve: Serve, tmp_path: Path) -> None:
    server = serve_programs(serve, programs, app={"timeout": "500ms", "environment": {"PIDS": str(tmp_path)}})
    assert get(server.port, "/slow").status == 504
    for name in ("leader", "child"):
        number = pid(tmp_path, name)
        wait_until(lambda number=number: not alive(number), f"the end of {name}")  # type: ignore[misc]
    server.wait_for_log("slow: did not finish within 0.5 s; terminated")
    with Client(server.port) as client:
        client.ask("/late")
        with pytest.raises(EOFError):
            client.answer()


@pytest.mark.parametrize("path", ["/late", "/endless"])
def test_a_client_that_leaves_ends_its_program(path: str, programs: Path, serve: Serve, tmp_path: Path) -> None:
    server = serve_programs(serve, programs, "reuse-port", app={"environment": {"PIDS": str(tmp_path)}})
    with Client(server.port) as client:
        client.ask(path)
        number = pid(tmp_path, "leader")
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_until(lambda: not alive(number), "the end of the program")
    assert get(server.port, "/status").status == 418


def test_programs_end_with_their_worker(programs: Path, serve: Serve, tmp_path: Path) -> None:
    server = serve_programs(serve, programs, app={"environment": {"PIDS": str(tmp_path)}}, pool={"size": 1})
    with Client(server.port) as client:
        client.ask("/slow")
        numbers = [pid(tmp_path, name) for name in ("leader", "child")]
        server.wait_for_log("begun")  # the worker has told its warden by then
        (worker,) = server.pids("worker")
        os.kill(worker, signal.SIGKILL)
        assert client.answer().status == 502
    for number in numbers:
        wait_until(lambda number=number: not alive(number), "the end of what it ran")  # type: ignore[misc]
    assert get(server.port, "/status").status == 418


def test_no_zombie_is_left(programs: Path, serve: Serve) -> None:
    server = serve_programs(serve, programs, "leader/followers threads")
    with Client(server.port) as client:
        for _ in range(10):
            assert client.get("/status").status == 418
    wait_until(lambda: all(alive(each) for each in server.tree()), "the last one to be reaped")


@pytest.mark.parametrize(
    ("program", "said"),
    [("/nowhere", "there is no program or folder /nowhere"), ("data", "this user cannot execute")],
)
def test_what_cannot_be_run_is_said_at_the_start(program: str, said: str, programs: Path, tmp_path: Path) -> None:
    with Server({"app": {"cgi": str(programs / program)}}, tmp_path) as server:
        assert server.wait() == 3
        assert said in server.log


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_clones_and_pushes(serve: Serve, tmp_path: Path) -> None:
    def git(*words: str, folder: Path = tmp_path) -> str:
        options = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "http.postBuffer=70000"]
        found = subprocess.run(
            ["git", *options, *words], cwd=folder, capture_output=True, text=True, timeout=within(30), check=False
        )
        assert found.returncode == 0, found.stderr
        return found.stdout

    backend = Path(git("--exec-path").strip()) / "git-http-backend"
    git("init", "--bare", "-b", "main", "shop.git")
    git("config", "http.receivepack", "true", folder=tmp_path / "shop.git")
    environment = {"GIT_PROJECT_ROOT": str(tmp_path), "GIT_HTTP_EXPORT_ALL": "1"}
    server = serve({"app": {"use": "cgi", "program": str(backend), "environment": environment}, "pool": {"size": 2}})
    git("clone", f"http://127.0.0.1:{server.port}/shop.git", "first")
    (tmp_path / "first" / "large").write_bytes(os.urandom(2_000_000))
    git("add", ".", folder=tmp_path / "first")
    git("commit", "-m", "large", folder=tmp_path / "first")
    git("push", "origin", "HEAD:main", folder=tmp_path / "first")
    git("clone", f"http://127.0.0.1:{server.port}/shop.git", "second")
    assert (tmp_path / "second" / "large").read_bytes() == (tmp_path / "first" / "large").read_bytes()
    assert server.stop() == 0
