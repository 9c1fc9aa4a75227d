"""Whatever a file contains, the result is parts or findings with locations, never anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.forms import drawn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poolctl.assembly.fitting.rules import fits
from poolctl.assembly.registry import REGISTRY, words
from poolctl.assembly.resolve import Parts, read
from poolctl.config.codes import CODES
from poolctl.config.diagnostic import Invalid
from poolctl.config.model import LimitsSection, TimeoutsSection, Topology

KEYS = [*Topology.model_fields, *LimitsSection.model_fields, *TimeoutsSection.model_fields]
OPTIONS = ["use", "kind", "size", "threads", "target", "accept", "lock", "choices", "clients", "min", "x-a", "wsgi"]
WORDS = [word for axis in REGISTRY for word in words(axis)]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*WORDS, "30s", "1KiB"])
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS + OPTIONS), inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(st.sampled_from(KEYS), values, max_size=6).map(lambda data: {"app": "demo"} | data)
sensible = st.fixed_dictionaries(
    {"app": st.sampled_from(["demo", "echo", "nobody", {"lines": "a:b"}, {"stream": "a:b"}, {"use": "wsgi"}])},
    optional={axis: st.sampled_from([*words(axis), "nothing"]) for axis in REGISTRY if axis != "app"}
    | {"listen": st.sampled_from(["unix:///a", ["tcp://127.0.0.1:0", "fd://3"], "x"])},
)
relaxed = settings(drawn(40), suppress_health_check=[HealthCheck.function_scoped_fixture])


def judged(file: Path, text: str, *sets: str) -> Parts | None:
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return read(str(file), sets)
    except Invalid as invalid:
        diagnostics = invalid.diagnostics
    assert diagnostics
    for each in diagnostics:
        assert each.code in CODES
        assert 0 <= each.place.span.line < len(each.place.source.lines)
        assert each.render().count("^") >= bool(each.place.source.text)
    return None


@relaxed
@given(st.text(alphabet=st.sampled_from("ab:- \n\t[]{},#&*!|>'\"%@`0.~\r\x85\u2028é"), max_size=60))
def test_any_text(file: Path, text: str) -> None:
    judged(file, text)


@relaxed
@given(documents)
def test_any_values(file: Path, data: dict[str, Any]) -> None:
    judged(file, json.dumps(data))


@relaxed
@given(sensible)
def test_any_words(file: Path, data: dict[str, Any]) -> None:
    found = judged(file, json.dumps(data))
    assert found is None or fits(found.combination) == []


@relaxed
@given(st.lists(st.sampled_from([*KEYS, *OPTIONS]), min_size=1, max_size=3), st.text(max_size=12))
def test_any_set(file: Path, keys: list[str], value: str) -> None:
    judged(file, "app: demo\npool: thread\n", f"{'.'.join(keys)}={value}")
