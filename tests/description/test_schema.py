"""The JSON Schema accepts what `validate` accepts and refuses visible mistakes, by an independent validator."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from harness.forms import drawn
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from typer.testing import CliRunner

from poolctl.assembly.judging.judge import judge
from poolctl.assembly.plugins.reference import installed
from poolctl.assembly.registry import REGISTRY, words
from poolctl.cli.main import cli
from poolctl.config.core_schema import construct
from poolctl.config.diagnostic import Invalid, SourceText
from poolctl.config.loader import parse
from poolctl.config.model import LimitsSection, TimeoutsSection, Topology
from poolctl.config.sources import Inputs
from poolctl.description.schema import topology_schema

ROOT = Path(__file__).parents[2]
GALLERY = sorted((ROOT / "topologies").glob("*.yaml"))
BROKEN = sorted((ROOT / "tests" / "broken").glob("*.yaml"))
EDITORS = "# yaml-language-server: $schema=poolctl.schema.json\n# $schema: poolctl.schema.json\n"
SCHEMA = topology_schema()
VALIDATOR = Draft7Validator(SCHEMA)


def value(text: str) -> Any:
    """Return the value that poolctl reads from a text."""
    node = parse(SourceText("t", text))
    return None if node is None else construct(node)


def test_the_schema_is_valid() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("file", GALLERY, ids=lambda file: file.stem)
def test_the_gallery_validates(file: Path) -> None:
    text = file.read_text()
    assert text.startswith(EDITORS)
    assert list(VALIDATOR.iter_errors(value(text))) == []


def test_the_gallery_has_the_schema_that_the_command_prints() -> None:
    shown = CliRunner().invoke(cli, ["schema"]).stdout
    assert (ROOT / "topologies" / "poolctl.schema.json").read_text() == shown
    assert json.loads(shown) == SCHEMA


def refusable(file: Path) -> bool:
    """Whether a schema can see the mistake: one of keys, words or values, in a single file of valid YAML."""
    text = file.with_suffix(".txt").read_text()
    codes = set(re.findall(r"error\[(PC\d+)\]", text))
    beyond = {
        "value-octal-digits",  # ranges of digits within a string
        "value-network",  # the bits of a network
        "value-access-log-directive",
        "address-ipv6-wrong",
        "address-port-too-high",
        "address-unix-too-long",
        "address-fd-of-stdin",
        "address-mode-of-tcp",
        "tls-two-passwords",
        "tls-name",
        "value-bytes-fraction",
        "word-protocol-of-bytes-without-a-name",  # the protocol of an app
        "value-size-grows",
        "value-time-endless",  # not JSON
        "classes-twice",
    }
    made_here = "over-" in file.name or "variable" in file.name
    return (
        codes != set()
        and codes <= {"PC202", "PC203", "PC204", "PC205", "PC206", "PC201"}
        and not made_here
        and file.stem not in beyond
        and not file.stem.startswith("plugin-option")  # the plugin's file says what they are
    )


REFUSABLE = [file for file in BROKEN if refusable(file)]


def test_there_are_enough_visible_mistakes() -> None:
    assert len(REFUSABLE) > 60


@pytest.mark.parametrize("file", REFUSABLE, ids=lambda file: file.stem)
def test_visible_mistakes_are_refused(file: Path) -> None:
    assert not VALIDATOR.is_valid(value(file.read_text()))


@pytest.mark.parametrize(
    "text",
    [
        "listen: tcp://127.0.0.1:${PORT:-8000}",
        'limits: {connections: "${CONNECTIONS}", body_rate: "${RATE}"}',
        'preload: "${PRELOAD:-true}"',
        'dispatch: "${DISPATCH}"',
        'dispatch: {use: "${DISPATCH}", choices: 3}',
        'pool: {kind: thread, size: "${SIZE}"}',
        'timeouts: {idle: "${DIED_IDLE}"}',
        'access_log: "${LOG:-off}"',
        'umask: "${UMASK}"',
        "x-anything: [1, {a: b}]",
    ],
)
def test_variables_and_x_keys_are_accepted(text: str) -> None:
    assert list(VALIDATOR.iter_errors(value(f"app: demo\n{text}"))) == []


def test_a_plugin_in_a_file_is_accepted() -> None:
    for text in ("./a.py:Mine", "{use: ../b.py:Mine.Inner, weight: 3}"):
        assert list(VALIDATOR.iter_errors(value(f"app: demo\ndispatch: {text}"))) == []
    assert list(VALIDATOR.iter_errors(value("app: {use: ./a.py:Mine}\npool: {kind: ./p.py:Mine, size: 3}"))) == []


def test_the_schema_has_the_options_of_installed_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "poolctl_weighted-1.0.dist-info"
    there.mkdir()
    (there / "METADATA").write_text("Metadata-Version: 2.1\nName: poolctl-weighted\nVersion: 1.0\n")
    (there / "entry_points.txt").write_text(
        "[poolctl.dispatch]\nweighted = poolctl_weighted:Weighted\nbroken = no_such_module:Broken\n"
    )
    (tmp_path / "poolctl_weighted.py").write_bytes((ROOT / "plugins/weighted/poolctl_weighted.py").read_bytes())
    monkeypatch.syspath_prepend(tmp_path)
    installed.cache_clear()
    try:
        validator = Draft7Validator(topology_schema())
    finally:
        installed.cache_clear()
    accepted = {"app": "demo", "dispatch": {"use": "weighted", "weights": [2, 1]}}
    assert validator.is_valid(accepted)
    assert not VALIDATOR.is_valid(accepted)
    assert not validator.is_valid({"app": "demo", "dispatch": {"use": "weighted", "weights": []}})
    assert not validator.is_valid({"app": "demo", "dispatch": {"use": "weighted", "weight": [1]}})


def test_everything_has_a_description() -> None:
    """Editors show the descriptions, so every key needs one."""
    missing = [f"{name}" for name, key in SCHEMA["properties"].items() if not key.get("description")]
    for name, part in SCHEMA["definitions"].items():
        missing += [
            f"{name}.{key}" for key, found in part.get("properties", {}).items() if not found.get("description")
        ]
    for axis in REGISTRY:
        for form in SCHEMA["properties"][axis]["anyOf"]:
            options = form.get("properties", {})
            missing += [
                f"{axis}.{key}"
                for key, found in options.items()
                if "$ref" not in found and not found.get("description")
            ]
    assert missing == []


KEYS = [*Topology.model_fields, *LimitsSection.model_fields, *TimeoutsSection.model_fields]
OPTIONS = [
    "use",
    "kind",
    "size",
    "threads",
    "target",
    "accept",
    "lock",
    "choices",
    "clients",
    "at",
    "mode",
    "trust",
    "wsgi",
]
VALUES = ["a", "a:b", "30s", "1KiB", "auto", "off", "0660", "unix", "10.0.0.0/8", "json", "front", "kernel", ""]
WORDS = [word for axis in REGISTRY for word in words(axis)]
ADDRESSES = ["tcp://127.0.0.1:0", "unix:///run/s", "fd://3", "systemd", "systemd://web"]
scalars = st.sampled_from([None, True, False, 0, 1, 4, 2.5, *VALUES, *WORDS, *ADDRESSES])
inner: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(KEYS + OPTIONS), below, max_size=3),
    max_leaves=6,
)
sensible = st.fixed_dictionaries(
    {
        "app": st.sampled_from(
            ["demo", "echo", {"wsgi": "a:b"}, {"asgi": "a:b", "lifespan": "on"}, {"use": "lines", "target": "a:b"}]
        )
    },
    optional={key: inner for key in Topology.model_fields if key != "app"},
)


@drawn(60)
@given(sensible)
def test_the_schema_accepts_what_validate_accepts(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(json.dumps(data))
    try:
        codes = {finding.code for finding in judge(Inputs(str(file))).errors}
    except Invalid as invalid:
        codes = {finding.code for finding in invalid.diagnostics}
    if codes <= {"PC301", "PC302"}:
        assert list(VALIDATOR.iter_errors(data)) == []
