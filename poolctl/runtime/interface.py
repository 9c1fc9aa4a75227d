"""The version of the plugin interface: the classes that poolctl.plugin exports."""

from __future__ import annotations

INTERFACE = 1  # a plugin that needs another version is refused
