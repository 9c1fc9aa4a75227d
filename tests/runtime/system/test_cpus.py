"""What a container may use of the CPUs: cgroup trees as the kernel shows them, in a folder of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from poolctl.assembly.fitting import size
from poolctl.runtime.system.cpus import Cpus, Quota, usable_cpus


def tree(root: Path, membership: str, **files: str) -> Path:
    """A root folder with /proc/self/cgroup, and files below /sys/fs/cgroup; "__" in a name stands for a slash."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("cpu_max", "cpu.max").replace("cfs", "cpu.cfs")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpu_max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu_max": "max 100000\n"}, None),
        ("0::/\n", {}, None),  # the root cgroup has no cpu.max
        ("0::/shop/web\n", {"shop__web__cpu_max": "200000 100000\n", "shop__cpu_max": "max 100000\n"}, 2.0),
        ("0::/shop/web\n", {"shop__web__cpu_max": "200000 100000\n", "shop__cpu_max": "50000 100000\n"}, 0.5),
        ("0::/shop/web\n", {"other__cpu_max": "50000 100000\n"}, None),
        # the host's path in a container that sees only its own cgroup
        ("0::/system.slice/docker-12.scope\n", {"cpu_max": "25000 100000\n"}, 0.25),
        ("0::/../../other\n", {"cpu_max": "300000 100000\n"}, 3.0),
        ("0::/shop: a\n", {"shop: a__cpu_max": "120000 100000\n"}, 1.2),
        ("4:cpu,a:/shop\n", {"cpu,a__shop__cfs_quota_us": "80000\n", "cpu,a__shop__cfs_period_us": "20000\n"}, 4.0),
        ("4:cpu,cpuacct:/shop\n", {"cpu__cfs_quota_us": "30000\n", "cpu__cfs_period_us": "20000\n"}, 1.5),
        ("4:cpu:/\n", {"cpu__cfs_quota_us": "-1\n", "cpu__cfs_period_us": "100000\n"}, None),
        ("3:cpuset:/\n", {"cpuset__cfs_quota_us": "1000\n", "cpuset__cfs_period_us": "100000\n"}, None),
        ("1:cpu:/\n0::/a\n", {"unified__a__cpu_max": "70000 100000\n"}, 0.7),
        ("0::/\n", {"cpu_max": "nonsense\n"}, None),
        ("0::/\n", {"cpu_max": "100 0\n"}, None),
        ("garbage", {"cpu_max": "100000 100000\n"}, None),
    ],
)  # fmt: skip
def test_the_smallest_quota_on_the_path(
    membership: str, files: dict[str, str], quota: float | None, tmp_path: Path
) -> None:
    found = usable_cpus(tree(tmp_path, membership, **files)).quota
    assert (found.cpus if found else None) == quota


def test_without_cgroups_the_mask_counts(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == Cpus(len(os.sched_getaffinity(0)), None)


@pytest.mark.parametrize(
    ("time", "mask", "count"),
    [(150000, 8, 2), (100000, 8, 1), (100001, 8, 2), (1000, 8, 1), (0, 8, 1), (900000, 8, 8), (150000, 1, 1)],
)
def test_the_quota_is_rounded_up_within_the_mask(time: int, mask: int, count: int) -> None:
    cpus = Cpus(mask, Quota(time, 100000, "cpu.max"))
    assert (cpus.usable, size.workers("process", "auto", cpus.usable)) == (count, count)


def test_explain_says_where_the_number_comes_from() -> None:
    quota = Quota(150000, 100000, "cpu.max")
    text = "auto: 2 (cpu.max of the cgroup: 1.5 of 8 CPUs)"
    assert size.explained("process", "auto", Cpus(8, quota)) == text
    assert size.explained("process", "auto", Cpus(1, quota)) == "auto: 1 (1 CPU in the affinity mask)"
    assert size.explained("process", 3, Cpus(8, quota)) == ""
    waiting = "auto: 6 (2 that compute + 4 that wait; cpu.max of the cgroup: 1.5 of 8 CPUs)"
    assert size.explained("thread", "auto", Cpus(8, quota)) == waiting
    assert size.explained("thread", "auto", Cpus(64)) == "auto: 32 (at most 32; 64 CPUs in the affinity mask)"
