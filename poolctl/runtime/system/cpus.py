"""The CPUs that this process may use: those of its affinity mask, as far as the quota of its cgroups allows.

A quota (cpu.max of cgroup v2, cpu.cfs_quota_us of v1) limits CPU time per period. It does not change the affinity mask,
which is why os.cpu_count() and nproc show all CPUs in a container that may use one and a half. A cgroup's quota also
limits the cgroups below it, so the smallest one on the path to the root counts.
Sources: Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst of the kernel, cgroups(7), sched(7).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

MOUNT = "sys/fs/cgroup"
V2_FOLDERS = ("", "unified")  # of a host with v2 only, and of one with both versions


class Quota(NamedTuple):
    """CPU time per period, both in microseconds. ``file``: the name of the file that sets it."""

    time: int
    period: int
    file: str

    @property
    def cpus(self) -> float:
        """The number of CPUs that the quota keeps busy."""
        return self.time / self.period


class Cpus(NamedTuple):
    """``mask``: the number of CPUs in the affinity mask. ``quota``: the smallest one; None: there is none."""

    mask: int
    quota: Quota | None = None

    @property
    def limited(self) -> bool:
        """Whether the quota allows less than the mask."""
        return self.quota is not None and self.quota.time < self.mask * self.quota.period

    @property
    def usable(self) -> int:
        """The number of processes that can compute at the same time: the quota rounded up, at least 1."""
        if self.quota is None or not self.limited:
            return max(1, self.mask)
        return max(1, -(-self.quota.time // self.quota.period))

    def __str__(self) -> str:
        cpus = f"{self.mask} CPU{'s' * (self.mask != 1)}"
        if self.quota is None or not self.limited:
            return f"{cpus} in the affinity mask"
        return f"{self.quota.file} of the cgroup: {self.quota.cpus:.3g} of {cpus}"


def usable_cpus(root: str | Path = "/") -> Cpus:
    """Return the CPUs that this process may use.

    ``root``: the folder that has ``proc`` and ``sys``. Files that are missing or unreadable set no quota.
    """
    found = list(_quotas(Path(root)))
    return Cpus(_mask(), min(found, key=lambda quota: quota.cpus, default=None))


def _mask() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[Quota]:
    """Yield every quota of the cgroups that this process is in."""
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")  # a path may contain colons
        if (number, controllers) == ("0", ""):
            for folder in V2_FOLDERS:
                yield from _v2(root / MOUNT / folder, path)
        elif "cpu" in controllers.split(","):
            for folder in dict.fromkeys((controllers, "cpu")):
                yield from _v1(root / MOUNT / folder, path)


def _v2(mount: Path, path: str) -> Iterator[Quota]:
    for folder in _upwards(mount, path):
        words = (_text(folder / "cpu.max") or "").split()  # "150000 100000", or "max 100000" without a quota
        if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]):
            yield Quota(int(words[0]), int(words[1]), "cpu.max")


def _v1(mount: Path, path: str) -> Iterator[Quota]:
    for folder in _upwards(mount, path):
        time = (_text(folder / "cpu.cfs_quota_us") or "").strip()  # -1 without a quota
        period = (_text(folder / "cpu.cfs_period_us") or "").strip()
        if time.isdecimal() and period.isdecimal() and int(period):
            yield Quota(int(time), int(period), "cpu.cfs_quota_us")


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """Yield the folder of a cgroup and those of its parents, up to the mount point.

    In a container without a cgroup namespace the path is the host's, while the mount point shows the container's cgroup
    only; a path outside of the namespace begins with "..". The folders that do not exist then have no files.
    """
    inner = PurePosixPath(*(part for part in path.split("/") if part not in ("", "..")))
    for each in (inner, *inner.parents) if inner.parts else (inner,):
        yield mount / each


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
