"""Raises when it is imported."""


def check() -> None:
    raise RuntimeError("there are no weights")


check()
