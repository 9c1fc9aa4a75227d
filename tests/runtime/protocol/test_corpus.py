"""Runs the corpus through each reader of HTTP/1, whole and split, and compares the results with its expectations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import groupby

import pytest
from harness.corpus import CASES, Case
from http_bytes import PEER, described, frame, small

from poolctl.runtime.protocol.http.conversation import HttpConversation
from poolctl.runtime.protocol.http.framer import HttpFramer
from poolctl.runtime.protocol.http.request import EMPTY

Served = tuple[tuple[str, bytes, bytes], ...]
Answer = tuple[Served, int, bool]  # what is served, the refusing status, whether a request is incomplete
GROUPS = {group: list(cases) for group, cases in groupby(CASES, lambda case: case.name.partition(":")[0])}
LONG = 2000  # bytes above which a case is not fed byte by byte


def converse(pieces: list[bytes]) -> Answer:
    conversation = small().conversation(PEER)
    assert isinstance(conversation, HttpConversation)
    for piece in pieces:
        conversation.receive(piece)
    served = tuple((each[0], each[1], each[4]) for each in map(described, conversation.requests))
    return served, conversation.failure or 0, conversation.pending


def lend(pieces: list[bytes]) -> Answer:
    """Return what workers read if a front frames the bytes and each request is read separately."""
    framer = small().framer()
    assert isinstance(framer, HttpFramer)
    for piece in pieces:
        framer.receive(piece)
    failure, pending = framer.failure or 0, framer.pending
    raw, _ = frame(pieces)
    served: list[tuple[str, bytes, bytes]] = []
    for one in raw:
        read, refused, left = converse([one])
        assert (len(read), refused, left) == (1, 0, False), one
        served += read
    return tuple(served), failure, pending


def stream(pieces: list[bytes]) -> Answer:
    """Return what async apps get; requests with an incomplete body are left out."""
    conversation = small().streaming(PEER)
    for piece in pieces:
        conversation.receive(piece)
    served = []
    for request in conversation.requests:
        inflow = request.inflow
        if inflow is not None:
            if not inflow.done:
                assert request is conversation.requests[-1]
                assert inflow.failed == bool(conversation.failure)
                continue
            served.append((request.method, request.target, inflow.take() if inflow.size else b""))
        else:
            assert request.body is EMPTY
            served.append((request.method, request.target, b""))
    return tuple(served), conversation.failure or 0, conversation.pending


READERS: dict[str, Callable[[list[bytes]], Answer]] = {"conversation": converse, "framer": lend, "streaming": stream}


def wrong(cases: list[Case], read: Callable[[list[bytes]], Answer], cut: Callable[[bytes], list[bytes]]) -> list[str]:
    """Return the cases whose result differs from the expected one, each with both."""
    found = []
    for case in cases:
        served, status, pending = answer = read(cut(case.data))
        if (served, status) != (case.served, case.status) or (pending and not case.more):
            found.append(f"{case}: {answer}, not {case.served} {case.status}: {case.reason}")
    return found


def in_bytes(data: bytes) -> list[bytes]:
    size = 1 if len(data) <= LONG else 997
    return [data[place : place + size] for place in range(0, len(data), size)]


def test_the_corpus_is_large_and_has_no_duplicates() -> None:
    assert len(CASES) >= 300
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []
    assert [data for data, count in Counter(case.data for case in CASES).items() if count > 1] == []


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("reader", READERS)
def test_every_case_gives_its_result(reader: str, group: str) -> None:
    assert wrong(GROUPS[group], READERS[reader], lambda data: [data]) == []


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("reader", READERS)
def test_every_case_fed_byte_by_byte_gives_its_result(reader: str, group: str) -> None:
    assert wrong(GROUPS[group], READERS[reader], in_bytes) == []


@pytest.mark.parametrize("group", GROUPS)
def test_every_case_fed_in_two_parts_gives_its_result(group: str) -> None:
    found = []
    for case in GROUPS[group]:
        if len(case.data) <= 200:
            answers = {converse([case.data[:cut], case.data[cut:]])[:2] for cut in range(1, len(case.data))}
            if answers - {(case.served, case.status)}:
                found.append(f"{case}: {answers}")
    assert found == []


def test_earlier_requests_make_no_difference() -> None:
    """What is remembered from earlier requests (a repeated head, its headers) does not change a result."""
    before = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /next HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"]
    first = (("GET", b"/", b""), ("GET", b"/next", b""))
    found = []
    for case in CASES:
        served, status, _ = converse([*before, case.data])
        if (served, status) != ((*first, *case.served), case.status):
            found.append(f"{case}: {served} {status}")
    assert found == []
