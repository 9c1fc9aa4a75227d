"""MyPart responds to a request."""

from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from my_part import MyPart


def test_it_greets_the_client() -> None:
    environ, statuses = {"QUERY_STRING": ""}, []
    setup_testing_defaults(environ)
    application = validator(MyPart(greeting="good day").find())
    response = application(environ, lambda status, headers, error=None: statuses.append(status))
    assert b"".join(response) == b"good day\n"
    response.close()
    assert statuses == ["200 OK"]
