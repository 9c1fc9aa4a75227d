"""Checks that a client reaches the same inbox in another process: Python's hash() of strings differs between processes,
and so do random numbers that are drawn when a module is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from poolctl.runtime.dispatch import Dispatch
from poolctl.testing.checks import INBOXES, TASKS, Make, inbox_of
from poolctl.testing.live import topology
from poolctl.testing.samples import tasks
from poolctl.testing.simulation import Simulation
from poolctl.testing.violation import Violation

PATIENCE = 60.0  # seconds that the other process may take


def check_other_process(make: Make, use: str = "") -> None:
    """Raise Violation if clients reach other inboxes in another process.

    It applies only to strategies that decide the same way twice in this process. A strategy that draws random numbers
    and remembers them keeps clients together in its own way.
    """
    here = inboxes_by_client(make)
    if here != inboxes_by_client(make):
        return
    there = _in_other_process(topology(make(), use)["dispatch"])
    moved = sum(one != other for one, other in zip(here, there, strict=True))
    if moved:
        raise Violation(
            f"{moved} of {TASKS} clients reach another inbox in another process, with the same inboxes available",
            "use hashlib instead of hash(), which differs between processes; and draw no random numbers at import",
        )


def inboxes_by_client(make: Make) -> list[int]:
    """Return the inbox of each client, while all inboxes are empty."""
    simulation = Simulation(make(), INBOXES)
    return [inbox_of(simulation, each) for each in tasks(TASKS)]


def _in_other_process(choice: dict[str, Any]) -> list[int]:
    """Return the inboxes in a process with another seed for hash()."""
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-m", "poolctl.testing.other_process", json.dumps(choice)],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        raise Violation(f"it cannot be created in another process:\n{done.stderr.strip()}")
    found: list[int] = json.loads(done.stdout.splitlines()[-1])
    return found


def _made(choice: dict[str, Any]) -> Callable[[], Dispatch]:
    from poolctl.assembly.options import values_of
    from poolctl.assembly.plugins.load import load
    from poolctl.assembly.plugins.reference import Reference, find
    from poolctl.assembly.registry import REGISTRY, part_class

    use, options = choice["use"], {name: value for name, value in choice.items() if name != "use"}
    found = find("dispatch", use, Path())
    kind = part_class("dispatch", use) if use in REGISTRY["dispatch"] else None
    if kind is None:
        assert isinstance(found, Reference), found
        kind = load(found)
    return lambda: kind(**values_of(kind, options))


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(inboxes_by_client(_made(json.loads(sys.argv[1]))))}\n")
