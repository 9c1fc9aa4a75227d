"""Values of other servers, converted to what poolctl's key accepts: nginx's 10m becomes 10MiB, and $CPU becomes auto.

Help that quotes such a value can be followed: a value that the key would reject is never repeated. A value that cannot
be understood is replaced by an example that the key accepts. The file is long because each kind of value has its
function, and a table the names of all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from poolctl.config.core_schema import resolved_tag
from poolctl.config.forwarded import read_network
from poolctl.config.health import read_health
from poolctl.config.invalid_value import InvalidValue
from poolctl.config.other_servers import WORDS
from poolctl.config.units import LONGEST_SECONDS, MAX_SECONDS, UNLIMITED, seconds, size, timeout

MAX_ITEMS = 40  # of a list or mapping that are examined
ON = ("on", "yes", "true", "1", "enable", "enabled")
OFF = ("off", "no", "false", "0", "disable", "disabled", "none", "null", "never")
# The minimum of each size, and the replacement for one that cannot be read. In nginx 0 allows a body of any size.
SIZES = {
    "protocol.head": (256, "32KiB"),
    "protocol.target": (1, "8KiB"),
    "protocol.body": (1, "16MiB"),
    "protocol.spool": (0, "256KiB"),
    "protocol.websocket_message": (1, "16MiB"),
    "limits.body_rate": (0, "1KiB"),
    "recycle.memory": (1 << 20, "512MiB"),
    "scale.memory": (1 << 20, "2GiB"),
}
LARGEST = {"protocol.body": "1GiB", "protocol.websocket_message": "1GiB"}  # instead of "unlimited"
# The range of each number, and the replacement for one that cannot be read.
NUMBERS = {
    "pool.size": (1, 4096, "auto"),
    "pool.threads": (1, 1024, "4"),
    "limits.connections": (1, 10_000_000, "10000"),
    "limits.waiting": (1, 10_000_000, "1000"),
    "protocol.headers": (1, 10_000, "100"),
    "backlog": (1, 65535, "2048"),
    "classes.reserve": (0, 10_000, "1"),
    "classes.most": (1, 1_000_000, "4"),
    "classes.priority": (-100, 100, "1"),
    "recycle.requests": (1, 10**12, "10000"),
}
TIMES = (
    "protocol.websocket_ping",
    "dispatch.slow_start",
    "recycle.age",
    "recycle.least",
    "reload.ready",
    "scale.wait",
    "scale.idle",
    "overload.target",
)
SWITCHES = ("protocol.http2", "protocol.websocket_deflate", "preload")
CHOICES = {
    "pool.kind": ("process", "thread"),
    "dispatch": (
        "least-loaded",
        "round-robin",
        "random",
        "power-of-choices",
        "shared-queue",
        "size-aware",
        "kernel-hash",
    ),
    "protocol": ("http", "raw", "lines"),
    "overload.order": ("newest", "oldest"),
    "affinity": ("client", "request", "connection"),
    "app.lifespan": ("auto", "on", "off"),
    "ownership.accept": ("worker", "front"),
    "ownership.lock": ("kernel", "file", "mutex"),
    "ownership.retry": ("idempotent", "off"),
    "access_log.format": ("combined", "common", "json"),
}  # the first replaces anything that is not among them


def converted(key: str, value: Any) -> str:
    """The text to write for a value at a key of poolctl, given with dots between its parts."""
    if key in SIZES:
        return _size(key, value)
    if key.startswith("timeouts.") or key in TIMES:
        return _time(key, value)
    if key in NUMBERS:
        return _number(key, value)
    if key in SWITCHES:
        return "false" if str(value).lower() in OFF else "true"
    if key in CHOICES:
        return _word(key, value)
    return _CONVERTERS.get(key, _path)(value)


def _size(key: str, value: Any) -> str:
    least, otherwise = SIZES[key]
    if key in LARGEST and (value in (0, "0") or str(value).lower() in UNLIMITED):
        return LARGEST[key]
    return _corrected(size, value, least, 1 << 60) or otherwise


def _time(key: str, value: Any) -> str:
    if key == "timeouts.request" and (not value or value == "0" or str(value).lower() in (*UNLIMITED, "null")):
        return "off"
    if isinstance(value, str) and " " in value:
        value = value.split()[0]  # nginx: keepalive_timeout 75s 60s
    if value is False or value in (0, "0") or str(value).lower() in ("off", "no", "none", "never", "disabled"):
        # poolctl has no unlimited timeouts, and keep-alive cannot be switched off.
        return {"timeouts.idle": "1s", "timeouts.drain": "0"}.get(key, "24h")
    if str(value).lower() in UNLIMITED:
        return "24h"
    if key == "recycle.age":
        return _corrected(seconds, value, 1, LONGEST_SECONDS) or "24h"
    found = _corrected(timeout, value, 0, MAX_SECONDS)
    if not found and (re.fullmatch(r"\d{1,6}\s*([dwMy]|days?|weeks?)", str(value)) or _too_long(value)):
        return "24h"
    return found or ("5m" if key == "timeouts.request" else "30s")


def _too_long(value: Any) -> bool:
    try:
        return seconds(value) > MAX_SECONDS
    except InvalidValue:
        return False


def _corrected(read: Callable[[Any], float], value: Any, least: float, most: float) -> str:
    """The value if its reader accepts it, else the value that the reader suggests; empty where there is neither."""
    for _ in range(2):
        if isinstance(value, bool):
            return ""
        try:
            return str(value) if least <= read(value) <= most else ""
        except InvalidValue as error:
            suggested = re.fullmatch(r"write (\d[\d.]*\w*)", error.help)
            if suggested is None:
                return ""
            value = suggested[1]
    return ""


def _number(key: str, value: Any) -> str:
    least, most, otherwise = NUMBERS[key]
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,18}", str(value)) or int(value) < least:
        return otherwise
    return str(min(int(value), most))


def _word(key: str, value: Any) -> str:
    words = CHOICES[key]
    plain = re.sub("[_ ]", "-", str(value).lower())
    plain = WORDS.get("pool" if key == "pool.kind" else key, {}).get(plain, plain)
    if key == "app.lifespan" and isinstance(value, bool):
        plain = "on" if value else "off"
    return plain if plain in words else words[0]


def _path(value: Any) -> str:
    return quoted(value) if isinstance(value, str) and value and "\0" not in value else "PATH"


def _mode(value: Any) -> str:
    found = re.fullmatch(r"0?[oO]?([0-7]{1,3})", str(value))
    return f'"{int(found[1]):04}"' if found else '"0660"'


def _name(value: Any) -> str:
    likely = re.sub("[^A-Za-z0-9_.-]+", "-", str(value))[:64].strip("-.") if isinstance(value, str | int) else ""
    return quoted(likely) if likely and not isinstance(value, bool) else "shop"


def _account(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32 - 1:
        return str(value)
    name = value.partition(":")[0] if isinstance(value, str) else ""
    return quoted(name) if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}", name) else "www-data"


def _networks(value: Any, otherwise: str) -> str:
    given = value if isinstance(value, list) else re.split(r"[\s,;]+", value) if isinstance(value, str) else []
    try:
        found = [read_network(each) for each in given[:MAX_ITEMS]]
    except InvalidValue:
        found = []
    written = [quoted(each.removesuffix("/32")) for each in found]
    return f"[{', '.join(written)}]" if len(written) > 1 else written[0] if written else otherwise


def _variables(value: Any) -> str:
    """Variables as a mapping, from a mapping, a list of NAME=VALUE, or the name and value pairs of Kubernetes."""
    pairs: list[tuple[Any, Any]] = []
    for each in list(value)[:MAX_ITEMS] if isinstance(value, list) else [value]:
        if isinstance(each, str) and "=" in each:
            name, _, given = each.partition("=")
            pairs.append((name, given))
        elif isinstance(each, dict) and each.keys() == {"name", "value"}:
            pairs.append((each["name"], each["value"]))
        elif isinstance(each, dict):
            pairs += each.items()
    shown = [
        f"{name}: {quoted(_spelled(given))}"
        for name, given in pairs
        if re.fullmatch(r"\w{1,60}", str(name)) and not isinstance(given, dict | list)
    ]
    return f"{{{', '.join(shown)}}}" if 0 < len(shown) == len(pairs) <= 5 else "{NAME: VALUE}"


def _spelled(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _access_log(value: Any) -> str:
    """A format, or a mapping with the destination of the lines."""
    if str(value).lower() in OFF:
        return "off"
    if value in ("combined", "common", "json"):
        return str(value)
    if value in ("-", "stdout", "stderr"):
        return f"{{to: {'stdout' if value == '-' else value}}}"
    place = value.split()[0] if isinstance(value, str) and value.strip() else ""  # nginx: /var/log/x.log main
    return f"{{to: {quoted(place)}}}" if "/" in place else "combined"


def _destination(value: Any) -> str:
    return "stdout" if value in ("-", "/dev/stdout") else _path(value) if isinstance(value, str) else "stdout"


def _proxies(value: Any) -> str:
    """The value of the key ``forwarded``, which is a switch in other servers."""
    if isinstance(value, bool | int) or str(value).lower() in (*ON, *OFF):
        on = str(value).lower() not in OFF
        return "{trust: 127.0.0.1}, with the addresses of your proxies" if on else "off"
    return f"{{trust: {_networks(value, '127.0.0.1')}}}"


def _health(value: Any) -> str:
    """The path of a health check; a switch stands for the usual one."""
    try:
        path = read_health(value)
    except InvalidValue:
        path = "" if str(value).lower() in OFF else "/healthz"
    return quoted(path) if path else "off"


def _certificate(_: Any) -> str:
    return "{certificate: PATH, key: PATH}"


def target(value: Any) -> str:
    """The MODULE:CALLABLE that a value means: shop.wsgi:app for shop/wsgi.py:app, shop.wsgi:application for
    shop/wsgi.py."""
    given = value.removeprefix("./").strip() if isinstance(value, str) else ""
    module, _, name = given.partition(":")
    module = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    likely = f"{module}:{name or 'application'}"
    return likely if re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*", likely) else "MODULE:CALLABLE"


_CONVERTERS: dict[str, Callable[[Any], str]] = {
    "app.wsgi": target,
    "app.asgi": target,
    "listen.mode": _mode,
    "listen.tls": _certificate,
    "listen.tls.ciphers": lambda value: quoted(value) if isinstance(value, str) and value else '"ECDHE+AESGCM"',
    "listen.tls.password": lambda value: quoted(value) if isinstance(value, str) and value else '"${PASSWORD}"',
    "listen.proxy_protocol": lambda value: _networks(value, "10.0.0.0/8"),  # the proxies' networks, not a switch
    "forwarded": _proxies,
    "health": _health,
    "forwarded.trust": lambda value: _networks(value, "127.0.0.1"),
    "access_log": _access_log,
    "access_log.to": _destination,
    "environment": _variables,
    "name": _name,
    "user": _account,
    "group": _account,
}


def quoted(value: str) -> str:
    """A string as YAML inside braces: in quotes where it would be something else without them, and with every dollar
    doubled so that it begins no variable."""
    plain = re.fullmatch(r"[\w./-](?:[\w./:@+-]*[\w./@+-])?", value) and value[0] not in "-:"
    if plain and resolved_tag(value).endswith(":str"):
        return value
    return json.dumps(value.replace("$", "$$"), ensure_ascii=False)
