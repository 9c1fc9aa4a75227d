"""Output on terminals and in pipes: a terminal wraps sentences between words, a pipe gets whole lines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness.commands import poolctl
from harness.machine import within
from harness.server import ROOT, Serve
from harness.terminal import in_terminal, without_colours

from poolctl.cli.output import fold_lines

FILES = {
    "shop.yaml": "app: demo\n",
    "wrong.yaml": "app: demo\nworkers: 4\nmax_requests: 10\npool: thread\nownership: leader/followers\n"
    "dispatch: round-robin\n",
    "other.yaml": "app: demo\npool: thread\nlimits: {connections: 5000}\n",
    "broken.yaml": "app: {wsgi: broken}\nlisten: tcp://127.0.0.1:0\n",
    "broken.py": "import there_is_no_module_of_such_a_name\n",
}
COMMANDS = [
    "run wrong.yaml",
    "run broken.yaml",
    "run nothing:app",
    "run /srv/a-folder/that-nobody/has-made/topology.yaml",
    "run .",
    "run --nothing",
    "nothing",
    "validate wrong.yaml",
    "validate broken.yaml",
    "validate --stirct shop.yaml",
    "explain shop.yaml",
    "explain PC301",
    "explain dispatch",
    "explain nothing",
    "diff shop.yaml other.yaml",
    "status nothing",
    "plugin list",
    "plugin show nothing",
    "plugin show least-loaded",
    "plugin check nothing",
    "init --app nothing",
]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("say")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def whole(text: str) -> list[str]:
    """Return the words of a text, without the lines of a file, which are cut if there is no room."""
    return re.sub(r"(?m)^[ \d]*\|.*$|[│├└─]", "", text).split()


def without_log(text: str) -> str:
    """Return a text without the lines of the log, whose times differ, and which are whole on a terminal too."""
    return re.sub(r"(?m)^\d{4}-\d\d-\d\d \d.*\n", "", text.replace("\r\n", "\n"))


def assert_fits(shown: str, columns: int) -> None:
    """Check that no line is longer than the terminal, except for single words that are."""
    for line in shown.splitlines():
        words = re.sub(r"^[ \d]*(\||= help:|-->)?", "", line).split()
        assert len(line) <= columns or len(words) == 1, line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_terminal_breaks_no_word(faulty: Path, command: str) -> None:
    """A pipe, where every line is whole, and every terminal show the same words."""
    place = dict.fromkeys(("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"), str(faulty))  # no other tests' servers
    piped = poolctl(*command.split(), cwd=faulty, COLUMNS="33", **place)
    words = whole(without_log(piped.stderr + piped.stdout))
    for columns in (60, 40) if command == COMMANDS[0] else (40,):
        code, shown = in_terminal(*command.split(), cwd=faulty, columns=columns, **place)
        shown = without_log(without_colours(shown))
        assert code == piped.returncode
        assert_fits(shown, columns)
        assert sorted(set(whole(shown))) == sorted(set(words)), shown


def test_a_pipe_is_not_wrapped(faulty: Path) -> None:
    """COLUMNS is the width of the shell's terminal; a pipe has no width."""
    for command in COMMANDS[::4]:
        narrow, wide = (poolctl(*command.split(), cwd=faulty, COLUMNS=columns) for columns in ("33", "200"))
        assert (narrow.stdout, narrow.stderr) == (wide.stdout, wide.stderr)


def test_data_is_not_wrapped_on_a_terminal(faulty: Path) -> None:
    for command in ("config shop.yaml", "validate wrong.yaml --format json", "validate wrong.yaml --format concise"):
        assert in_terminal(*command.split(), cwd=faulty, columns=40)[1] == poolctl(*command.split(), cwd=faulty).stdout


def test_a_table_becomes_sentences_on_a_narrow_terminal(faulty: Path, tmp_path: Path, serve: Serve) -> None:
    place = dict.fromkeys(("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"), str(tmp_path))
    serve({"app": "demo", "name": "shop", "pool": {"size": 1}}, environment=place)
    for columns in (80, 60, 40):
        code, shown = in_terminal("status", "shop", cwd=faulty, columns=columns, **place)
        assert code == 0, shown
        assert_fits(shown, columns)
        assert ("  worker      pid  starts" in shown) == (columns == 80)
        assert ("1 start, " in shown) == (columns != 80)
        assert "in hand" not in shown


def test_continuation_lines_are_indented() -> None:
    assert fold_lines("  one two three\nfour", 9) == "  one two\n    three\nfour"
    assert fold_lines("a-word-that-is-longer", 9) == "a-word-that-is-longer"
    assert fold_lines("one two three", 0) == "one two three"


def in_encoding(command: str, folder: Path, encoding: str) -> tuple[str, str]:
    """Return what a command prints if its streams have this encoding, which is set when Python starts."""
    done = subprocess.run(
        [sys.executable, "-m", "poolctl", *command.split()],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=within(60),
        check=False,
    )
    return done.stdout.decode(encoding), done.stderr.decode(encoding)


WIDE = 'app: demo\nlimits: {connections: "äλ", wating: 5}\n'


@pytest.mark.parametrize(
    ("encoding", "value"), [("ascii", r'"\xe4\u03bb"'), ("latin-1", r'"ä\u03bb"'), ("utf-8", '"äλ"')]
)
def test_carets_align_with_what_they_mark(faulty: Path, encoding: str, value: str) -> None:
    """Whether characters are escaped or not."""
    (faulty / "wide.yaml").write_text(WIDE, encoding="utf-8")
    lines = in_encoding("validate wide.yaml", faulty, encoding)[0].splitlines()
    below = [(line, lines[number + 1]) for number, line in enumerate(lines) if line.startswith(" 2 | ")]
    assert [line[carets.index("^") : carets.rindex("^") + 1] for line, carets in below] == [value, "wating"]


@pytest.mark.parametrize("command", ["explain shop.yaml", "explain wide.yaml", "config shop.yaml", "diff λ shop.yaml"])
def test_every_command_prints_in_any_encoding(faulty: Path, command: str) -> None:
    (faulty / "wide.yaml").write_text(WIDE, encoding="utf-8")
    out, err = in_encoding(command, faulty, "ascii")  # anything else could not be decoded
    assert "Traceback" not in err
    assert ("`- mold (process)" in out) == (command == "explain shop.yaml")
