"""The file of the access log: opened again under its name, and never the reason that a request fails."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolctl.errors import PoolctlError
from poolctl.runtime.access_log import log as module
from poolctl.runtime.access_log.log import AccessLog
from poolctl.runtime.task import Peer

PEER = Peer("192.0.2.7", "4711", "192.0.2.1", "8000")


@pytest.fixture
def entries_file(tmp_path: Path) -> Iterator[tuple[AccessLog, Path]]:
    path = tmp_path / "access.log"
    made = AccessLog("common", str(path))
    yield made, path
    os.close(made.fd)


def test_a_client_that_is_turned_away_has_its_line(entries_file: tuple[AccessLog, Path]) -> None:
    access_log, path = entries_file
    access_log.turned_away(503, PEER, b"GET /a?b HTTP/1.1")
    access_log.turned_away(400, PEER, b"GET /\x1b[2J\x00 HTTP/1.1 \r\nGET / HTTP/1.1")
    access_log.turned_away(408, PEER, b"")
    lines = path.read_text().splitlines()
    assert [line.partition("] ")[2] for line in lines] == ['"GET /a?b HTTP/1.1" 503 -', '"-" 400 -', '"-" 408 -']
    assert all(line.startswith("192.0.2.7 ") for line in lines)


def test_after_a_rotation_lines_go_to_the_new_file(entries_file: tuple[AccessLog, Path]) -> None:
    access_log, path = entries_file
    fd, old = access_log.fd, path.with_suffix(".1")
    access_log.turned_away(503, PEER, b"GET /old HTTP/1.1")
    path.rename(old)
    access_log.turned_away(503, PEER, b"GET /still-old HTTP/1.1")
    access_log.reopen()
    access_log.turned_away(503, PEER, b"GET /new HTTP/1.1")
    assert old.read_text().count("old HTTP") == 2
    assert path.read_text().count("/new HTTP") == 1
    assert access_log.fd == fd  # other threads may be writing to it
    assert not os.get_inheritable(fd)


def test_a_reopening_that_fails_keeps_the_old_file(
    entries_file: tuple[AccessLog, Path], caplog: pytest.LogCaptureFixture
) -> None:
    access_log, path = entries_file
    old = path.with_suffix(".1")
    path.rename(old)
    path.mkdir()
    access_log.reopen()
    assert str(path) in caplog.text
    access_log.turned_away(503, PEER, b"GET /a HTTP/1.1")
    assert "/a HTTP" in old.read_text()


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(PoolctlError, match=f"^access_log: {tmp_path}/none/a.log "):
        AccessLog("common", str(tmp_path / "none" / "a.log"))


def test_lines_that_are_lost_are_counted_and_the_log_told_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    full = AccessLog("common", "/dev/full")
    caplog.set_level(logging.ERROR)
    for _ in range(3):
        full.turned_away(503, PEER, b"")
    now[0] += module.LOST_LINES_SECONDS
    full.turned_away(503, PEER, b"")
    os.close(full.fd)
    counts = [re.findall(r"\d+", record.getMessage())[0] for record in caplog.records]
    assert counts == ["1", "3"]


@pytest.mark.parametrize(("content", "torn"), [(b"", False), (b"a\n", False), (b"a\nb", True)])
def test_a_file_is_torn_if_it_ends_with_part_of_a_line(
    entries_file: tuple[AccessLog, Path], content: bytes, torn: bool
) -> None:
    access_log, path = entries_file
    path.write_bytes(content)
    assert access_log.torn() is torn
    path.rename(path.with_suffix(".1"))  # and not a later file of that name
    assert access_log.torn() is torn


def test_what_is_no_file_is_not_torn(tmp_path: Path) -> None:
    assert not AccessLog("common", "stderr").torn()
    os.mkfifo(path := tmp_path / "pipe")
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb"):
        made = AccessLog("common", str(path))
        made.turned_away(503, PEER, b"")
        assert not made.torn()
        made.close()


def test_streams_are_not_opened_again() -> None:
    stream = AccessLog("common", "stderr")
    stream.reopen()
    assert (stream.fd, stream.path) == (2, "")
