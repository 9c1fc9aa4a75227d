"""What the supervisor tells systemd, or any other service manager that sets NOTIFY_SOCKET (sd_notify(3)).

    supervisor --one datagram each--> $NOTIFY_SOCKET
        STATUS=starting                           at the start
        READY=1, STATUS=...                       the first generation is ready
        RELOADING=1, MONOTONIC_USEC=...           a reload begins; READY=1 at its end, whether it succeeded or not
        STOPPING=1, STATUS=...                    a stop begins
        STATUS=...                                when the text has changed, at most once in STATUS_SECONDS
        WATCHDOG=1                                at half of WATCHDOG_USEC, by the supervisor's loop itself
        MAINPID=...                               another process takes over

Without NOTIFY_SOCKET nothing is ever sent, and nothing bounds the sleep of the loop. Sending never blocks and never
raises: a datagram that the manager does not take is lost, and the first such error is logged.

The variables are removed from the environment, so neither the app nor a program that it starts has them. Only messages
of the main process count (NotifyAccess=main), so those of an app would be refused; with NotifyAccess=all an app that
sends READY=1 or STOPPING=1 would speak for a server whose state it does not know.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from math import inf

log = logging.getLogger("poolctl")

NOTIFY_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
STATUS_SECONDS = 2.0  # between two updates of the status line
MAX_STATUS = 300  # characters; systemctl shows one line


class Notifier:
    """The supervisor's end of the notification socket. Times are monotonic seconds."""

    def __init__(
        self,
        address: str = "",
        watchdog: float = inf,
        variables: dict[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``address``: of the socket, a path or @NAME; empty: nothing is sent. ``watchdog``: seconds between two signs
        of life. ``variables``: those that a successor of this process needs."""
        self.variables = variables or {}
        self._address = address
        self._clock = clock
        self._watchdog = watchdog if address else inf
        self._alive = clock()  # when the last sign of life was sent
        self._shown = ""  # the status that the manager has
        self._text = ""  # the status that it should have
        self._sent = -inf  # when the last status was sent
        self._failed = False

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Notifier:
        """Return a notifier for the variables of this process, which are removed from ``environment``."""
        found = {name: value for name in NOTIFY_VARIABLES if (value := environment.pop(name, ""))}
        address = found.get("NOTIFY_SOCKET", "")
        if address and address[0] not in "/@":
            log.warning("NOTIFY_SOCKET=%s is neither a path nor an abstract socket (@NAME): ignored", address)
            address = ""
        return cls(address, _interval(found), found)

    @property
    def on(self) -> bool:
        """Whether a service manager listens."""
        return bool(self._address)

    @property
    def due(self) -> float:
        """When `tick` has something to do; infinite if it never has."""
        status = self._sent + STATUS_SECONDS if self._text != self._shown else inf
        return min(status, self._alive + self._watchdog)

    def tick(self) -> None:
        """Send what is due. Called in each turn of the supervisor's loop: a loop that hangs sends no sign of life."""
        now = self._clock()
        if now >= self._alive + self._watchdog:
            self._alive = now
            self._send("WATCHDOG=1")
        if self._text != self._shown and now >= self._sent + STATUS_SECONDS:
            self._send(*self._status(self._text))

    def status(self, text: str) -> None:
        """Show a line, now or once the last one has been shown for long enough."""
        if self._address:
            self._text = " ".join(text.split())[:MAX_STATUS]

    def ready(self, text: str) -> None:
        """Report that the server serves: at its start, and at the end of each reload, failed ones included."""
        self._send("READY=1", *self._status(text))

    def reloading(self, text: str = "reloading") -> None:
        """Report that a reload begins. `ready` ends it; Type=notify-reload waits for that."""
        # MONOTONIC_USEC is CLOCK_MONOTONIC in microseconds, the clock of time.monotonic_ns on Linux
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", *self._status(text))

    def stopping(self, text: str) -> None:
        """Report that the stop begins."""
        self._send("STOPPING=1", *self._status(text))

    def main_pid(self, pid: int) -> None:
        """Report that another process is the service's main process from now on. With NotifyAccess=main only the
        current one may say so."""
        self._send(f"MAINPID={pid}")

    def _status(self, text: str) -> tuple[str, ...]:
        """Return the line for the manager, which is sent in the same datagram as the change of state."""
        self.status(text)
        self._shown, self._sent = self._text, self._clock()
        return (f"STATUS={self._text}",)

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        name = self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto("\n".join(lines).encode(errors="replace"), "\0" + name[1:] if name[0] == "@" else name)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            if not self._failed:
                log.warning("cannot notify the service manager at %s: %s", name, error)
            self._failed = True


def _interval(variables: MutableMapping[str, str]) -> float:
    """Return half of the time after which the manager takes this process for dead, in seconds; infinite if it does not
    watch this process (sd_watchdog_enabled(3))."""
    microseconds, pid = variables.get("WATCHDOG_USEC", ""), variables.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or not int(microseconds) or pid not in ("", str(os.getpid())):
        return inf
    return int(microseconds) / 2_000_000
