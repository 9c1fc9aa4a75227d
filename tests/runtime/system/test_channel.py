"""Channels: whole messages, an end of file, and descriptors beside them."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from poolctl.runtime.system.channel import LEVEL, RIGHTS, channel, descriptors


def test_messages_are_whole_and_end_with_the_writer() -> None:
    writer, reader = channel()
    with reader:
        with writer:
            for message in (b"one", b"x" * 60000, b"three"):
                writer.send(message)
                assert reader.recv(100000) == message
            writer.send(b"a")
            writer.send(b"b")
        assert [reader.recv(100) for _ in range(3)] == [b"a", b"b", b""]


def test_a_channel_waits_whatever_default_the_app_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0)
    try:
        ends = channel()
    finally:
        socket.setdefaulttimeout(before)
    for end in ends:
        assert os.get_blocking(end.fileno())
        assert end.gettimeout() is None
        end.close()


def test_descriptors_are_read_from_what_the_kernel_delivers() -> None:
    two = struct.pack("ii", 5, 6)
    assert descriptors([]) == []
    assert descriptors([(LEVEL, RIGHTS, two)]) == [5, 6]
    assert descriptors([(LEVEL, RIGHTS, two + b"\0\0")]) == [5, 6]  # cut off
    assert descriptors([(LEVEL, RIGHTS + 1, two), (LEVEL + 1, RIGHTS, two)]) == []
