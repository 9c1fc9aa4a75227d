"""Diagrams are correct: for every combination, and compared with a running server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.server import Serve

from poolctl.assembly.fitting.combination import AFFINITIES, DISPATCHES, OWNERSHIPS, POOLS
from poolctl.assembly.judging.judge import judge
from poolctl.config.sources import Inputs
from poolctl.description import diagram_texts as texts
from poolctl.description.diagram import Box, Diagram, diagram
from poolctl.description.sentences import ANY_WORKER, FREE_ROOM, FREE_THREAD, ONE_INTERPRETER, WAITS_IN_FRONT

GALLERY = sorted((Path(__file__).parents[2] / "topologies").glob("*.yaml"))


def of(folder: Path, text: str) -> Diagram:
    file = folder / "shop.yaml"
    file.write_text(text)
    return diagram(judge(Inputs(str(file))))


def boxes(box: Box) -> Iterator[Box]:
    yield box
    for inner in box.inside:
        yield from boxes(inner)


@pytest.mark.parametrize("file", GALLERY, ids=lambda file: file.stem)
def test_every_gallery_file_has_a_diagram(file: Path) -> None:
    found = diagram(judge(Inputs(str(file))))
    names = [box.name for top in (found.clients, *found.listeners, found.processes) for box in boxes(top)]
    assert len(names) == len(set(names))
    assert {name for arrow in found.arrows for name in (arrow.source, arrow.target)} <= set(names)
    assert len(found.steps) >= 3
    assert found.choices
    assert all(choice.gives and choice.costs and choice.origin for choice in found.choices)


def test_every_word_has_a_benefit_and_a_cost() -> None:
    assert set(texts.ABOUT["pool"]) == {*POOLS, "process with threads"}
    assert set(texts.ABOUT["ownership"]) == set(OWNERSHIPS)
    assert set(texts.ABOUT["dispatch"]) == set(DISPATCHES)
    assert set(texts.ABOUT["affinity"]) == set(AFFINITIES)


@pytest.mark.parametrize(
    ("file", "design"),
    [
        ("unp-0-iterative", "design 0"),
        ("unp-1-process-per-connection", "design 1"),
        ("unp-2-prefork-accept", "design 2"),
        ("unp-3-prefork-file-lock", "design 3"),
        ("unp-5-prefork-descriptor-passing", "design 5"),
        ("unp-6-thread-per-connection", "design 6"),
        ("unp-7-prethread-mutex", "design 7"),
        ("unp-8-prethread-main-accepts", "design 8"),
        ("leader-followers-threads", "POSA2: Leader/Followers"),
        ("half-sync-half-reactive-threads", "Half-Sync/Half-Reactive"),
        ("apache-prefork", "Apache's prefork"),
        ("gunicorn-gthread", "gunicorn's gthread"),
        ("puma-cluster", "Puma's cluster"),
        ("nginx", "nginx"),
    ],
)
def test_equivalent_designs(file: str, design: str) -> None:
    found = diagram(judge(Inputs(str(next(each for each in GALLERY if each.stem == file)))))
    assert any(design in each for each in found.designs), found.designs


def test_where_choices_come_from(tmp_path: Path) -> None:
    found = of(tmp_path, "app: demo\ndispatch: random\n")
    origins = {choice.axis: choice.origin for choice in found.choices}
    assert origins["dispatch"] == f"{tmp_path}/shop.yaml:2"
    assert origins["ownership"] == "default"


REACTIVE = "ownership: half-sync/half-reactive\n"
ASYNC = "ownership: half-sync/half-async\ndispatch: shared-queue\n"
QUEUES = {  # where a shared queue sends waiting tasks
    "app: demo\npool: {size: 2, threads: 4}\n": FREE_THREAD,
    "app: demo\npool: {size: 2}\n": ANY_WORKER,
    "app: demo\npool: {kind: thread, size: 2}\n": ANY_WORKER,
    f"app: {{asgi: shop:app, concurrency: 3}}\n{REACTIVE}": FREE_ROOM,
    f"app: {{asgi: shop:app}}\npool: {{kind: thread, size: 2}}\n{REACTIVE}": FREE_ROOM,
    f"app: demo\n{ASYNC}": texts.QUEUE_OF_CONNECTIONS[0],
    f"app: demo\npool: {{size: 2, threads: 4}}\n{ASYNC}": texts.QUEUE_OF_CONNECTIONS[0],
}


@pytest.mark.parametrize(("concurrency", "found"), [("auto", True), (3, False)])
def test_a_limit_that_finds_itself_is_explained(tmp_path: Path, concurrency: object, found: bool) -> None:
    steps = of(tmp_path, f"app: {{asgi: shop:app, concurrency: {concurrency}}}\n").steps
    assert (texts.FOUND_LIMIT in steps) == found


@pytest.mark.parametrize(("text", "goes"), QUEUES.items())
def test_a_shared_queue_is_explained_as_it_works(tmp_path: Path, text: str, goes: str) -> None:
    found = of(tmp_path, text)
    (gives,) = (choice.gives for choice in found.choices if choice.axis == "dispatch")
    assert goes in gives
    others = {FREE_THREAD, FREE_ROOM, ANY_WORKER} - {goes}
    told = " ".join([gives, *found.steps])
    assert [each for each in others if each.removeprefix("a request goes to ") in told] == []


@pytest.mark.parametrize("pool", ["{size: 2, threads: 4}", "{kind: thread, size: 2}"])
def test_threads_share_an_interpreter_and_explain_says_so(tmp_path: Path, pool: str) -> None:
    costs = {choice.axis: choice.costs for choice in of(tmp_path, f"app: demo\npool: {pool}\n").choices}
    assert ONE_INTERPRETER in costs["pool"]


def test_steps_mention_the_choices(tmp_path: Path) -> None:
    text = "app: demo\nlisten: {at: tcp://127.0.0.1:0, tls: {certificate: a}, proxy_protocol: unix}\naccess_log: json\n"
    steps = " ".join(of(tmp_path, text).steps)
    assert "the front does the handshake" in steps
    assert "first states its client's address" in steps
    assert "A line is written to the access log (stdout)." in steps


MODELS = {
    "half-sync/half-reactive": {"pool": {"size": 2}},
    "leader/followers": {"pool": {"size": 3}, "ownership": "leader/followers"},
    "threads": {"pool": {"kind": "thread", "size": 2}, "ownership": "half-sync/half-async"},
}


@pytest.mark.parametrize("model", MODELS)
def test_the_diagram_matches_a_running_server(serve: Serve, tmp_path: Path, model: str) -> None:
    topology = {"name": "shop", "app": "demo", "listen": "tcp://127.0.0.1:0", **MODELS[model]}
    server = serve(topology)
    titles = [Path(f"/proc/{pid}/cmdline").read_text().strip("\0") for pid in server.tree()]
    file = tmp_path / "again.yaml"
    file.write_text(__import__("json").dumps(topology))
    found = diagram(judge(Inputs(str(file))))
    processes = [box for box in boxes(found.processes) if box.kind == "process"]
    assert len(titles) == sum(box.number for box in processes)
    for box in processes:
        assert sum(f"poolctl: {box.title} shop" in title for title in titles) == box.number
    inode = next(
        fields[9]
        for fields in (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        if fields[1].endswith(f":{server.port:04X}") and fields[3] == "0A"
    )
    holders = {pid for pid in server.tree() if f"socket:[{inode}]" in links(pid)}
    assert server.pid in holders, "the supervisor holds the listening socket"


def links(pid: int) -> set[str]:
    folder = Path(f"/proc/{pid}/fd")
    return {os.readlink(link) for link in folder.iterdir()}


def test_a_plugin_is_explained_with_its_options(tmp_path: Path) -> None:
    plugins = Path(__file__).parents[2] / "plugins"
    found = of(
        tmp_path,
        f"app: {{use: '{plugins}/jsonrpc/poolctl_jsonrpc.py:JsonRpc', functions: ['shop:add']}}\n"
        f"dispatch: {{use: '{plugins}/ewma-latency/poolctl_ewma_latency.py:EwmaLatency', decay: 500ms}}\n",
    )
    options = {choice.axis: choice.options for choice in found.choices if choice.options}
    assert options.pop("pool")[0].startswith("size: auto: ")
    assert options == {
        "dispatch": (f"decay: 500ms  ({tmp_path}/shop.yaml:2)",),
        "app": (f"functions: [shop:add]  ({tmp_path}/shop.yaml:1)", "batch: 100  (default)"),
    }


@pytest.mark.parametrize(
    ("more", "inboxes", "where"),
    [
        ("pool: {size: 3}", 1, "to the inbox of all workers (shared-queue)"),
        ("pool: {size: 3, threads: 2}", 3, "to the process with the fewest unfinished requests that has a free thread"),
        ("pool: {size: 3, threads: 2}\ndispatch: least-loaded", 3, "to an inbox (least-loaded)"),
        ("pool: {kind: thread, size: 3}", 1, "to the inbox of all workers (shared-queue)"),
    ],
)
def test_where_tasks_wait(tmp_path: Path, more: str, inboxes: int, where: str) -> None:
    found = of(tmp_path, f"app: demo\n{more}\n")
    (box,) = [box for box in boxes(found.processes) if box.name.startswith("inbox")]
    assert box.number == inboxes
    assert sum(where in step for step in found.steps) == 1
    waits = any(step == WAITS_IN_FRONT for step in found.steps)
    assert waits == ("fewest" in where)


def test_it_says_who_opens_a_socket(tmp_path: Path) -> None:
    found = of(tmp_path, "app: demo\nlisten: [systemd, systemd://web, fd://3, tcp://127.0.0.1:0]\n")
    assert [(box.title, box.about) for box in found.listeners] == [
        ("systemd", "opened by systemd"),
        ("systemd://web", "opened by systemd"),
        ("fd://3", "opened by the process that starts poolctl"),
        ("tcp://127.0.0.1:0", ""),
    ]
