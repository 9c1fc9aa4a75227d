from __future__ import annotations

from pathlib import Path

import pytest

from poolctl.config.address import parse_address
from poolctl.config.diagnostic import Unreadable
from poolctl.config.load import Document, default_name, load
from poolctl.config.model import AXES, SHORT, Choice, LimitsSection, TimeoutsSection, Topology
from poolctl.config.pool_keys import RecycleSection, ReloadSection

GALLERY = Path(__file__).parents[2] / "topologies"


def loaded(tmp_path: Path, text: str, *sets: str, listen: tuple[str, ...] = ()) -> Topology:
    return document(tmp_path, text, *sets, listen=listen).topology


def document(tmp_path: Path, text: str, *sets: str, listen: tuple[str, ...] = ()) -> Document:
    file = tmp_path / "shop.yaml"
    file.write_text(text)
    return load(str(file), sets, listen)


def test_the_shortest_file_has_the_defaults(tmp_path: Path) -> None:
    found = loaded(tmp_path, "app: demo")
    assert found.name == "shop"
    assert found.listen == (parse_address("tcp://127.0.0.1:8000"),)
    assert found.choices() == {"app": Choice("demo", {}, ("app",))}
    assert (found.preload, found.backlog) == (False, 2048)
    assert found.limits == LimitsSection(connections=10_000, waiting=1_000)
    assert found.timeouts == TimeoutsSection(head=10.0, idle=60.0, write=30.0, drain=30.0)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("{wsgi: shop.wsgi:application}", Choice("wsgi", {"target": "shop.wsgi:application"}, ("app",))),
        ("{use: wsgi, target: a:b}", Choice("wsgi", {"target": "a:b"}, ("app",))),
        ("{lines: a:b, extra: 1}", Choice("lines", {"target": "a:b", "extra": 1}, ("app",))),
        ("{echo: }", Choice("echo", {}, ("app",))),
        ("echo", Choice("echo", {}, ("app",))),
    ],
)
def test_forms_of_an_app(tmp_path: Path, text: str, choice: Choice) -> None:
    assert loaded(tmp_path, f"app: {text}").app == choice


def test_forms_of_a_component(tmp_path: Path) -> None:
    text = "app: demo\npool: {kind: thread, size: 4}\ndispatch: {use: random}\naffinity: request\n"
    found = loaded(tmp_path, text)
    assert found.pool == Choice("thread", {"size": 4}, ("pool",))
    assert found.dispatch == Choice("random", {}, ("dispatch",))
    assert found.affinity == Choice("request", {}, ("affinity",))


def test_a_pool_without_a_kind_has_processes(tmp_path: Path) -> None:
    assert loaded(tmp_path, "app: demo\npool: {size: 3}").pool == Choice("process", {"size": 3}, ("pool",))


def test_units(tmp_path: Path) -> None:
    found = loaded(tmp_path, "app: demo\ntimeouts: {head: 500ms, idle: 2m, write: 7, drain: 9, stream: 5s}")
    assert found.timeouts == TimeoutsSection(head=0.5, idle=120.0, write=7.0, drain=9.0, stream=5.0)


def test_keys_that_begin_with_x(tmp_path: Path) -> None:
    found = loaded(tmp_path, "x-pool: &p {kind: thread, size: 2}\napp: demo\npool: *p")
    assert found.pool == Choice("thread", {"size": 2}, ("pool",))


def test_one_address_needs_no_list(tmp_path: Path) -> None:
    assert loaded(tmp_path, "app: demo\nlisten: fd://3").listen == (parse_address("fd://3"),)


