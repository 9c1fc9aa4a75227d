"""How fast the body of a request arrives (limits.body_rate), measured by sampling.

Nothing is recorded when bytes arrive: a sweep of the loop looks at the bodies that are incomplete, so a request pays
for this only while its body is late. Time counts only while the server waits for the client: not while the app has not
asked for more, and not while the loop itself was busy.
"""

from __future__ import annotations

from typing import Final

from poolctl.runtime.protocol import Coming
from poolctl.runtime.timeouts import Timeouts

STEP_SECONDS: Final = 1.0  # the most seconds that count between two looks; longer than a sweep, so all of it counts


def drips(body: Coming, now: float, timeouts: Timeouts, *, waiting: bool = True) -> bool:
    """Return whether a body is too slow: since the first look, the server has waited for the client longer than
    ``timeouts.body`` plus one second for each ``body_rate`` bytes received, as they were at that look. ``waiting``: it
    waits for the client now, not for the app."""
    looked = body.looked
    body.looked = now
    if not looked:
        body.pace = timeouts.body, timeouts.body_rate
    if looked and waiting:
        body.waited += min(now - looked, STEP_SECONDS)
    seconds, rate = body.pace
    return body.waited > seconds + body.came / rate
