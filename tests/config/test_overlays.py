"""Overlays: what is merged, replaced and removed, and the location of each value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from poolctl.config.gather import gather
from poolctl.config.sources import Inputs


def over(folder: Path, base: str, *overlays: str, sets: tuple[str, ...] = ()) -> Any:
    files = []
    for number, text in enumerate((base, *overlays)):
        file = folder / f"{number}.yaml"
        file.write_text(text)
        files.append(str(file))
    return gather(Inputs(files[0], tuple(files[1:]), sets))


@pytest.mark.parametrize(
    ("base", "overlay", "value"),
    [
        ("app: demo", "", {"app": "demo"}),
        ("app: demo", "backlog: 5", {"app": "demo", "backlog": 5}),
        ("backlog: 4", "backlog: 5", {"backlog": 5}),
        ("limits: {waiting: 1, connections: 2}", "limits: {waiting: 3}", {"limits": {"waiting": 3, "connections": 2}}),
        ("listen: [a, b]", "listen: [c]", {"listen": ["c"]}),
        ("listen: [a, b]", "listen: {at: c}", {"listen": {"at": "c"}}),
        ("listen: a", "listen: {mode: '0660'}", {"listen": {"at": "a", "mode": "0660"}}),
        ("backlog: 4\nname: a", "backlog: null", {"name": "a"}),
        ("limits: {waiting: 1, connections: 2}", "limits: {waiting: null}", {"limits": {"connections": 2}}),
        ("name: a", "timeouts: {idle: 5, head: null}", {"name": "a", "timeouts": {"idle": 5}}),
        ("pool: thread", "pool: {size: 4}", {"pool": {"kind": "thread", "size": 4}}),
        ("pool: {size: 4}", "pool: {kind: thread}", {"pool": {"size": 4, "kind": "thread"}}),
        ("pool: {size: 4}", "pool: thread", {"pool": "thread"}),
        (
            "dispatch: power-of-choices",
            "dispatch: {choices: 3}",
            {"dispatch": {"use": "power-of-choices", "choices": 3}},
        ),
        ("dispatch: {use: power-of-choices, choices: 3}", "dispatch: {use: random}", {"dispatch": {"use": "random"}}),
        ("access_log: json", "access_log: {to: stderr}", {"access_log": {"format": "json", "to": "stderr"}}),
        ("app: {wsgi: a:b}", "app: {asgi: c:d}", {"app": {"use": "asgi", "target": "c:d"}}),
        ("app: {wsgi: a:b, x: 1}", "app: {wsgi: c:d}", {"app": {"use": "wsgi", "target": "c:d", "x": 1}}),
        ("app: {asgi: a:b}", "app: {lifespan: on}", {"app": {"use": "asgi", "target": "a:b", "lifespan": "on"}}),
        ("affinity: client", "affinity: {header: A}", {"affinity": {"use": "header", "name": "A"}}),
        ("affinity: {header: A}", "affinity: {keys: 9}", {"affinity": {"use": "header", "name": "A", "keys": 9}}),
        ("affinity: {header: A}", "affinity: {cookie: b}", {"affinity": {"use": "cookie", "name": "b"}}),
        ("app: {use: cgi, program: a}", "app: {cgi: b}", {"app": {"use": "cgi", "program": "b"}}),
        ("environment: {A: a, B: b}", "environment: {A: null, C: c}", {"environment": {"B": "b", "C": "c"}}),
        ("", "app: demo", {"app": "demo"}),
    ],
)
def test_merging(tmp_path: Path, base: str, overlay: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # paths stay as they are written
    assert over(tmp_path, base, overlay).value() == value


def test_the_last_one_wins_and_options_come_last(tmp_path: Path) -> None:
    tree = over(tmp_path, "backlog: 1", "backlog: 2\nname: a", "name: b", sets=("backlog=9",))
    assert tree.value() == {"backlog": 9, "name": "b"}


def test_every_value_has_its_location(tmp_path: Path) -> None:
    tree = over(
        tmp_path, "app: demo\nlimits:\n  waiting: 1\n", "\nlimits: {connections: 5}\n", sets=("limits.body_rate=2",)
    )
    places = {key: str(tree.at_value(("limits", key))) for key in ("waiting", "connections", "body_rate")}
    assert places == {
        "waiting": f"{tmp_path}/0.yaml:3:12",
        "connections": f"{tmp_path}/1.yaml:2:23",
        "body_rate": "--set limits.body_rate=2",
    }
    assert str(tree.at_key(("limits",))) == f"{tmp_path}/0.yaml:2:1"


def test_merging_does_not_change_an_alias(tmp_path: Path) -> None:
    tree = over(tmp_path, "x-a: &a {waiting: 1}\nlimits: *a\nx-b: *a", "limits: {waiting: 2}")
    assert tree.value() == {"x-a": {"waiting": 1}, "limits": {"waiting": 2}, "x-b": {"waiting": 1}}
