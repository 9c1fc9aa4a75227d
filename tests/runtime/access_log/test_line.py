"""Lines of the access log: every directive, and any byte that a client may send."""

from __future__ import annotations

import base64
import json
import re
import time
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolctl.runtime.access_log.directives import COMBINED, COMMON, JSON, PARTS, parse
from poolctl.runtime.access_log.escape import SHOWN_BYTES
from poolctl.runtime.access_log.line import compile_line
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Peer

PEER = Peer("192.0.2.7", "4711", "192.0.2.1", "8000")
BASIC = base64.b64encode(b"ann:secret")
TIME = r"\d\d/(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"


def asked(target: bytes = b"/a?b=1", *headers: tuple[bytes, bytes]) -> HttpRequest:
    return HttpRequest("GET", target, "1.1", list(headers), True, None)


def line(form: str, request: HttpRequest | None = None, peer: Peer = PEER, size: int = 12, **more: Any) -> str:
    made = compile_line(form)(
        request or asked(), peer, more.get("status", "200"), size, 1_234_567, "3", time.monotonic_ns()
    )
    assert made.endswith(b"\n")
    assert made.count(b"\n") == 1
    return made.decode("ascii")[:-1]


DIRECTIVES = {
    "%h": "192.0.2.7", "%l": "-", "%u": "ann", "%r": "GET /a?b=1 HTTP/1.1", "%m": "GET", "%U": "/a", "%q": "?b=1",
    "%H": "HTTP/1.1", "%s": "200", "%>s": "200", "%b": "12", "%B": "12", "%D": "1234", "%T": "0", "%{ms}T": "1",
    "%{us}T": "1234", "%{s}T": "0", "%p": "8000", "%{worker}P": "3", "%{x-y}i": "z", "%{Missing}i": "-", "%%": "%",
    "a {x} %% b": "a {x} % b",
}  # fmt: skip


@pytest.mark.parametrize("form", DIRECTIVES)
def test_a_directive(form: str) -> None:
    request = asked(b"/a?b=1", (b"AUTHORIZATION", b"Basic " + BASIC), (b"X-Y", b"z"))
    assert line(form, request) == DIRECTIVES[form]


def test_all_directives_are_tested() -> None:
    assert {f"%{letter}" for letter in PARTS} - set(DIRECTIVES) == {"%t", "%P"}


def test_common_and_combined() -> None:
    request = asked(b"/", (b"Referer", b"http://a/"), (b"User-Agent", b"curl/8"))
    common = rf'192\.0\.2\.7 - - \[{TIME}\] "GET / HTTP/1\.1" 200 12'
    assert re.fullmatch(common, line(COMMON, request))
    assert re.fullmatch(common + ' "http://a/" "curl/8"', line(COMBINED, request))


def test_an_absent_value_is_a_dash() -> None:
    assert line("%h %u %b %B %s %p", peer=Peer("", "", "/run/s", ""), size=0, status="-") == "- - - 0 - -"


def test_json() -> None:
    made = json.loads(
        line(JSON, asked(b'/"\\', (b"User-Agent", b"caf\xe9\x00"), (b"authorization", b"basic " + BASIC)))
    )
    assert (made["target"], made["user_agent"], made["referer"], made["user"]) == ('/"\\', "caf\xe9\x00", None, "ann")
    assert (made["address"], made["status"], made["bytes"], made["worker"]) == ("192.0.2.7", 200, 12, "3")
    assert made["duration"] == pytest.approx(0.001235, abs=1e-6)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", made["time"])
    assert json.loads(line(JSON, status="-"))["status"] is None


@pytest.mark.parametrize("form", [COMMON, COMBINED, JSON])
def test_a_client_without_a_request(form: str) -> None:
    class Nothing:
        headers: list[Any] = []  # noqa: RUF012  # never changed

    made = compile_line(form, known=False)(Nothing, PEER, "408", 0, 0, "-", 1).decode()
    if form == JSON:
        assert [json.loads(made)[key] for key in ("method", "target", "protocol", "status")] == [None, None, None, 408]
    else:
        assert '"-" 408 -' in made


@pytest.mark.parametrize(
    "form", ["%x", "%", "100% %h", "%{a b}i", "%{Host}o", "%{min}T", "%{x}P", "%{caf\xe9}i", "%>", "%{}i"]
)
def test_an_unknown_directive(form: str) -> None:
    with pytest.raises(ValueError, match="; use %h"):
        parse(form)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_no_byte_forges_a_field(target: bytes, agent: bytes) -> None:
    request = asked(target, (b"User-Agent", agent), (b"Authorization", b"Basic " + base64.b64encode(agent)))
    made = line('"%r" "%{User-Agent}i" "%u"', request)
    assert made.isprintable()
    assert len(re.findall(r'(?<!\\)(?:\\\\)*"', made)) == 6
    json.loads(line(JSON, request))


def test_escapes_are_those_of_apache() -> None:
    assert line("%{A}i", asked(b"/", (b"A", b'"\\\r\n\x00\x7f\xe9 ~'))) == r"\"\\\x0d\x0a\x00\x7f\xe9 ~"


def test_long_values_are_cut() -> None:
    assert line("%U", asked(b"/" * 5000)) == "/" * SHOWN_BYTES + "..."


@pytest.mark.parametrize("text", ["%%s {fields} {0} \\ '", 'a"""b', "'+__import__('os').abort()+'", "\\n", "%%(x)s"])
def test_text_of_the_format_stays_text(text: str) -> None:
    assert line(f"{text} %s") == f"{text.replace('%%', '%')} 200"


def test_header_fields_of_another_request_are_not_reused() -> None:
    made = compile_line("%{A}i %u")
    for value in (b"1", b"2", b"1"):
        assert made(asked(b"/", (b"A", value)), PEER, "200", 0, 0, "", 1) == value + b" -\n"
    assert made(asked(b"/"), PEER, "200", 0, 0, "", 1) == b"- -\n"


def test_the_time_is_wall_clock_time() -> None:
    made = compile_line("%t")
    for _ in range(3):
        before = time.time()
        said = made(asked(), PEER, "200", 0, 0, "", time.monotonic_ns()).decode()
        moment = datetime.strptime(said, "[%d/%b/%Y:%H:%M:%S %z]\n").timestamp()
        assert int(before) <= moment <= time.time()


def test_a_second_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    made = compile_line("%t")
    first = made(asked(), PEER, "200", 0, 0, "", time.monotonic_ns())
    three_seconds = 3_000_000_000
    later = time.time_ns() + three_seconds
    monkeypatch.setattr("poolctl.runtime.access_log.line.time_ns", lambda: later)
    made_later = made(asked(), PEER, "200", 0, 0, "", time.monotonic_ns() + 1_000_000_001)
    assert made_later != first
    assert made(asked(), PEER, "200", 0, 0, "", time.monotonic_ns()) == made_later
