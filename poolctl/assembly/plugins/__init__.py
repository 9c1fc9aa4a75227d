"""Plugins: parts that are not poolctl's own, from a file beside the topology or an installed distribution."""
