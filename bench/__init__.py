"""Measurements of poolctl next to other servers. From the root: ``make bench``, or ``python -m bench.cost``."""
