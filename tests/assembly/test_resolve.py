from __future__ import annotations

from pathlib import Path

import pytest

from poolctl.assembly.describe import describe
from poolctl.assembly.resolve import Parts, read, resolve
from poolctl.config.diagnostic import Diagnostic, Invalid
from poolctl.config.load import load


def parts(file: Path, text: str, *sets: str) -> Parts:
    file.write_text(text)
    return read(str(file), sets)


def wrong(file: Path, text: str, *sets: str) -> list[Diagnostic]:
    with pytest.raises(Invalid) as caught:
        parts(file, text, *sets)
    return caught.value.diagnostics


def only(file: Path, text: str, *sets: str) -> Diagnostic:
    (found,) = wrong(file, text, *sets)
    return found


def names(found: Parts) -> list[str]:
    made = (found.pool, found.ownership, found.dispatch, found.affinity, found.protocol, found.app)
    return [type(part).__name__ for part in made]


def test_parts_of_the_shortest_file(file: Path) -> None:
    found = parts(file, "app: demo")
    assert names(found) == ["Process", "HalfSyncHalfReactive", "SharedQueue", "Request", "Http", "Demo"]
    assert found.workers >= 1


def test_options_reach_their_parts(file: Path) -> None:
    text = (
        "app: {wsgi: shop:app}\npool: {kind: process, size: 3, threads: 2}\nprotocol: {use: http, head: 4096}\n"
        "ownership: {use: half-sync/half-async, accept: front}\ndispatch: {use: power-of-choices, choices: 3}\n"
        "affinity: {use: client, clients: 5}\n"
    )
    found = parts(file, text)
    assert (found.workers, found.pool.threads, found.ownership.accept) == (3, 2, "front")
    assert (found.dispatch.choices, found.affinity.clients, found.protocol.head) == (3, 5, 4096)
    assert found.app.target == "shop:app"
    assert found.combination.threads == 2


def test_sizes_of_parts_have_units(file: Path) -> None:
    assert parts(file, "app: demo\nprotocol: {use: http, body: 1MiB}").protocol.body == 1 << 20
    assert parts(file, "app: {lines: a:b}\nprotocol: {use: lines, limit: 4KiB}").protocol.limit == 4096


def test_load_and_resolve_are_the_same_as_read(file: Path) -> None:
    file.write_text("app: echo\npool: {kind: thread, size: 2}")
    assert names(resolve(load(str(file)))) == names(read(str(file)))


def test_a_baseline_has_neither_ownership_nor_dispatch(file: Path) -> None:
    found = parts(file, "app: demo\npool: iterative\npreload: true")
    assert names(found) == ["Iterative", "NoneType", "NoneType", "Connection", "Http", "Demo"]
    assert found.workers == 0


@pytest.mark.parametrize(
    ("text", "column", "message", "fix"),
    [
        ("pool: {kind: thrad}", 13, 'unknown pool "thrad"', 'did you mean "thread"?'),
        ("dispatch: rond-robin", 10, 'unknown dispatch "rond-robin"', 'did you mean "round-robin"?'),
        (
            "ownership: {use: x}",
            17,
            'unknown ownership "x"',
            "use one of half-sync/half-reactive,",
        ),
        ("protocol: htp", 10, 'unknown protocol "htp"', 'did you mean "http"?'),
    ],
)
def test_unknown_words(file: Path, text: str, column: int, message: str, fix: str) -> None:
    found = only(file, f"app: demo\n{text}")
    assert (found.code, found.place.span.line, found.place.span.column) == ("PC205", 1, column)
    assert found.message == message
    assert found.help.startswith(fix)


def test_an_unknown_app(file: Path) -> None:
    found = only(file, "app: dmo")
    assert (found.code, found.help) == ("PC205", 'did you mean "demo"?')


@pytest.mark.parametrize(
    ("text", "code", "says", "column"),
    [
        ("pool: {kind: thread, size: {min: 2, max: 4}}", "PC207", "start and end together", 27),
        ("ownership: reuse-port\npool: {size: {min: 2, max: 4}}", "PC301", "listening socket of its own", 13),
        ("pool: {size: {min: 4, max: 2}}", "PC204", "max must be more than min", 13),
        ("pool: {size: {min: 4}}", "PC204", "has the keys min and max", 13),
        ("pool: {size: {min: 0, max: 4}}", "PC204", "has numbers from 1 to 4096, or auto", 13),
        ("pool: {size: 4}\nscale: {idle: 3s}", "PC301", "the pool has a fixed size", 0),
        ("pool: iterative\nrecycle: {age: 3h}", "PC301", "no workers that could be replaced", 0),
    ],
)
def test_pools_that_cannot_grow_or_be_recycled(file: Path, text: str, code: str, says: str, column: int) -> None:
    found = only(file, f"app: demo\n{text}")
    assert (found.code, found.place.span.column) == (code, column)
    assert says in found.message


