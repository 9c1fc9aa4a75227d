"""The way back: which side has which descriptor, and what may block."""

from __future__ import annotations

import os

import pytest

from poolctl.runtime.channels.returns import Returns


@pytest.mark.parametrize("learns", [False, True])
def test_each_descriptor_belongs_to_one_side(learns: bool) -> None:
    returns = Returns(learns=learns)
    front, workers = returns.ends()
    try:
        assert len(front) == len(workers) == 3 + learns
        assert not front & workers
        os.write(returns.writer, b"record")
        assert os.read(returns.reader, 100) == b"record"
        for fd in (returns.reader, returns.urgent_reader):
            with pytest.raises(BlockingIOError):  # a front never waits here
                os.read(fd, 1)
        os.close(returns.urgent_writer)
        workers.discard(returns.urgent_writer)
        assert os.read(returns.urgent_reader, 1) == b""  # no worker is left
    finally:
        for fd in front | workers:
            os.close(fd)
        for sock in (returns.left_reader, returns.left_writer, returns.told, returns.sessions):
            if sock is not None:
                sock.detach()
