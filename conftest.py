"""What tests/ and plugins/ have in common: the contract of strategies in a short form, and in the long one as slow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from poolctl.testing import checks

FEW = 15_000  # clients: more than any plugin here remembers; the contract itself asks for five times as many


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.function.__name__ == "test_memory" and hasattr(metafunc.cls, "strategy"):
        forms = [pytest.param(FEW, id="few"), pytest.param(checks.MANY, id="many", marks=pytest.mark.slow)]
        metafunc.parametrize("_clients_to_remember", forms, indirect=True)


@pytest.fixture(autouse=True)
def _clients_to_remember(request: pytest.FixtureRequest) -> Iterator[None]:
    """How many clients a strategy meets that must not remember them all."""
    with pytest.MonkeyPatch.context() as patched:
        if hasattr(request, "param"):
            patched.setattr(checks, "MANY", request.param)
        yield
