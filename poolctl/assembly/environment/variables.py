"""Checks of the key ``environment`` for variables that name something missing, which their readers silently ignore
(tzset(3) falls back to UTC, Python skips the folder)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import nullcontext
from difflib import get_close_matches
from typing import TYPE_CHECKING

from poolctl.config.diagnostic import Diagnostic
from poolctl.errors import PoolctlError
from poolctl.runtime.system.identity import Identity

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement

ZONES = "/usr/share/zoneinfo"  # tzset(3), unless TZDIR says otherwise
_NAME = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_TIME = r"[+-]?\d{1,3}(?::\d\d){0,2}"
RULE = re.compile(rf"{_NAME}{_TIME}(?:{_NAME}(?:{_TIME})?(?:,[\w./:+-]+,[\w./:+-]+)?)?")  # as in CET-1CEST (tzset(3))
FILES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """Yields a warning for each such variable."""
    topology, tree = judgement.topology, judgement.tree
    assert topology is not None
    given = topology.environment
    try:
        identity = Identity.find(topology.user, topology.group)
        there = os.path.abspath(topology.directory)
    except (PoolctlError, FileNotFoundError):
        return  # PC420 and PC421 report them
    with identity.acting() if identity else nullcontext():
        found = [*_zone(given), *_folders(given, there), *_files(given, there)]
    for name, message, help_ in found:
        place = tree.at_value(("environment", name))
        yield Diagnostic("PC433", f"environment: {name}: {message}", place, help_, severity="warning")


Found = tuple[str, str, str]  # the variable, the message, the help


def _zone(given: dict[str, str]) -> Iterator[Found]:
    zone = given.get("TZ", "")
    if is_zone(zone, given.get("TZDIR") or os.environ.get("TZDIR") or ZONES):
        return
    from zoneinfo import available_timezones

    known = {name.lower(): name for name in available_timezones()}
    near = known.get(zone.lower()) or next(iter(get_close_matches(zone, known.values(), 1, 0.8)), "")
    help_ = f"did you mean {near}?" if near else "write a name such as Europe/Berlin"
    help_ = help_ if known else "install the package tzdata, which has the time zones"
    yield "TZ", f"this machine has no time zone {zone}, so times are in UTC", help_


def is_zone(zone: str, folder: str) -> bool:
    """Whether the C library finds a time zone for a value of TZ in a folder of time zones (tzset(3))."""
    zone = zone.removeprefix(":")
    if zone in ("", "UTC", "GMT") or RULE.fullmatch(zone):
        return True
    try:
        with open(os.path.join(folder, zone), "rb") as file:
            return file.read(4) == b"TZif"  # RFC 9636, 3.1
    except (OSError, ValueError):
        return False


def _folders(given: dict[str, str], there: str) -> Iterator[Found]:
    entries = dict.fromkeys(filter(None, given.get("PYTHONPATH", "").split(os.pathsep)))
    missing = [entry for entry in entries if not os.path.exists(os.path.join(there, entry))]
    if missing:
        verb = "does" if len(missing) == 1 else "do"
        message = f"{' and '.join(missing)} {verb} not exist, so no modules are found there"
        yield "PYTHONPATH", message, _fix(missing, there)


def _files(given: dict[str, str], there: str) -> Iterator[Found]:
    for name in FILES:
        path = given.get(name, "")
        if path and not os.path.exists(os.path.join(there, path)):
            yield name, f"{path} does not exist, so no certificates are found there", _fix([path], there)


def _fix(paths: list[str], there: str) -> str:
    from_here = f"; paths are relative to {there}" if any(not os.path.isabs(path) for path in paths) else ""
    return f"create it, or correct the path{from_here}"
