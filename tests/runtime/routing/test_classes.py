"""The classes of the file: which one a request belongs to."""

from __future__ import annotations

import pytest

from poolctl.runtime.known_lines import KNOWN_LINE_BYTES, MOST_LINES
from poolctl.runtime.queue_view import ClassLimits
from poolctl.runtime.routing.classes import ClassRule, ClassTable
from poolctl.runtime.task import Peer, Task
from poolctl.testing.simulation import Request

LIMITS = ClassLimits(most=1)


def rule(kind: str, **given: object) -> ClassRule:
    return ClassRule(kind=kind, limits=LIMITS, **given)  # type: ignore[arg-type]


def task(target: str, method: str = "GET", client: str = "192.0.2.7", **headers: str) -> Task:
    asked = Request(method, target.encode(), [(name.encode(), value.encode()) for name, value in headers.items()])
    port = "4000" if client else ""
    return Task(Peer(client, port, "", ""), asked=asked, line=f"{method} {target} HTTP/1.1".encode())


@pytest.mark.parametrize(
    ("path", "targets", "others"),
    [
        ("/v1/chat", ["/v1/chat", "/v1/chat/", "/v1/chat/7?a=b", "/v1/%63hat", "http://h/v1/chat"], ["/v1/chats", "/"]),
        ("/users/*/report", ["/users/7/report", "/users/x/report/3"], ["/users/report", "/users/7/8/report"]),
        ("/a.b", ["/a.b"], ["/axb"]),
        ("/", ["/", "/anything"], []),
    ],
)
def test_paths(path: str, targets: list[str], others: list[str]) -> None:
    table = ClassTable([rule("it", path=path)])
    for _ in range(2):  # the second time it is known
        assert [table.kind_of(task(target)) for target in targets] == ["it"] * len(targets)
        assert [table.kind_of(task(target)) for target in others] == [None] * len(others)


def test_the_first_rule_that_fits_in_everything_decides() -> None:
    table = ClassTable(
        [
            rule("post", path="/login", methods=("POST", "PUT")),
            rule("free", header="x-plan", value="free"),
            rule("planned", header="x-plan"),
            rule("inner", clients=("10.0.0.0/8", "2001:db8::/32")),
            rule("local", clients=("unix",)),
        ]
    )
    assert table.inspects
    assert table.kind_of(task("/login", "POST")) == "post"
    assert table.kind_of(task("/login")) is None
    assert table.kind_of(task("/", **{"X-Plan": "free"})) == "free"
    assert table.kind_of(task("/", **{"X-Plan": "paid"})) == "planned"
    assert table.kind_of(task("/", client="10.1.2.3")) == "inner"
    assert table.kind_of(task("/", client="2001:db8::7%eth0")) == "inner"
    assert table.kind_of(task("/", client="192.0.2.1")) is None
    assert table.kind_of(task("/", client="somebody")) is None
    assert table.kind_of(task("/", client="")) == "local"


def test_what_is_known_is_bounded() -> None:
    table = ClassTable([rule("it", path="/a")])
    for number in range(MOST_LINES + 5):
        table.kind_of(task(f"/a?{number}"))
    assert len(table._lines.found) <= MOST_LINES
    assert table.kind_of(task("/a?" + "x" * KNOWN_LINE_BYTES)) == "it"
    assert max(map(len, table._lines.found)) <= KNOWN_LINE_BYTES


def test_a_task_without_a_request_has_no_class() -> None:
    assert ClassTable([rule("it", path="/a")]).kind_of(Task(Peer("192.0.2.7", "1", "", ""))) is None
