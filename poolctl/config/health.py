"""The key ``health``: the path at which the server itself answers health checks."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from poolctl.config.invalid_value import InvalidValue

# a path as clients send it (RFC 3986, 3.3), since it is compared byte by byte
_HEALTH_PATH = r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2}){0,255}"


def read_health(value: Any) -> str:
    """The path; "" for off. Raises InvalidValue."""
    if value in (None, "off"):
        return ""
    if not isinstance(value, str) or not re.fullmatch(_HEALTH_PATH, value):
        bare = value.partition("?")[0].partition("#")[0] if isinstance(value, str) else ""
        likely = (
            bare if re.fullmatch(_HEALTH_PATH, bare) else f"/{bare}" if re.fullmatch("[a-z]+", bare) else "/healthz"
        )
        raise InvalidValue("expected a path that begins with /, without a query, or off", f"for instance {likely}")
    return value


HealthPath = Annotated[
    str,
    BeforeValidator(read_health),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{_HEALTH_PATH}$"}, {"enum": ["off", None]}]}),
    Field(
        description="path of health checks, which the server answers itself: 200, or 503 when it is about to stop;"
        " off: none"
    ),
]
