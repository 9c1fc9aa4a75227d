"""Requests of changing mixes while workers are killed and classes, dispatch and bounds are reloaded: each gets its own
response, none waits for ever, and nothing is left when all are done. SOAK_SECONDS: how long; make soak: ten minutes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.commands import poolctl
from harness.machine import PATIENCE
from harness.ports import quiet_port
from harness.server import Serve, Server, wait_until

from bench.process import memory_mib, tree

APPS = Path(__file__).parent / "apps"
SECONDS = float(os.environ.get("SOAK_SECONDS", "12"))
CLIENTS = 24
LONG_SECONDS = 60  # a run of at least so long says something about memory
POOLS = {
    "processes": {"kind": "process", "size": 4},
    "threads": {"kind": "thread", "size": 4},
    "both": {"kind": "process", "size": 2, "threads": 2},
}
IN_FLIGHT = {"processes": 1, "threads": 0, "both": 2}  # what dies with one worker
TURNS: list[dict[str, Any]] = [
    {"dispatch": "size-aware", "classes": [{"path": "/chat", "most": 2, "fair": "client"}]},
    {"dispatch": "size-aware", "classes": []},
    {"dispatch": "shared-queue", "classes": [{"path": "/fast", "reserve": 2, "priority": 1}, {"method": "POST"}]},
    {"dispatch": "shared-queue", "classes": [], "overload": "off"},
    {
        "dispatch": "size-aware",
        "classes": [{"client": "127.0.0.0/8", "fair": "client"}],
        "overload": {"target": "50ms"},
    },
]
MIXES = [  # (kind, milliseconds, share)
    [("fast", 1, 0.9), ("slow", 40, 0.1)],
    [("fast", 1, 0.5), ("slow", 60, 0.3), ("chat", 200, 0.2)],
    [("fast", 2, 0.98), ("raise", 1, 0.02)],
    [("slow", 50, 1.0)],
    [("fast", 1, 0.3), ("other", 5, 0.7)],
]


class Crowd:
    """Clients that ask one request after the other, each on a connection that it keeps as long as it may."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port = port
        self.until = time.monotonic() + seconds
        self.statuses: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.longest = 0.0
        self.number = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._client(random.Random(each)) for each in range(CLIENTS)))

    async def _client(self, draw: random.Random) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while time.monotonic() < self.until:
            mix = MIXES[int(time.monotonic() / 3) % len(MIXES)]
            kind, milliseconds, _ = draw.choices(mix, [share for *_, share in mix])[0]
            if streams is None:
                streams = await asyncio.open_connection("127.0.0.1", self.port)
            began = time.monotonic()
            keep = False
            try:
                async with asyncio.timeout(PATIENCE):
                    keep = await self._ask(*streams, draw, kind, milliseconds)
            except EOFError:
                self.statuses["none"] += 1  # its worker was killed just when it was about to answer
            except (OSError, ValueError, TimeoutError) as error:
                self.wrong.append(f"{kind} after {time.monotonic() - began:.1f} s: {error!r}")
            self.longest = max(self.longest, time.monotonic() - began)
            if not keep or draw.random() < 0.02:
                streams[1].close()
                streams = None
        if streams is not None:
            streams[1].close()

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        draw: random.Random,
        kind: str,
        milliseconds: int,
    ) -> bool:
        self.number += 1
        number = f"{self.number:08d}"
        body = b"x" * draw.choice([0, 0, 0, 10, 70_000])
        head = f"{'POST' if body else 'GET'} /{kind}/{milliseconds}/{number} HTTP/1.1\r\nHost: a\r\n"
        writer.write(head.encode() + (b"Content-Length: %d\r\n" % len(body) if body else b"") + b"\r\n" + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        status = answer[9:12]
        length = int(answer.partition("content-length: ")[2].partition("\r\n")[0])
        text = (await reader.readexactly(length)).decode()
        self.statuses[status] += 1
        if status == "200" and text != number:
            self.wrong.append(f"asked for {number}, got {text}")
        if status == "503" and "retry-after: " not in answer:
            self.wrong.append("a 503 without Retry-After")
        return "connection: close" not in answer


def reload(server: Server, file: Path, keys: dict[str, Any]) -> None:
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **keys}))
    done = poolctl("reload", str(server.pid), cwd=file.parent)
    assert done.returncode == 0, done.stderr


async def disturbed(server: Server, file: Path, pool: str, crowd: Crowd) -> int:
    """Reload, and kill workers, until the crowd has gone. Returns how many were killed."""
    draw, killed = random.Random(7), 0
    for turn in range(1_000_000):
        await asyncio.sleep(0.5)  # between two disturbances, so that the mix is served in between
        if time.monotonic() > crowd.until:
            break
        if turn % 3 == 0:
            await asyncio.to_thread(reload, server, file, TURNS[turn // 3 % len(TURNS)])
        elif IN_FLIGHT[pool] and (workers := server.pids("worker")):  # those that die young are started later and later
            with suppress(ProcessLookupError):
                os.kill(draw.choice(workers), signal.SIGKILL)
                killed += 1
    return killed


@pytest.mark.timeout(SECONDS + 3 * PATIENCE)
@pytest.mark.parametrize("pool", POOLS)
def test_mixes_while_everything_changes(serve: Serve, tmp_path: Path, pool: str) -> None:
    server = serve(
        {
            "app": {"wsgi": "mixture:answer"},
            "pool": POOLS[pool],
            "ownership": "half-sync/half-reactive",
            "listen": f"tcp://127.0.0.1:{quiet_port()}",
            **TURNS[0],
        },
        path=APPS,
        tracebacks=True,
    )
    (file,) = tmp_path.glob("*.yaml")
    crowd = Crowd(server.port, SECONDS)
    sizes: list[float] = []

    async def everything() -> int:
        async def weigh() -> None:
            while time.monotonic() < crowd.until:
                await asyncio.sleep(SECONDS / 12)  # between two weighings
                sizes.append(await asyncio.to_thread(memory_mib, tree(server.pid)))

        _, killed, _ = await asyncio.gather(crowd.run(), disturbed(server, file, pool, crowd), weigh())
        return killed

    killed = asyncio.run(everything())
    assert crowd.wrong == []
    assert set(crowd.statuses) <= {"200", "500", "502", "503", "none"}
    assert crowd.statuses["502"] + crowd.statuses["none"] <= killed * IN_FLIGHT[pool]
    assert crowd.statuses["200"] > 100
    assert crowd.longest < PATIENCE

    def at_rest() -> bool:
        (found,) = [each for each in [server.status()] if each]
        busy = [each for each in found["classes"] if each["busy"] or each["waiting"]]
        return not busy and not found["in_flight"] and not found["waiting"]

    wait_until(at_rest, "the end of all that was counted")
    if SECONDS >= LONG_SECONDS:
        third = len(sizes) // 3
        assert max(sizes[-third:]) < 1.25 * max(sizes[third : 2 * third]) + 10, sizes
    print(f"{pool}: {dict(crowd.statuses)}, {killed} killed, longest {crowd.longest:.2f} s, MiB {sizes}")  # noqa: T201
