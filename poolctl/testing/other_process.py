"""Does a client meet the same inbox in another process? Python's hash() of texts is another one in each, and so is what
is drawn when a module is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from poolctl.runtime.dispatch import Dispatch
from poolctl.testing.checks import INBOXES, TASKS, Make, tasks
from poolctl.testing.live import topology
from poolctl.testing.simulation import World
from poolctl.testing.violation import Violation

PATIENCE = 60.0  # seconds that the other process has


def steady(make: Make, use: str = "") -> None:
    """Raises Violation when the same clients meet others there.

    Only for a strategy that decides alike twice in this process: one that draws, and remembers what it drew, keeps
    clients together in its own way.
    """
    here = meetings(make)
    if here != meetings(make):
        return
    there = _there(topology(make(), use)["dispatch"])
    moved = sum(one != other for one, other in zip(here, there, strict=True))
    if moved:
        raise Violation(
            f"{moved} of {TASKS} clients meet another inbox in another process, with the same ones on offer",
            "hash by hashlib, not by hash(), which differs from process to process; and draw nothing at import",
        )


def meetings(make: Make) -> list[int]:
    """By client: the inbox that it meets, when nobody has anything to do."""
    world = World(make(), INBOXES)
    found = []
    for each in tasks(TASKS):
        world.arrive(each)
        found.append(world.under_way[-1].inbox)
        world.finish()
    return found


def _there(choice: dict[str, Any]) -> list[int]:
    """The same of a process with another seed for hash()."""
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
        raise Violation(f"it cannot be made in another process:\n{done.stderr.strip()}")
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
    sys.stdout.write(f"{json.dumps(meetings(_made(json.loads(sys.argv[1]))))}\n")
