"""After any sequence of changes epoll and its fallback tell the same of the same descriptors."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest
from harness.forms import drawn
from hypothesis import given
from hypothesis import strategies as st

from poolctl.runtime.system.poller import IN, ONCE, OUT, Poller, SelectorsPoller

masks = st.sampled_from([0, IN, OUT, IN | OUT]).flatmap(lambda mask: st.sampled_from([mask, mask | ONCE]))
actions = st.sampled_from(["register", "modify", "unregister", "send", "read", "poll"])
steps = st.lists(st.tuples(actions, st.integers(0, 2), masks), max_size=30)


def told(poller: Poller, action: str, fd: int, mask: int) -> object:
    """What a poller makes of one step: its events, or the kind of error."""
    if action == "poll":
        return dict(poller.poll(0))
    change: dict[str, Callable[[], None]] = {
        "register": lambda: poller.register(fd, mask),
        "modify": lambda: poller.modify(fd, mask),
        "unregister": lambda: poller.unregister(fd),
    }
    try:
        change[action]()
    except OSError as error:
        return type(error)
    return None


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll to compare with")
@drawn(75)
@given(steps)
def test_both_tell_the_same(steps: list[tuple[str, int, int]]) -> None:
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(3)]
        for ours, theirs in pairs:
            stack.enter_context(ours).setblocking(False)
            stack.enter_context(theirs)
        epoll, fallback = select.epoll(), SelectorsPoller()
        stack.callback(epoll.close)
        stack.callback(fallback.close)
        for action, number, mask in [*steps, ("poll", 0, 0)]:
            ours, theirs = pairs[number]
            if action == "send":
                theirs.send(b"x")
            elif action == "read":
                with suppress(BlockingIOError):
                    ours.recv(100)
            else:
                fd = ours.fileno()
                assert told(fallback, action, fd, mask) == told(epoll, action, fd, mask)
