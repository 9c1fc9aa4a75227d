"""Changes between topologies, and how a running server could apply them."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolctl.assembly.judging.judge import judge
from poolctl.assembly.registry import REGISTRY, part_class, words
from poolctl.config.sources import Inputs
from poolctl.description.changes import Change, changes, hardest, rule_of
from poolctl.description.settings import Setting, settings


def of(folder: Path, text: str) -> list[Setting]:
    file = folder / "shop.yaml"
    file.write_text(text)
    return settings(judge(Inputs(str(file))))


def between(folder: Path, old: str, new: str) -> list[Change]:
    return changes(of(folder, f"name: shop\n{old}"), of(folder, f"name: shop\n{new}"))


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("app: demo", "app: demo\nlimits: {connections: 10000}", {}),
        ("app: demo", "app: {use: demo}\npool: {kind: process}\ntimeouts: {idle: 60, drain: 30s}", {}),
        ("app: {wsgi: a:b}", "app: {use: wsgi, target: a:b}", {}),
        ("app: {wsgi: a:b}", "app: {wsgi: c:d}", {"app.target": "generation"}),
        ("app: demo", "app: demo\ntimeouts: {drain: 5s}", {"timeouts.drain": "hot"}),
        ("app: demo", "app: demo\numask: '0027'", {"umask": "restart"}),
        ("app: demo\nname: a", "app: demo\nname: b", {"name": "restart"}),
        ("app: demo\npid_file: /a", "app: demo\npid_file: /b", {"pid_file": "restart"}),
        ("app: demo\npool: {size: 2}", "app: demo\npool: {size: 4}", {"pool.size": "generation"}),
        (
            "app: demo\npool: {size: 2}\nownership: reuse-port",
            "app: demo\npool: {size: 4}\nownership: reuse-port",
            {"pool.size": "generation"},
        ),
        (
            "app: demo\nownership: reuse-port",
            "app: demo\nownership: half-sync/half-async\naffinity: connection",
            {"ownership.use": "restart", "dispatch.use": "generation"},
        ),
        ("app: demo\ndispatch: round-robin", "app: demo\ndispatch: random", {"dispatch.use": "hot"}),
        ("app: demo\ndispatch: shared-queue", "app: demo\ndispatch: random", {"dispatch.use": "generation"}),
        (
            "app: demo\nownership: reuse-port",
            "app: demo\nownership: reuse-port\ndispatch: client",
            {"dispatch.use": "hot"},
        ),
        (
            "app: demo\npool: {size: 2}\nownership: half-sync/half-async\ndispatch: random",
            "app: demo\npool: {size: 3}\nownership: half-sync/half-async\ndispatch: round-robin",
            {"pool.size": "generation", "dispatch.use": "hot"},
        ),
        (
            "app: demo",
            "app: demo\nlimits: {connections: 7, waiting: 8, body_rate: 9}\ntimeouts: {idle: 5, notice: 3}",
            dict.fromkeys(
                ("limits.connections", "limits.waiting", "limits.body_rate", "timeouts.idle", "timeouts.notice"), "hot"
            ),
        ),
        ("app: demo\ntimeouts: {request: 5}", "app: demo\ntimeouts: {request: 6}", {"timeouts.request": "hot"}),
        ("app: demo\ntimeouts: {request: 5}", "app: demo", {"timeouts.request": "generation"}),
        ("app: demo", "app: demo\nrecycle: {age: 1h}", {"recycle.age": "hot"}),
        ("app: demo", "app: demo\nreload: {surge: 2, ready: 5s}", {"reload.surge": "hot", "reload.ready": "hot"}),
        (
            "app: demo\nlisten: [tcp://a:1, tcp://b:2]",
            "app: demo\nlisten: [tcp://b:2, tcp://c:3]",
            {"listen tcp://a:1": "generation", "listen tcp://c:3": "generation"},
        ),
        ("app: demo\nlisten: [tcp://a:1, tcp://b:2]", "app: demo\nlisten: [tcp://b:2, tcp://a:1]", {}),
        (
            "app: demo\nlisten: {at: unix:///s, mode: '0660'}",
            "app: demo\nlisten: {at: unix:///s, mode: '0600'}",
            {"listen unix:///s mode": "restart"},
        ),
        ("app: demo", "app: demo\naccess_log: json", {"access_log": "generation"}),
        ("app: demo\naccess_log: common", "app: demo\naccess_log: json", {"access_log.format": "generation"}),
        ("app: demo", "app: demo\nforwarded: {trust: unix}", {"forwarded": "generation"}),
        ("app: demo\nenvironment: {A: a}", "app: demo", {"environment.A": "generation"}),
        ("app: demo", "app: demo\nenvironment: {B: b}", {"environment.B": "generation"}),
    ],
)
def test_changes(tmp_path: Path, old: str, new: str, found: dict[str, str]) -> None:
    old, new = ((text if "name:" in text else f"name: shop\n{text}") for text in (old, new))
    told = changes(of(tmp_path, old), of(tmp_path, new))
    assert {change.key: change.how for change in told} == found
    order = ["hot", "generation", "restart"]
    assert hardest(told) == max(found.values(), key=order.index, default=None)
    assert all(change.why for change in told)


def test_different_file_names_are_not_a_change(tmp_path: Path) -> None:
    """A file that is to replace another one has a different name until then."""
    files = [tmp_path / name for name in ("shop.yaml", "shop-new.yaml")]
    for file in files:
        file.write_text("app: demo")
    assert changes(*(settings(judge(Inputs(str(file)))) for file in files)) == []


def test_both_sides_are_reported(tmp_path: Path) -> None:
    (change,) = between(tmp_path, "app: demo\naccess_log: json", "app: demo")
    assert change.old is not None
    assert change.new is not None
    assert (change.old.value, change.new.value) == ("json", "off")


def test_every_key_has_a_rule(tmp_path: Path) -> None:
    from dataclasses import fields

    keys = {each.key for each in of(tmp_path, "app: demo")}
    keys |= {
        f"{axis}.{field.name}" for axis in REGISTRY for word in words(axis) for field in fields(part_class(axis, word))
    }
    for key in keys:
        path = key.split(".")
        general = ".".join((path[0], *path[2:])) if path[0] == "listen" else key
        general = "classes." if key == "classes" else general  # there are none
        assert rule_of(general, {}, {}).why
    with pytest.raises(LookupError):
        rule_of("nonsense", {}, {})
