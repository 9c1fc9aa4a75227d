"""Finding and asking servers; they are sockets of this test that answer what they should, or something else."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import typer
from harness.answering import STATUS, Make, line
from harness.commands import invoke

from poolctl.cli import servers
from poolctl.cli.servers import Gone, Located, NoAnswer, answer, control_sockets, named, one, statuses


def of(control_folder: Path) -> list[Located]:
    """The sockets of this test: the kernel may list those of others."""
    return [found for found in control_sockets() if Path(found.path).parent == control_folder]


def running(file: object) -> bytes:
    """The status of a server that was started with this file."""
    return line({"poolctl": 1, "done": True, "exit": 0, "result": {"name": "cake", "file": str(file)}})


def test_sockets_are_found_by_their_names(make: Make, control_folder: Path) -> None:
    cake, dotted = make("cake", 4711), make("cake.test", 4712)
    for other in ("cake.sock", "4711.sock", ".4711.sock", "cake.x.sock", "notes"):
        (control_folder / other).touch()
    assert of(control_folder) == [cake, dotted]


def test_a_name_a_pid_or_nothing(make: Make, control_folder: Path) -> None:
    cake, other, number = make("cake", 4711), make("cake", 4712), make("4711", 5)
    found = of(control_folder)
    assert named("cake", found) == ("cake", [cake, other], "")
    assert named("4712", found) == ("4712", [other], "")
    assert named("4711", found) == ("4711", [number], "")  # a name comes first
    assert named("cafe", found) == ("cafe", [], "")
    assert named("", found) == ("", found, "")


def test_a_file_or_a_folder(make: Make, control_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was started with it, whatever it says now; not another server of that name."""
    file = control_folder / "shop" / "topology.yaml"
    file.parent.mkdir()
    file.write_text("name: [broken\n")
    (control_folder / "link").symlink_to("shop")
    make("cake", 4711, status=running("/elsewhere/topology.yaml"))
    with pytest.raises(typer.Exit):
        one(str(file))
    assert capsys.readouterr().err.startswith(f"{file} is not running (searched ")
    mine = make("topology", 4712, status=running(file))
    for what in (file, file.parent, control_folder / "link"):
        assert one(str(what)) == mine
    file.unlink()
    assert one(str(file)) == mine


def test_a_file_that_does_not_exist(make: Make, control_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make("cake", 4711, status=running("/elsewhere/topology.yaml"))
    with pytest.raises(typer.Exit):
        one("quickstrat.yaml")
    error = capsys.readouterr().err
    assert error.startswith("quickstrat.yaml is not running (searched ")
    assert error.endswith("; that file does not exist either: check the path\n")


def test_two_servers_of_one_file(make: Make, control_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = control_folder / "topology.yaml"
    for number in (1, 2):
        make(f"shop{number}", number, status=running(file))
    with pytest.raises(typer.Exit):
        one(str(file))
    expected = f"error: 2 servers run {file}: shop1 (pid 1), shop2 (pid 2); name one by its name or pid\n"
    assert capsys.readouterr().err == expected


def test_the_one_that_is_meant(make: Make, control_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cake = make("cake", 4711)
    assert one("cake") == cake
    make("cake", 4712)
    with pytest.raises(typer.Exit):
        one("cake")
    expected = "error: 2 servers are called cake: cake (pid 4711), cake (pid 4712); name one by its pid\n"
    assert capsys.readouterr().err == expected
    assert one("4711") == cake


def test_none_is_running(make: Make, control_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make("cake", 4711)
    with pytest.raises(typer.Exit) as exiting:
        one("caek")
    assert exiting.value.exit_code == 1
    searched = f"{control_folder}, {control_folder}/poolctl-{os.getuid()} and /proc/net/unix"
    error = capsys.readouterr().err
    assert error.startswith(f"caek is not running (searched {control_folder}, ")
    assert error.endswith(' and /proc/net/unix); did you mean "cake"?\n'), searched


def test_the_only_one_that_runs_needs_no_name(
    make: Make, control_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [make("cake", 4711)]
    monkeypatch.setattr(servers, "control_sockets", lambda: own)  # and not the servers of other tests
    assert one("") == own[0]
    own.append(make("cafe", 4712))
    with pytest.raises(typer.Exit):
        one("")
    expected = "error: 2 servers are running: cake (pid 4711), cafe (pid 4712); name one by its name or pid\n"
    assert capsys.readouterr().err == expected


WRONG = {
    "garbage": (b"\x00\xff\n", "the answer is not that of this version of poolctl"),
    "no object": (b"[]\n", "the answer is not that of this version of poolctl"),
    "nothing": (b"", "the server ended before it had answered"),
    "half a line": (b'{"poolctl": 1', "the server ended before it had answered"),
    "an error": (line({**STATUS, "error": "no", "fix": "later"}), "no: later"),
    "progress alone": (line({"says": "wait"}), "the server ended before it had answered"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_answers(make: Make, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    reply, error = WRONG[case]
    found = make("cake", 4711, status=reply)
    with pytest.raises(NoAnswer, match=error):
        answer(found.path, "status")
    assert statuses([found]) == ([], [found])
    assert capsys.readouterr().err == f"warning: cake (pid 4711) does not answer on {found.path}: {error}\n"


def test_an_answer_without_end_is_cut_off(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "LINE_BYTES", 100_000)
    found = make("cake", 4711, status=b"x" * 200_000)
    with pytest.raises(NoAnswer, match="the answer is too long"):
        answer(found.path, "status")


def test_a_server_that_does_not_answer_runs_nevertheless(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(servers, "ANSWER_SECONDS", 0.05)
    found = make("cake", 4711, silent=True)
    for words in (["status", "cake"], ["events", "cake"], ["stop", "cake"]):
        code, _, err = invoke(*words)
        expected = f"warning: cake (pid 4711) does not answer on {found.path}: no answer in time\n"
        assert (code, err) == (1, expected)


def test_dead_servers_are_skipped(control_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(control_folder / "cake.4711.sock"))
    dead = [
        Located("cake", 4711, str(control_folder / "cake.4711.sock")),
        Located("cake", 1, str(control_folder / "none" / "cake.1.sock")),
    ]
    for found in dead:
        with pytest.raises(Gone):
            answer(found.path, "status")
    assert statuses(dead) == ([], [])
    assert capsys.readouterr().err == ""


def test_a_long_path_can_be_used(make: Make, control_folder: Path) -> None:
    """Of a server that sees its control_folder under a shorter path."""
    deep = control_folder / ("x" * 100)
    deep.mkdir()
    short = control_folder / "short"
    short.symlink_to(deep)
    make("cake", 4711, where=short)
    path = str(deep / "cake.4711.sock")
    assert len(path) > 107
    assert answer(path, "status") == {"name": "cake"}
