"""What the pages show is what happens: topologies are valid, commands print what they say, apps answer so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pages
import pytest
from harness.client import Client, get
from harness.commands import poolctl
from harness.machine import within
from harness.server import ROOT, Serve
from jsonschema import Draft7Validator

from poolctl.assembly.resolve import read
from poolctl.config.core_schema import construct
from poolctl.config.diagnostic import SourceText
from poolctl.config.loader import parse
from poolctl.description.changes import RULES
from poolctl.description.schema import topology_schema

CONSOLE = [block for block in pages.BLOCKS if block.language == "console"]
YAML = [block for block in pages.BLOCKS if block.language == "yaml" and not block.name.startswith("broken")]
TALKS = [block for block in pages.BLOCKS if block.language == "text" and block.text.startswith(("> ", "< "))]
TESTS = [block for block in pages.BLOCKS if block.name.startswith("test_")]
SCHEMA = Draft7Validator(topology_schema())
STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[\d+\] ", re.MULTILINE)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def of(word: str) -> list[object]:
    return [block for block in CONSOLE if block.text.startswith(f"$ {word}")]


def test_every_console_block_is_one_that_is_run() -> None:
    assert [*of("poolctl validate"), *of("poolctl run"), *of("curl -s ")] != []
    redis = of("redis-cli ")  # by test_redis
    plugins = [*of("pytest "), *of("poolctl status")]  # beside the tests that they run, and by test_plugins
    run = [*of("poolctl validate"), *of("poolctl run"), *of("poolctl init"), *SHOWN, *of("curl -s "), *redis, *plugins]
    assert len(CONSOLE) == len(run)


def test_every_python_and_yaml_block_has_a_name() -> None:
    assert [str(block) for block in pages.BLOCKS if block.language in ("python", "yaml") and not block.name] == []


SHOWN = [block for word in ("config", "diff", "explain", "export", "plugin") for block in of(f"poolctl {word}")]


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_commands_print_what_is_shown(block, tmp_path: Path) -> None:
    """All of it, or as far as the three dots."""
    pages.write_files(block.page, tmp_path)
    command, _, shown = block.text.partition("\n")
    words = command.removeprefix("$ poolctl ").split()
    done = poolctl(*words, cwd=tmp_path)
    pages.compare(done.stdout, shown)


@pytest.mark.parametrize("block", TESTS, ids=str)
def test_tests_pass_as_shown(block, tmp_path: Path) -> None:
    """What is printed, where the page shows it."""
    pages.write_files(block.page, tmp_path)
    shown = of(f"pytest -q {block.name}\n")
    most = [] if shown else ["-k", "not test_memory and not test_live"]  # of a contract, what costs little
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *most, block.name]
    done = subprocess.run(
        command, check=False, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=within(50)
    )
    assert done.returncode == 0, done.stdout
    for console in shown:
        pages.compare(done.stdout, console.text.partition("\n")[2])


def test_the_page_has_the_rules_of_changes() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    for rule in RULES:
        keys = ", ".join(f"`{key}*`" if key.endswith(".") else f"`{key}`" for key in rule.keys)
        assert re.search(rf"^\| {re.escape(keys)}[^|]*\| {rule.how} \| {re.escape(rule.why)} \|$", text, re.MULTILINE)


@pytest.mark.parametrize("block", YAML, ids=str)
def test_topologies_are_valid(block, tmp_path: Path) -> None:
    pages.write_files(block.page, tmp_path)
    read(str(tmp_path / block.name))


@pytest.mark.parametrize("block", YAML, ids=str)
def test_topologies_are_right_for_editors(block) -> None:
    node = parse(SourceText(block.name, block.text))
    found = construct(node)
    if "app" in found:  # else it is put over one that has an app
        assert list(SCHEMA.iter_errors(found)) == []


@pytest.mark.parametrize("block", of("poolctl validate"), ids=str)
def test_validate_prints_what_is_shown(block, tmp_path: Path) -> None:
    pages.write_files(block.page, tmp_path)
    command, _, shown = block.text.partition("\n")
    words = command.removeprefix("$ poolctl ").split()
    done = poolctl(*words, cwd=tmp_path)
    assert done.stdout == shown
    assert done.returncode == ("error[" in shown)


@pytest.mark.parametrize("block", of("poolctl init"), ids=str)
def test_init_writes_what_is_shown(block, tmp_path: Path) -> None:
    pages.write_files(block.page, tmp_path)
    command, _, shown = block.text.partition("\n")
    words = command.removeprefix("$ poolctl ").split()
    done = poolctl(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, shown)


@pytest.mark.parametrize("block", of("poolctl run"), ids=str)
def test_run_says_what_is_shown(block, serve: Serve, tmp_path: Path) -> None:
    pages.write_files(block.page, tmp_path)
    command, _, shown = block.text.partition("\n")
    file, *options = command.removeprefix("$ poolctl run ").split()
    assert options[::2] == ["--set"] * (len(options) // 2)
    server = serve(tmp_path / file, sets=tuple(options[1::2]))
    said = server.log[: server.log.index("\n", server.wait_for_log("serves on").start()) + 1]
    assert STAMP.sub("", said).replace(f":{server.port}:", ":8000:") == STAMP.sub("", shown)
    assert server.stop() == 0


@pytest.mark.parametrize("block", of("curl -s "), ids=str)
def test_curl_gets_what_is_shown(block, serve: Serve, tmp_path: Path) -> None:
    pages.write_files(block.page, tmp_path)
    command, _, shown = block.text.partition("\n")
    path = command.removeprefix("$ curl -s http://127.0.0.1:8000")
    server = serve(tmp_path / pages.before(block), sets=("pool.size=1",))
    answer = get(server.port, path).body.decode()
    assert answer.removesuffix("\n") == shown.removesuffix("\n")  # a page cannot show that there is none
    assert server.stop() == 0


@pytest.mark.parametrize("block", TALKS, ids=str)
def test_conversations_go_as_shown(block, serve: Serve, tmp_path: Path) -> None:
    pages.write_files(block.page, tmp_path)
    server = serve(tmp_path / pages.before(block), sets=("pool.size=1",))
    with Client(server.port) as client:
        for line in block.text.splitlines():
            if line.startswith("> "):
                client.send(f"{line[2:]}\n".encode())
            else:
                assert client.line() == f"{line[2:]}\n".encode()
    assert server.stop() == 0


def test_frames_are_asked_as_shown(serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages.write_files(ROOT / "docs" / "apps.md", tmp_path)
    server = serve(tmp_path / "thumbnails.yaml", sets=("pool.size=1",))
    asking = (tmp_path / "ask_thumbnails.py").read_text()
    exec(asking.replace("8000", str(server.port)), {})
    assert capsys.readouterr().out == '{"size": [80, 60]}\n'
    assert server.stop() == 0
