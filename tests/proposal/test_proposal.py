"""The files that init can write, for all combinations of answers."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import yaml
from harness.forms import drawn
from hypothesis import given
from hypothesis import strategies as st

from poolctl.assembly.fitting import size
from poolctl.assembly.judging.judge import Judgement, judge
from poolctl.config.sources import Inputs
from poolctl.proposal.answers import AXES, TARGETED, Answers, Kind, Proposal, asked
from poolctl.proposal.keys import yaml_scalar
from poolctl.proposal.propose import propose
from poolctl.proposal.render import render

ROOT = Path(__file__).parents[2]
KINDS = typing.get_args(Kind)
APPS = {"static": "./public", "cgi": "./cgi-bin"}
# Of each question answers that lead to different files.
VALUES: dict[str, tuple[object, ...]] = {
    "production": (True, False),
    "websockets": (True, False),
    "work": ("waits", "computes"),
    "mixed": (True, False),
    "keeps": ("nothing", "client", "shared"),
    "proxy": ("none", "unix", "tcp"),
    "trust": ("127.0.0.1", "10.0.0.0/8"),
    "certificate": ("", "shop.pem"),
    "key": ("", "shop.key"),
    "listen": ("", "unix:///run/x.sock"),
    "thread_safe": (True, False),
    "preload": (True, False),
}


def begun(kind: str) -> Answers:
    return Answers(kind, APPS.get(kind, "shop:app") if kind not in ("echo", "demo") else "", "shop")  # type: ignore[arg-type]


def walk(answers: Answers, settled: frozenset[str] = frozenset({"app"})) -> Iterator[Answers]:
    """Yield all possible results of an interview: each answer to the next question that matters, recursively."""
    left = [field for field in asked(answers) if field not in settled]
    if not left:
        yield answers
        return
    for value in VALUES[left[0]]:
        yield from walk(replace(answers, **{left[0]: value}), settled | {left[0]})


@cache
def written(answers: Answers) -> str:
    """Return the file for these answers."""
    return render(propose(answers))


def judged(words: str, folder: Path) -> Judgement:
    file = folder / "topology.yaml"
    file.write_text(words)
    return judge(Inputs(str(file)))


def axes(proposal: Proposal) -> dict[str, str]:
    return {each.key: each.value for each in proposal.axes}


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_valid_without_warnings(kind: str, tmp_path: Path) -> None:
    files = {written(answers) for answers in walk(begun(kind))}
    assert len(files) >= 5
    for each in {re.sub("^#.*\n", "", file, flags=re.MULTILINE): file for file in files}.values():
        assert judged(each, tmp_path).findings == [], each


def test_every_file_is_valid_without_warnings_on_a_single_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size, "usable_cores", lambda: 1)
    for answers in walk(replace(begun("asgi"), cores=1)):
        if answers.production and not answers.certificate and not answers.listen and not answers.preload:
            assert judged(written(answers), tmp_path).findings == [], answers


@pytest.mark.parametrize("kind", KINDS)
def test_alternatives_are_valid_too(kind: str, tmp_path: Path) -> None:
    """Apply each alternative to the settings, as its text says."""
    seen = set()
    for answers in walk(begun(kind)):
        proposal = propose(answers)
        every = {each.key: each.value for each in proposal.settings}
        for each in (*proposal.alternatives, *(one for setting in proposal.settings for one in setting.alternatives)):
            other = dict(each.settings)
            assert every != every | other, "an alternative that is none"
            about = {key: every[key] for key in ("app", "listen", *AXES) if key in every}
            seen.add(tuple((about | other).items()))
    for one in seen:
        words = "".join(f"{key}: {value}\n" for key, value in one)
        assert judged(words, tmp_path).findings == [], words


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_is_asked_only_if_it_matters(kind: str) -> None:
    for answers in walk(begun(kind)):
        decisive = asked(answers)
        for field, values in VALUES.items():
            others = {written(replace(answers, **{field: value})) for value in values}  # type: ignore[arg-type]
            if field == "work" and field in decisive:  # it matters by itself, or by the questions that follow from it
                others.add(written(replace(answers, work="computes", mixed=True)))
            assert (others != {written(answers)}) == (field in decisive), (field, repr(answers))


def test_only_known_words_and_no_baselines_are_chosen() -> None:
    chosen = {
        (axis, value) for kind in KINDS for each in walk(begun(kind)) for axis, value in axes(propose(each)).items()
    }
    pools = {value for axis, value in chosen if axis == "pool"}
    assert pools == {
        "{kind: process, size: auto}",
        "{kind: process, size: auto, threads: 4}",
        "{kind: process, size: 8}",
        "{kind: process, size: 1}",
        "{kind: thread, size: 1}",
        "{kind: thread, size: auto}",
    }
    assert {value for axis, value in chosen if axis == "ownership"} == {
        "half-sync/half-reactive",
        "half-sync/half-async",
        "leader/followers",
        "reuse-port",
    }


REACTIVE = {"ownership": "half-sync/half-reactive", "dispatch": "shared-queue", "affinity": "request"}
ASYNC = {"ownership": "half-sync/half-async", "dispatch": "least-loaded"}
KERNEL = {"ownership": "reuse-port", "dispatch": "kernel-hash"}
THREADS = {"pool": "{kind: thread, size: auto}", "ownership": "leader/followers", "affinity": "request"}
AUTO = {"pool": "{kind: process, size: auto}"}
ONE, ONE_THREAD = {"pool": "{kind: process, size: 1}"}, {"pool": "{kind: thread, size: 1}"}
COMPUTES = {"work": "computes", "mixed": True}
UNIFORM = {"work": "computes", "mixed": False}


@pytest.mark.parametrize(
    ("kind", "said", "chosen"),
    [
        ("wsgi", {"thread_safe": True}, {"pool": "{kind: process, size: auto, threads: 4}"} | REACTIVE),
        ("wsgi", {"thread_safe": False}, {"pool": "{kind: process, size: 8}"} | REACTIVE),
        ("wsgi", COMPUTES, AUTO | REACTIVE),
        ("wsgi", UNIFORM, AUTO | KERNEL),
        ("wsgi", UNIFORM | {"proxy": "tcp"}, AUTO | ASYNC),
        ("wsgi", UNIFORM | {"listen": "unix:///run/x.sock"}, AUTO | ASYNC),
        ("wsgi", UNIFORM | {"keeps": "client"}, AUTO | KERNEL | {"dispatch": "client", "affinity": "client"}),
        ("wsgi", COMPUTES | {"keeps": "client"}, AUTO | REACTIVE | {"dispatch": "least-loaded", "affinity": "client"}),
        (
            "wsgi",
            COMPUTES | {"keeps": "client", "proxy": "unix"},
            ONE_THREAD | {"ownership": "half-sync/half-reactive"},
        ),
        ("wsgi", COMPUTES | {"keeps": "shared", "thread_safe": True}, THREADS),
        ("wsgi", {"keeps": "client", "thread_safe": True}, THREADS),
        ("asgi", {}, AUTO | ASYNC),
        ("asgi", COMPUTES, AUTO | REACTIVE),
        ("asgi", COMPUTES | {"websockets": True}, AUTO | ASYNC),
        ("asgi", UNIFORM, AUTO | KERNEL),
        ("asgi", {"keeps": "shared"}, ONE | {"ownership": "half-sync/half-async"}),
        ("asgi", {"keeps": "client", "websockets": True}, AUTO | ASYNC | {"affinity": "client"}),
        ("static", {}, AUTO | KERNEL),
        ("static", {"proxy": "unix"}, AUTO | ASYNC),
        ("cgi", {}, THREADS),
        ("lines", COMPUTES, AUTO | REACTIVE),
        ("stream", {}, AUTO | ASYNC),
        ("async-lines", {}, AUTO | ASYNC),
    ],
)
def test_choices(kind: str, said: dict[str, object], chosen: dict[str, str]) -> None:
    assert axes(propose(replace(begun(kind), **said))) == chosen  # type: ignore[arg-type]


def test_waiting_processes_are_several_per_core_up_to_a_limit() -> None:
    sizes = [axes(propose(replace(begun("wsgi"), cores=cores)))["pool"] for cores in (1, 6, 100)]
    assert sizes == ["{kind: process, size: 4}", "{kind: process, size: 24}", "{kind: process, size: 64}"]


def test_memory_is_shared_if_several_processes_import_the_app(tmp_path: Path) -> None:
    for kind in KINDS:
        for answers in walk(replace(begun(kind), preload=True)):
            assert ("\npreload: true" in written(answers)) == ("preload" in asked(answers) and answers.preload)
    assert all(any("preload" in asked(each) for each in walk(begun(kind))) for kind in TARGETED)


def test_figures_in_reasons_match_the_measurements() -> None:
    """Within a fifth: figures vary between runs, and the reasons are about differences of several times."""
    page = (ROOT / "docs" / "performance.md").read_text()

    def row(name: str, table: int = -1) -> list[float]:
        rows = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", page, re.MULTILINE)
        return [float(cell) for cell in rows[table].split(" | ")]

    kept, new, tail = 0, 1, -1
    p99 = 2
    said = " ".join(each.why for kind in KINDS for answers in walk(begun(kind)) for each in propose(answers).settings)
    claims = [
        (r"fast ones have a p99 of (46) ms", row("poolctl half-sync/half-reactive, 8 processes", tail)[p99]),
        (r"fast ones have a p99 of (47) ms", row("poolctl leader/followers, 8 threads", tail)[p99]),
        (r"and of (204) ms when processes keep", row("poolctl half-sync/half-async, 8 processes", tail)[p99]),
        (r"and of (264) ms when processes keep", row("poolctl leader/followers, 8 processes", tail)[p99]),
        (r"with one request costs (20) micro", row("poolctl reuse-port, 1 process", new)[0]),
        (r"and (28) to 53 with a front", row("poolctl half-sync/half-async, 1 process", new)[0]),
        (r"and 28 to (53) with a front", row("poolctl half-sync/half-reactive, 4 processes", new)[0]),
        (
            r"about (15) microseconds more per request",
            row("poolctl half-sync/half-reactive, 4 processes", kept)[0]
            - row("poolctl reuse-port, 1 process", kept)[0],
        ),
        (r"take (129) MB", float(re.search(r"`preload: true` \| (\d+)", page)[1])),  # type: ignore[index]
        (r"instead of (900)", float(re.search(r"`preload: false` \| (\d+)", page)[1])),  # type: ignore[index]
    ]
    said += " ".join(each.why for each in propose(replace(begun("wsgi"), **COMPUTES, preload=True)).settings)  # type: ignore[arg-type]
    for pattern, measured in claims:
        found = re.search(pattern, said)
        assert found, pattern
        assert float(found[1]) == pytest.approx(measured, rel=0.2), pattern


def test_lines_and_reasons_are_short() -> None:
    for kind in KINDS:
        for answers in walk(begun(kind)):
            words = written(answers)
            assert max(map(len, words.splitlines())) <= 120
            for block in re.findall(r"(?:^# .*\n)+", words, re.MULTILINE):
                reason = [line for line in block.splitlines() if not line.startswith("#   ")]
                assert len(reason) <= 5, block


def test_the_first_line_names_the_schema_for_editors() -> None:
    assert render(propose(begun("demo"))).startswith("# yaml-language-server: $schema=")


def test_each_key_has_its_reason_above() -> None:
    lines = render(propose(replace(begun("wsgi"), proxy="unix", preload=True))).splitlines()
    keys = [number for number, line in enumerate(lines) if line and not line.startswith("#")]
    assert len(keys) >= 8
    assert [lines[number] for number in keys if not lines[number - 1].startswith("# ") and number] == []


@drawn(30)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_survives_quoting(value: str) -> None:
    words = yaml_scalar(value)
    assert yaml.safe_load(f"{{a: {words}}}") == {"a": value if words == value else value.replace("$", "$$")}
    assert yaml.safe_load(f"a: {words}\n") == yaml.safe_load(f"{{a: {words}}}")


def test_dollars_are_preserved(tmp_path: Path) -> None:
    read = judged(render(propose(Answers("static", "./${HOME}/$x", "shop"))), tmp_path)
    assert read.choices["app"].options == {"folder": f"{tmp_path}/${{HOME}}/$x"}
    assert read.findings == []


def test_axes_are_in_their_order() -> None:
    for kind in KINDS:
        for answers in walk(begun(kind)):
            keys = [each.key for each in propose(answers).axes]
            assert keys == sorted(keys, key=AXES.index)
