"""Needs what is not installed."""

import module_of_nobody  # noqa: F401  # the import is what fails
