"""Plugins: parts that are not poolctl's own, from a file next to the topology or an installed distribution."""
