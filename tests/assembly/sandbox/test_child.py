"""The process in which the user's code is looked at has nothing of the process that looks."""

from __future__ import annotations

import os

from poolctl.assembly.sandbox.child import run_in_child


def test_it_has_no_descriptor_but_its_own() -> None:
    """The review of a running server forks one, and has its result in a pipe that no plugin may write to."""

    def others() -> tuple[str, ...]:
        kept = []
        for name in os.listdir("/proc/self/fd"):
            try:
                kept.append(os.readlink(f"/proc/self/fd/{name}"))
            except FileNotFoundError:  # of the listing itself
                continue
        return tuple(sorted(kept))

    reader, writer = os.pipe()
    try:
        result = run_in_child(others, 30.0)
        pipe = os.readlink(f"/proc/self/fd/{writer}")
    finally:
        os.close(reader)
        os.close(writer)
    assert result.report is not None
    assert pipe not in result.report
    assert len(result.report) == 4  # its input, its output twice, and the pipe of its report
