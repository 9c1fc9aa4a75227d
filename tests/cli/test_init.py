"""poolctl init: its questions, its errors, and the files that it writes."""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import typing
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.machine import PATIENCE
from harness.server import ROOT, Server, wait_until
from typer.testing import CliRunner, Result

from poolctl.cli import init as command
from poolctl.cli.init.questions import QUESTIONS
from poolctl.cli.main import cli
from poolctl.description.sentences import FREE_THREAD, ONE_INTERPRETER
from poolctl.proposal.answers import Answers, Kind

FLASK = "from flask import Flask\napp = Flask(__name__)\n\n@app.get('/')\ndef hello():\n    return 'hello'\n"
WSGI = (
    "def application(environ, start_response):\n"
    "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
    "    return [environ['REMOTE_ADDR'].encode()]\n"
)


class TypedLines(io.StringIO):
    """A terminal on which these lines are typed, followed by end of file."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def init(*words: str) -> Result:
    return CliRunner().invoke(cli, ["init", *words])


@pytest.fixture
def type_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run it on a terminal. Returns (exit code, stdout, stderr)."""

    def run(lines: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", TypedLines(lines))
        with pytest.raises(SystemExit) as left:
            cli(["init", *words])
        said = capsys.readouterr()
        return typing.cast("int", left.value.code or 0), said.out, said.err

    return run


# writing


def test_with_defaults_it_writes_a_topology_for_the_app_found(here: Path) -> None:
    (here / "shop.py").write_text(FLASK)
    done = init("--yes")
    assert done.exit_code == 0, done.output
    read = yaml.safe_load((here / "topology.yaml").read_text())
    assert read["name"] == "shop"
    assert read["app"] == {"wsgi": "shop:app"}
    assert read["pool"] == {"kind": "process", "size": "auto", "threads": 4}  # Flask's own server runs apps in threads
    commands = [f"  poolctl {word} topology.yaml\n" for word in ("validate", "run", "explain")]
    assert done.stdout.endswith("".join(["\nNext:\n", *commands, "  poolctl schema > poolctl.schema.json\n"]))
    said = " ".join(done.stdout.split())
    assert FREE_THREAD in said
    assert ONE_INTERPRETER in said
    assert sorted(os.listdir(here)) == ["shop.py", "topology.yaml"]
    validated = CliRunner().invoke(cli, ["validate", "--strict", "--no-environment", "topology.yaml"])
    assert validated.exit_code == 0, validated.output


def test_only_the_file_goes_to_standard_output(here: Path) -> None:
    done = init("--yes", "--kind", "demo", "-o", "-")
    assert done.exit_code == 0
    assert yaml.safe_load(done.stdout)["app"] == "demo"
    assert done.stdout.startswith("# yaml-language-server: $schema=")
    assert "ownership" in done.stderr
    assert os.listdir(here) == []


def test_an_existing_file_is_not_overwritten(here: Path) -> None:
    file = here / "topology.yaml"
    file.write_text("app: echo\n")
    done = init("--yes", "--kind", "demo")
    assert (done.exit_code, done.stdout) == (2, "")
    assert (
        done.stderr
        == "error: topology.yaml already exists; use --force to overwrite it, or --output FILE to write another file\n"
    )
    assert file.read_text() == "app: echo\n"
    assert init("--yes", "--kind", "demo", "--force").exit_code == 0
    assert yaml.safe_load(file.read_text())["app"] == "demo"
    assert os.listdir(here) == ["topology.yaml"]


def test_a_file_created_during_the_interview_is_not_overwritten(
    here: Path, type_lines: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Meanwhile(TypedLines):
        def readline(self, *limit: Any) -> str:
            (here / "topology.yaml").write_text("app: echo\n")
            return super().readline(*limit)

    monkeypatch.setattr(sys.modules[__name__], "TypedLines", Meanwhile)
    code, _, err = type_lines("\n" * 9, "--kind", "demo")
    assert code == 2
    assert "already exists" in err
    assert (here / "topology.yaml").read_text() == "app: echo\n"
    assert os.listdir(here) == ["topology.yaml"]


def test_force_overwrites_the_target_of_a_link(here: Path) -> None:
    (here / "real.yaml").write_text("app: echo\n")
    (here / "topology.yaml").symlink_to("real.yaml")
    assert init("--yes", "--kind", "demo").exit_code == 2
    assert init("--yes", "--kind", "demo", "--force").exit_code == 0
    assert (here / "topology.yaml").is_symlink()
    assert yaml.safe_load((here / "real.yaml").read_text())["app"] == "demo"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("none/t.yaml", "cannot write none/t.yaml: folder none does not exist"),
        (".", ". is a folder; write --output ./topology.yaml"),
        ("n" * 300 + ".yaml", ".yaml: File name too long"),
    ],
)
def test_unwritable_paths(here: Path, output: str, said: str) -> None:
    done = init("--yes", "--kind", "demo", "-o", output)
    assert done.exit_code == 2
    assert said in done.stderr.replace("\n", "") or said in done.stderr
    assert os.listdir(here) == []


