"""poolctl plugin: list and show, plugins written by `new` in a live server, and the results of `check`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness.client import Client
from harness.commands import poolctl
from harness.machine import within
from harness.server import ROOT, Serve
from typer.testing import CliRunner

from poolctl.assembly.plugins import reference
from poolctl.cli.main import cli
from poolctl.testing import violation

WRONG = ROOT / "tests" / "testing" / "wrong" / "strategies.py"


def run(*words: str) -> tuple[str, int]:
    done = CliRunner().invoke(cli, ["plugin", *words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.stdout + done.stderr, done.exit_code


def test_built_in_words_and_installed_plugins_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "shop_dispatch-2.1.dist-info"
    there.mkdir()
    (there / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-dispatch\nVersion: 2.1\n")
    (there / "entry_points.txt").write_text("[poolctl.dispatch]\nheavy-first = no_such_module:Heavy\n")
    monkeypatch.syspath_prepend(tmp_path)
    reference.installed.cache_clear()
    try:
        shown, code = run("list")
        assert code == 0
        assert "dispatch   heavy-first              shop-dispatch 2.1" in shown
        assert "dispatch   least-loaded             poolctl " in shown
        listed = json.loads(run("list", "--format", "json")[0])
        assert {"axis": "dispatch", "name": "heavy-first", "distribution": "shop-dispatch 2.1"} in listed
        shown, code = run("show", "heavy-first")
        assert (code, "No module named 'no_such_module'" in shown) == (2, True)
    finally:
        reference.installed.cache_clear()


def test_a_strategy_that_inspects_requests_fits_where_validate_says(tmp_path: Path) -> None:
    (tmp_path / "looks.py").write_text(
        "from poolctl.plugin import Dispatch\n\n\nclass Looks(Dispatch):\n    inspects = True\n\n"
        "    def pick(self, task, inboxes):\n        return inboxes[0]\n"
    )
    shown, code = run("show", f"{tmp_path}/looks.py:Looks")
    assert code == 0
    listed = next(line for line in shown.splitlines() if "ownership:" in line).partition(": ")[2].split(", ")
    for word in ("half-sync/half-reactive", "half-sync/half-async", "leader/followers", "reuse-port"):
        (tmp_path / "t.yaml").write_text(f"app: demo\nownership: {word}\ndispatch: ./looks.py:Looks\n")
        done = CliRunner().invoke(cli, ["validate", "--no-environment", str(tmp_path / "t.yaml")])
        assert (done.exit_code == 0) == (word in listed), (word, done.stdout)


def test_a_plugin_is_shown_with_its_options_and_where_it_fits() -> None:
    shown, code = run("show", f"{ROOT}/plugins/consistent-hash/poolctl_consistent_hash.py:ConsistentHash")
    assert code == 0
    assert (
        "slack: how far a load may exceed the mean, as a ratio (number, at least 0.05, at most 100; default: 0.5)"
        in shown
    )
    assert "by: source of the key; the client if a task does not have it (client, header, cookie, path" in shown
    assert "fits where least-loaded does:\n  pool: process, thread\n" in shown
    assert "methods besides pick: joined" in shown
    assert run("show", "round-robin")[0].startswith("dispatch round-robin: Each inbox in its turn")
    assert run("show", "nobodys") == (
        'error: unknown plugin "nobodys"\nhelp: poolctl plugin list shows what is installed\n',
        2,
    )


NEW = {
    "dispatch": ("first-free", "dispatch: ./first_free.py:FirstFree\napp: demo\n", "/"),
    "app": ("greeter", "app: {use: ./greeter.py:Greeter, greeting: good day}\n", "/"),
    "ownership": ("warmed", 'app: demo\nownership: {use: ./warmed.py:Warmed, before: "time:time"}\n', "/"),
    "pool": ("gentle", "app: demo\npool: {kind: ./gentle.py:Gentle, size: 2, niceness: 7}\n", "/pid"),
    "protocol": ("records", "app: {use: ./shout.py:Shout}\nprotocol: {use: ./records.py:Records, limit: 64}\n", ""),
}
SHOUT = """
from poolctl.plugin import App


class Shout(App):
    protocol = "records"

    def load(self, surroundings):
        pass

    def serve(self, request, out):
        out.send(request.upper() + b"\\0")
        return True
