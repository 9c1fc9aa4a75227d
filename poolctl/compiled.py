"""Whether the hot path is compiled: see setup.py, which names the group of compiled modules after this one."""

from __future__ import annotations

from importlib.util import find_spec


def compiled() -> bool:
    """Return whether it is."""
    return find_spec("poolctl.compiled__mypyc") is not None
