"""A disk that is full: an access log loses lines and says so, a body that does not fit is refused, and nothing else
fails. The disk is a small file system of the server's own (unshare(1): a mount namespace, which ends with it)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from harness.client import Client
from harness.load import Load
from harness.server import Serve, Server, wait_until

from faults.models import ALL, models

SIZE = 64  # KiB
PAGE = 4096  # bytes; of which the system gives room
MOUNT = f'mount -t tmpfs -o size={SIZE}k none "$0" && exec "$@"'
UNSHARE = ("unshare", "--map-root-user", "--mount")


def may_mount() -> bool:
    """Whether this system lets a test have a file system of its own."""
    done = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True)
    return done.returncode == 0


pytestmark = pytest.mark.skipif(not may_mount(), reason="no user namespaces: nobody but root may mount a small disk")


def begin(serve: Serve, name: str, folder: Path) -> tuple[Server, Path]:
    """A server that has its log and its temporary files on a disk of its own, and where the test sees that disk."""
    disk = folder / "disk"
    disk.mkdir()
    model = ALL[name]
    server = serve(
        model.topology(2, access_log={"format": "json", "to": str(disk / "access.log")}),
        environment={**model.environment, "TMPDIR": str(disk)},
        prefix=(*UNSHARE, "sh", "-c", MOUNT, str(disk)),
    )
    return server, Path(f"/proc/{server.pid}/root{disk}")


def is_whole(line: str) -> bool:
    """Whether this is the line of a request that was answered."""
    try:
        return bool(json.loads(line)["status"] == 200)
    except json.JSONDecodeError:
        return False


@models(always=("hshr-processes", "hsha-front-processes", "lf-threads"))
def test_a_full_disk_costs_lines_and_nothing_else(name: str, serve: Serve, tmp_path: Path) -> None:
    server, disk = begin(serve, name, tmp_path)
    log, filler = disk / "access.log", disk / "filler"
    tree = server.tree()
    filler.write_bytes(bytes((SIZE - 16) * 1024))
    with Load(server.port, busy=8) as load:
        server.wait_for_log(r"access_log: lost 1 line: (No space left on device|only part of a line was written)")
        load.goes_on()
        full = log.stat().st_size
        load.goes_on()
        assert log.stat().st_size == full
        filler.unlink()
        wait_until(lambda: log.stat().st_size > full + 2 * PAGE, "further lines")
    assert load.failures == []
    assert server.tree() == tree
    lines = log.read_text().splitlines()
    assert sum(bool(line) and not is_whole(line) for line in lines) <= 1  # there was room for a part of it
    assert 0 < len(lines) < load.answers
    assert server.stop() == 0


@models(always=("hshr-processes", "lf-processes"))
def test_a_body_for_which_there_is_no_room_is_refused(name: str, serve: Serve, tmp_path: Path) -> None:
    server, disk = begin(serve, name, tmp_path)
    body = b"x" * 2_000_000
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    with Load(server.port, busy=1, idle=1, short=1) as load:
        for _ in range(3):
            with Client(server.port) as client:
                client.send(head + body)
                assert client.answer().status == 500
        load.goes_on(20)
    assert load.failures == []
    assert not [path for path in disk.iterdir() if path.is_file() and path.name != "access.log"]
    assert server.stop() == 0
