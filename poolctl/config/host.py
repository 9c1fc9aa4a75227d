"""The keys about the host: accounts, permissions, folders and the environment."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from poolctl.config.invalid_value import InvalidValue

_ACCOUNT = r"[A-Za-z0-9_][A-Za-z0-9_.@\\ -]{0,254}\$?"


def read_mode(value: Any) -> int:
    """The permission bits of a file from a string of octal digits.

    Raises InvalidValue, also for a number: YAML 1.2 reads 0660 as the decimal 660.
    """
    if not isinstance(value, str) or not re.fullmatch("[0-7]{3,4}", value):
        help_ = _in_quotes(value) or 'for instance "0660"'
        raise InvalidValue("expected three or four octal digits in quotes", help_)
    bits = int(value, 8)
    if bits > 0o777:
        raise InvalidValue("only the permissions of user, group and others can be set", f'write "{bits & 0o777:04o}"')
    return bits


def read_umask(value: Any) -> int:
    """The permission bits that new files do not get, from octal digits up to "0777" (umask(2)). Raises InvalidValue."""
    try:
        return read_mode(value)
    except InvalidValue:
        digits = str(value)
        if re.fullmatch("[0-7]{4,}", digits) and int(digits, 8) > 0o777:
            less = 'for instance "0027": no write access for the group, no access at all for others'
            raise InvalidValue("expected a umask of at most 0777", less) from None
        help_ = _in_quotes(value) or 'for instance "0027"'
        raise InvalidValue("expected three or four octal digits in quotes", help_) from None


def _in_quotes(value: Any) -> str:
    """The help for octal digits without quotes or with a prefix; empty for anything else. YAML 1.2 reads 0660 as the
    decimal 660."""
    if type(value) is int and re.fullmatch("[0-7]{1,4}", str(value)):
        return f'put it in quotes: "{value:04}"'
    prefixed = re.fullmatch("0?[oO]?([0-7]{1,4})", value) if isinstance(value, str) else None
    return f'write "{int(prefixed[1]):04}"' if prefixed else ""


def read_account(value: Any) -> str:
    """The name or number of a user or group as a string; "" for null, which keeps the current one. Raises
    InvalidValue."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32 - 1:
        return str(value)
    if not isinstance(value, str) or not re.fullmatch(_ACCOUNT, value):
        pair = re.fullmatch(r"([\w.-]+):([\w.-]+)", value) if isinstance(value, str) else None
        help_ = f"write user: {pair[1]}, and group: {pair[2]}" if pair else "for instance www-data"
        raise InvalidValue("expected the name or number of an account", help_)
    return value


def read_path(value: Any) -> str:
    """The path of a file or folder; "" for null. Raises InvalidValue."""
    if value is None:
        return ""
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidValue("expected a path", "for instance /srv/shop")
    return value


def read_environment(value: Any) -> Any:
    """The mapping as given; its names and values are read below. Raises InvalidValue for anything else."""
    if not isinstance(value, dict):
        raise InvalidValue("expected a mapping of names to strings", _assignments(value))
    return value


def _assignments(value: Any) -> str:
    """The help for something else than a mapping, such as a list in the style of Docker Compose."""
    given = value if isinstance(value, list) else [value]
    if given and all(isinstance(each, dict) for each in given):
        return "remove the dashes: the names are keys of one mapping"
    if given and all(isinstance(each, str) and re.fullmatch(r"\w+=[\w./:-]*", each) for each in given[:20]):
        pairs = ", ".join('{}: "{}"'.format(*each.split("=", 1)) for each in given[:20])
        return f"write {{{pairs}}}"
    return 'for instance {SETTINGS: production, PORT: "80"}'


def read_variable(name: Any) -> str:
    """The name of an environment variable. Raises InvalidValue."""
    if not name or "=" in name or "\0" in name:
        raise InvalidValue(
            f'"{name}" is not the name of a variable: it is empty, or contains "=" or NUL', "for instance PORT"
        )
    return str(name)


def read_text(value: Any) -> str:
    """The value of a variable. Raises InvalidValue for anything but a string: YAML may change a number's digits."""
    if not isinstance(value, str):
        shown = str(value).lower() if isinstance(value, bool) else value
        quoted = "" if value is None else shown
        single = value is None or isinstance(value, int | float)
        help_ = f'put it in quotes: "{quoted}"' if single else "write a string: variables have no other values"
        raise InvalidValue("expected a string", help_)
    if "\0" in value:
        raise InvalidValue("a variable cannot contain NUL", "remove it")
    return value


Umask = Annotated[int, BeforeValidator(read_umask), WithJsonSchema({"type": "string", "pattern": "^0?[0-7]{3}$"})]
Mode = Annotated[int, BeforeValidator(read_mode), WithJsonSchema({"type": "string", "pattern": "^0?[0-7]{3}$"})]
Account = Annotated[
    str,
    BeforeValidator(read_account),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": f"^{_ACCOUNT}$"}, {"type": "integer", "minimum": 0}, {"type": "null"}]}
    ),
]
Folder = Annotated[
    str,
    BeforeValidator(read_path),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}]}),
]
Variable = Annotated[str, BeforeValidator(read_variable)]
Environment = Annotated[
    dict[Variable, Annotated[str, BeforeValidator(read_text)]],
    BeforeValidator(read_environment),
    Field(strict=False),
    WithJsonSchema(
        {"type": "object", "propertyNames": {"pattern": "^[^=]+$"}, "additionalProperties": {"type": "string"}}
    ),
]
