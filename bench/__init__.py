"""Benchmarks of poolctl and other servers. In the root folder: ``make bench``, or ``python -m bench.cost``."""
