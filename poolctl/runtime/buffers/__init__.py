"""Buffers for requests and responses: in memory up to a limit, beyond it in an unnamed file."""
