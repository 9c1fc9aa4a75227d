"""Which topologies differ in nothing but what running processes can take."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolctl.assembly.fitting.combination import OWNERSHIPS, SERVICES
from poolctl.assembly.hot_change import hot_change, received
from poolctl.assembly.resolve import Parts, read
from poolctl.config.diagnostic import Invalid

ROOT = Path(__file__).parents[2]
GALLERY = sorted((ROOT / "topologies").glob("*.yaml"))
PLUGIN = """
from dataclasses import dataclass
from poolctl.plugin import Dispatch
@dataclass
class Mine(Dispatch):
    number: int = 0
    def pick(self, task, inboxes):
        return inboxes[self.number]
"""


def of(folder: Path, text: str) -> Parts:
    (folder / "mine.py").write_text(PLUGIN)
    file = folder / "shop.yaml"
    file.write_text(f"name: shop\n{text}")
    return read(str(file))


@pytest.mark.parametrize("file", GALLERY, ids=lambda file: file.stem)
def test_a_topology_is_like_itself(file: Path) -> None:
    """Parts of every kind are equal if they were made from the same words."""
    try:
        one, other = read(str(file)), read(str(file))
    except Invalid as invalid:
        pytest.skip(str(invalid))
    found = hot_change(one, other)
    assert found is not None
    assert found.dispatch is None


@pytest.mark.parametrize("app", SERVICES)
@pytest.mark.parametrize("ownership", OWNERSHIPS)
def test_limits_and_timeouts_are_hot_with_every_app(tmp_path: Path, app: str, ownership: str) -> None:
    needs = SERVICES[app].needs
    target = "." if needs == "folder" else "prog" if needs == "program" else "a:b"
    chosen = f"app: {{{app}: {target}}}" if needs else f"app: {app}"
    text = f"{chosen}\npool: {{kind: process, size: 2}}\nownership: {ownership}\n"
    try:
        one = of(tmp_path, text)
    except Invalid:
        pytest.skip("it does not fit")
    other = of(tmp_path, f"{text}limits: {{connections: 7, waiting: 8}}\ntimeouts: {{idle: 5, drain: 3}}\n")
    found = hot_change(one, other)
    assert found is not None
    assert received(found.sent()).topology.limits.connections == 7


BASE = "app: demo\npool: {kind: process, size: 2}\ndispatch: round-robin\ntimeouts: {request: 5}\n"


@pytest.mark.parametrize(
    ("old", "new", "hot"),
    [
        ("round-robin", "random", True),
        ("round-robin", "power-of-choices", True),
        ("round-robin", "./mine.py:Mine", True),
        ("request: 5", "request: 6", True),
        ("request: 5", "request: off", False),
        ("size: 2", "size: 3", False),
        ("app: demo", "app: {wsgi: a:b}", False),
        ("app: demo", "app: demo\nrecycle: {age: 1h}\nreload: {surge: 2, ready: 5s}", True),
        ("app: demo", "app: demo\nbacklog: 7", False),
        ("app: demo", "app: demo\naccess_log: json", False),
        ("app: demo", "app: demo\naffinity: client", False),
        ("app: demo", "app: demo\nenvironment: {A: a}", False),
    ],
)
def test_what_is_hot(tmp_path: Path, old: str, new: str, hot: bool) -> None:
    found = hot_change(of(tmp_path, BASE), of(tmp_path, BASE.replace(old, new)))
    assert (found is not None) is hot


def test_what_is_hot_with_a_pool_that_grows(tmp_path: Path) -> None:
    text = "app: {wsgi: a:b}\npool: {kind: process, size: {min: 1, max: 3}}\n"
    before = of(tmp_path, text)
    assert hot_change(before, of(tmp_path, f"{text}scale: {{idle: 7s}}\n")) is not None
    assert hot_change(before, of(tmp_path, f"{text}reload: {{warm: /a}}\n")) is None


def test_a_changed_option_of_a_plugin_travels(tmp_path: Path) -> None:
    one, other = (BASE.replace("round-robin", f"{{use: ./mine.py:Mine, number: {number}}}") for number in (0, 1))
    found = hot_change(of(tmp_path, one), of(tmp_path, other))
    assert found is not None
    made = received(found.sent()).dispatch
    assert made.options["number"] == 1  # type: ignore[union-attr]