class TestSet:
    def test_a_new_key(self, tmp_path: Path) -> None:
        assert loaded(tmp_path, "app: demo", "backlog=7").backlog == 7

    def test_a_value_of_the_file(self, tmp_path: Path) -> None:
        assert loaded(tmp_path, "app: demo\nbacklog: 9", "backlog=7").backlog == 7

    def test_an_option_of_a_plain_word(self, tmp_path: Path) -> None:
        found = loaded(
            tmp_path, "app: demo\npool: thread\ndispatch: power-of-choices", "pool.size=4", "dispatch.choices=3"
        )
        assert found.pool == Choice("thread", {"size": 4}, ("pool",))
        assert found.dispatch == Choice("power-of-choices", {"choices": 3}, ("dispatch",))

    def test_an_option_of_a_missing_key(self, tmp_path: Path) -> None:
        assert loaded(tmp_path, "app: demo", "pool.size=4").pool == Choice("process", {"size": 4}, ("pool",))

    def test_a_flow_value(self, tmp_path: Path) -> None:
        found = loaded(tmp_path, "app: demo", "timeouts={idle: 5s}", "listen=[fd://3, fd://4]", "app={wsgi: a:b}")
        assert found.timeouts.idle == 5
        assert [address.fd for address in found.listen] == [3, 4]
        assert found.app.options == {"target": "a:b"}

    def test_the_last_one_wins(self, tmp_path: Path) -> None:
        assert loaded(tmp_path, "app: demo", "backlog=7", "backlog=8").backlog == 8

    def test_it_fills_an_empty_file(self, tmp_path: Path) -> None:
        assert loaded(tmp_path, "", "app=demo").app.name == "demo"

    def test_setting_a_key_does_not_change_an_alias(self, tmp_path: Path) -> None:
        text = "app: demo\nx-a: &a {use: random}\ndispatch: *a\nx-b: *a"
        found = document(tmp_path, text, "dispatch.use=round-robin")
        assert found.topology.dispatch == Choice("round-robin", {}, ("dispatch",))
        assert found.tree.value()["x-b"] == {"use": "random"}

    def test_an_empty_value_restores_the_default(self, tmp_path: Path) -> None:
        assert loaded(tmp_path, "app: demo\nbacklog: 9", "backlog=").backlog == 2048

    @pytest.mark.parametrize(
        ("text", "code", "column"),
        [
            ("backlog=many", "PC204", 14),
            ("pol.size=3", "PC203", 6),
            ("limits.conections=3", "PC203", 13),
            ("limits={waiting: 0}", "PC204", 23),
            ("backlog=[", "PC101", 15),
            ("backlog={}", "PC204", 14),
        ],
    )
    def test_its_findings_name_it(self, findings, text: str, code: str, column: int) -> None:
        (found,) = findings("app: demo", [text])
        assert (found.code, found.place.span.column, str(found.place)) == (code, column, f"--set {text}")
        assert f" 1 | --set {text}\n" in found.render()


class TestListen:
    def test_it_replaces_the_addresses_of_the_file(self, tmp_path: Path) -> None:
        found = loaded(tmp_path, "app: demo\nlisten: fd://3", listen=("tcp://127.0.0.1:0", "unix:///a"))
        assert list(map(str, found.listen)) == ["tcp://127.0.0.1:0", "unix:///a"]

    def test_its_findings_name_it(self, findings) -> None:
        (found,) = findings("app: demo", [], ["tcp://127.0.0.1:0", "8000"])
        assert (found.code, str(found.place), found.place.span.column) == ("PC206", "--listen 8000", 9)


@pytest.mark.parametrize("name", ["nothing.yaml", "."])
def test_unreadable(tmp_path: Path, name: str) -> None:
    with pytest.raises(Unreadable, match=r"cannot read .*(No such file|Is a directory)"):
        load(str(tmp_path / name))


@pytest.mark.parametrize(
    ("path", "name"), [("a/b/shop.yaml", "shop"), ("my shop.yml", "my-shop"), ("x" * 99 + ".yaml", "x" * 64)]
)
def test_the_default_name_is_that_of_the_file(path: str, name: str) -> None:
    assert default_name(path) == name


def test_full_yaml_has_every_key_with_its_default() -> None:
    found = load(str(GALLERY / "full.yaml"))
    assert set(found.tree.value()) == set(Topology.model_fields) - {"scale"}  # its pool has a fixed size
    assert set(found.tree.value()["limits"]) == set(LimitsSection.model_fields)
    assert set(found.tree.value()["timeouts"]) == set(TimeoutsSection.model_fields)
    assert set(found.tree.value()["recycle"]) == set(RecycleSection.model_fields)
    assert set(found.tree.value()["reload"]) == set(ReloadSection.model_fields)
    plain = Topology(name="full", app=Choice("demo"))
    for key in set(Topology.model_fields) - {"app", *AXES}:
        assert getattr(found.topology, key) == getattr(plain, key), key


def test_the_apps_are_those_of_the_registry() -> None:
    from poolctl.assembly.registry import words

    assert set(SHORT["app"]) == set(words("app"))


def test_the_value_of_a_short_form_is_an_option() -> None:
    from poolctl.assembly.options import option_names
    from poolctl.assembly.registry import part_class

    for axis, short in SHORT.items():
        for word, option in short.items():
            assert word in ("echo", "demo") or option in option_names(part_class(axis, word))


def test_streams_that_have_as_long_as_the_drain_or_longer_have_no_time_of_their_own() -> None:
    """Longer: in development, whose drain is short whatever the file says."""
    times = [TimeoutsSection(stream=stream, drain=2.0).shorter_stream for stream in (None, 1.0, 2.0, 3.0)]
    assert times == [None, 1.0, None, None]
