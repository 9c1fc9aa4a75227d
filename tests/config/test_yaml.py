"""The pitfalls of YAML, one by one."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from harness.machine import within
from hypothesis import given
from hypothesis import strategies as st

from poolctl.config.core_schema import construct
from poolctl.config.diagnostic import Invalid, SourceText
from poolctl.config.load import draft
from poolctl.config.loader import parse
from poolctl.config.node_checks import MAX_VALUES
from poolctl.config.sources import Inputs


def test_scalars_that_begin_at_one_place() -> None:
    """Beside an unusual space all scalars are looked at; an empty one begins where the next does."""
    read = draft(Inputs("<t>", text="\u2028?"))
    assert [each.severity for each in [*read.tree.findings, *read.findings]] != []


def value(text: str) -> Any:
    node = parse(SourceText("t", text))
    assert node is not None
    return construct(node)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-7", -7),
        ("+7", 7),
        ("22:22", "22:22"),
        ("2026-01-01", "2026-01-01"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("'7'", "7"),
        ("!!str 7", "7"),
        ("=", "="),
        ("half-sync/half-async", "half-sync/half-async"),
    ],
)
def test_types_are_those_of_yaml_1_2(text: str, meant: object) -> None:
    found = value(f"key: {text}")["key"]
    assert found == meant
    assert type(found) is type(meant)


def test_not_a_number_is_one_of_the_numbers() -> None:
    assert math.isnan(value("[.nan]")[0])


@given(st.recursive(st.none() | st.booleans() | st.integers(-(10**30), 10**30), lambda c: st.lists(c, max_size=3)))
def test_flow_yaml_is_json(data: Any) -> None:
    text = str(data).replace("None", "null").replace("True", "true").replace("False", "false")
    assert value(text) == data


def test_an_empty_file_has_no_value() -> None:
    assert parse(SourceText("t", "# nothing\n")) is None


def test_an_alias_bomb_is_refused_at_once() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    text = "l0: &l0 [1, 2]\n" + "\n".join(levels)
    began = time.perf_counter()
    with pytest.raises(Invalid, match=f"more than {MAX_VALUES} values"):
        parse(SourceText("t", text))
    assert time.perf_counter() - began < within(1)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 10_000, "\n".join("  " * n + "a:" for n in range(500))])
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(Invalid, match="nested more than 64 levels"):
        parse(SourceText("t", text))


def test_a_harmless_alias_is_accepted() -> None:
    assert value("a: &a {size: 2}\nb: *a") == {"a": {"size": 2}, "b": {"size": 2}}
