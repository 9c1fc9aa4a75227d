"""The keys about the host, the access log and proxies: errors are reported at their locations."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolctl.assembly.resolve import read
from poolctl.config.address import Address
from poolctl.config.diagnostic import Invalid

WRONG = {
    "listen: [{at: unix:///run/s, mode: 0660}]": "PC204 2:36 four octal digits in quotes",
    'listen: [{at: unix:///run/s, mode: "0888"}]': "PC204 2:36 four octal digits in quotes",
    'listen: [{at: unix:///run/s, mode: "2775"}]': "PC204 2:36 only the permissions of user, group and others",
    'listen: [{at: unix:///run/s, mod: "0660"}]': 'PC203 2:30 unknown key "mod"',
    'listen: [{at: tcp://h:1, mode: "0660"}]': "PC206 2:10 mode applies only to unix:// addresses",
    "listen: [{at: fd://3, owner: shop}]": "PC206 2:10 owner applies only to unix:// addresses",
    'listen: {mode: "0660"}': 'PC202 2:1 missing key "at"',
    'listen: [unix:///run/s, {at: unix:///run/s, mode: "0660"}]': "PC302 2:25 duplicate address unix:///run/s",
    "listen: {at: tcp://h:1, tls: {}}": 'PC202 2:25 missing key "certificate" in listen.tls',
    "listen: {at: tcp://h:1, tls: on}": "PC204 2:30 listen.tls: expected a mapping of keys",
    "listen: {at: tcp://h:1, tls: {certificate: a, kye: b}}": 'PC203 2:47 unknown key "kye" in listen.tls',
    "listen: {at: tcp://h:1, tls: {certificate: a, minimum: 1.1}}": 'PC204 2:56 listen.tls.minimum: expected "1.2"',
    "listen: {at: tcp://h:1, tls: {certificate: a, clients: {}}}": 'PC202 2:47 missing key "authority"',
    'listen: {at: tcp://h:1, tls: {certificate: a, names: {"a.*": {certificate: x}}}}': "PC204 2:55 a host name",
    "listen: {at: tcp://h:1, tls: {certificate: a, password: x, password_file: y}}": "PC204 2:30 mutually exclusive",
    "listen: {at: tcp://h:1, protocol: 7}": "PC204 2:35 expected a name or a mapping of options",
    "listen: {at: tcp://h:1, protocol: htp}": 'PC205 2:35 unknown protocol "htp"',
    "listen: {at: tcp://h:1, protocol: {use: http, hed: 1}}": 'PC203 2:47 unknown key "hed" in listen.protocol',
    "listen: {at: tcp://h:1, protocol: lines}": "PC301 2:35 the app demo speaks the protocol http, not lines",
    "listen: {at: tcp://h:1, proxy_protocol: true}": "PC204 2:41 expected a list, not true",
    "listen: {at: tcp://h:1, proxy_protocol: shop}": "PC204 2:41 an address, a network such as 10.0.0.0/8, or unix",
    "user: [shop]": "PC204 2:7 the name or number of an account",
    "group: -1": "PC204 2:8 the name or number of an account",
    "timeouts: {request: soon}": "PC204 2:21 timeouts.request: expected a time",
    "timeouts: {request: 0}": "PC204 2:21 timeouts.request: ",
    "timeouts: {body: 0}": "PC204 2:18 timeouts.body: ",
    "limits: {body_rate: -1}": "PC204 2:21 limits.body_rate: expected a size",
    "timeouts: {request: 1s}\npool: thread-per-connection": "PC301 2:12 requests are not timed in a thread",
    "timeouts: {request: 1s}\npool: process-per-connection": "PC301 2:12 requests are not timed in a process",
    "umask: 27": "PC204 2:8 octal digits in quotes",
    "directory: 7": "PC204 2:12 expected a path",
    "pid_file: [a]": "PC204 2:11 expected a path",
    "environment: {PORT: 80}": 'PC204 2:21 environment.PORT: expected a string, not 80: put it in quotes: "80"',
    "environment: {A=B: x}": 'PC204 2:15 "A=B" is not the name of a variable',
    "environment: [A]": "PC204 2:14 expected a mapping",
    "access_log: combned": 'PC204 2:13 unknown format "combned"',
    "access_log: true": "PC204 2:13 expected",
    "access_log: {format: common, too: stdout}": 'PC203 2:30 unknown key "too"',
    "access_log: {format: common, to: 7}": "PC204 2:34 expected stdout, stderr or the path of a file",
    "access_log: '%h %x'": 'PC204 2:13 unknown directive "%x"',
    "access_log: {format: '100%'}": 'PC204 2:22 unknown directive "%"',
    'access_log: "%h\\n"': "PC204 2:13 one line of printable ASCII",
    "access_log: '%h \u00e9'": "PC204 2:13 one line of printable ASCII",
    "forwarded: {header: forwarded}": 'PC202 2:1 missing key "trust"',
    "forwarded: {trust: []}": "PC204 2:20 at least one",
    "forwarded: {trust: 10.0.0.1/8}": "PC204 2:20 write 10.0.0.0/8 for the network",
    "forwarded: {trust: [localhost]}": "PC204 2:21 an address, a network such as 10.0.0.0/8, or unix",
    "forwarded: {trust: unix, header: via}": 'PC204 2:34 "x-forwarded" or "forwarded"',
}
WRONG_WITH_ECHO = {
    "access_log: common": "PC301 2:1 its lines are about HTTP requests, but the protocol here is raw",
    "forwarded: {trust: unix}": "PC301 2:1 its headers are those of HTTP requests",
}


def found(tmp_path: Path, app: str, text: str) -> list[str]:
    file = tmp_path / "shop.yaml"
    file.write_text(f"app: {app}\n{text}\n")
    with pytest.raises(Invalid) as raised:
        read(str(file))
    return [
        f"{each.code} {each.place.span.line + 1}:{each.place.span.column + 1} {each.message}: {each.help}"
        for each in raised.value.diagnostics
    ]


@pytest.mark.parametrize(("app", "text", "expected"), [
    *(("demo", text, expected) for text, expected in WRONG.items()),
    *(("echo", text, expected) for text, expected in WRONG_WITH_ECHO.items()),
])  # fmt: skip
def test_what_is_wrong(tmp_path: Path, app: str, text: str, expected: str) -> None:
    (finding,) = found(tmp_path, app, text)
    code, place, message = expected.split(" ", 2)
    assert finding.startswith(f"{code} {place} ")
    assert message in finding


def test_valid_values(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(
        'app: demo\nlisten: [{at: unix:///run/s, mode: "0660", group: 33}, tcp://h:1]\nuser: shop\ngroup: null\n'
        "umask: '0027'\naccess_log: {to: /var/log/a}\nforwarded: {trust: [unix, '::1', 10.0.0.0/8]}\n"
    )
    topology = read(str(file)).topology
    unix = topology.listen[0]
    assert (unix.path, unix.mode, unix.owner, unix.group) == ("/run/s", 0o660, "", "33")
    assert topology.listen[1] == Address("tcp", host="h", port=1)
    assert (topology.user, topology.group, topology.umask) == ("shop", "", 0o27)
    assert topology.access_log
    assert (topology.access_log.format, topology.access_log.to) == ("combined", "/var/log/a")
    assert topology.forwarded
    assert topology.forwarded.trust == ("unix", "::1/128", "10.0.0.0/8")
    assert topology.forwarded.header == "x-forwarded"


@pytest.mark.parametrize("key", ["access_log", "forwarded"])
def test_off_is_a_word(tmp_path: Path, key: str) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(f"app: echo\n{key}: off\n")
    assert getattr(read(str(file)).topology, key) is None
