"""The short form runs every fault on the main models; mixed pools and most of the fallback are for the long form."""

from __future__ import annotations

import pytest

ALWAYS = ("test_a_request_is_answered_at_once", "test_a_stop_answers_everything")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what the main models show as well."""
    for item in items:
        if "faults" not in str(item.path):
            continue
        fallback, mixed = "-selectors" in item.name, "-hybrid" in item.name
        if mixed or (fallback and not item.name.startswith(ALWAYS)):
            item.add_marker(pytest.mark.slow)
