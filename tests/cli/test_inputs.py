"""Commands as newcomers type them, and what they get."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness.client import get
from harness.commands import poolctl
from harness.launcher import LaunchedServer
from harness.server import ROOT, Serve

WSGI = 'def app(environ, start_response):\n    start_response("200 OK", [])\n    return [b"found"]\n'
ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"found"})
"""


class Meant(LaunchedServer):
    """`poolctl run` with these words, instead of a topology."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self.words = words
        super().__init__({}, folder)

    def _start(self, words, environment, folder, prefix):  # type: ignore[no-untyped-def]
        listen = ["--listen", "tcp://127.0.0.1:0", "--set", "pool.size=1"]
        return super()._start(["run", *self.words, *listen], environment, folder, prefix)


@pytest.mark.parametrize(
    ("source", "what", "line"),
    [
        (WSGI, "shop:app", "app: {wsgi: shop:app}\n"),
        (WSGI, "shop.py", "app: {wsgi: shop:app}\n"),
        (ASGI, "./shop.py", "app: {asgi: shop:app}\n"),
    ],
)
def test_run_serves_an_app(tmp_path: Path, source: str, what: str, line: str) -> None:
    """And prints the topology it made, which gives the same server when saved to a file."""
    (tmp_path / "shop.py").write_text(source)
    with Meant([what], tmp_path) as server:
        assert get(server.port).body == b"found"
        assert line in server.log
        assert "poolctl init" in server.log
    validated = poolctl("validate", what, cwd=tmp_path)
    assert (validated.returncode, line in validated.stderr) == (0, True), validated
    assert "protocol http" in poolctl("explain", what, cwd=tmp_path).stdout


def test_an_app_in_a_file_of_another_folder(tmp_path: Path) -> None:
    for name in ("srv", "here"):
        (tmp_path / name).mkdir()
    (tmp_path / "srv" / "shop.py").write_text(WSGI)
    with Meant(["../srv/shop.py"], tmp_path / "here") as server:
        assert get(server.port).body == b"found"


@pytest.mark.parametrize("name", ["topology.yaml", "topology.yml", "poolctl.yaml"])
@pytest.mark.parametrize("what", [[], ["."], ["sub"]])
def test_the_topology_of_a_folder(tmp_path: Path, what: list[str], name: str) -> None:
    folder = tmp_path / "sub" if what == ["sub"] else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("app: demo\n")
    done = poolctl("validate", *what, cwd=tmp_path)
    assert (done.returncode, f"{name}: valid" in done.stdout) == (0, True), done


def test_run_without_an_argument(tmp_path: Path) -> None:
    (tmp_path / "topology.yaml").write_text("app: demo\n")
    with Meant([], tmp_path) as server:
        assert get(server.port).status == 200


@pytest.mark.parametrize("command", ["run", "validate", "explain"])
@pytest.mark.parametrize("what", ["made:site", "other.py", "shop.py"])
def test_arguments_that_name_no_app(tmp_path: Path, command: str, what: str) -> None:
    (tmp_path / "shop.py").write_text("import json\n")
    (tmp_path / "made.py").write_text("import functools\nsite = functools.partial(print)\n")
    done = poolctl(command, what, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    hint = "name a topology" if what == "other.py" else f"app: {{wsgi: {'shop:app' if what == 'shop.py' else what}}}"
    assert hint in done.stderr


FAILING = {
    "shop.py": "import json\nimport there_is_none\n\napp = there_is_none.make()\n",
    "wrong.py": "import json\n\ndef app(environ, start_response:\n    pass\n",
    "leaves.py": "import sys\n\nsys.exit('no database')\n",
    "part/inner.py": "import json\n\nraise RuntimeError('no licence')\n",
    "plain.py": "import json\n",
}


@pytest.mark.parametrize("command", ["run", "validate"])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("shop.py", 'shop.py", line 2, in'),
        ("shop:app", "shop:app cannot be imported: ModuleNotFoundError: No module named 'there_is_none'"),
        ("wrong.py", 'wrong.py", line 3'),
        ("wrong:app", "wrong:app cannot be imported: SyntaxError: '(' was never closed"),
        ("leaves.py", "the process that imported leaves.py exited with code 1: no database"),
        ("part/inner.py", 'inner.py", line 3, in'),
        ("part/inner.py", "part/inner.py cannot be imported: RuntimeError: no licence"),
        ("nothing:app", "cannot import 'nothing': no module of that name in"),
        ("shpo:app", "did you mean 'shop'?"),
        ("plain:app", "module 'plain' has no attribute 'app'"),
    ],
)
def test_import_errors_are_reported_as_for_a_topology(tmp_path: Path, command: str, what: str, said: str) -> None:
    for name, text in FAILING.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    done = poolctl(command, what, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error[PC41"), done.stderr
    assert said in done.stderr
    assert f"  --> {what}\n" in done.stderr
    assert done.stderr.endswith(f"\n\n{what}: 1 error\n")


@pytest.mark.parametrize("words", [["explain"], ["config"], ["validate", "--no-environment"]], ids=str)
def test_commands_that_import_nothing_report_syntax_errors(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "wrong.py").write_text(FAILING["wrong.py"])
    (tmp_path / "leaves.py").write_text("open('imported', 'w')\n")
    done = poolctl(*words, "wrong.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: wrong.py:3 is not valid Python ('(' was never closed); fix the syntax\n"
    assert poolctl(*words, "leaves.py", cwd=tmp_path).returncode == 2
    assert not (tmp_path / "imported").exists()


def test_a_misspelled_application_gets_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(WSGI)
    done = poolctl("run", "shop:aplication", cwd=tmp_path)
    assert done.returncode == 2
    assert 'did you mean "shop:app"?' in done.stderr


def test_a_folder_without_a_topology(tmp_path: Path) -> None:
    done = poolctl("run", cwd=tmp_path)
    assert (done.returncode, "no topology in this folder (topology.yaml" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["statsu"], 'did you mean "status"?'),
        (["shop.yaml"], 'did you mean "poolctl run shop.yaml"?'),
        (["shop:app"], 'did you mean "poolctl run shop:app"?'),
        (["restart"], "poolctl reload"),
        (["metrics"], "not available yet"),
        (["check", "shop.yaml"], 'did you mean "poolctl validate"'),
        (["plugin", "lst"], "Did you mean 'list'?"),
        (["validate", "--stirct"], "--strict"),
    ],
)
def test_unknown_commands_and_options(tmp_path: Path, words: list[str], said: str) -> None:
    done = poolctl(*words, cwd=tmp_path, COLUMNS="200")
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("words", [[], ["run"], ["validate"], ["init"], ["plugin"], ["plugin", "check"]], ids=str)
def test_short_help(tmp_path: Path, words: list[str]) -> None:
    short, long = (poolctl(*words, each, cwd=tmp_path) for each in ("-h", "--help"))
    assert (short.returncode, short.stdout) == (0, long.stdout)


def test_the_shell_completes(tmp_path: Path) -> None:
    for line, at, found in (("poolctl val", "1", "validate"), ("poolctl validate --st", "2", "--strict")):
        environment = {"_POOLCTL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": at}
        done = poolctl(cwd=tmp_path, **environment)
        assert done.stdout.split() == [found], done


@pytest.mark.parametrize(
    "words",
    [["run", "FILE"], ["run", "../shop.yaml"], ["run", "shop:app"], ["validate", "a.yaml"], ["init", "--yes"]],
    ids=str,
)
def test_a_working_directory_that_was_removed(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "shop.yaml").write_text("app: demo\nlisten: tcp://127.0.0.1:0\n")
    words = [word.replace("FILE", str(tmp_path / "shop.yaml")) for word in words]
    (tmp_path / "gone").mkdir()
    line = 'rmdir "$PWD" && exec "$@"'
    command = ["sh", "-c", line, "sh", sys.executable, "-m", "poolctl", *words]
    done = subprocess.run(
        command,
        cwd=tmp_path / "gone",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in (1, 2)
    assert "the working directory has been removed" in done.stderr


def test_a_topology_in_another_folder_finds_its_app(tmp_path: Path) -> None:
    """`init -o` writes the app's folder relative to that of the file."""
    (tmp_path / "shop.py").write_text(WSGI)
    (tmp_path / "deploy").mkdir()
    done = poolctl("init", "--yes", "-o", "deploy/shop.yaml", "--app", "shop:app", "--kind", "wsgi", cwd=tmp_path)
    assert done.returncode == 0, done
    assert '\ndirectory: ".."' in (tmp_path / "deploy" / "shop.yaml").read_text()
    with LaunchedServer(tmp_path / "deploy" / "shop.yaml", Path("/"), sets=("pool.size=1",)) as server:
        assert get(server.port).body == b"found"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("explain reload", "poolctl run FILE --watch"),
        ("explain workers", "workers: called pool.size here"),
        ("explain gunicorn", "{wsgi: MODULE:CALLABLE}"),
        ("plugin show least-loadd", 'did you mean "least-loaded"?'),
        ("explain .", "half-sync/half-reactive"),
        ("config .", "demo"),
        ("diff . topology.yaml", ""),
    ],
)
def test_commands_accept_folders_and_words_of_other_servers(tmp_path: Path, words: str, said: str) -> None:
    (tmp_path / "topology.yaml").write_text("app: demo\n")
    done = poolctl(*words.split(), cwd=tmp_path)
    assert "Traceback" not in done.stderr
    assert said in done.stdout + done.stderr, done


