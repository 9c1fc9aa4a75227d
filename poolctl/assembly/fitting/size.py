"""The number of workers that `size: auto` stands for."""

from __future__ import annotations

from poolctl.runtime.system.cpus import Cpus, usable_cpus

THREADS_MAX = 32


def usable_cores() -> int:
    """The number of processes that can compute at the same time; containers and taskset may allow fewer than there are
    cores."""
    return usable_cpus().usable


def processes(cores: int) -> int:
    """One process for each core: a process uses at most one core, and more of them only take turns and memory."""
    return max(1, cores)


def threads(cores: int) -> int:
    """The number of threads that suits blocking work: a few more than cores, since waiting threads need none.

    At most 32, because the threads of one interpreter share its lock, and more of them would only wait for it. The
    formula is that of concurrent.futures.ThreadPoolExecutor since Python 3.8 (bpo-35279).
    """
    return min(THREADS_MAX, max(1, cores) + 4)


def workers(kind: str, size: int | str, cores: int | None = None) -> int:
    """The number of workers that ``size`` stands for in a pool of this kind."""
    if isinstance(size, int):
        return size
    cores = usable_cores() if cores is None else cores
    return threads(cores) if kind == "thread" else processes(cores)


def explained(kind: str, size: int | str, cpus: Cpus) -> str:
    """How the number of workers follows from the CPUs; empty unless ``size`` is auto."""
    if isinstance(size, int):
        return ""
    number = workers(kind, size, cpus.usable)
    if kind != "thread":
        return f"auto: {number} ({cpus})"
    rule = (
        f"at most {THREADS_MAX}"
        if number == THREADS_MAX
        else f"{cpus.usable} that compute + {number - cpus.usable} that wait"
    )
    return f"auto: {number} ({rule}; {cpus})"
