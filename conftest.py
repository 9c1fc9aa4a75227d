"""What tests/ and plugins/ have in common: the contract of strategies in a short form, and in the long one as slow."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from poolctl.testing import checks, histories

# The tests of the contract that take long, and for each the constant that says how long, with a smaller value. So many
# clients are more than any plugin here remembers; the contract itself asks for nine times as many.
SHORT: dict[str, tuple[ModuleType, str, int]] = {
    "test_memory": (checks, "MANY", 8_000),
    "test_histories": (histories, "EXAMPLES", 20),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    name = metafunc.function.__name__
    if name in SHORT and hasattr(metafunc.cls, "strategy"):
        module, constant, few = SHORT[name]
        many = getattr(module, constant)
        forms = [pytest.param((name, few), id="few"), pytest.param((name, many), id="many", marks=pytest.mark.slow)]
        metafunc.parametrize("_form_of_the_contract", forms, indirect=True)


@pytest.fixture(autouse=True)
def _form_of_the_contract(request: pytest.FixtureRequest) -> Iterator[None]:
    """How many clients, or histories, a strategy meets."""
    if not hasattr(request, "param"):
        yield
        return
    name, number = request.param
    module, constant, _ = SHORT[name]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, constant, number)
        yield
