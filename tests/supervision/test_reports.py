"""Reports of a child to its parent."""

from __future__ import annotations

import os
import socket

import pytest

from poolctl.errors import AppError
from poolctl.runtime.system import channel as messages
from poolctl.supervision.reports import TRACEBACK_BYTES, Report, channel, failure, receive, send


def test_messages_arrive_whole_and_in_order_before_eof() -> None:
    reader, writer = channel()
    with reader:
        with writer:
            sent = [Report("ready"), Report("failed", 'a\nb"\N{SNOWMAN}' * 1000, plain=True)]
            assert all(send(writer, report) for report in sent)
            assert receive(reader) == (sent, False)
        assert receive(reader) == ([], True)
    assert sent[0].pid == os.getpid()


def test_sending_without_a_reader() -> None:
    reader, writer = channel()
    reader.close()
    with writer:
        assert not send(writer, Report("ready"))


@pytest.mark.parametrize("letter", ["x", "\0", "\n", '"', "\N{SNOWMAN}", "\ud800"])
def test_a_long_report_keeps_its_end(letter: str) -> None:
    reader, writer = channel()
    with reader, writer:
        report = failure(AppError(letter * TRACEBACK_BYTES + "the end"))
        assert send(writer, report)
        ((received,), _) = receive(reader)
    assert received == report
    assert received.text.endswith("the end")
    assert len(received.text.encode()) < TRACEBACK_BYTES + 100


def test_only_unexpected_errors_have_a_traceback() -> None:
    assert failure(AppError("name it")) == Report("failed", "name it", plain=True, code="PC410")
    try:
        raise ValueError("why")
    except ValueError as error:
        report = failure(error)
    assert not report.plain
    assert report.text.startswith("Traceback")
    assert report.text.endswith("ValueError: why")


def test_datagrams_are_used_if_seqpacket_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "CHANNEL_TYPE", 12345)
    reader, writer = channel()
    with reader, writer:
        assert reader.type == socket.SOCK_DGRAM
        assert send(writer, Report("failed", "x" * TRACEBACK_BYTES))
        assert [len(report.text) for report in receive(reader)[0]] == [TRACEBACK_BYTES]
