"""The complete file: every key with its source, no secrets, and the same server when it is loaded again."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolctl.assembly.judging.judge import Judgement, judge
from poolctl.config.model import LimitsSection, TimeoutsSection, Topology
from poolctl.config.sources import Inputs
from poolctl.description.complete_file import complete_file
from poolctl.description.settings import Setting, settings

GALLERY = sorted((Path(__file__).parents[2] / "topologies").glob("*.yaml"))


def judged_file(folder: Path, text: str, *sets: str, overlay: str = "") -> Judgement:
    file = folder / "shop.yaml"
    file.write_text(text)
    over = folder / "prod.yaml"
    over.write_text(overlay)
    return judge(Inputs(str(file), (str(over),) if overlay else (), sets))


def by_key(found: list[Setting]) -> dict[str, Setting]:
    return {each.key: each for each in found}


RICH = """
name: shop
app: {asgi: shop:app, lifespan: off}
listen:
  - {at: unix:///run/shop.sock, mode: "0660", group: www-data, protocol: {use: http, head: 8KiB}}
  - {at: tcp://127.0.0.1:8443, tls: {certificate: a.pem, minimum: 1.3, names: {"*.b": {certificate: b.pem, key: k}}}}
  - {at: "tcp://[::1]:8000", proxy_protocol: [10.0.0.0/8, unix]}
pool: {kind: process, size: 3}
ownership: {use: half-sync/half-async, accept: worker}
dispatch: {use: power-of-choices, choices: 3}
environment: {A: "a$$b", B: "no", C: "it's \\"x\\"", "D e": "é\\n"}
umask: "0027"
user: 0
access_log: {format: '%h "%r" %>s', to: stderr}
forwarded: {trust: [10.0.0.0/8, unix], header: forwarded}
limits: {connections: 500, body_rate: 1KiB}
timeouts: {idle: 500ms, drain: 1m}
"""
SHORT = "app: {static: ./public, types: {.x: text/x}}\naccess_log: json\nlisten: tcp://127.0.0.1:0\n"
BASELINE = "app: demo\npool: iterative\n"
LENT = "app: {asgi: 'shop:app', concurrency: 7}\n"
TEXTS = [*(file.read_text() for file in GALLERY), RICH, SHORT, BASELINE, LENT]


@pytest.mark.parametrize("text", TEXTS, ids=[*(file.stem for file in GALLERY), "rich", "short", "baseline", "lent"])
def test_the_complete_file_loads_to_the_same_server(tmp_path: Path, text: str) -> None:
    first = judged_file(tmp_path, text)
    assert first.errors == []
    again = judged_file(tmp_path, complete_file(settings(first)))
    assert again.errors == []
    assert again.combination == first.combination
    kept = {
        name: getattr(first.topology, name) for name in Topology.model_fields if name not in first.topology.choices()
    }
    for name, value in kept.items():
        assert getattr(again.topology, name) == value or name in again.topology.choices(), name
    values = [(each.path, each.value) for each in settings(first)]
    assert [(each.path, each.value) for each in settings(again)] == values


def test_every_key_is_listed(tmp_path: Path) -> None:
    keys = by_key(settings(judged_file(tmp_path, "app: demo")))
    for name in set(Topology.model_fields) - {"scale"}:  # the pool has a fixed size
        assert any(key == name or key.startswith(f"{name}.") for key in keys), name
    for group, part in (("limits", LimitsSection), ("timeouts", TimeoutsSection)):
        assert {key for key in keys if key.startswith(group)} == {f"{group}.{name}" for name in part.model_fields}


def test_where_values_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "81")
    text = "app: {wsgi: a:b}\nlisten: tcp://127.0.0.1:${PORT}\nlimits: {waiting: 3}\n"
    found = by_key(settings(judged_file(tmp_path, text, "timeouts.idle=2m", overlay="\n\nbacklog: 5\n")))
    sources = {key: each.source.replace(f"{tmp_path}/", "") for key, each in found.items()}
    assert sources["app.use"] == sources["app.target"] == "shop.yaml:1"
    assert sources["listen.0.at"] == "shop.yaml:2, $PORT"
    assert sources["limits.waiting"] == "shop.yaml:3"
    assert sources["limits.connections"] == "default"
    assert sources["backlog"] == "prod.yaml:3"
    assert sources["timeouts.idle"] == "--set timeouts.idle=2m"
    assert sources["ownership.use"] == "default for app wsgi"
    assert sources["dispatch.use"] == "default under half-sync/half-reactive"
    assert sources["pool.size"].startswith("default, ")
    assert sources["pool.size"].endswith(" here")


def test_defaults_are_shown_as_people_write_them(tmp_path: Path) -> None:
    found = by_key(settings(judged_file(tmp_path, "app: demo")))
    shown = [found[key].shown for key in ("timeouts.idle", "timeouts.request", "limits.body_rate", "protocol.body")]
    assert shown == ["1m", None, "500B", "16MiB"]


SECRETS = """
app: demo
listen: {at: tcp://127.0.0.1:0, tls: {certificate: a.pem, password: hunter2}}
environment:
  DB_PASSWORD: hunter2
  SECRET_KEY: hunter2
  API_TOKEN: hunter2
  DATABASE_URL: postgres://shop:hunter2@db/shop
  PLAIN_URL: http://example.org/path
  KEYBOARD: us
"""


def test_secrets_are_masked(tmp_path: Path) -> None:
    found = settings(judged_file(tmp_path, SECRETS))
    shown = complete_file(found)
    assert "hunter2" not in shown
    assert shown.count(", masked") == 5
    assert "us" in shown
    assert "http://example.org/path" in shown
    masked = judged_file(tmp_path, shown)
    assert {finding.code for finding in masked.errors} == {"PC111"}, "it cannot be run by accident"
    assert complete_file(found, show_secrets=True).count("hunter2") == 5


@pytest.mark.parametrize(
    "url", ["amqp://shop:hunter2@mq/", "https://hunter2@git.example/", "redis://:hunter2/x@cache/0", "a://u:hun/ter@b"]
)
def test_credentials_in_urls_are_masked(tmp_path: Path, url: str) -> None:
    shown = complete_file(
        settings(judged_file(tmp_path, f"app: demo\nenvironment: {{PLACE: '{url}', MYSQL_PWD: hunter2}}"))
    )
    assert url not in shown
    assert shown.count(", masked") == 2


@pytest.mark.parametrize(
    "text",
    [
        "host=db password=hunter2 user=a",
        "jdbc:x://db/a?sslpassword=hunter2",
        "Server=db;Pwd = hunter2;",
        "a&token=hunter2",
    ],
)
def test_passwords_of_connection_strings_are_masked(tmp_path: Path, text: str) -> None:
    shown = complete_file(
        settings(judged_file(tmp_path, f"app: demo\nenvironment: {{DB: '{text}', PLAIN: password file}}"))
    )
    assert "hunter2" not in shown
    assert shown.count(", masked") == 1


@pytest.mark.parametrize(
    ("pool", "source"), [("{size: 3}", "default"), ("{kind: process}", "shop.yaml:2"), ("process", "shop.yaml:2")]
)
def test_a_pool_without_a_kind_has_the_default_kind(tmp_path: Path, pool: str, source: str) -> None:
    (kind,) = (
        each for each in settings(judged_file(tmp_path, f"app: demo\npool: {pool}\n")) if each.key == "pool.kind"
    )
    assert (kind.value, kind.source.rpartition("/")[2]) == ("process", source)


@pytest.mark.parametrize("option", ["environment.DB_PASSWORD=hunter2", "environment={A: b, DB_PASSWORD: hunter2}"])
def test_the_source_of_a_secret_does_not_reveal_it(tmp_path: Path, option: str) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("app: demo")
    shown = complete_file(settings(judge(Inputs(str(file), (), (option,), ()))))
    assert "hunter2" not in shown
    assert "--set environment" in shown


def test_comments_are_aligned(tmp_path: Path) -> None:
    lines = complete_file(settings(judged_file(tmp_path, "app: demo"))).splitlines()
    assert len({line.index("#") for line in lines if "#" in line}) == 1