# refusing


def test_without_a_terminal_it_lists_the_missing_options(here: Path) -> None:
    (here / "shop.py").write_text(FLASK)
    done = init()
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no questions can be asked" in done.stderr
    for flag, default in (("--app", "shop:app"), ("--waits/--computes", "waits"), ("--proxy", "none")):
        assert f"{flag} " in done.stderr
        assert f"default {default}" in done.stderr
    assert os.listdir(here) == ["shop.py"]


def test_without_a_terminal_options_can_answer_everything(here: Path) -> None:
    done = init("--kind", "static", "--app", "./public", "--development", "--listen", "tcp://127.0.0.1:8080")
    assert done.exit_code == 0, done.output
    assert yaml.safe_load((here / "topology.yaml").read_text())["listen"] == "tcp://127.0.0.1:8080"


def test_no_app_is_found_or_named(here: Path) -> None:
    done = init("--yes")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no app found in this folder; name it with --app MODULE:CALLABLE" in done.stderr
    assert os.listdir(here) == []


def test_files_beside_another_kind_of_app(here: Path) -> None:
    (here / "shop.py").write_text("import flask\n" + "".join(f"a{number} = flask.Flask('x')\n" for number in range(12)))
    (here / "public").mkdir()
    (here / "public" / "index.html").write_text("hello")
    for words in (["--kind", "static"], ["--app", "public"]):
        done = init("--yes", "-o", "-", *words)
        assert yaml.safe_load(done.stdout)["app"] == {"static": words[1] if words[0] == "--app" else "./public"}


def test_notes_are_shown_if_no_app_was_found(here: Path) -> None:
    (here / "web.py").write_text("from flask import Flask\ndef create_app():\n    return Flask(__name__)\n")
    (here / "bad.py").write_text("from flask import Flask\ndef :\n")
    done = init("--yes")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no app found in this folder" in done.stderr
    assert "put `from web import create_app; app = create_app()` into wsgi.py" in done.stderr
    assert "bad.py:2 is not valid Python: invalid syntax" in done.stderr


