"""How fast the body of a request comes (limits.body_rate), found by looking at it now and then.

Nothing is noted when bytes come: a sweep of the loop looks at the bodies that are under way, so a request pays for this
only while its body is late. Time counts only while the client is who is waited for: not while the app has not asked for
more, and not while the loop itself was kept from running.
"""

from __future__ import annotations

from typing import Final

from poolctl.runtime.protocol import Coming
from poolctl.runtime.timeouts import Timeouts

STEP: Final = 1.0  # seconds between two looks that count at the most; more than a sweep, so all of it counts


def drips(body: Coming, now: float, timeouts: Timeouts, *, waiting: bool = True) -> bool:
    """Whether a body has taken longer than ``timeouts.body``, and one second more for each ``body_rate`` bytes of it,
    since the first look. ``waiting``: the client is who is waited for."""
    looked = body.looked
    body.looked = now
    if looked and waiting:
        body.waited += min(now - looked, STEP)
    return body.waited > timeouts.body + body.came / timeouts.body_rate
