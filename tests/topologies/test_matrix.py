"""Every combination of the axes: those that fit serve and do what their words say, the others are refused with the
reason.

Of those that fit, the short form serves as many as put every two words together that go together. Of those that are
refused it tries as many as walk every rule with every app, pool and ownership that it refuses. The long form has all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations as subsets
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from harness.forms import short
from harness.server import Serve
from harness.shown import WORKERS, show
from harness.talk import APPS, SESSION

from poolctl.assembly.fitting.combination import SERVICES, Combination, complete
from poolctl.assembly.fitting.rules import Rule, combinations, fits
from poolctl.assembly.judging.judge import judge
from poolctl.assembly.resolve import read
from poolctl.cli.foreground import EX_CONFIG
from poolctl.cli.run import run
from poolctl.cli.validate import validate
from poolctl.config.diagnostic import Diagnostic, Invalid
from poolctl.config.sources import Inputs

# Apps for which the same combinations fit as for one that is walked, and for the same reasons.
ALIKE = {
    "wsgi": "demo",
    "cgi": "demo",
    "static": "demo",
    "frames": "lines",
    "async-lines": "asgi",
    "async-frames": "asgi",
    "async-stream": "asgi",
}
SESSIONS = {"cookie": "header", "path": "header"}  # affinities that differ in where a request says what it belongs to


def walked(apps: Iterable[str]) -> list[Combination]:
    """Every combination for these apps, without those for which another stands."""
    return [each for each in combinations(SERVICES[app] for app in apps) if each.affinity not in SESSIONS]


def by_default(combination: Combination) -> bool:
    """Whether dispatch and affinity are what they would be if the file left them out."""
    return complete(replace(combination, dispatch=None, affinity=None)) == combination


WALKED = {each: list(fits(each)) for each in walked(APPS)}
FITTING = [each for each, refusals in WALKED.items() if not refusals]
SERVED = [each for each in FITTING if each.service.app != "echo" or by_default(each)]  # echo does not say who answers
REFUSED = [each for each, refusals in WALKED.items() if refusals]


def words(combination: Combination) -> str:
    """The name of a test."""
    given = combination
    pool = f"{given.pool}*{given.threads}" if (given.threads or 1) > 1 else given.pool
    axes = (given.service.app, pool, given.ownership, given.accept or given.lock, given.dispatch, given.affinity)
    return "-".join(axis.replace("/", "+") for axis in axes if axis)


def written_out(combination: Combination) -> dict[str, Any]:
    """The file of a combination, every axis written out."""
    target: Any = APPS[combination.service.app]
    affinity: Any = combination.affinity
    if affinity == "header":
        affinity = {"use": affinity, "name": SESSION}
    found: dict[str, Any] = {"app": target, "affinity": affinity}
    if combination.baseline:
        return found | {"pool": combination.pool}
    pool = {"kind": combination.pool, "size": WORKERS, "threads": combination.threads}
    ownership = {"use": combination.ownership, "accept": combination.accept, "lock": combination.lock}
    found |= {"pool": _given(pool), "ownership": _given(ownership), "dispatch": combination.dispatch}
    return found


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def pairs(combination: Combination) -> set[tuple[tuple[str, Any], ...]]:
    """Every two words that it puts together, each with its axis."""
    pool = (combination.pool, (combination.threads or 1) > 1)
    given = {**vars(combination), "service": combination.service.app, "pool": pool, "threads": None}
    return set(subsets(given.items(), 2))


def covering(given: list[Combination]) -> list[Combination]:
    """A part of them that puts together every two words that any of them does: a covering array of strength two, chosen
    greedily (Cohen, Dalal, Fredman, Patton: The AETG System, 1997)."""
    has = [(each, pairs(each)) for each in given]
    missing = set().union(*(two for _, two in has))
    chosen = []
    while missing:
        best, covered = max(has, key=lambda each: len(missing & each[1]))
        chosen.append(best)
        missing -= covered
    return chosen


BRIEF = covering(SERVED)


@pytest.mark.parametrize("combination", short(SERVED, BRIEF), ids=words)
def test_what_fits_serves_as_its_words_say(combination: Combination, serve: Serve, tmp_path: Path) -> None:
    """And `validate` says before that it does; the app is looked for where the server is."""
    file = tmp_path / "valid.yaml"
    file.write_text(yaml.safe_dump(written_out(combination) | {"listen": "tcp://127.0.0.1:0"}))
    assert judge(Inputs(str(file))).errors == []
    server = serve(written_out(combination))
    show(combination, server.port)
    assert server.stop() == 0


SHAPES = [each for each in SERVED if each.service.app in ("demo", "stream") and by_default(each)]
PLAIN = [each for each in SHAPES if each.service.app == "demo"]


@pytest.mark.parametrize("combination", short(SHAPES, PLAIN), ids=words)
def test_every_shape_serves_without_epoll(combination: Combination, serve: Serve) -> None:
    server = serve(written_out(combination), environment={"POOLCTL_POLLER": "selectors"})
    show(combination, server.port)
    assert server.stop() == 0


def shape(combination: Combination) -> tuple[str, str, int]:
    return combination.service.app, combination.pool, combination.threads or 1


GROUPS = [(name, list(group)) for name, group in groupby(REFUSED, shape)]


def each_rule(given: list[Combination]) -> list[Combination]:
    """A part of them in which every rule meets every pool and every ownership that it meets in all of them."""
    met: set[tuple[Rule, str | None, int | None]] = set()
    chosen = []
    for each in given:
        met_here = ((each.pool, each.threads), (each.ownership, None))
        new = {(refusal.rule, *which) for refusal in WALKED[each] for which in met_here} - met
        if new:
            chosen.append(each)
            met |= new
    return chosen


@pytest.mark.parametrize("app", APPS)
def test_every_rule_refuses_with_its_reason(app: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    group = each_rule([each for each in REFUSED if each.service.app == app])
    assert_refused(group, tmp_path / "shop.yaml", capsys)


@pytest.mark.slow
@pytest.mark.parametrize("group", [group for _, group in GROUPS], ids=["-".join(map(str, name)) for name, _ in GROUPS])
def test_what_does_not_fit_is_refused_with_its_reason(
    group: list[Combination], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(group, tmp_path / "shop.yaml", capsys)


def assert_refused(group: list[Combination], file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason of one of its rules for each axis, and a fix that works."""
    for number, combination in enumerate(group):
        file.write_text(json.dumps(written_out(combination)))  # which is YAML, and thousands are written
        with pytest.raises(Invalid) as caught:
            read(str(file))
        found = caught.value.diagnostics
        if number % 5 == 0:  # the commands show what was found, whatever it is
            assert_refused_by_run(file, found, capsys)
        assert {each.code for each in found} == {"PC301"}
        refusals = WALKED[combination]  # of which one is reported for each axis
        assert {each.message for each in found} <= {refusal.reason for refusal in refusals}, words(combination)
        assert len(found) == len({refusal.axis for refusal in refusals}), words(combination)
        (advice,) = (each.help for each in found if each.help)
        assert_followed(file, advice)