def test_paths_are_made_absolute_if_the_app_is_in_another_folder(here: Path) -> None:
    (here / "src").mkdir()
    (here / "src" / "shop.py").write_text(FLASK)
    done = init("--yes", "-o", "-", "--certificate", "shop.pem")
    read = yaml.safe_load(done.stdout)
    assert (read["app"], read["directory"]) == ({"wsgi": "shop:app"}, "src")
    assert read["listen"]["tls"] == {"certificate": str(here / "shop.pem")}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--app", "shop/wsgi.py", "--kind", "wsgi"],
            "write the module and the name of its callable: shop.wsgi:app",
        ),
        (["--app", "a b", "--kind", "wsgi"], '"a b" does not name a callable'),
        (["--app", "shop", "--kind", "lines"], '"shop" names a module; write shop:FUNCTION'),
        (["--app", "shop:app"], "add its interface: --kind wsgi or --kind asgi"),
        (["--kind", "demo", "--app", "shop:app"], "--app has no effect with --kind demo"),
        (["--kind", "demo", "--waits"], "--waits/--computes has no effect with the other answers"),
        (["--kind", "demo", "--development", "--proxy", "unix"], "--proxy has no effect with the other answers"),
        (["--kind", "demo", "--listen", "8000"], '"8000" is not an address: write tcp://127.0.0.1:8000'),
        (["--kind", "demo", "--proxy", "tcp", "--trust", "10.0.0.300"], '"10.0.0.300" is not an address or a network'),
        (["--kind", "demo", "--proxy", "tcp", "--trust", "0.0.0.0/0"], "0.0.0.0/0 trusts every address"),
        (["--kind", "demo", "--proxy", "tcp", "--trust", "unix"], "--proxy unix"),
        (["--kind", "demo", "--name", "my shop"], '"my shop" is not a valid server name'),
        (["--kind", "demo", "--certificate", "a\nb"], "certificate: not a valid path"),
    ],
)
def test_invalid_options(here: Path, words: list[str], said: str) -> None:
    done = init("--yes", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())
    assert os.listdir(here) == []


@pytest.mark.parametrize(
    "path", ["a: b # c.pem", '"quoted".pem', "${HOME}/x.pem", "x'y.pem", "-", "~", "no", "1e3", "ä.pem"]
)
def test_odd_paths_are_preserved(here: Path, path: str) -> None:
    from poolctl.assembly.judging.judge import judge
    from poolctl.config.sources import Inputs

    assert init("--yes", "--kind", "demo", "--certificate", path).exit_code == 0
    topology = judge(Inputs("topology.yaml")).topology
    assert topology
    assert topology.listen[0].tls
    assert topology.listen[0].tls.certificate == path


# asking


