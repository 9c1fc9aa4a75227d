"""Reports of a child to its parent."""

from __future__ import annotations

import os
import socket
import threading

import pytest
from harness.machine import PATIENCE

from poolctl.errors import AppError
from poolctl.runtime.system import channel as messages
from poolctl.supervision.reports import (
    TRACEBACK_BYTES,
    WAITING_REPORTS,
    Outbox,
    Report,
    channel,
    failure,
    receive,
    send,
)


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


def event(text: str = "worker 3 died") -> Report:
    return Report("event", event={"kind": "role-died", "text": text, "time": 0.0, "where": {}})


def test_a_mold_does_not_wait_for_its_supervisor() -> None:
    """What does not fit into the channel waits, up to a limit; what is no event waits in any case."""
    reader, writer = channel()
    outbox = Outbox(writer)
    with reader, writer:
        sent = 0
        while not outbox.lost:
            outbox.send(event(str(sent)))
            sent += 1
        assert len(outbox.waiting) == WAITING_REPORTS
        outbox.send(Report("hung", "the front hangs"))
        assert outbox.take_lost() == 0  # there is no room to say so
        received = []
        while outbox.waiting:
            received += receive(reader)[0]
            outbox.flush()
        received += receive(reader)[0]
        assert [report.event["text"] for report in received[:-1]] == [str(number) for number in range(sent - 1)]
        assert received[-1].kind == "hung"
        assert (outbox.take_lost(), outbox.take_lost()) == (1, 0)


def test_the_last_reports_have_a_limited_time_and_no_reader_ends_it() -> None:
    reader, writer = channel()
    outbox = Outbox(writer)
    with writer:
        while not outbox.waiting:
            outbox.send(event())
        outbox.finish(0.05)  # nobody reads
        assert outbox.waiting
        reader.close()
        outbox.finish(PATIENCE)
        assert not outbox.waiting


def test_the_last_reports_arrive_while_somebody_reads() -> None:
    reader, writer = channel()
    outbox = Outbox(writer)
    with reader, writer:
        while not outbox.waiting:
            outbox.send(event())
        outbox.send(Report("failed", "x" * TRACEBACK_BYTES))
        received: list[Report] = []

        def read() -> None:
            while not (received and received[-1].kind == "failed"):
                received.extend(receive(reader)[0])

        thread = threading.Thread(target=read)
        thread.start()
        outbox.finish(PATIENCE)
        thread.join(PATIENCE)
        assert not thread.is_alive()
