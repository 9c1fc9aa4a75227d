"""What holds of a server whatever its clients do.

the same processes      none died, none was replaced
its own log             no traceback but those of what the app raised on purpose
nothing kept            descriptors and requests under way are back at what they were
at rest                 no process computes when nobody asks
the neighbours          connections opened before go on
newcomers               a correct client is served at once, at every door, in every protocol
"""

from __future__ import annotations

import os
import re
import select
import socket
import time
from pathlib import Path
from typing import Any

from harness.machine import within
from harness.server import Server, ask, at_rest

from fuzz import http1, http2, plain, websocket
from fuzz.driver import ANSWERED, Door, drive
from fuzz.targets import Target, certificate

SETTLING = 8.0  # seconds: longer than connections linger, shorter than any timeout of a client
LOOKS = 12  # at processes that should be at rest
CORRECT = {
    "http1": http1.correct,
    "http2": http2.correct,
    "websocket": websocket.correct,
    "lines": plain.correct_lines,
    "frames": plain.correct_frames,
    "stream": plain.correct_stream,
}
ON_PURPOSE = ("on purpose", "the demo was asked for an error")
TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*(.*)\n")
WRONG = re.compile(
    r".*(?:restarting|starting the next generation|was killed|ended by signal|"
    r"never retrieved|never awaited|Exception ignored|Fatal).*"
)


Status = tuple[list[tuple[int, int]], int]  # (process, starts) of each worker, and requests under way in all


class Broken(AssertionError):
    """The server is not what it was."""


class Oracle:
    """Looks at one server. Made when it serves, and before anything odd is sent."""

    def __init__(self, server: Server, target: Target, runtime: Path) -> None:
        self.server = server
        self.target = target
        self.doors = target.doors(server.ports)
        self._runtime = runtime
        self._read = 0  # characters of the log that were looked at
        self._number = 0
        self.newcomers()
        self.neighbours = [] if target.at_once == 1 else [Neighbour(self.doors[0], target) for _ in range(2)]
        self.speak()
        self._pids = set(server.tree())
        self._lowest()

    def close(self) -> None:
        for neighbour in self.neighbours:
            neighbour.sock.close()

    def check(self) -> None:
        """All of it. Raises Broken."""
        self.log()
        self.speak()
        self.newcomers()
        self.settle()
        self.log()

    # each

    def alive(self) -> None:
        """Only what is quickly seen."""
        self.log()
        missing = self._pids - set(self.server.tree())
        if missing:
            raise Broken(f"processes {missing} have ended")

    def log(self) -> None:
        """What is new in it."""
        new = self.server.log[self._read :]
        bad = [found for found in TRACEBACK.finditer(new) if not any(word in found[1] for word in ON_PURPOSE)]
        if bad:
            start = max(0, new.rfind("\n", 0, max(0, bad[0].start() - 1)))
            raise Broken(f"a traceback in the log:\n{new[start : bad[0].end()].strip()[:6000]}")
        wrong = WRONG.search(new)
        if wrong:
            raise Broken(f"in the log: {wrong[0]}\n{new[-3000:]}")
        self._read += new.rfind("\n") + 1 if "Traceback" not in new[-4000:] else 0

    def speak(self) -> None:
        """The neighbours do."""
        for neighbour in self.neighbours:
            neighbour.speak()

    def newcomers(self) -> None:
        """A correct client at each door and of each protocol."""
        self._number += 1
        work = [(CORRECT[protocol](self._number), door) for protocol in self.target.protocols for door in self.doors]
        for attempt in drive(work, certificate().trusted, min(4, self.target.at_once)):
            if attempt.complaint:
                raise Broken(f"{attempt.sequence.name} at {attempt.door}: {attempt.complaint}")

    def settle(self) -> None:
        """Wait until nothing is kept and nobody computes."""
        end = time.monotonic() + within(SETTLING)
        last = 0.0
        while unsettled := self._unsettled():
            if time.monotonic() > end:
                raise Broken(unsettled)
            if time.monotonic() > last + 0.2:  # some close what is over when they are awake the next time
                last = time.monotonic()
                self.newcomers()
            select.select([], [], [], 0.01)

    def _unsettled(self) -> str:
        """What is not as before, in words. Rest comes first: the supervisor works when it is asked for its status."""
        pids = set(self.server.tree())
        if pids != self._pids:
            return f"processes {self._pids - pids} have ended, {pids - self._pids} have begun"
        found = []
        for _ in range(LOOKS):
            busy = [pid for pid in pids if not at_rest(pid)]
            if busy:
                found.append(f"processes {busy} compute though nobody asks")
                break
            select.select([], [], [], 0.002)
        (starts, under_way), held = self.status(), self._fds()
        if starts != self._status[0]:
            found.append(f"(process, starts) of the workers is {starts}, and was {self._status[0]}")
        if under_way > self._status[1]:
            found.append(f"{under_way} requests under way, and {self._status[1]} before")
        more = {pid: (count, self._held[pid]) for pid, count in held.items() if count > self._held[pid]}
        if more:
            found.append(f"descriptors kept (process: now, before): {more}: {[self._names(pid) for pid in more]}")
        return "; ".join(found)

    def _fds(self) -> dict[int, int]:
        return {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in self._pids if os.path.exists(f"/proc/{pid}/fd")}

    def _names(self, pid: int) -> list[str]:
        found = []
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
            except FileNotFoundError:
                continue
        return sorted(found)

    def _lowest(self) -> None:
        """What there is once the first clients are forgotten: looked at until it is the same for a while."""
        end, before, same = time.monotonic() + within(SETTLING), None, 0
        while same < LOOKS:
            if time.monotonic() > end:
                raise Broken(f"a server that has hardly begun does not come to rest; it had {before}")
            select.select([], [], [], 0.005)
            resting = all(map(at_rest, self._pids))  # before the supervisor is asked, which makes it work
            self._pids = set(self.server.tree())
            self._status, self._held = self.status(), self._fds()
            now = self._pids, self._status, self._held
            same = same + 1 if now == before and resting else 0
            before = now

    def status(self) -> Status:
        """What the supervisor says."""
        (path,) = self._runtime.glob("*.sock")
        workers: Any = ask(path, "status")[-1]["result"].get("workers", ())
        return [(each["pid"], each["starts"]) for each in workers], sum(each["in_flight"] for each in workers)


class Neighbour:
    """A client that keeps its connection while others do odd things, and speaks a little at a time."""

    def __init__(self, door: Door, target: Target) -> None:
        self.protocol = target.protocols[0]
        self.sock = socket.create_connection(("127.0.0.1", door.port), within(5))
        self._count = 0

    def speak(self) -> None:
        """Ask for something more, and read the answer. Raises Broken."""
        self._count += 1
        data, asked = said(self.protocol, self._count)
        received = b""
        try:
            self.sock.sendall(data)
            while ANSWERED[self.protocol]([asked], received) < 1:
                piece = self.sock.recv(65536)
                if not piece:
                    raise Broken(f"a neighbour's connection was closed: {received!r}")
                received += piece
        except (OSError, ValueError) as error:
            raise Broken(f"a neighbour was not served: {error!r}") from error


def said(protocol: str, number: int) -> tuple[bytes, Any]:
    """One request, and what is asked with it."""
    if protocol == "http1":
        return f"GET /t/n{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), ("GET", f"n{number}", 0)
    if protocol == "frames":
        return b"\0\0\0\1n", b"n"
    return b"n%d\n" % number, b"n%d" % number if protocol == "lines" else b"n%d\n" % number
