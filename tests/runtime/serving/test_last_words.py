"""What threads are doing, as their process logs it before it is ended."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from harness.machine import PATIENCE
from harness.phase_rig import PEER, Answering, row

from poolctl.runtime.buffers.outbound import Sending
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.scoreboard import SINCE
from poolctl.runtime.serving.last_words import log_threads
from poolctl.runtime.serving.request_line import REQUEST_CHARACTERS, printable, shown
from poolctl.runtime.serving.service import Service


@contextmanager
def stuck_thread(call: Callable[[Service, socket.socket], Any]) -> Iterator[Service]:
    """A thread named "worker 7" that is inside the app."""
    inside, over = threading.Event(), threading.Event()

    def in_the_app(*_: Any) -> bool:
        inside.set()
        return over.wait(PATIENCE)

    app: Any = Answering()
    app.serve = in_the_app
    service = Service(app, Http(), row())
    near, far = socket.socketpair()
    thread = threading.Thread(target=lambda: call(service, near), name="worker 7")
    thread.start()
    try:
        assert inside.wait(PATIENCE)
        yield service
    finally:
        over.set()
        thread.join()
        near.close()
        far.close()


def a_request(target: bytes) -> Any:
    conversation = Http().conversation(PEER)
    conversation.receive(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    return conversation.requests[0]


def answer(service: Service, sock: socket.socket) -> None:
    out = Sending()
    out.fd = sock.fileno()
    service.answer(a_request(b"/report?a=1"), out)


def test_a_thread_with_a_request_is_logged_with_its_stack(caplog: pytest.LogCaptureFixture) -> None:
    with stuck_thread(answer) as service, caplog.at_level(logging.WARNING, "poolctl"):
        service.row[SINCE] -= 31_000_000_000
        assert log_threads() == 1
    (record,) = caplog.records
    first, *stack = record.getMessage().splitlines()
    assert first.startswith("unfinished: worker 7 has been busy for 31.")
    assert first.endswith(" s with GET /report?a=1; its stack, most recent call last:")
    assert "test_last_words.py" in stack[0]
    assert stack[0].endswith(", in in_the_app")
    assert not any("service.py" in line for line in stack)


def test_a_thread_without_a_request_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert log_threads() == 0
    assert not caplog.records


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (a_request(b"/a%0a?b"), "GET /a%0a?b"),
        (a_request(b"/" + b"x" * 5000), "GET /" + "x" * (REQUEST_CHARACTERS - 5) + "..."),
        (b"\x1b[2Jdrop\n\xff", r"the message \x1b[2Jdrop\n\xff"),
        (object(), "a request"),
    ],
)
def test_a_request_is_one_printable_line(request_: Any, line: str) -> None:
    assert shown(request_) == line


def test_what_is_long_is_cut() -> None:
    assert printable("y" * REQUEST_CHARACTERS) == "y" * REQUEST_CHARACTERS
    assert printable("y" * (REQUEST_CHARACTERS + 1)) == "y" * REQUEST_CHARACTERS + "..."
