"""Compiles the hot path with mypyc, if POOLCTL_COMPILE is 1: what serves a request from the poller to the socket.

    POOLCTL_COMPILE=1 pip install .

Without it the package is pure Python, and needs no compiler. Everything else about the package is in pyproject.toml.
"""

from __future__ import annotations

import os
from typing import Any

from setuptools import Extension, setup

# What runs for each request. Not among it: the options of parts, which are pydantic dataclasses; serving/frames.py and
# serving_async/boundary.py, by whose frames the log finds the stack of a request that took too long.
MODULES = {
    "": "known_lines queue_view scoreboard task",
    "app/asgi": "call scope",
    "app/wsgi": "call environ file single",
    "buffers": "outbound",
    "channels": "bell inbox parcel returns shared_reader",
    "listen": "door listener listening tls_socket",
    "loop": "loop registrations source",
    "ownership/half_sync_half_async": "arrivals front",
    "ownership/half_sync_half_reactive": "executor front front_process front_thread held_connection records",
    "protocol": "output",
    "protocol/http": "body conversation encode framer head inflow limits line reader request response streaming",
    "routing": "classes flow lane overload queue ranking room router turns_of_clients waiting",
    "serving": "client_connection connection connection_loop leaving pace phases service shared_connection",
    "serving_async": "afterwork connection task_connection",
    "system": "calls channel state",
}
GROUP = "poolctl.compiled"  # the shared library is poolctl/compiled__mypyc.*.so
MYPY = "mypy>=1.19"


def files() -> list[str]:
    """Return the paths of the modules to compile, from the root of the project."""
    return [
        "/".join(filter(None, ("poolctl/runtime", folder, f"{name}.py")))
        for folder, names in MODULES.items()
        for name in names.split()
    ]


def extensions() -> dict[str, Any]:
    """Return the arguments of ``setup`` that compile them; none without POOLCTL_COMPILE."""
    if os.environ.get("POOLCTL_COMPILE") != "1":
        return {}
    try:
        from mypyc.build import mypycify  # only where something is compiled
    except ImportError:
        return {"setup_requires": [MYPY]}  # pip asks for it, installs it, and calls this again
    # Not as strict as make check: pip builds where the dependencies are not installed, so their types are unknown.
    made = mypycify(
        ["--config-file=", "--ignore-missing-imports", *files()],
        group_name=GROUP,
        multi_file=True,
        opt_level="2",
        debug_level="0",
    )
    for extension in made:
        extension.include_dirs.append(f"build/{os.path.dirname(GROUP.replace('.', '/'))}")  # of the group's header
    calls = Extension("poolctl.runtime.system._calls", ["poolctl/runtime/system/_calls.c"])
    return {"ext_modules": [*made, calls]}


if __name__ == "__main__":
    setup(**extensions())
