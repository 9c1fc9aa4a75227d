"""Every combination of the axes: those that fit serve and do what their words say, the others are refused with the
reason.

Of those that fit, the short form serves as many as put every two words together that go together, and every shape of a
server with its defaults; the long form serves all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import combinations as subsets
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from harness.server import Server
from harness.shown import WORKERS, show
from harness.talk import APPS, SESSION

from poolctl.assembly.fitting.combination import SERVICES, Combination, complete
from poolctl.assembly.fitting.rules import combinations, fits
from poolctl.assembly.judging.judge import judge
from poolctl.assembly.resolve import read
from poolctl.cli.run import EX_CONFIG, run
from poolctl.cli.validate import validate
from poolctl.config.diagnostic import Diagnostic, Invalid
from poolctl.config.sources import Inputs

Launch = Callable[..., Server]

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


FITTING = [each for each in walked(APPS) if not fits(each)]
SERVED = [each for each in FITTING if each.service.app != "echo" or by_default(each)]  # echo does not say who answers
REFUSED = [each for each in walked(APPS) if fits(each)]


def words(combination: Combination) -> str:
    """The name of a test."""
    given = combination
    pool = f"{given.pool}*{given.threads}" if (given.threads or 1) > 1 else given.pool
    axes = (given.service.app, pool, given.ownership, given.accept or given.lock, given.dispatch, given.affinity)
    return "-".join(axis.replace("/", "+") for axis in axes if axis)


def topology(combination: Combination) -> dict[str, Any]:
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


def pairs(combination: Combination) -> set[frozenset[tuple[str, Any]]]:
    """Every two words that it puts together, each with its axis."""
    pool = (combination.pool, (combination.threads or 1) > 1)
    given = {**vars(combination), "service": combination.service.app, "pool": pool, "threads": None}
    return {frozenset(two) for two in subsets(given.items(), 2)}


def covering(given: list[Combination]) -> list[Combination]:
    """A part of them that puts together every two words that any of them does: a covering array of strength two, chosen
    greedily (Cohen, Dalal, Fredman, Patton: The AETG System, 1997)."""
    missing = set().union(*map(pairs, given))
    chosen = []
    while missing:
        chosen.append(max(given, key=lambda each: len(missing & pairs(each))))
        missing -= pairs(chosen[-1])
    return chosen


BRIEF = {*covering(SERVED), *filter(by_default, SERVED)}


@pytest.mark.parametrize(
    "combination", [each if each in BRIEF else pytest.param(each, marks=pytest.mark.slow) for each in SERVED], ids=words
)
def test_what_fits_serves_as_its_words_say(combination: Combination, launch: Launch, tmp_path: Path) -> None:
    """And `validate` says before that it does; the app is looked for where the server is."""
    file = tmp_path / "valid.yaml"
    file.write_text(yaml.safe_dump(topology(combination) | {"listen": "tcp://127.0.0.1:0"}))
    assert judge(Inputs(str(file))).errors == []
    server = launch(topology(combination))
    show(combination, server.port)
    assert server.stop() == 0


SHAPES = [each for each in SERVED if each.service.app in ("demo", "stream") and by_default(each)]


@pytest.mark.parametrize("combination", SHAPES, ids=words)
def test_every_shape_serves_without_epoll(combination: Combination, launch: Launch) -> None:
    server = launch(topology(combination), environment={"POOLCTL_POLLER": "selectors"})
    show(combination, server.port)
    assert server.stop() == 0


def shape(combination: Combination) -> tuple[str, str, int]:
    return combination.service.app, combination.pool, combination.threads or 1


GROUPS = [(name, list(group)) for name, group in groupby(REFUSED, shape)]


@pytest.mark.parametrize("group", [group for _, group in GROUPS], ids=["-".join(map(str, name)) for name, _ in GROUPS])
def test_what_does_not_fit_is_refused_with_its_reason(
    group: list[Combination], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shop.yaml"
    for number, combination in enumerate(group):
        file.write_text(json.dumps(topology(combination)))  # which is YAML, and thousands are written
        with pytest.raises(Invalid) as caught:
            read(str(file))
        found = caught.value.diagnostics
        if number % 5 == 0:  # the commands show what was found, whatever it is
            assert_refused_by_run(file, found, capsys)
        assert {each.code for each in found} == {"PC301"}
        refusals = list(fits(combination))  # of which one is reported for each axis
        assert {each.message for each in found} <= {refusal.reason for refusal in refusals}, words(combination)
        assert len(found) == len({refusal.axis for refusal in refusals}), words(combination)
        (advice,) = (each.help for each in found if each.help)
        assert_followed(file, advice)


def assert_refused_by_run(file: Path, found: list[Diagnostic], capsys: pytest.CaptureFixture[str]) -> None:
    """`run` says of a file what `validate` says of it, and starts nothing."""
    with pytest.raises(typer.Exit) as left:
        run(str(file))
    assert left.value.exit_code == EX_CONFIG
    out, said = capsys.readouterr()
    with pytest.raises(typer.Exit) as left:
        validate([str(file)])
    assert left.value.exit_code == 1
    assert (out, said) == ("", capsys.readouterr().out)
    assert said.startswith("\n\n".join(each.render() for each in found))


def assert_followed(file: Path, advice: str) -> None:
    """The mend that was shown makes a file that is valid."""
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
    assert len(BRIEF) > 100
    assert len(SHAPES) > 20
