"""Help for keys and words that other servers have: what they are here, with the values that the file gives them.

Keys that belong below one key of poolctl are answered with one line that has all of them: `workers: 4` beside
`threads: 2` is pool: {size: 4, threads: 2}, for two lines that begin with pool could not both be followed.
What a value becomes is conversion.py; this file is long for what other servers have in several keys, and we in one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from poolctl.config.address import likely_address
from poolctl.config.conversion import MOST, NUMBERS, carried, text
from poolctl.config.other_servers import (
    ANSWERS,
    INSIDE,
    KEYS,
    NGINX,
    ONE,
    OTHERWISE,
    SECTIONS,
    THREADS_OF_CLASS,
    WORDS,
    WORKER_CLASSES,
)

COMPOSE = frozenset(("image", "build", "ports", "depends_on", "volumes"))  # keys of a service of Docker Compose
_COMPOSE = (
    "this is a file of Docker Compose: it stays as it is, and the command of a service in it is poolctl run FILE, with"
    " the topology in a file of its own; poolctl init writes one"
)

NAMED = {"ownership.accept": "half-sync/half-async", "ownership.lock": "leader/followers"}  # what has the option
Texts = dict[tuple[str, ...], str]  # what is below one key, each value as it would be written


def suggest_key(path: str, nested: Mapping[str, type[BaseModel]], around: Any = None) -> str:
    """Where a key that is unknown belongs, or why there is none, as help; empty when that is not known.

    ``path``: dots between its parts. ``around``: the mapping that it stands in, whose values the help repeats.
    """
    owner, _, key = path.rpartition(".")
    around = around if isinstance(around, dict) else {}
    value = around.get(key)
    inside = re.sub(r"\.[0-9]+", "", owner)
    plain = without_dashes(key)
    if not owner and isinstance(value, dict) and plain in ("timeout", "limit"):
        return f'did you mean "{plain}s"?'
    known = INSIDE.get((inside, plain))
    if known is None and not inside and (answer := _of_section(plain, value, around, nested)):
        return answer
    if known is None and plain == "workerclass":
        return _worker_class(value, around, nested)
    if ANSWERS.get(plain) is ONE and isinstance(value, str | int):
        known = "name"
    if known is None and is_address(plain, value):
        known = "listen"
    if known is None and plain in ANSWERS and not (plain in ("body", "head", "use") and inside):
        return ANSWERS[plain]
    known = known or _known(key, nested if not owner else {})
    if known is None or (known == inside and known != "listen"):
        return ""
    if plain == "fd":
        value = _inherited(value)
    if known == "listen":
        value = _host_and_port(around) or value
    together = _together(known, around, nested) if not inside else ""
    return f"write {together or written(known, value, inside)}"


def without_dashes(key: str) -> str:
    return re.sub("[-_ ]", "", key.lower())


def is_address(plain: str, value: Any) -> bool:
    """Whether it is the http of uWSGI or hypercorn, which is an address; that of nginx is a block."""
    return plain == "http" and isinstance(value, str | int) and likely_address(value) != ""


def _known(key: str, nested: Mapping[str, type[BaseModel]]) -> str | None:
    """Where the same is set here, dots between the keys; None where that is not known."""
    found = next((f"{name}.{key}" for name, part in nested.items() if key in part.model_fields), None)
    return found or KEYS.get(without_dashes(key))


def _of_section(plain: str, value: Any, around: dict[str, Any], nested: Mapping[str, type[BaseModel]]) -> str:
    """What is said of a whole section of another tool; empty for anything else."""
    if plain == "kind" and any(without_dashes(str(key)) == "apiversion" for key in around):
        return ANSWERS["metadata"]
    if not isinstance(value, dict):
        return ""
    if plain == "services" and any(isinstance(each, dict) and not COMPOSE.isdisjoint(each) for each in value.values()):
        return _COMPOSE
    if plain == "server" and ("events" in around or not NGINX.isdisjoint(value)):
        return ANSWERS["http"]
    if plain == "events" and isinstance(most := value.get("worker_connections"), int):
        return f"a block of nginx stays in nginx.conf; its worker_connections is limits: {{connections: {most}}} here"
    if plain not in SECTIONS:
        return ""
    lines = "; ".join(dict.fromkeys(_lines(value, nested)))
    more = f". {SECTIONS[plain]}" if SECTIONS[plain] else ""
    return f"keys stand at the top, and are poolctl's own: {lines or ONE}{more}"


def _lines(section: dict[str, Any], nested: Mapping[str, type[BaseModel]]) -> Iterator[str]:
    """The keys of a section as poolctl has them, as far as they are known."""
    for key, value in list(section.items())[:MOST]:
        plain = without_dashes(str(key))
        known = "listen" if is_address(plain, value) else None if plain in ANSWERS else _known(str(key), nested)
        if known is not None:
            yield _together(known, section, nested) or written(known, value, "")


def _worker_class(value: Any, around: dict[str, Any], nested: Mapping[str, type[BaseModel]]) -> str:
    word = _class_of(value)
    if "uvicorn" in word or word in ("asgi", "asyncio"):
        return "write app: {asgi: MODULE:CALLABLE}: poolctl awaits ASGI apps by itself"
    if word == "sync":
        return f"write {_together('pool.kind', around, nested)}"
    if word not in THREADS_OF_CLASS:
        return WORKER_CLASSES.get(word, "pool, ownership and app say together what it says: poolctl init asks for each")
    line = _together("pool.threads", around, nested)
    if word == "gthread":
        return f"write {line}, for processes with threads"
    return f"poolctl has no green threads: {line} has threads for requests that wait"


def _class_of(value: Any) -> str:
    return value.rpartition(".")[2].lower() if isinstance(value, str) else ""


def _together(known: str, around: dict[str, Any], nested: Mapping[str, type[BaseModel]]) -> str:  # noqa: C901  # each key is put together in a way of its own
    """One line for all keys of a mapping that belong below the same key as this one, with what that has already; empty
    where each stands for itself."""
    first = known.partition(".")[0]
    if first in ("app", "ownership", "protocol", "forwarded") or (first == known and first not in ("listen", "pool")):
        return ""
    texts = _given(first, around)
    for key, value in list(around.items())[:MOST]:
        place = _known(str(key), nested) or ""
        if is_address(without_dashes(str(key)), value):
            place = "listen"
        if without_dashes(str(key)) == "workerclass" and first == "pool":
            _add_class(texts, _class_of(value), around, nested)
        elif place in ("listen", "listen.at") and first == "listen":
            address = _host_and_port(around) or value
            texts["at",] = _addresses(_inherited(value) if key == "fd" else address)
        elif place.startswith(f"{first}."):
            texts[tuple(place.split(".")[1:])] = carried(place, value)
    if first == "listen":
        if len(texts) == 1 and ("at",) in texts:
            return f"listen: {texts['at',]}"
        at = texts.pop(("at",), "")
        unix = not {("mode",), ("owner",), ("group",)}.isdisjoint(texts)  # which only a socket's file has
        if unix and not at.startswith("unix:"):
            at = ""
        if at[:1] in ("", "["):  # each of a list has its own
            at = "unix:///PATH" if unix else "tcp://HOST:PORT"
        texts = {("at",): at} | texts
        if ("tls",) in texts and any(len(path) > 1 for path in texts):
            del texts["tls",]  # the switch, beside what it switches on
        if ("tls", "certificate") not in texts and any(path[0] == "tls" and len(path) > 1 for path in texts):
            texts = {("at",): at, ("tls", "certificate"): "PATH"} | texts  # without which there is no TLS
    if first == "pool":
        texts = {(name,): texts[name,] for name in ("kind", "size", "threads") if (name,) in texts}
    if texts.keys() == {("kind",)}:
        return f"{first}: {texts['kind',]}"
    return f"{first}: {_tree(texts)}"


def _host_and_port(around: dict[str, Any]) -> str:
    """Of two keys the one address; empty where one is missing."""
    if not {"host", "port"} <= around.keys():
        return ""
    host = str(around["host"])
    return f"[{host}]:{around['port']}" if host.count(":") > 1 and host[:1] != "[" else f"{host}:{around['port']}"


def _given(first: str, around: dict[str, Any]) -> Texts:
    """What the file has at this key itself."""
    given = around.get(first)
    if isinstance(given, dict):
        return {
            (str(key),): carried(f"{first}.{key}", value) if f"{first}.{key}" in NUMBERS else _shown(value)
            for key, value in given.items()
            if not isinstance(value, dict | list) and (key != "kind" or value in ("process", "thread"))
        }
    if isinstance(given, str):
        known_pool = given if given in ("process", "thread") else ""  # a slip is not repeated
        text = {"listen": _addresses(given), "pool": known_pool}.get(first)
        return {("at" if first == "listen" else "kind",): text} if text else {}
    return {}


def _add_class(texts: Texts, word: str, around: dict[str, Any], nested: Mapping[str, type[BaseModel]]) -> None:
    """What a worker class of gunicorn says of the pool."""
    counted = ("threads",) in texts or any(_known(str(key), nested) == "pool.threads" for key in around)
    if word == "sync":
        texts["kind",] = "process"
    elif word in THREADS_OF_CLASS and not counted:
        texts["threads",] = str(THREADS_OF_CLASS[word])


def _tree(texts: Texts) -> str:
    """Texts by their paths as one mapping in braces."""
    parts = []
    for name in dict.fromkeys(path[0] for path in texts):
        below = {path[1:]: text for path, text in texts.items() if path[0] == name and len(path) > 1}
        parts.append(f"{name}: {_tree(below) if below else texts[(name,)]}")
    return f"{{{', '.join(parts)}}}"


def written(known: str, value: Any, inside: str = "") -> str:
    """The key with its value, in braces below its owner; from the mapping on that it already stands in."""
    if known == "ownership":
        return "ownership: reuse-port"
    if known in NAMED and not inside:
        return f"ownership: {{use: {NAMED[known]}, {known.partition('.')[2]}: {carried(known, value)}}}"
    written = carried(known, value)
    if known in ("listen", "listen.at"):
        address = _addresses(value)
        return f"at: {address}" if inside == "listen" else f"listen: {address}"
    if known == "app.lifespan":
        known = "app.asgi"
        written = f"MODULE:CALLABLE, lifespan: {written}"
    parts = known.split(".")
    if known.startswith("listen.") and not inside.startswith("listen"):
        written = _braces(parts[1:], written)
        if parts[1] in ("mode", "owner", "group"):
            return f"listen: {{at: unix:///PATH, {written}}}"
        return f"listen: {{at: tcp://HOST:PORT, {written}}}"
    within = inside.split(".") if inside else []
    while within and parts[:1] == within[:1] and len(parts) > 1:
        parts, within = parts[1:], within[1:]
    if parts[0] == "tls" and len(parts) > 1 and parts[1] != "certificate":
        return f"tls: {{certificate: PATH, {_braces(parts[1:], written)}}}"
    return _braces(parts, written)


def _inherited(value: Any) -> str:
    """A descriptor as an address: 3 or higher, for the first three are the standard streams."""
    digits = str(value).removeprefix("fd://")
    return f"fd://{max(3, int(digits))}" if re.fullmatch(r"\d{1,6}", digits) else "fd://3"


def _braces(parts: list[str], text: str) -> str:
    for part in reversed(parts[1:]):
        text = f"{{{part}: {text}}}"
    return f"{parts[0]}: {text}"


def _addresses(value: Any) -> str:
    if isinstance(value, list) and value and all(map(likely_address, value[:20])):
        return f"[{', '.join(map(likely_address, value[:20]))}]"
    return likely_address(value) or "tcp://HOST:PORT"


def _shown(value: Any) -> str:
    """A value that can be written again as it is, otherwise dots."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return text(value) if isinstance(value, str) and 0 < len(value) <= 60 else "..."


def suggest_word(axis: str, name: str) -> str:
    """What a word of another server, or a target without its app, is here, as help; empty when that is not known."""
    if axis == "app":
        found = re.fullmatch(r"(wsgi|asgi|static|cgi|lines|frames|stream)[:= ]+(\S+)", name)
        if found:
            return f"write app: {{{found[1]}: {found[2]}}}"
        if re.fullmatch(r"[\w.]+:[\w.]+", name):
            return f"write app: {{wsgi: {name}}}, or app: {{asgi: {name}}}"
        if name in ("python", "app", "application", "main") or re.fullmatch(r"[\w/]+\.wsgi|\w+(\.\w+)+", name):
            return f"name the application in its module: app: {{wsgi: {name}:application}}, or {{asgi: {name}:app}}"
    plain = re.sub("[_ ]", "-", name.lower())
    if (axis, plain) in OTHERWISE:
        return OTHERWISE[axis, plain]
    word = WORDS.get(axis, {}).get(plain)
    return f"write {axis}: {word}" if word else ""
