"""Which classes are accepted as plugins, whatever kind of methods they have."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from poolctl.assembly.plugins.load import PluginError, check
from poolctl.assembly.plugins.reference import Reference
from poolctl.plugin import App


class Methods(App):
    protocol: ClassVar[str] = "http"

    def load(self, surroundings: Any) -> None:
        """Nothing to import."""

    def serve(self, request: Any, out: Any) -> bool:
        return True


class Static(Methods):
    @staticmethod
    def serve(request: Any, out: Any) -> bool:  # type: ignore[override]
        return True


class OfTheClass(Methods):
    @classmethod
    def serve(cls, request: Any, out: Any) -> bool:
        return True


class Anything(Methods):
    def serve(self, *args: Any, **kwargs: Any) -> bool:
        return True


class TooFew(Methods):
    def serve(self, request: Any) -> bool:  # type: ignore[override]
        return True


REFERENCE = Reference("app", "mine:Mine", "Mine", module="mine")


@pytest.mark.parametrize("kind", [Methods, Static, OfTheClass, Anything])
def test_a_method_of_any_kind_is_accepted(kind: type[App]) -> None:
    check(REFERENCE, kind)


def test_a_method_that_cannot_be_called_as_documented_is_refused() -> None:
    with pytest.raises(PluginError, match=r"TooFew\.serve cannot be called as App\.serve is"):
        check(REFERENCE, TooFew)
