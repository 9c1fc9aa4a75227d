"""The version of what plugins are written for: the classes that poolctl.plugin exports."""

from __future__ import annotations

INTERFACE = 1  # one that needs another version is refused
