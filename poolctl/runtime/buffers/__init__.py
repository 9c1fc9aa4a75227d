"""Bytes that wait: a little of them in memory, more in an unnamed file."""
