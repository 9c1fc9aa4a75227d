"""Which exceptions of an app come of a client that has left."""

from __future__ import annotations

import pytest

from poolctl.errors import ClientGone, comes_of_leaving

GONE = ClientGone("the client has left")


def raised(error: Exception, cause: Exception | None = None, context: Exception | None = None) -> Exception:
    """As it looks when it was raised from another, or while another was handled."""
    error.__cause__, error.__context__ = cause, context
    return error


def endless() -> Exception:
    first, second = ValueError(1), ValueError(2)
    first.__cause__, second.__cause__ = second, first
    return first


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (GONE, True),
        (raised(RuntimeError(), cause=GONE), True),
        (raised(RuntimeError(), context=raised(ValueError(), context=GONE)), True),
        (ExceptionGroup("", [GONE, raised(RuntimeError(), context=GONE)]), True),
        (ExceptionGroup("", [GONE, ValueError("a failure of its own")]), False),
        (ConnectionResetError("by a database"), False),
        (raised(RuntimeError(), cause=OSError()), False),
        (endless(), False),
    ],
    ids=repr,
)
def test_it_is_found_at_the_bottom(error: Exception, expected: bool) -> None:
    assert comes_of_leaving(error) is expected


@pytest.mark.parametrize(("error", "expected"), [(ValueError("of its own"), False), (ClientGone("left"), True)])
def test_a_member_of_a_group_that_was_raised_out_of_it(error: Exception, expected: bool) -> None:
    """As Django does: the group becomes the context of its own member."""
    group = ExceptionGroup("of a task group", [error])
    assert comes_of_leaving(raised(error, context=group)) is expected
    assert comes_of_leaving(group) is expected