def test_status_finds_the_server_of_a_folder(tmp_path: Path, serve: Serve) -> None:
    place = dict.fromkeys(("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"), str(tmp_path))
    (tmp_path / "topology.yaml").write_text("name: shop\napp: demo\nlisten: tcp://127.0.0.1:0\n")
    server = serve(tmp_path / "topology.yaml", environment=place)
    for words in (["status", "."], ["status", str(tmp_path)], ["status", "topology.yaml"], ["status", "shop"]):
        assert "shop" in poolctl(*words, cwd=tmp_path, **place).stdout
    wrong = poolctl("status", "shpo", cwd=tmp_path, **place)
    assert 'did you mean "shop"?' in wrong.stderr
    assert server.stop() == 0


def test_commands_default_to_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "topology.yaml").write_text("app: demo\n")
    for command in ("validate", "config", "explain"):
        alone, named = (poolctl(command, *words, cwd=tmp_path) for words in ([], ["topology.yaml"]))
        assert (alone.returncode, alone.stdout) == (0, named.stdout)


def test_a_folder_with_a_topology_takes_precedence_over_a_word_of_another_server(tmp_path: Path) -> None:
    """But not over a built-in word."""
    for name in ("deploy", "dispatch", "services"):
        (tmp_path / name).mkdir()
    for name in ("deploy", "dispatch"):
        (tmp_path / name / "topology.yaml").write_text("app: demo\n")
    begins = {
        "deploy": "topology: 2 ",
        "services": "services: a file is",
        "dispatch": "dispatch: which worker",
    }
    for what, said in begins.items():
        assert poolctl("explain", what, cwd=tmp_path).stdout.startswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("plugin show half-sync", "poolctl plugin list shows"),
        ("plugin check least-loadd", "poolctl plugin list shows"),  # of plugins alone
    ],
)
def test_unknown_plugins(tmp_path: Path, words: str, said: str) -> None:
    done = poolctl(*words.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
