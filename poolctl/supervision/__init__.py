"""Processes: the supervisor, the mold, and what happens when one of them dies."""