def test_a_pool_that_grows_begins_with_the_least(file: Path) -> None:
    file.write_text("app: demo\npool: {size: {min: 2, max: 5}}")
    parts = read(str(file))
    assert (parts.workers, parts.most, parts.combination.size) == (2, 5, 2)


@pytest.mark.parametrize(
    ("text", "sought", "reason", "fix"),
    [
        (
            "ownership: reuse-port\ndispatch: least-loaded",
            "least-loaded",
            "the kernel chooses",
            "dispatch: kernel-hash",
        ),
        ("ownership: {use: leader/followers, lock: mutex}", "lock", "not processes", "ownership.lock: kernel"),
        ("pool: {kind: iterative, size: 3}", "size", "so it has no pool size", "leave out pool.size"),
        ("pool: {kind: iterative, threads: 3}", "threads", "so it has no pool threads", "leave out pool.threads"),
        ("pool: iterative\ndispatch: random", "random", "so it has no workers to choose from", "leave out dispatch"),
        ("protocol: raw", "raw", "speaks the protocol http, not raw", "protocol: http"),
        ("dispatch: kernel-hash", "kernel-hash", "the kernel's choice", "ownership: reuse-port"),
        (
            "ownership: reuse-port\nlisten: unix:///a",
            "reuse-port",
            "only tcp:// addresses allow",
            "ownership: half-sync",
        ),
    ],
)
def test_a_conflict_has_a_location_a_reason_and_a_fix(
    file: Path, text: str, sought: str, reason: str, fix: str
) -> None:
    found = only(file, f"app: demo\n{text}")
    line = f"app: demo\n{text}".split("\n")[found.place.span.line]
    assert (found.code, line[found.place.span.column : found.place.span.end_column]) == ("PC301", sought)
    assert reason in found.message
    assert fix in found.help


@pytest.mark.parametrize(
    "text",
    ["ownership: reuse-port\ndispatch: leader", "ownership: leader/followers\naffinity: request", "dispatch: leader"],
)
def test_the_fix_works_when_it_is_followed(file: Path, text: str) -> None:
    found = only(file, f"app: demo\n{text}")
    changes = found.help.removeprefix("closest valid choice: ").split(", ")
    parts(file, f"app: demo\n{text}", *(change.replace(": ", "=") for change in changes))


def test_findings_of_all_steps_at_once(file: Path) -> None:
    text = "app: {wsgi: ''}\npool: {kind: process, size: 0, thread: 2}\ndispatch: rond-robin\nbacklog: no\nlimit: 3\n"
    found = [(each.code, each.place.span.line) for each in wrong(file, text, "timeouts.head=x")]
    assert found == [
        ("PC204", 0),
        ("PC204", 1),
        ("PC203", 1),
        ("PC205", 2),
        ("PC204", 3),
        ("PC203", 4),
        ("PC204", 0),
    ]


def test_conflicts_are_found_next_to_other_findings(file: Path) -> None:
    found = wrong(file, "app: demo\nownership: reuse-port\ndispatch: leader\nbacklog: no")
    assert [each.code for each in found] == ["PC301", "PC204"]


def test_several_reasons_share_one_fix(file: Path) -> None:
    found = wrong(file, "app: stream\nownership: half-sync/half-reactive\naffinity: request", "app={stream: a:b}")
    assert [bool(each.help) for each in found].count(True) == 1
    assert len(found) == 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("pool: {size: 1}", "1 process, half-sync/half-reactive, dispatch shared-queue, affinity request"),
        (
            "pool: {size: 2, threads: 3}\nownership: {use: half-sync/half-async, accept: worker}\ndispatch: random",
            "2 processes of 3 threads, half-sync/half-async (accept: worker), dispatch random, affinity connection",
        ),
        (
            "pool: {kind: thread, size: 4}\nownership: leader/followers",
            "4 threads, leader/followers (lock: kernel), dispatch leader, affinity request",
        ),
        ("pool: iterative", "iterative"),
    ],
)
def test_description(file: Path, text: str, line: str) -> None:
    made = parts(file, f"app: demo\n{text}", "listen=[tcp://127.0.0.1:0, fd://3]")
    found = describe(made.topology, made.combination, made.workers)
    assert found == [line, "app demo, protocol http, on tcp://127.0.0.1:0, fd://3"]


@pytest.mark.parametrize("name", ["quickstart", "full"])
def test_the_files_of_the_project(name: str) -> None:
    found = read(str(Path(__file__).parents[2] / "topologies" / f"{name}.yaml"))
    assert names(found) == ["Process", "HalfSyncHalfReactive", "SharedQueue", "Request", "Http", "Demo"]
