from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest
from harness.commands import poolctl
from harness.forms import short
from harness.machine import PATIENCE
from typer.testing import CliRunner

from poolctl import __version__
from poolctl.cli.main import COMMANDS, cli
from poolctl.compiled import compiled

ROOT = Path(__file__).parents[2]
FULL = str(ROOT / "topologies" / "full.yaml")


def test_a_valid_file_and_what_it_assembles() -> None:
    done = CliRunner().invoke(cli, ["validate", FULL, "--set", "pool.size=2", "--set", "pool.threads=3"])
    assert done.exit_code == 0
    assert done.stdout == (
        f"{FULL}: valid\n"
        "  2 processes of 3 threads, half-sync/half-reactive, dispatch shared-queue, affinity request\n"
        "  app demo, protocol http, on tcp://127.0.0.1:8000\n"
    )


def test_all_findings_are_printed(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("app: demo\npol: thread\ndispatch: kernel-hash\n")
    done = CliRunner().invoke(cli, ["validate", str(file)])
    assert done.exit_code == 1
    assert f"  --> {file}:2:1\n" in done.stdout
    assert f"  --> {file}:3:11\n" in done.stdout
    assert done.stdout.endswith(f"\n\n{file}: 2 errors\n")
    assert done.stderr == ""


def test_a_missing_file(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["validate", str(tmp_path / "none.yaml")])
    assert (done.exit_code, done.stderr) == (2, "")
    assert done.stdout.startswith(f"error[PC100]: cannot read {tmp_path / 'none.yaml'}: No such file or directory\n")


@pytest.mark.parametrize("arguments", [["validate"], ["validate", FULL, "--nonsense"], ["serve"]])
def test_wrong_use(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli, arguments).exit_code == 2


def test_version() -> None:
    done = CliRunner().invoke(cli, ["--version"])
    assert (done.exit_code, done.stdout) == (
        0,
        f"poolctl {__version__} ({'compiled' if compiled() else 'pure Python'})\n",
    )


@pytest.mark.parametrize(("group", "names"), [([], COMMANDS), (["plugin"], ("list", "show", "check", "new"))])
def test_help_lists_every_command_by_its_name(group: list[str], names: Sequence[str]) -> None:
    shown = CliRunner().invoke(cli, [*group, "--help"], env={"COLUMNS": "120"}).stdout
    assert re.findall(r"^│ ([a-z]+) ", shown.partition("Commands")[2], re.MULTILINE) == list(names)


def test_clients_behind_a_proxy_have_their_own_addresses(tmp_path: Path) -> None:
    """With the PROXY protocol affinity `client` can distinguish them, on a unix socket and behind a proxy."""
    file = tmp_path / "shop.yaml"
    text = "app: demo\npool: {{size: 4}}\naffinity: client\nforwarded: {{trust: unix}}\nlisten: {}\n"
    for listen, codes in (
        ("{at: unix:///run/shop.sock, proxy_protocol: unix}", []),
        ("{at: unix:///run/shop.sock}", ["PC502"]),
        ("[{at: tcp://127.0.0.1:1, proxy_protocol: 127.0.0.1}, tcp://127.0.0.1:2]", []),
    ):
        file.write_text(text.format(listen))
        done = CliRunner().invoke(cli, ["validate", str(file), "--no-environment"])
        assert done.exit_code == 0
        assert re.findall(r"\[(PC\d+)\]", done.stdout) == codes


READS, READS_NOTHING = "validate -", "config none.yaml"
ALL = "<&- >&- 2>&-"
CLOSED = {(READS, "<&-"), (READS, ">&-"), (READS, ALL), (READS_NOTHING, "2>&-"), ("explain -", ALL)}


@pytest.mark.parametrize(
    ("words", "redirection"),
    short(product((READS, "validate none.yaml", "explain -", READS_NOTHING), ("<&-", ">&-", "2>&-", ALL)), CLOSED),
)
def test_closed_streams_cause_no_traceback(tmp_path: Path, words: str, redirection: str) -> None:
    command = f"{shlex.quote(sys.executable)} -m poolctl {words} {redirection}"
    done = subprocess.run(
        ["sh", "-c", command], check=False, cwd=tmp_path, input=b"", capture_output=True, timeout=PATIENCE
    )
    assert done.returncode in (1, 2)
    assert b"Traceback" not in done.stderr


def test_standard_input_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(cli, ["validate", "-", "-f", "-"], input="app: demo\n")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (2, "error[PC100]: <stdin> can be read only once")
    done = CliRunner().invoke(cli, ["validate", FULL, FULL, "-f", "-"], input="pool: {size: 2}\n")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "standard input can be read only once" in done.stderr


def test_a_misspelled_file_gets_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("app: demo\n")
    done = CliRunner().invoke(cli, ["validate", str(tmp_path / "shpo.yaml")])
    assert f'= help: did you mean "{tmp_path / "shop.yaml"}"?\n' in done.stdout
    done = CliRunner().invoke(cli, ["validate", str(tmp_path / "shop.yaml"), "-f", str(tmp_path / "x" / "y.yaml")])
    assert "= help: name a file whose keys override those of the topology\n" in done.stdout


FORMS = [f"validate --no-environment --format {form}" for form in ("human", "concise", "json", "github", "sarif")]


@pytest.mark.parametrize("command", [*FORMS, "run", "config", "explain"])
def test_any_output_encoding_works(command: str, tmp_path: Path) -> None:
    """A key may contain characters that the encoding of the terminal or pipe lacks."""
    file = tmp_path / "l\u00e4den.yaml"
    file.write_text("app: demo\nn\u00e4me: \U0001f600\n", encoding="utf-8")
    done = poolctl(*command.split(), str(file), cwd=tmp_path, PYTHONIOENCODING="ascii")
    shown = done.stdout + done.stderr  # click writes UTF-8 by itself
    assert done.returncode in (1, 2, 78)
    assert "Traceback" not in shown
    assert re.search(r"n(ä|\\xe4|\\u00e4)me", shown)


def test_strict_counts_warnings_as_errors(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("app: demo\npool: {size: 1}\n")
    arguments = ["validate", "--no-environment", str(file)]
    done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, f"{file}: valid, 1 warning\n" in done.stdout) == (0, True)
    strict = CliRunner().invoke(cli, [*arguments, "--strict"])
    assert strict.exit_code == 1
    assert strict.stdout.endswith(f"{file}: 1 warning; --strict counts warnings as errors\n")
    told = [
        json.loads(CliRunner().invoke(cli, [*arguments, "--format", "json", *more]).stdout)
        for more in ([], ["--strict"])
    ]
    assert [(each["valid"], each["files"][0]["valid"]) for each in told] == [(True, True), (False, False)]
    file.write_text("app: demo\npool: {size: 2}\n")
    assert CliRunner().invoke(cli, [*arguments, "--strict"]).stdout.startswith(f"{file}: valid\n")
