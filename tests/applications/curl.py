"""curl as people use it, in a child of ours."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from harness.machine import within


@dataclass(frozen=True)
class Curled:
    """``body`` is what came; ``trace`` is what ``-v`` tells of the conversation."""

    body: bytes
    trace: str

    @property
    def statuses(self) -> list[int]:
        """Of all responses, interim ones too."""
        return [int(line.split()[2]) for line in self.trace.splitlines() if line.startswith("< HTTP/")]

    def header(self, name: str) -> str:
        """The value of a header of the last response that has it. Raises KeyError."""
        start = f"< {name.lower()}:"
        for line in reversed(self.trace.splitlines()):
            if line.lower().startswith(start):
                return line[len(start) :].strip()
        raise KeyError(name)


def curl(*words: str, given: bytes = b"") -> Curled:
    """Run it; it has to end with 0."""
    done = subprocess.run(
        ["curl", "-q", "--silent", "--show-error", "--verbose", "--noproxy", "*", "--max-time", "20", *words],
        input=given,
        check=False,
        capture_output=True,
        timeout=within(30),
    )
    trace = done.stderr.decode("latin-1")
    assert done.returncode == 0, trace
    return Curled(done.stdout, trace)
