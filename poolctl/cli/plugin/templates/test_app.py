"""MyPart responds to a request."""

from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import IteratorWrapper, validator

from my_part import MyPart


def test_it_greets_the_client() -> None:
    environ: dict[str, Any] = {"QUERY_STRING": ""}
    setup_testing_defaults(environ)
    statuses: list[str] = []

    def start_response(status: str, headers: Any, error: Any = None) -> Callable[[bytes], object]:
        statuses.append(status)
        return lambda data: None

    response = validator(MyPart(greeting="good day").find())(environ, start_response)
    assert isinstance(response, IteratorWrapper)
    assert b"".join(response) == b"good day\n"
    response.close()
    assert statuses == ["200 OK"]
