"""Output formats of findings: for people with or without color, for editors, for programs and for code hosts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness.commands import invoke
from harness.machine import within
from harness.terminal import in_terminal

from poolctl import __version__

WRONG = "app: demo\npol: thread\ndispatch: kernel-hash\n"
UNWISE = "app: demo\npool: {size: 1}\n"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def judged_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.yaml").write_text(WRONG)
    (tmp_path / "unwise.yaml").write_text(UNWISE)
    (tmp_path / "right.yaml").write_text("app: demo\n")
    return tmp_path


def validate(*words: str, stdin: str | None = None) -> tuple[int, str]:
    code, shown, _ = invoke("validate", "--no-environment", *words, stdin=stdin)
    return code, shown


def test_concise(judged_files: Path) -> None:
    status, shown = validate("wrong.yaml", "unwise.yaml", "--format", "concise")
    assert status == 1
    assert [line.partition(" ")[0] for line in shown.splitlines()] == [
        "wrong.yaml:2:1:",
        "wrong.yaml:3:11:",
        "unwise.yaml:2:8:",
    ]
    assert 'error[PC203]: unknown key "pol" (did you mean "pool"?)' in shown
    assert "warning[PC501]: " in shown


def test_json(judged_files: Path) -> None:
    status, shown = validate("wrong.yaml", "unwise.yaml", "--format", "json", "--set", "backlog=x")
    found = json.loads(shown)
    assert status == 1
    assert (found["format_version"], found["valid"], found["error_count"], found["warning_count"]) == (
        "1.0",
        False,
        4,
        0,
    )
    assert found["files"] == [{"filename": "wrong.yaml", "valid": False}, {"filename": "unwise.yaml", "valid": False}]
    first = found["diagnostics"][0]
    assert (first["severity"], first["code"], first["help"]) == ("error", "PC203", 'did you mean "pool"?')
    assert first["range"] == {
        "filename": "wrong.yaml",
        "is_file": True,
        "start": {"line": 2, "column": 1},
        "end": {"line": 2, "column": 4},
    }
    assert first["snippet"] == {"code": "pol: thread", "start_line": 2}
    by_option = found["diagnostics"][-1]["range"]
    assert (by_option["filename"], by_option["is_file"]) == ("--set backlog=x", False)
    assert {frozenset(each) for each in found["diagnostics"]} == {frozenset(first)}, "every key is always there"


def test_json_of_a_valid_file(judged_files: Path) -> None:
    status, shown = validate("right.yaml", "unwise.yaml", "--format", "json")
    found = json.loads(shown)
    assert (status, found["valid"], found["error_count"], found["warning_count"]) == (0, True, 0, 1)


def test_github(judged_files: Path) -> None:
    status, shown = validate("wrong.yaml", "unwise.yaml", "--format", "github")
    assert status == 1
    lines = shown.splitlines()
    assert lines[0] == (
        '::error file=wrong.yaml,line=2,endLine=2,col=1,endColumn=3,title=PC203::unknown key "pol"'
        '%0Ahelp: did you mean "pool"?'
    )
    assert lines[-1].startswith("::warning file=unwise.yaml,line=2,")


def test_github_counts_the_annotations_it_drops(judged_files: Path) -> None:
    (judged_files / "many.yaml").write_text("app: demo\n" + "".join(f"key{number}: 1\n" for number in range(23)))
    _, shown = validate("many.yaml", "--format", "github")
    assert shown.count("::error ") == 23
    assert "13 more errors in the log only: a step shows 10 annotations" in shown


def test_github_escapes_delimiters_in_properties(judged_files: Path) -> None:
    (judged_files / "a,b:c.yaml").write_text("app: demo\nname: 'a%b'\n")
    _, shown = validate("a,b:c.yaml", "--format", "github")
    assert "file=a%2Cb%3Ac.yaml," in shown
    assert '"a%25b"' in shown


def test_sarif(judged_files: Path) -> None:
    status, shown = validate("wrong.yaml", str(judged_files / "unwise.yaml"), "--format", "sarif", "--set", "backlog=x")
    found = json.loads(shown)
    (run,) = found["runs"]
    driver = run["tool"]["driver"]
    assert (status, found["version"], driver["name"], driver["version"]) == (1, "2.1.0", "poolctl", __version__)
    codes = [rule["id"] for rule in driver["rules"]]
    assert codes == sorted(set(codes))
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
    physical = run["results"][0]["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"] == {"uri": "wrong.yaml"}
    assert physical["region"] == {"startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 4}
    options = [each for each in run["results"] if "logicalLocations" in each["locations"][0]]
    assert options[0]["locations"][0]["logicalLocations"][0]["name"] == "--set backlog=x"


def test_a_summary_of_several_files(judged_files: Path) -> None:
    status, shown = validate("right.yaml", "unwise.yaml", "wrong.yaml")
    assert status == 1
    assert shown.endswith("wrong.yaml: 2 errors\n\n3 files: 2 errors, 1 warning\n")
    assert "right.yaml: valid\n" in shown
    assert "unwise.yaml: valid, 1 warning\n" in shown
    assert validate("right.yaml", "right.yaml")[1].endswith("\n\n2 files: all valid\n")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["right.yaml"], 0),
        (["unwise.yaml"], 0),
        (["unwise.yaml", "--strict"], 1),
        (["right.yaml", "--strict"], 0),
        (["wrong.yaml"], 1),
        (["none.yaml"], 2),
        (["wrong.yaml", "none.yaml"], 2),
        (["right.yaml", "--format", "xml"], 2),
        (["-", "-"], 2),
        ([], 2),
    ],
)
def test_exit_codes(judged_files: Path, words: list[str], status: int) -> None:
    assert validate(*words)[0] == status


def test_standard_input(judged_files: Path) -> None:
    status, shown = validate("-", stdin=WRONG)
    assert status == 1
    assert "  --> <stdin>:2:1\n" in shown
    assert shown.endswith("<stdin>: 2 errors\n")
    assert validate("-", "right.yaml", stdin="app: demo\n")[0] == 0


def on_a_terminal(folder: Path, **environment: str) -> str:
    """Return what a terminal receives."""
    code, shown = in_terminal("validate", "--no-environment", "wrong.yaml", cwd=folder, **environment)
    assert code == 1
    return shown


def test_colors_only_on_a_terminal(judged_files: Path) -> None:
    shown = on_a_terminal(judged_files)
    assert "\x1b[1;31merror[PC203]\x1b[0m" in shown
    assert "\x1b[31m^^^\x1b[0m" in shown
    plain = validate("wrong.yaml")[1]
    assert "\x1b" not in plain
    wide = on_a_terminal(judged_files, COLUMNS="200")
    assert re.sub(r"\x1b\[[0-9;]*m", "", wide) == plain


def test_sentences_are_wrapped_between_words(judged_files: Path) -> None:
    """A terminal would break them in the middle of words."""
    text = "app: demo\nownership: leader/followers\ndispatch: round-robin\nmax_requests: 5\nx: {}\n"
    Path("wrong.yaml").write_text(text)
    plain = validate("wrong.yaml")[1]
    words = {word for line in plain.splitlines() if not re.match(r" *\d* \|", line) for word in line.split()}
    for columns in (50, 72):
        shown = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(judged_files, COLUMNS=str(columns)))
        sentences = [line for line in shown.splitlines() if not re.match(r" *\d* \|", line)]
        assert max(map(len, sentences)) <= columns, shown
        assert words <= set(shown.split())


def test_lines_fit_into_a_narrow_terminal(judged_files: Path) -> None:
    """So that carets align with what they mark, where a longer line would continue in the next row."""
    Path("wrong.yaml").write_text("app: demo\nx-a: [1]\nlimits: {connections: 4000, body_rate: 500B, wating: 10}\n")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(judged_files, COLUMNS="50")).splitlines()
    line, carets = shown[3:5]
    assert line.startswith(" 3 | ...")
    assert len(line) <= 50
    assert line[carets.index("^") : carets.rindex("^") + 1] == "wating"
    assert validate("wrong.yaml")[1].splitlines()[3].startswith(" 3 | limits:")


def test_no_color_is_honored(judged_files: Path) -> None:
    shown = on_a_terminal(judged_files, NO_COLOR="1")
    assert "\x1b[31" not in shown
    assert "\x1b[1;31" not in shown


def test_a_full_disk_causes_no_traceback(judged_files: Path) -> None:
    command = [sys.executable, "-m", "poolctl", "validate", "--no-environment", "right.yaml"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command,
            cwd=judged_files,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=-1,
            timeout=within(30),
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == b"error: cannot write to standard output: No space left on device\n"