"""


@pytest.mark.parametrize("kind", NEW)
def test_a_new_plugin_passes_its_tests_and_serves(serve: Serve, tmp_path: Path, kind: str) -> None:
    name, text, path = NEW[kind]
    told, code = run("new", name, "--kind", kind, "-C", str(tmp_path))
    assert code == 0
    assert f"wrote {tmp_path}/{name.replace('-', '_')}.py" in told
    assert run("new", name, "--kind", kind, "-C", str(tmp_path))[1] == 2  # nothing is overwritten
    tests = f"test_{name.replace('-', '_')}.py"
    words = ["-q", "-p", "no:cacheprovider", "-W", "error", "-k", "not test_live", tests]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=within(50),
        check=False,
    )
    assert done.returncode == 0, done.stdout
    if kind == "protocol":
        (tmp_path / "shout.py").write_text(SHOUT)
    file = tmp_path / "t.yaml"
    file.write_text(text)
    server = serve(file)
    with Client(server.port) as client:
        if kind == "protocol":
            for split in (b"one\0tw", b"o\0"):
                client.send(split)
            received = b""
            while len(received) < 8 and (more := client.sock.recv(8)):
                received += more
            assert received == b"ONE\0TWO\0"
        else:
            response = client.get(path)
            assert response.status == 200
            if kind == "app":
                assert response.body == b"good day\n"
            if kind == "pool":
                assert os.getpriority(os.PRIO_PROCESS, response.process) == os.getpriority(os.PRIO_PROCESS, 0) + 7
    assert server.stop() == 0


def test_a_package_has_an_entry_point(tmp_path: Path) -> None:
    assert run("new", "heavy-first", "--package", "-C", str(tmp_path))[1] == 0
    folder = tmp_path / "poolctl-heavy-first"
    assert 'heavy-first = "poolctl_heavy_first:HeavyFirst"' in (folder / "pyproject.toml").read_text()
    assert {file.name for file in folder.iterdir()} == {
        "README.md",
        "poolctl_heavy_first.py",
        "pyproject.toml",
        "test_poolctl_heavy_first.py",
    }


@pytest.mark.parametrize("name", ["First", "first free", "1st", "class", "-x", "a" * 61])
def test_invalid_names_are_refused(tmp_path: Path, name: str) -> None:
    assert run("new", "-C", str(tmp_path), "--", name)[1] == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["json"], "a module json already exists"),
        (["poolctl"], "a module poolctl already exists"),
        (["least-loaded", "--package"], "is a built-in word"),
        (["process", "--package", "--kind", "pool"], "is a built-in word"),
    ],
)
def test_taken_names_are_refused(tmp_path: Path, words: list[str], said: str) -> None:
    shown, code = run("new", "-C", str(tmp_path), *words)
    assert (code, said in shown) == (2, True)
    assert list(tmp_path.iterdir()) == []


def checked(*words: str) -> subprocess.CompletedProcess[str]:
    return poolctl("plugin", "check", *words, cwd=ROOT)


def test_check_reports_passed_and_failed_checks() -> None:
    done = checked(f"{ROOT}/plugins/weighted/poolctl_weighted.py:Weighted", "--set", "weights=[2, 1]")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith(":Weighted: all checks passed\n")
    assert "+ live" in done.stdout


def test_check_says_what_is_broken() -> None:
    done = checked(f"{WRONG}:NeverTheFirst", "--no-live", "--affine")
    assert done.returncode == 1
    assert "x fairness\n    inbox 0 got none of 600 tasks" in done.stdout
    assert "x affinity\n" in done.stdout
    assert done.stdout.endswith(":NeverTheFirst: 2 of 10 checks failed\n")
    assert issubclass(violation.Violation, AssertionError)


def test_check_requires_the_required_options() -> None:
    done = checked(f"{ROOT}/plugins/weighted/poolctl_weighted.py:Weighted")
    assert (done.returncode, done.stderr.splitlines()[1]) == (2, "help: add --set weights=VALUE")
    done = checked(f"{ROOT}/plugins/weighted/poolctl_weighted.py:Weighted", "--set", "weights=[0]")
    assert (done.returncode, "greater than or equal to 1" in done.stdout) == (1, True)


def test_a_strategy_that_ends_the_process_fails(tmp_path: Path) -> None:
    """Whatever its exit code."""
    source = (
        "import os\nfrom poolctl.plugin import Dispatch\nclass Ends(Dispatch):\n    def pick(self, task, inboxes):\n"
    )
    (tmp_path / "ends.py").write_text(f"{source}        os._exit(0)\n")
    done = checked(f"{tmp_path}/ends.py", "--no-live")
    assert done.returncode == 1
    assert "exited with status 0 during the check 'histories'" in done.stderr


def test_a_file_with_one_plugin_needs_no_class(tmp_path: Path) -> None:
    assert run("new", "first-free", "-C", str(tmp_path))[1] == 0
    file = tmp_path / "first_free.py"
    assert run("show", str(file))[0].startswith(f"dispatch {file}:FirstFree: The first inbox")
    with file.open("a") as more:
        more.write("\n\nclass Last(Dispatch):\n    def pick(self, task, inboxes):\n        return inboxes[-1]\n")
    shown, code = run("show", str(file))
    assert (code, f"error: {file} has several plugins: FirstFree, Last\n" in shown) == (2, True)
    nothing = run("show", str(tmp_path / "test_first_free.py"))
    assert (nothing[1], "has no subclass of a poolctl.plugin class" in nothing[0]) == (2, True)
    file.write_text("def f(:")
    assert "cannot be imported: SyntaxError" in run("show", str(file))[0]
    assert "no such file" in run("show", str(tmp_path / "nowhere.py"))[0]
