"""Notices from the mold to a front: in order, each once, and never waited for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from poolctl.runtime.channels.notices import BEGAN, INBOX_JOINED, INBOX_LEFT, LOST, Attention, Notices
from poolctl.runtime.system.poller import IN


class Front:
    """A front, as far as notices know it."""

    def __init__(self) -> None:
        self.noticed: list[tuple[int, int]] = []
        self.removed: list[Any] = []

    def notice(self, kind: int, number: int) -> None:
        self.noticed.append((kind, number))

    def remove(self, handler: Any) -> bool:
        self.removed.append(handler)
        return True


@pytest.fixture
def notices() -> Iterator[Notices]:
    made = Notices()
    yield made
    made.writer.close()
    made.reader.close()


def test_all_that_have_come_are_taken_in_order(notices: Notices) -> None:
    front = Front()
    sent = [(LOST, 2**63), (INBOX_LEFT, 0), (INBOX_JOINED, 0), (BEGAN, 7)]
    for notice in sent:
        notices.send(*notice)
    Attention(front, notices.reader).on_event(IN, None)
    assert front.noticed == sent
    assert front.removed == []


def test_a_front_that_hangs_does_not_stop_the_mold(notices: Notices) -> None:
    notices.writer.setsockopt(1, 7, 4096)  # SOL_SOCKET, SO_SNDBUF: it is full sooner
    sent = 0
    for number in count():
        before = sent
        notices.send(LOST, number)  # would wait for ever
        sent = number
        if number - before > 1 or number == 5000:
            break
    front = Front()
    Attention(front, notices.reader).on_event(IN, None)
    numbers = [number for _, number in front.noticed]
    assert 0 < len(numbers) < sent  # the rest is dropped
    assert numbers == list(range(len(numbers)))


def test_the_end_of_the_mold(notices: Notices) -> None:
    front = Front()
    notices.send(INBOX_LEFT, 3)
    notices.writer.close()
    attention = Attention(front, notices.reader)
    attention.on_event(IN, None)
    assert (front.noticed, front.removed) == ([(INBOX_LEFT, 3)], [attention])
