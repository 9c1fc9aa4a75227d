"""What a poller would say of one descriptor now."""

from __future__ import annotations

from select import poll as new_poll


def state(fd: int, mask: int = 0) -> int:
    """Return which of ERR, HUP and the events in ``mask`` a poller would report for a connection now."""
    poll = new_poll()
    poll.register(fd, mask)  # an error and a hang-up are reported unasked (poll(2))
    found = poll.poll(0)
    return found[0][1] if found else 0
