"""The benchmark of overload: what it counts, what it prints and draws, and that the page shows what was measured."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench import goodput  # the benchmarks are no part of the package
from bench.goodput import Event, Generator, Point
from bench.process import HOST, free_port
from bench.servers import begun

ROOT = Path(__file__).parents[2]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
FULL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answering(response: bytes, *, reset: bool = False) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.write(response)
        writer.close()

    return answer


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the client leaves
    writer.close()


async def outcomes(answer: Answer, patience: float = 60, until: float = 60) -> list[str]:
    """How two requests end. It is over when they have, or at ``until``."""
    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        generator = Generator(server.sockets[0].getsockname()[1], patience)
        await generator.run([0.0, 0.0], until)
    return [event.outcome for event in generator.events]


class TestOutcomes:
    @pytest.mark.parametrize(
        ("answer", "outcome"),
        [
            (answering(FULL), goodput.USEFUL),
            (answering(FULL[:-1]), goodput.REFUSED),
            (answering(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nok"), goodput.REFUSED),
            (answering(b""), goodput.REFUSED),
            (answering(b"", reset=True), goodput.REFUSED),
        ],
    )
    def test_what_is_answered(self, answer: Answer, outcome: str) -> None:
        assert asyncio.run(outcomes(answer)) == [outcome] * 2

    def test_a_client_gives_up_and_leaves(self) -> None:
        async def both() -> list[str]:
            left = asyncio.Semaphore(0)

            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await silent(reader, writer)
                left.release()

            found = await outcomes(answer, patience=0.2)
            for _ in found:
                await left.acquire()
            return found

        assert asyncio.run(both()) == [goodput.GAVE_UP] * 2

    def test_what_goes_on_at_the_end_does_not_count(self) -> None:
        assert asyncio.run(outcomes(silent, until=0.2)) == []

    def test_nobody_listens(self) -> None:
        generator = Generator(free_port())
        asyncio.run(generator.run([0.0], 60))
        assert [event.outcome for event in generator.events] == [goodput.REFUSED]


class TestArrivals:
    @pytest.mark.parametrize("load", [0.5, 1.0])
    def test_up_to_the_capacity_the_load_is_the_same_all_the_time(self, load: float) -> None:
        due, lead = goodput.arrivals(load, 100)
        assert lead == goodput.LEAD
        assert due == sorted(due)
        assert due[-1] < 100 + lead
        assert len(due) / (100 + lead) == pytest.approx(load * goodput.CAPACITY, rel=0.05)

    def test_above_it_a_rush_comes_first_and_its_clients_have_gone_before_it_counts(self) -> None:
        due, lead = goodput.arrivals(2, 100)
        early = sum(each < goodput.LEAD for each in due)
        assert early / goodput.LEAD == pytest.approx(goodput.RUSH + 2 * goodput.CAPACITY, rel=0.15)
        assert sum(each >= lead for each in due) / 100 == pytest.approx(2 * goodput.CAPACITY, rel=0.05)
        assert lead - goodput.LEAD >= goodput.PATIENCE

    def test_all_servers_get_the_same(self) -> None:
        assert goodput.arrivals(1.5, 10) == goodput.arrivals(1.5, 10)
        assert goodput.arrivals(1.5, 10) != goodput.arrivals(1.5, 10, seed=2)


def test_only_what_happens_in_time_counts() -> None:
    generator = Generator(0)
    generator.late = [(0.5, 9.0), (1.5, 0.002)]
    generator.events = [
        Event(0.9, goodput.USEFUL, 0.1),
        *(Event(1 + number / 80, goodput.USEFUL, 0.1 + number / 1000) for number in range(40)),
        *(Event(1.5, goodput.REFUSED, 0.0) for _ in range(40)),
        *(Event(1.6, goodput.GAVE_UP, 5.0) for _ in range(20)),
        Event(2.0, goodput.REFUSED, 0.0),
    ]
    found = goodput.point(3, generator, 1, 2)
    assert (found.useful, found.refused, found.gave_up) == (0.5, 0.4, 0.2)
    assert (found.p50, found.p99, found.late) == pytest.approx((120, 139, 2))
    assert goodput.row("a", found) == "| a | 3 | 50% | 120 | 139 | 40% | 20% | 2.0 |"


def test_where_nothing_is_useful() -> None:
    generator = Generator(0)
    generator.events, generator.late = [Event(1.5, goodput.GAVE_UP, 5.0)], [(1.5, 0.0)]
    found = goodput.point(2, generator, 1, 2)
    assert found == Point(2, 0, None, None, 0, 1, 0)
    for picture in goodput.pictures({"a": [found]}):
        assert ">a</text>" in picture
    assert "a, 5000 ms" in goodput.pictures({"a": [found]})[1]


@pytest.mark.slow
def test_a_short_run_and_what_it_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved, drawing = tmp_path / "now.json", tmp_path / "now.svg"
    words = ["--only", "by default", "--loads", "0.5", "--seconds", "1", "--save", str(saved), "--svg", str(drawing)]
    assert goodput.main(words) == 0
    printed = capsys.readouterr().out
    head, rule, row, *_ = printed.splitlines()
    assert head.count("|") == rule.count("|") == row.count("|")
    assert re.match(r"\| poolctl by default \| 0.5 \| [1-9]\d*% \| \d+ \| \d+ \| ", row)
    pictures = [drawing.read_text(), goodput.p99_of(drawing).read_text()]
    assert pictures[0] != pictures[1]
    assert goodput.main(["--from", str(saved), "--svg", str(tmp_path / "again.svg")]) == 0
    assert capsys.readouterr().out == printed
    assert [(tmp_path / name).read_text() for name in ("again.svg", "again-p99.svg")] == pictures


@pytest.mark.slow
def test_a_late_generator_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(goodput, "LEAD", 0.1)
    monkeypatch.setattr(goodput, "ATTEMPTS", 2)
    started = []
    server = begun(goodput.OWN[0], lambda command: started.append(command) or command)
    for most, starts in ((float("inf"), 1), (-1.0, 3)):  # always on time, and never
        monkeypatch.setattr(goodput, "ON_TIME", most)
        assert goodput.measure(server, 0.5, 0.2).load == 0.5
        assert len(started) == starts


def test_no_server_has_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert goodput.main(["--only", "uvicorn"]) == 2
    assert "no server's name contains 'uvicorn'; those of other servers need --peers" in capsys.readouterr().err


def test_the_page_shows_what_was_measured() -> None:
    """After a measurement with ``--save`` and ``--svg`` the table that it prints goes into the page."""
    images = ROOT / "docs" / "images"
    results, about = goodput.read(images / "overload.json")
    page = (ROOT / "docs" / "dispatch.md").read_text()
    assert goodput.summary(results) in page
    assert about in page
    for name, picture in zip(("overload.svg", "overload-p99.svg"), goodput.pictures(results), strict=True):
        assert (images / name).read_text() == picture
        assert f"](images/{name})" in page