def assert_refused_by_run(file: Path, found: list[Diagnostic], capsys: pytest.CaptureFixture[str]) -> None:
    """`run` says of a file what `validate` says of it, and starts nothing."""
    with pytest.raises(SystemExit) as ended:
        run(str(file))
    assert ended.value.code == EX_CONFIG
    out, said = capsys.readouterr()
    with pytest.raises(typer.Exit) as left:
        validate([str(file)])
    assert left.value.exit_code == 1
    assert (out, said) == ("", capsys.readouterr().out)
    assert said.startswith("\n\n".join(each.render() for each in found))


def assert_followed(file: Path, advice: str) -> None:
    """The fix that was shown makes a file that is valid."""
    said = advice.removeprefix("closest valid choice: ")
    assert said != advice, advice
    sets, _, dropped = said.partition("; leave out ")
    text = json.loads(file.read_text())
    for key in filter(None, dropped.split(", ")):
        axis, _, option = key.partition(".")
        if option:
            text[axis].pop(option, None)
        else:
            text.pop(axis, None)
    file.write_text(json.dumps(text))
    read(str(file), [change.replace(": ", "=", 1) for change in sets.split(", ")])


def test_the_matrix_is_whole() -> None:
    """What is walked is every combination of every word, for every app or one that is alike."""
    assert {*(each.service.app for each in SERVED), *ALIKE} == set(SERVICES)
    for app, other in ALIKE.items():
        alike = {replace(each, service=SERVICES[app]) for each in FITTING if each.service.app == other}
        assert {each for each in walked([app]) if not fits(each)} == {
            each
            for each in alike
            if not fits(each)  # a part of them, where requests of the other may be lent
        }
    for each in combinations(SERVICES.values()):
        if each.affinity in SESSIONS:
            other = replace(each, affinity=SESSIONS[each.affinity])
            assert [refusal.rule for refusal in fits(each)] == [refusal.rule for refusal in fits(other)]
    assert len(SERVED) > 300
    assert len(BRIEF) > 60
    assert len(SHAPES) > 20
    assert {refusal.rule for each in each_rule(REFUSED) for refusal in WALKED[each]} == {
        refusal.rule for refusals in WALKED.values() for refusal in refusals
    }
