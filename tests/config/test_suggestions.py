"""Keys of other servers get a correct answer, and a word is suggested only where it is right."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from poolctl.assembly.judging.judge import judge
from poolctl.assembly.registry import part_class, words
from poolctl.config.access_log import AccessLogSection
from poolctl.config.diagnostic import Invalid
from poolctl.config.forwarded import ForwardedSection
from poolctl.config.listen import Entry
from poolctl.config.model import AXES, SHORT, LimitsSection, TimeoutsSection, Topology
from poolctl.config.other_servers import ANSWERS, INSIDE, KEYS
from poolctl.config.pool_keys import RecycleSection
from poolctl.config.sources import Inputs
from poolctl.config.suggestions import suggest_key, suggest_word
from poolctl.config.tls import Certificate, Clients, Tls
from poolctl.similar import similar

NESTED = {
    "recycle": RecycleSection,
    "limits": LimitsSection,
    "timeouts": TimeoutsSection,
    "listen": Entry,
    "access_log": AccessLogSection,
    "forwarded": ForwardedSection,
}
DIFFERENT = (
    "log logs mounts server cpu_affinity metrics log_level api map port host time node mode root path"
    " list env proto pull tag cert ssl size cache uploads group_id blog dialog tool cool debug type"
)


@pytest.mark.parametrize("word", DIFFERENT.split())
def test_different_words_are_not_suggested(word: str) -> None:
    assert similar(word, list(Topology.model_fields)) is None
    found = [similar(word, [each for each in words(axis) if each != word]) for axis in AXES]
    assert found == [None] * len(AXES)


def test_words_with_another_meaning_are_not_suggested() -> None:
    assert similar("body", list(LimitsSection.model_fields)) is None
    assert similar("name", words("app")) is None
    assert similar("reject", ["dispatch", "refuse"]) is None


@pytest.mark.parametrize("word", [*Topology.model_fields, *(word for axis in AXES for word in words(axis))])
def test_every_typo_of_one_letter_gets_a_suggestion(word: str) -> None:
    """Two letters swapped, one missing, one extra; case and dashes do not count."""
    known = [*Topology.model_fields, *(each for axis in AXES for each in words(axis))]
    slips = {word.upper(), word.replace("-", "_"), f"{word}s", word[:-2] + word[-1] + word[-2], word[:-1]}
    for slip in slips - set(known):
        if len(word) > 4 or len(slip) >= len(word):
            found = similar(slip, known)
            assert found == word or (found is not None and abs(len(found) - len(slip)) <= 1), slip


def test_every_answer_leads_to_an_existing_key() -> None:
    options = {axis: set(SHORT.get(axis, ())) | {"use", "lifespan"} for axis in AXES}
    options["pool"] = {"kind", "size", "threads"}
    options["ownership"] = {"use", "accept", "lock", "retry"}
    options["protocol"] = {field.name for field in fields(part_class("protocol", "http"))}
    for known in (*KEYS.values(), *INSIDE.values()):
        first, *rest = known.split(".")
        assert first in Topology.model_fields, known
        if first in options:
            assert set(rest) <= options[first], known
        elif rest:
            part = {"tls": Tls, "clients": Clients, "names": Certificate}.get(
                rest[-2] if len(rest) > 1 else "", NESTED[first]
            )
            assert rest[-1] in part.model_fields, known


@pytest.mark.parametrize("key", [key for key in Topology.model_fields if key not in AXES])
def test_keys_of_a_topology_are_not_those_of_other_servers(key: str) -> None:
    plain = re.sub("[-_]", "", key)
    assert KEYS.get(plain, key) in (key, "access_log")
    assert plain not in ANSWERS


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("workers", 4, "write pool: {size: 4}"),
        ("worker-processes", 4, "write pool: {size: 4}"),
        ("threads", 8, "write pool: {threads: 8}"),
        ("bind", "0.0.0.0:8000", "write listen: tcp://0.0.0.0:8000"),
        ("bind", ["127.0.0.1:1", "unix:/run/a"], "write listen: [tcp://127.0.0.1:1, unix:///run/a]"),
        ("port", 8000, "write listen: tcp://127.0.0.1:8000"),
        ("uds", "/run/a.sock", "write listen: unix:///run/a.sock"),
        ("fd", 3, "write listen: fd://3"),
        ("worker_class", "gthread", "write pool: {threads: 4}"),
        ("worker_class", "uvicorn.workers.UvicornWorker", "write app: {asgi: "),
        ("worker_class", "gevent", "no green threads"),
        ("timeout", 30, "write timeouts: {request: 30}"),
        ("timeout", 0, "write timeouts: {request: off}"),
        ("timeout", {"idle": 3}, 'did you mean "timeouts"?'),
        ("graceful_timeout", 10, "write timeouts: {drain: 10}"),
        ("keepalive", 5, "write timeouts: {idle: 5}"),
        ("accesslog", "-", "write access_log: {to: stdout}"),
        ("accesslog", "/var/log/a.log", "write access_log: {to: /var/log/a.log}"),
        ("proxy_protocol", True, "write listen: {at: tcp://HOST:PORT, proxy_protocol: 10.0.0.0/8}"),
        ("proxy_headers", True, "write forwarded: {trust: 127.0.0.1}"),
        ("ssl_certfile", "a.pem", "write listen: {at: tcp://HOST:PORT, tls: {certificate: a.pem}}"),
        ("wsgi_app", "shop:app", "write app: {wsgi: shop:app}"),
        ("lifespan", "off", "write app: {asgi: MODULE:CALLABLE, lifespan: off}"),
        ("autoreload", True, "poolctl run FILE --watch"),
        ("reload_dirs", ["."], "poolctl run FILE --watch"),
        ("max_requests", 1000, "write recycle: {requests: 1000}"),
        ("max_requests_jitter", 50, "jitter: 0.2"),
        ("workers_lifetime", 60, "write recycle: {age: 60}"),
        ("reload_on_rss", "300m", "write recycle: {memory: 300MiB}"),
        ("metrics", True, "exports no metrics yet"),
        ("statsd_host", "localhost:8125", "exports no metrics yet"),
        ("log_level", "debug", "no level or format to choose yet"),
        ("errorlog", "-", "no level or format to choose yet"),
        ("root_path", "/api", "serves one app, at /"),
        ("mounts", {}, "serves one app, at /"),
        ("mounts", {"/static": {"static": "./static"}}, "WhiteNoise"),
        ("routes", [{"path": "/api", "app": "c:d"}], "the proxy in front choose by the path"),
        ("location", {"/static": "./static"}, "WhiteNoise"),
        ("services", {"web": {"image": "shop:1"}}, "Docker Compose file"),
        ("services", {"web": {"app": "demo"}}, "at the top level"),
        ("server", {"app": "demo"}, "at the top level"),
        ("server", "shop", "write name: shop"),
        ("cpu_affinity", True, "CPUAffinity="),
        ("daemon", True, "stays in the foreground"),
        ("pool.workers", 4, "write size: 4"),
        ("pool.max_requests", 4, "write recycle: {requests: 4}"),
        ("limits.body", "1MiB", "write protocol: {body: 1MiB}"),
        ("listen.ssl", True, "write tls: {certificate: PATH, key: PATH}"),
        ("listen.0.port", 80, "write at: tcp://127.0.0.1:80"),
        ("uwsgi", {"socket": ":3031", "processes": 4, "master": True}, "listen: tcp://0.0.0.0:3031; pool: {size: 4}. "),
        ("uwsgi", {"module": "shop:app", "chmod-socket": 660}, "app: {wsgi: shop:app}; listen: "),
        ("uwsgi", {"http": ":8000", "threads": 2, "processes": 4}, "0.0.0.0:8000; pool: {size: 4, threads: 2}. "),
        ("uwsgi", {"qqq": 1}, "at the top level"),
        ("gunicorn", {"bind": ":80", "workers": 3}, "listen: tcp://0.0.0.0:80; pool: {size: 3}"),
        ("http", {"server": {"listen": 80}}, "keep this block in nginx.conf"),
        ("http", ":8000", "write listen: tcp://0.0.0.0:8000"),
        ("events", {"worker_connections": 1024}, "limits: {connections: 1024}"),
        ("events", {}, "keep this block in nginx.conf"),
        ("server", {"listen": 80, "location": {}}, "keep this block in nginx.conf"),
        ("server_name", "shop.example", "every host name"),
        ("runtime_threads", 2, "granian's Rust runtime"),
        ("static_path_mount", "./static", "app: {static: ./static}"),
        ("respawn_failed_workers", True, "always replaces workers that die"),
        ("workers_kill_timeout", 10, "write timeouts: {drain: 10}"),
        ("cors", "*", "set up CORS in the app"),
        ("on_start", "shop:start", "calls no hooks"),
        ("on_startup", "shop:start", "calls no hooks"),
        ("nice", 5, "Nice="),
        ("limits.header", 100, "write protocol: {headers: 100}"),
        ("limits.headers", 100, "write protocol: {headers: 100}"),
        ("replicas", 3, "write pool: {size: 3}"),
        ("resources", {"limits": {"cpu": 1}}, "MemoryMax="),
        ("env", {"A": "b"}, "write environment: {A: b}"),
        ("env", ["A=b", "C=d"], "write environment: {A: b, C: d}"),
        ("env", [{"name": "A", "value": "b"}], "write environment: {A: b}"),
        ("env", ["A"], "write environment: {NAME: VALUE}"),
        ("healthcheck", {"test": "curl"}, "write health: /healthz"),
        ("readiness", True, "let it ask for the path that is named here: health: /healthz"),
        ("image", "shop:1", "configures the container"),
        ("ports", ["80:8000"], "publish ports"),
        ("qqq", 1, ""),
    ],
)
def test_keys_of_other_servers(key: str, value: object, says: str) -> None:
    name = key.rpartition(".")[2]
    found = suggest_key(key, NESTED, {name: value})
    assert says in found if says else found == ""


@pytest.mark.parametrize(
    ("around", "line"),
    [
        ({"worker_class": "gthread", "threads": 2}, "pool: {threads: 2}"),
        ({"workers": 4, "threads": 2}, "pool: {size: 4, threads: 2}"),
        ({"workers": 4, "worker_class": "gthread"}, "pool: {size: 4, threads: 4}"),
        ({"workers": 4, "threads": 2, "worker_class": "gthread"}, "pool: {size: 4, threads: 2}"),
        ({"worker_class": "sync", "workers": 4}, "pool: {kind: process, size: 4}"),
        ({"worker_class": "sync"}, "pool: process"),
        ({"worker_class": "gevent", "workers": 4}, "pool: {size: 4, threads: 16}"),
        ({"pool": "thread", "workers": 4}, "pool: {kind: thread, size: 4}"),
        ({"pool": {"size": 3}, "threads": 2}, "pool: {size: 3, threads: 2}"),
        ({"timeout": 30, "keepalive": 5, "timeouts": {"drain": "9s"}}, "timeouts: {drain: 9s, request: 30, idle: 5}"),
        ({"host": "::1", "port": 80}, "listen: tcp://[::1]:80"),
        (
            {"bind": ":443", "certfile": "a", "keyfile": "b"},
            "listen: {at: tcp://0.0.0.0:443, tls: {certificate: a, key: b}}",
        ),
        ({"bind": [":1", ":2"], "ssl": True, "certfile": "a"}, "listen: {at: tcp://HOST:PORT, tls: {certificate: a}}"),
        (
            {"listen": "tcp://[::1]:80", "keyfile": "b"},
            "listen: {at: tcp://[::1]:80, tls: {certificate: PATH, key: b}}",
        ),
    ],
)
def test_related_keys_get_one_line(around: dict[str, object], line: str) -> None:
    """Two lines that begin with the same key could not both be followed."""
    helps = {key: suggest_key(key, NESTED, around) for key in around if key not in Topology.model_fields}
    assert [key for key, help_ in helps.items() if line not in help_] == []


@pytest.mark.parametrize("word", ["prefork", "pre-fork", "PreForked", "pre_thread", "process"])
def test_the_word_of_a_pool_is_not_an_ownership(word: str) -> None:
    found = suggest_word("ownership", word)
    assert "pool: " in found
    assert "ownership: leader/followers" in found


# Values that occur in the files of other servers, for any key.
TEXTS = (
    "10m 10k 1g 10M 512K 1.5m 0 1 4 60 60s 1m 1h 1d 2w 100ms 1h30m off on yes no none unlimited -1 auto $CPU %k"
    " ${WORKERS} $(nproc) 0.0.0.0:80 *:80 unix:/run/x.sock :8000 [::]:80 unix:run/x.sock /run/x.sock localhost"
    " shop.example http://shop:80 ~/shop 666 0o660 - info 10.0.0.0/8 * 127.0.0.1,10.0.0.1 shop.wsgi shop:app"
    " shop/wsgi.py ./shop.py create_app() TLSv1.2 'q' www-data"
)
VALUES: list[object] = [*TEXTS.split()]
VALUES += [
    0,
    1,
    -1,
    660,
    8000,
    10**9,
    65.5,
    True,
    False,
    None,
    "",
    "75s 60s",
    "x y",
    "a: b",
    "/var/log/x.log main",
    "\u00e9",
]
VALUES += [[], ["127.0.0.1"], ["a", "b"], {}, {"a": 1}]
PLACEHOLDERS = {
    "MODULE:CALLABLE": "shop:app",
    "tcp://HOST:PORT": "tcp://127.0.0.1:0",
    "PATH": "/x",
    "NAME: ": "A: ",
    "${PASSWORD}": "x",
}


def findings_when_followed(help_: str) -> list[str]:
    """The findings about a topology with the line that a help says to write."""
    line = re.split("(?<=[\\w})]), (?:with|for) ", help_.removeprefix("write "))[0]
    for placeholder, example in PLACEHOLDERS.items():
        line = line.replace(placeholder, example)
    kind = "asgi" if "websocket" in line else "wsgi"
    lines = [line, f"app: {{{kind}: shop:app}}", "listen: tcp://127.0.0.1:0"]
    text = "\n".join([line, *(each for each in lines[1:] if not line.startswith(each.partition(" ")[0]))])
    try:
        found = judge(Inputs("<followed>", text=text)).errors
    except Invalid as invalid:
        found = invalid.diagnostics
    return [f"{line}: {each.code} {each.message}" for each in found]


@pytest.mark.parametrize("place", sorted(set(KEYS.values())))
def test_a_fix_works_when_it_is_followed(place: str) -> None:
    """Whatever the value is: no fix leads to the next error."""
    keys = [key for key in KEYS if KEYS[key] == place]
    helps = {suggest_key(key, NESTED, {key: value}) for key in keys for value in VALUES}
    fixes = {each for each in helps if each.startswith("write ")}
    assert fixes or not any(helps), helps
    assert [wrong for each in sorted(fixes) for wrong in findings_when_followed(each)] == []


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("client_max_body_size", "10m", "protocol: {body: 10MiB}"),
        ("client_max_body_size", 0, "protocol: {body: 1GiB}"),
        ("limit_post", 1048576, "protocol: {body: 1048576}"),
        ("client_header_timeout", "1h30m", "timeouts: {head: 90m}"),
        ("keepalive_timeout", "75s 60s", "timeouts: {idle: 75s}"),
        ("keepalive", 0, "timeouts: {idle: 1s}"),
        ("send_timeout", "1d", "timeouts: {write: 24h}"),
        ("harakiri", "off", "timeouts: {request: off}"),
        ("workers", "$CPU", "pool: {size: auto}"),
        ("workers", "4", "pool: {size: 4}"),
        ("processes", "%k", "pool: {size: auto}"),
        ("http2", "on", "protocol: {http2: true}"),
        ("preload_app", "no", "preload: false"),
        ("chmod-socket", 660, 'listen: {at: unix:///PATH, mode: "0660"}'),
        ("forwarded_allow_ips", "127.0.0.1,10.0.0.1", "forwarded: {trust: [127.0.0.1, 10.0.0.1]}"),
        ("access_log_file", "/var/log/x.log main", 'access_log: {to: "/var/log/x.log main"}'),
        ("accesslog", "/var/log/x.log main", "access_log: {to: /var/log/x.log}"),
        ("uid", "www:web", "user: www"),
        ("env", {"DEBUG": True, "PORT": 80, "PRICE": "$5"}, 'environment: {DEBUG: "true", PORT: "80", PRICE: "$$5"}'),
        ("wsgi", "shop/wsgi.py", "app: {wsgi: shop.wsgi:application}"),
    ],
)
def test_values_are_converted(key: str, value: object, line: str) -> None:
    assert suggest_key(key, NESTED, {key: value}) == f"write {line}"
