"""Options of other servers, and other mistakes in a command line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from harness.commands import poolctl
from typer.testing import CliRunner

from poolctl import __version__
from poolctl.cli.main import cli
from poolctl.config.load import NESTED
from poolctl.config.model import Topology
from poolctl.config.option_suggestions import as_options, suggest_options
from poolctl.config.other_servers import ANSWERS, KEYS, LETTERS

NOT_YET = {
    "--reload": "poolctl run FILE --watch",
    "--max-requests-jitter 100": "jitter: 0.2",
    "--log-level debug": "no level or format to choose yet",
    "--daemon": "stays in the foreground",
    "-D": "stays in the foreground",
    "-c gunicorn.conf.py": "poolctl run FILE",
    "--config hypercorn.toml": "poolctl run FILE",
    "--env-file .env": "EnvironmentFile=",
    "--http h11": "has its own HTTP parser",
    "-k gevent": "has no green threads: use pool: {threads: 16}",
    "--nothing": "poolctl run -h lists",
}
LINES = {
    "--workers 4": "pool: {size: 4}",
    "--workers=4": "pool: {size: 4}",
    "-w 4": "pool: {size: 4}",
    "-w4": "pool: {size: 4}",
    "-w 4 --threads 2": "pool: {size: 4, threads: 2}",
    "-k sync": "pool: process",
    "--bind 0.0.0.0:8000": "listen: tcp://0.0.0.0:8000",
    "-b :8000": "listen: tcp://0.0.0.0:8000",
    "-b unix:/run/shop.sock": "listen: unix:///run/shop.sock",
    "-b :8000 -b :8001": "listen: [tcp://0.0.0.0:8000, tcp://0.0.0.0:8001]",
    "--port 8000": "listen: tcp://127.0.0.1:8000",
    "-p 8000": "listen: tcp://127.0.0.1:8000",
    "-p shop.pid": "pid_file: shop.pid",
    "--host 0.0.0.0 --port 80": "listen: tcp://0.0.0.0:80",
    "--timeout 30": "timeouts: {request: 30}",
    "--graceful-timeout 30": "timeouts: {drain: 30}",
    "--access-logfile -": "access_log: {to: stdout}",
    "--no-access-log": "access_log: off",
    "--preload": "preload: true",
    "--http2": "protocol: {http2: true}",
    "--forwarded-allow-ips 10.0.0.1": "forwarded: {trust: 10.0.0.1}",
    "-e A=b": "environment: {A: b}",
    "--pool.size 4": "pool: {size: 4}",
    "--dispatch random": "dispatch: random",
}


@pytest.fixture(scope="module")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("usage")
    (folder / "shop.yaml").write_text("app: demo\n")
    return folder


def help_of(done: object) -> str:
    return re.search(r"help: (.*)", done.stderr)[1]  # type: ignore[attr-defined,index]


@pytest.mark.parametrize("options", NOT_YET)
def test_options_without_a_counterpart(shop_folder: Path, options: str) -> None:
    done = poolctl("run", *options.split(), "shop.yaml", cwd=shop_folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: poolctl run: unknown option {options.split(maxsplit=1)[0]}\n")
    assert NOT_YET[options] in help_of(done)


@pytest.mark.parametrize("options", LINES)
def test_options_that_are_keys_here(shop_folder: Path, options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suggested line in the topology and the suggested option are both accepted, and equivalent."""
    done = poolctl("run", *options.split(), "shop.yaml", cwd=shop_folder)
    assert (done.returncode, done.stdout) == (2, "")
    line, _, added = help_of(done).rpartition("; on the command line, add ")
    assert line.endswith(f"in the topology, write {LINES[options]}")
    file = shop_folder / f"{abs(hash(options))}.yaml"
    file.write_text(f"app: demo\n{LINES[options]}\n")
    monkeypatch.chdir(shop_folder)
    shown = [
        CliRunner().invoke(cli, ["config", *words, "--format", "json"])
        for words in ([file.name], ["shop.yaml", *shlex.split(added)])
    ]
    assert [each.exit_code for each in shown] == [0, 0], shown
    values = [re.findall(r'"(?:key|value)": .*', each.stdout) for each in shown]
    assert values[0][2:] == values[1][2:]  # except for the name, which is the file's


def test_all_unknown_options_are_reported_together(shop_folder: Path) -> None:
    words = ["--reload", "-w", "4", "--ssl-keyfile", "k.pem", "--ssl-certfile", "c.pem", "shop:app"]
    done = poolctl("run", *words, cwd=shop_folder)
    assert "poolctl run: unknown options --reload, -w, --ssl-keyfile, --ssl-certfile\n" in done.stderr
    assert "help: --reload: during development, `poolctl run FILE --watch`" in done.stderr
    assert "listen: {at: tcp://HOST:PORT, tls: {key: k.pem, certificate: c.pem}}" in done.stderr
    assert done.stderr.count("help: ") == 3


@pytest.mark.parametrize("words", ["--workers 4 shop:app", "status --workers 4", "plugin list --workers 4"])
def test_unknown_options_of_other_commands(shop_folder: Path, words: str) -> None:
    done = poolctl(*words.split(), cwd=shop_folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert help_of(done).endswith("write pool: {size: 4}; on the command line, poolctl run --set pool.size=4")


def test_every_word_of_other_servers_has_an_answer_as_an_option() -> None:
    for word in sorted({*KEYS, *ANSWERS} - {"use", "concurrency", "body", "head"}):
        found = suggest_options([f"--{word}", "shop:app"], {"--set": True}, Topology.model_fields, NESTED)
        assert list(found) == [f"--{word}"]
        assert found[f"--{word}"], word


def test_single_letters_stand_for_known_words() -> None:
    for letter, word in LETTERS.items():
        assert suggest_options([f"-{letter}"], {}, Topology.model_fields, NESTED)[f"-{letter}"], word


def test_lines_with_placeholders_are_not_offered_as_options() -> None:
    for line in ("listen: tcp://HOST:PORT", "pool: {size: ...}", "app: {wsgi: MODULE:CALLABLE}, or another"):
        assert as_options(f"write {line}") == ""


def test_known_options_are_skipped() -> None:
    known = {"--set": True, "--strict": False}
    words = ["--set", "--workers", "--strict", "shop.yaml", "--", "--bind"]
    assert suggest_options(words, known, Topology.model_fields, NESTED) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("diff", "missing argument"),
        ("validate --format xml shop.yaml", "'xml' is not one of 'human'"),
        ("run -f", "requires an argument"),
        ("run a b", "unexpected extra argument"),
        ("nothing", 'unknown command "nothing"'),
        ("diff - -", "standard input can be read only once"),
    ],
)
def test_other_mistakes_are_reported_in_the_same_form(shop_folder: Path, words: str, said: str) -> None:
    done = poolctl(*words.split(), cwd=shop_folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(r"error: [^A-Z].*\nhelp: .*-h .*\n\Z", done.stderr), done.stderr
    assert said in done.stderr


def test_help_and_version_as_commands(shop_folder: Path) -> None:
    for words in (["version"], ["-V"], ["--version"]):
        assert poolctl(*words, cwd=shop_folder).stdout.startswith(f"poolctl {__version__} (")
    assert poolctl("help", cwd=shop_folder).stdout == poolctl("-h", cwd=shop_folder).stdout
    assert poolctl("help", "run", cwd=shop_folder).stdout == poolctl("run", "-h", cwd=shop_folder).stdout
