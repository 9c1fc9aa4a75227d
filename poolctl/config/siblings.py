"""Other topologies in the same folder: how they are recognised, and which files they name.

A file counts as a topology, or as an overlay of one, when every top-level key is a key of a topology (or begins with
x-) and at least one of them has a value that describes a server. A file of ordinary data has other keys, or other
values for these keys.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import Any

from poolctl.config.choice import is_target
from poolctl.config.core_schema import construct
from poolctl.config.diagnostic import Invalid, SourceText
from poolctl.config.gather import gather
from poolctl.config.loader import MAX_BYTES, compose
from poolctl.config.model import AXES, SHORT, Topology
from poolctl.config.paths import private_files
from poolctl.config.sources import Inputs

NAME = re.compile(r"\.(ya?ml|json)", re.IGNORECASE)  # with whatever editors append: .yaml~, .yaml.bak
MAX_FILES = 200  # of one folder that are examined
TOP = re.compile(r"^([A-Za-z_][\w-]*)[ \t]*:(?=\s|$)", re.MULTILINE)  # a key of a block mapping
MAPPINGS = (
    *("environment", "timeouts", "limits", "access_log", "forwarded", "recycle", "scale", "reload", "overload"),
    "classes",
)


def is_topology(data: bytes) -> bool:
    """Whether a file with this content is a topology or an overlay of one."""
    if len(data) > MAX_BYTES:
        return False
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    try:
        node = compose(SourceText("", text)).node
        value = construct(node) if node is not None else None
    except (Invalid, RecursionError):  # perhaps it is being edited
        keys = TOP.findall(text)
        return {"app", "listen"} & set(keys) != set() and _all_known(keys)
    return isinstance(value, dict) and _all_known(value) and any(_is_telling(key, value[key]) for key in value)


def _all_known(keys: Iterable[Any]) -> bool:
    return all(isinstance(key, str) and (key in Topology.model_fields or key.startswith("x-")) for key in keys)


def _is_telling(key: str, value: Any) -> bool:
    """Whether ordinary data is unlikely to have this value at this key."""
    if key == "app" and isinstance(value, dict):
        return not value.keys().isdisjoint(APPS)
    if key in AXES:
        return isinstance(value, dict) or (isinstance(value, str) and (value in WORDS or is_target(value)))
    if key == "listen":
        entries = value if isinstance(value, list) else [value]
        return any(isinstance(each, dict) or "://" in str(each) for each in entries)
    return key in MAPPINGS and isinstance(value, dict)


# Words that identify a topology on their own. Words that also occur in ordinary data ("process") are not among them.
WORDS = frozenset(
    (
        *("demo", "echo", "half-sync/half-reactive", "half-sync/half-async", "leader/followers", "reuse-port"),
        *("shared-queue", "size-aware", "least-loaded", "round-robin", "power-of-choices", "kernel-hash"),
        *("process-per-connection", "thread-per-connection"),
    )
)
APPS = frozenset((*SHORT["app"], "use", "kind"))


def files_named_in(folders: Iterable[str]) -> tuple[str, ...]:
    """The absolute paths of the topologies in these folders, and of the keys, password files, PID files and access logs
    that they name."""
    return tuple(dict.fromkeys(path for folder in dict.fromkeys(folders) for path in _named_in(folder)))


def _named_in(folder: str) -> Iterator[str]:
    try:
        names = sorted(name for name in os.listdir(folder) if NAME.search(name))
    except OSError:
        return  # app static reports what is wrong with its folder
    for name in names[:MAX_FILES]:
        path = os.path.join(folder, name)
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
                continue
            with open(path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
            if is_topology(data):
                yield from private_files(gather(Inputs(path)))
        except Invalid:
            yield path
        except OSError:
            continue  # it is gone, or this user may not read it, and then the workers may not either
