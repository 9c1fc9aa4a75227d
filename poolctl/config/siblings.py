"""Other topologies that lie in the same folder: what is one, and which files they name.

A file is taken for a topology, or for an overlay of one, when every key at its top is a key of a topology (or begins
with x-), and one of them has a value that says what a server does. A file of ordinary data has other keys, or other
values at these.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import Any

from poolctl.config.choice import is_target
from poolctl.config.diagnostic import Invalid, Source
from poolctl.config.gather import gather
from poolctl.config.loader import MAX_BYTES, compose, construct
from poolctl.config.model import AXES, SHORT, Topology
from poolctl.config.paths import private
from poolctl.config.sources import Inputs

NAME = re.compile(r"\.(ya?ml|json)", re.IGNORECASE)  # with whatever editors add at its end: .yaml~, .yaml.bak
LOOKED_AT = 200  # files of one folder
TOP = re.compile(r"^([A-Za-z_][\w-]*)[ \t]*:(?=\s|$)", re.MULTILINE)  # a key of a block mapping
MAPPINGS = ("environment", "timeouts", "limits", "access_log", "forwarded")


def is_topology(data: bytes) -> bool:
    """Whether a file with this text says what a server of poolctl is, alone or put over another file."""
    if len(data) > MAX_BYTES:
        return False
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    try:
        node = compose(Source("", text)).node
        value = construct(node) if node is not None else None
    except (Invalid, RecursionError):  # one that is being edited, perhaps
        keys = TOP.findall(text)
        return {"app", "listen"} & set(keys) != set() and _all_known(keys)
    return isinstance(value, dict) and _all_known(value) and any(_tells(key, value[key]) for key in value)


def _all_known(keys: Iterable[Any]) -> bool:
    return all(isinstance(key, str) and (key in Topology.model_fields or key.startswith("x-")) for key in keys)


def _tells(key: str, value: Any) -> bool:
    """Whether ordinary data would hardly have this value at this key."""
    if key == "app" and isinstance(value, dict):
        return not value.keys().isdisjoint(APPS)
    if key in AXES:
        return isinstance(value, dict) or (isinstance(value, str) and (value in WORDS or is_target(value)))
    if key == "listen":
        entries = value if isinstance(value, list) else [value]
        return any(isinstance(each, dict) or "://" in str(each) for each in entries)
    return key in MAPPINGS and isinstance(value, dict)


# Of axes whose word may stand alone. Those that say nothing by themselves in a file of data ("process") need company.
WORDS = frozenset(
    (
        *("demo", "echo", "half-sync/half-reactive", "half-sync/half-async", "leader/followers", "reuse-port"),
        *("shared-queue", "least-loaded", "round-robin", "power-of-choices", "kernel-hash"),
        *("process-per-connection", "thread-per-connection"),
    )
)
APPS = frozenset((*SHORT["app"], "use", "kind"))


def files_named_in(folders: Iterable[str]) -> tuple[str, ...]:
    """The absolute paths of the topologies in these folders, and of the keys, password files, PID files and logs that
    they name."""
    return tuple(dict.fromkeys(path for folder in dict.fromkeys(folders) for path in _named_in(folder)))


def _named_in(folder: str) -> Iterator[str]:
    try:
        names = sorted(name for name in os.listdir(folder) if NAME.search(name))
    except OSError:
        return  # app static says what is wrong with its folder
    for name in names[:LOOKED_AT]:
        path = os.path.join(folder, name)
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
                continue
            with open(path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
            if is_topology(data):
                yield from private(gather(Inputs(path)))
        except Invalid:
            yield path
        except OSError:
            continue  # gone, or not for the user who looks: nor for those who serve
