"""MyPart answers."""

from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from my_part import MyPart


def test_everybody_is_greeted() -> None:
    environ, told = {"QUERY_STRING": ""}, []
    setup_testing_defaults(environ)
    application = validator(MyPart(greeting="good day").find())
    answer = application(environ, lambda status, headers, error=None: told.append(status))
    assert b"".join(answer) == b"good day\n"
    answer.close()
    assert told == ["200 OK"]
