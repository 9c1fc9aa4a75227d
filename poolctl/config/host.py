"""What the file says of the host: accounts, permissions, folders, the environment."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_ACCOUNT = r"[A-Za-z0-9_][A-Za-z0-9_.@\\ -]{0,254}\$?"


def read_mode(value: Any) -> int:
    """Permission bits from octal digits. Raises ValueError; a number is refused, for YAML 1.2 reads 0660 as 660."""
    if not isinstance(value, str) or not re.fullmatch("[0-7]{3,4}", value):
        raise ValueError('expected three or four octal digits in quotes, for instance "0660"')
    bits = int(value, 8)
    if bits > 0o777:
        raise ValueError('only the permissions of user, group and others can be set, for instance "0660"')
    return bits


def read_account(value: Any) -> str:
    """The name or number of a user or group, as text; of null "", the one there is. Raises ValueError."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32 - 1:
        return str(value)
    if not isinstance(value, str) or not re.fullmatch(_ACCOUNT, value):
        raise ValueError("expected the name or the number of an account")
    return value


def read_path(value: Any) -> str:
    """The path of a file or folder; of null "", none. Raises ValueError."""
    if value is None:
        return ""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("expected a path")
    return value


def read_environment(value: Any) -> dict[str, str]:
    """Names and values of variables. Raises ValueError with the first one that cannot be one."""
    if not isinstance(value, dict):
        raise ValueError("expected a mapping of names to texts")
    for name, text in value.items():
        if not name or "=" in name or "\0" in name:
            raise ValueError(f'"{name}" cannot be the name of a variable: it is empty or has a "=" or a NUL')
        if not isinstance(text, str):
            raise ValueError(f'the value of {name} is no text: put it in quotes, {name}: "..."')
        if "\0" in text:
            raise ValueError(f"the value of {name} has a NUL, which no variable can have")
    return value


Mode = Annotated[int, BeforeValidator(read_mode)]
Account = Annotated[str, BeforeValidator(read_account)]
Folder = Annotated[str, BeforeValidator(read_path)]
Environment = Annotated[dict[str, str], BeforeValidator(read_environment), Field(strict=False)]
