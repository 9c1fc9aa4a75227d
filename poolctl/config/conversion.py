"""Values of other servers, as the key takes them that has their place here: 10m of nginx is 10MiB, and $CPU is auto.

What is written into a help can be followed: a value that no key here takes is never repeated. Where it does not say
what is meant, the text is a value that the key takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from poolctl.config.forwarded import read_network
from poolctl.config.invalid_value import InvalidValue
from poolctl.config.other_servers import WORDS
from poolctl.config.units import ENDLESS, LONGEST, seconds, size, timeout

MOST = 40  # members of a list that are looked at
ON = ("on", "yes", "true", "1", "enable", "enabled")
OFF = ("off", "no", "false", "0", "disable", "disabled", "none", "null", "never")
# The least of each size, and what stands for one that cannot be read. In nginx 0 is a body of any size.
SIZES = {
    "protocol.head": (256, "32KiB"),
    "protocol.target": (1, "8KiB"),
    "protocol.body": (1, "16MiB"),
    "protocol.spool": (0, "256KiB"),
    "protocol.websocket_message": (1, "16MiB"),
    "limits.body_rate": (0, "1KiB"),
}
LARGEST = {"protocol.body": "1GiB", "protocol.websocket_message": "1GiB"}  # in the place of "any"
# The range of each number, and what stands for one that cannot be read.
NUMBERS = {
    "pool.size": (1, 4096, "auto"),
    "pool.threads": (1, 1024, "4"),
    "limits.connections": (1, 10_000_000, "10000"),
    "limits.waiting": (1, 10_000_000, "1000"),
    "protocol.headers": (1, 10_000, "100"),
    "backlog": (1, 65535, "2048"),
}
SWITCHES = ("protocol.http2", "protocol.websocket_deflate", "preload")
CHOICES = {
    "pool.kind": ("process", "thread"),
    "dispatch": (
        "least-loaded",
        "round-robin",
        "random",
        "power-of-choices",
        "shared-queue",
        "kernel-hash",
    ),
    "protocol": ("http", "raw", "lines"),
    "affinity": ("client", "request", "connection"),
    "app.lifespan": ("auto", "on", "off"),
    "ownership.accept": ("worker", "front"),
    "ownership.lock": ("kernel", "file", "mutex"),
    "access_log.format": ("combined", "common", "json"),
}  # the first stands for what is none of them


def carried(known: str, value: Any) -> str:
    """The text to write for a value at a key: dots between the parts of ``known``."""
    if known in SIZES:
        return _size(known, value)
    if known.startswith("timeouts.") or known == "protocol.websocket_ping":
        return _time(known, value)
    if known in NUMBERS:
        return _number(known, value)
    if known in SWITCHES:
        return "false" if str(value).lower() in OFF else "true"
    if known in CHOICES:
        return _word(known, value)
    return _ONE.get(known, _path)(value)


def _size(known: str, value: Any) -> str:
    least, otherwise = SIZES[known]
    if known in LARGEST and (value in (0, "0") or str(value).lower() in ENDLESS):
        return LARGEST[known]
    return _by(size, value, least, 1 << 60) or otherwise


def _time(known: str, value: Any) -> str:
    if known == "timeouts.request" and (not value or value == "0" or str(value).lower() in (*ENDLESS, "null")):
        return "off"
    if isinstance(value, str) and " " in value:
        value = value.split()[0]  # nginx: keepalive_timeout 75s 60s
    if value is False or value in (0, "0") or str(value).lower() in ("off", "no", "none", "never", "disabled"):
        # There is no waiting here that never ends, and no keep-alive that is switched off.
        return {"timeouts.idle": "1s", "timeouts.drain": "0"}.get(known, "24h")
    if str(value).lower() in ENDLESS:
        return "24h"
    found = _by(timeout, value, 0, LONGEST)
    if not found and (re.fullmatch(r"\d{1,6}\s*([dwMy]|days?|weeks?)", str(value)) or _too_long(value)):
        return "24h"
    return found or ("5m" if known == "timeouts.request" else "30s")


def _too_long(value: Any) -> bool:
    try:
        return seconds(value) > LONGEST
    except InvalidValue:
        return False


def _by(read: Callable[[Any], float], value: Any, least: float, most: float) -> str:
    """The value as its reader takes it, or as the reader says that it was meant; empty where neither is known."""
    for _ in range(2):
        if isinstance(value, bool):
            return ""
        try:
            return str(value) if least <= read(value) <= most else ""
        except InvalidValue as refused:
            meant = re.fullmatch(r"(?:write|in one unit:) (\d[\d.]*\w*)", refused.help)
            if meant is None:
                return ""
            value = meant[1]
    return ""


def _number(known: str, value: Any) -> str:
    least, most, otherwise = NUMBERS[known]
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,18}", str(value)) or int(value) < least:
        return otherwise
    return str(min(int(value), most))


def _word(known: str, value: Any) -> str:
    words = CHOICES[known]
    plain = re.sub("[_ ]", "-", str(value).lower())
    plain = WORDS.get("pool" if known == "pool.kind" else known, {}).get(plain, plain)
    if known == "app.lifespan" and isinstance(value, bool):
        plain = "on" if value else "off"
    return plain if plain in words else words[0]


def _path(value: Any) -> str:
    return text(value) if isinstance(value, str) and value and "\0" not in value else "PATH"


def _mode(value: Any) -> str:
    found = re.fullmatch(r"0?[oO]?([0-7]{1,3})", str(value))
    return f'"{int(found[1]):04}"' if found else '"0660"'


def _name(value: Any) -> str:
    likely = re.sub("[^A-Za-z0-9_.-]+", "-", str(value))[:64].strip("-.") if isinstance(value, str | int) else ""
    return text(likely) if likely and not isinstance(value, bool) else "shop"


def _account(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32 - 1:
        return str(value)
    name = value.partition(":")[0] if isinstance(value, str) else ""
    return text(name) if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}", name) else "www-data"


def _networks(value: Any, otherwise: str) -> str:
    given = value if isinstance(value, list) else re.split(r"[\s,;]+", value) if isinstance(value, str) else []
    try:
        found = [read_network(each) for each in given[:MOST]]
    except InvalidValue:
        found = []
    written = [text(each.removesuffix("/32")) for each in found]
    return f"[{', '.join(written)}]" if len(written) > 1 else written[0] if written else otherwise


def _variables(value: Any) -> str:
    """Variables as a mapping: of one, of a list of NAME=VALUE, or of the name and value pairs of Kubernetes."""
    pairs: list[tuple[Any, Any]] = []
    for each in list(value)[:MOST] if isinstance(value, list) else [value]:
        if isinstance(each, str) and "=" in each:
            name, _, given = each.partition("=")
            pairs.append((name, given))
        elif isinstance(each, dict) and each.keys() == {"name", "value"}:
            pairs.append((each["name"], each["value"]))
        elif isinstance(each, dict):
            pairs += each.items()
    shown = [
        f"{name}: {text(_spelled(given))}"
        for name, given in pairs
        if re.fullmatch(r"\w{1,60}", str(name)) and not isinstance(given, dict | list)
    ]
    return f"{{{', '.join(shown)}}}" if 0 < len(shown) == len(pairs) <= 5 else "{NAME: VALUE}"


def _spelled(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _format_or_place(value: Any) -> str:
    """Of the key access_log: a format, or where the lines go."""
    if str(value).lower() in OFF:
        return "off"
    if value in ("combined", "common", "json"):
        return str(value)
    if value in ("-", "stdout", "stderr"):
        return f"{{to: {'stdout' if value == '-' else value}}}"
    place = value.split()[0] if isinstance(value, str) and value.strip() else ""  # nginx: /var/log/x.log main
    return f"{{to: {text(place)}}}" if "/" in place else "combined"


def _place(value: Any) -> str:
    return "stdout" if value in ("-", "/dev/stdout") else _path(value) if isinstance(value, str) else "stdout"


def _proxies(value: Any) -> str:
    """Of the key forwarded, which is a switch elsewhere."""
    if isinstance(value, bool | int) or str(value).lower() in (*ON, *OFF):
        on = str(value).lower() not in OFF
        return "{trust: 127.0.0.1}, with the addresses of your proxies" if on else "off"
    return f"{{trust: {_networks(value, '127.0.0.1')}}}"


def _certificate(_: Any) -> str:
    return "{certificate: PATH, key: PATH}"


def target(value: Any) -> str:
    """The application that a text means: shop.wsgi:app of shop/wsgi.py:app, shop.wsgi:application of shop/wsgi.py."""
    given = value.removeprefix("./").strip() if isinstance(value, str) else ""
    module, _, name = given.partition(":")
    module = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    meant = f"{module}:{name or 'application'}"
    return meant if re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*", meant) else "MODULE:CALLABLE"


_ONE: dict[str, Callable[[Any], str]] = {
    "app.wsgi": target,
    "app.asgi": target,
    "listen.mode": _mode,
    "listen.tls": _certificate,
    "listen.tls.ciphers": lambda value: text(value) if isinstance(value, str) and value else '"ECDHE+AESGCM"',
    "listen.tls.password": lambda value: text(value) if isinstance(value, str) and value else '"${PASSWORD}"',
    "listen.proxy_protocol": lambda value: _networks(value, "10.0.0.0/8"),  # the networks of the proxies, no switch
    "forwarded": _proxies,
    "forwarded.trust": lambda value: _networks(value, "127.0.0.1"),
    "access_log": _format_or_place,
    "access_log.to": _place,
    "environment": _variables,
    "name": _name,
    "user": _account,
    "group": _account,
}


def text(value: str) -> str:
    """A text as YAML has it inside of braces: in quotes where it would be something else without, and with two dollars
    where one would begin a variable."""
    from poolctl.config.loader import resolved_tag

    plain = re.fullmatch(r"[\w./-](?:[\w./:@+-]*[\w./@+-])?", value) and value[0] not in "-:"
    if plain and resolved_tag(value).endswith(":str"):
        return value
    return json.dumps(value.replace("$", "$$"), ensure_ascii=False)