def test_an_interview(here: Path, type_lines: Callable[..., tuple[int, str, str]]) -> None:
    (here / "shop.py").write_text(FLASK)
    (here / "api.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
    answers = ["7", "2", "", "maybe", "", "shared", "unix", "", "n"]
    code, out, _ = type_lines("\n".join(answers) + "\n")
    assert code == 0, out
    assert "1  api:app   a FastAPI application in api.py (asgi)" in out
    assert "7 is not on the list" in out
    assert "create the folder /run/shop" in " ".join(out.split())
    read = yaml.safe_load((here / "topology.yaml").read_text())
    assert (read["app"], read["forwarded"]) == ({"wsgi": "shop:app"}, {"trust": "unix"})
    assert read["pool"] == {"kind": "thread", "size": 1}


def test_each_question_is_repeated_until_the_answer_is_valid(
    here: Path, type_lines: Callable[..., tuple[int, str, str]]
) -> None:
    lines = "\nshop/wsgi.py\nshop.wsgi:app\nasgy\nasgi\nx\ndevelopment\ny\nclientt\nclient\n8000\n\n"
    code, out, err = type_lines(lines)
    assert code == 0, out + err
    words = " ".join(out.split())
    assert "write the module and the name of its callable: shop.wsgi:app" in words
    assert 'did you mean "asgi"?' in words
    assert '"x" is not one of production, development' in words
    assert 'did you mean "client"?' in words
    assert '"8000" is not an address' in words
    read = yaml.safe_load((here / "topology.yaml").read_text())
    assert (read["app"], read["affinity"]) == ({"asgi": "shop.wsgi:app"}, "client")


def test_a_built_in_app_is_a_valid_answer(here: Path, type_lines: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = type_lines("demo\n\n\n\n\n", "--name", "trial")
    assert code == 0, out + err
    assert yaml.safe_load((here / "topology.yaml").read_text())["app"] == "demo"


def test_the_end_of_input_leaves_nothing_behind(here: Path, type_lines: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = type_lines("\n", "--kind", "demo")
    assert code == 1
    assert err == "\nThe answers ended early; nothing was written.\n"
    assert os.listdir(here) == []


def test_ctrl_c_at_a_terminal_leaves_nothing_behind(here: Path) -> None:
    leader, follower = pty.openpty()
    # A shell that starts the tests in the background makes its children ignore the signal.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    program = f"{heard} from poolctl.cli.entry import main; main()"
    words = [sys.executable, "-c", program, "init", "--kind", "demo"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(words, stdin=follower, stdout=follower, stderr=follower, env=environment) as asking:
        try:
            os.close(follower)
            said = until(leader, b"[production] ")
            os.write(leader, b"development\r")
            said += until(leader, b"[tcp://127.0.0.1:8000] ")
            wait_until(lambda: state(asking.pid) == "S", "it waits for an answer")
            asking.send_signal(signal.SIGINT)
            while not select.select([leader], [], [], 1)[0]:  # the signal came before the program waited for a key
                asking.send_signal(signal.SIGINT)
            said += until(leader, b"Nothing was written.")
            assert asking.wait(PATIENCE) == 130
        finally:
            asking.kill()
            os.close(leader)
    assert b"Traceback" not in said
    assert os.listdir(here) == []


def state(pid: int) -> str:
    """Return the state of a process as in proc(5); S: it sleeps."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def until(file: int, text: bytes) -> bytes:
    """Return what a terminal shows up to a text."""
    said, end = b"", time.monotonic() + 20
    while text not in said:
        assert select.select([file], [], [], max(0, end - time.monotonic()))[0], said
        said += os.read(file, 4096)
    return said


# the words


def test_options_have_the_same_choices_as_answers() -> None:
    hints = typing.get_type_hints(Answers)
    given = typing.get_type_hints(command.init)
    assert hints["kind"] == Kind == command.Kind
    for field in ("keeps", "proxy"):
        assert hints[field] in typing.get_args(given[field])
    for field, question in QUESTIONS.items():
        assert field in hints
        if question.choices and not question.values:
            assert tuple(word for word, _ in question.choices) == typing.get_args(hints[field])


def test_every_question_is_the_help_of_its_option() -> None:
    said = CliRunner().invoke(cli, ["init", "--help"], env={"COLUMNS": "200"}).stdout
    for question in QUESTIONS.values():
        for flag in question.flags.split("/"):
            assert flag in said
        assert question.asks in said


def test_the_page_lists_every_question() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    for question in QUESTIONS.values():
        assert f"| `{question.flags}` | {question.asks} " in page


# serving


@pytest.mark.parametrize("words", [["--thread-safe"], ["--computes", "--uniform"]], ids=str)
def test_the_written_topology_serves(here: Path, words: list[str]) -> None:
    (here / "shop.py").write_text(WSGI)
    assert init("--yes", *words).exit_code == 0
    with Server(here / "topology.yaml", here, sets=("pool.size=2",)) as server:
        server.ready()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=PATIENCE) as answer:
            assert answer.read() == b"127.0.0.1"
        assert server.stop() == 0


def test_behind_a_proxy_the_app_sees_the_client(here: Path) -> None:
    (here / "shop.py").write_text(WSGI)
    with tempfile.TemporaryDirectory() as folder:  # the path of a socket is short
        path = f"{folder}/s.sock"
        assert init("--yes", "--proxy", "unix", "--preload", "--listen", f"unix://{path}").exit_code == 0
        topology = yaml.safe_load((here / "topology.yaml").read_text())
        assert topology["preload"]
        with Server(topology, here, sets=("pool.size=2",)) as server, socket.socket(socket.AF_UNIX) as proxy:
            server.ready()
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
            proxy.settimeout(PATIENCE)
            proxy.connect(path)
            proxy.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
            answer = b"".join(iter(lambda: proxy.recv(65536), b""))
            assert b"203.0.113.7" in answer
            assert server.stop() == 0
