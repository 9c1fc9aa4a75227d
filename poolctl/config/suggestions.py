"""Help for the keys and words of other servers: their equivalent in poolctl, with the values that the file gives them.

Keys that belong under the same key of poolctl get one line with all of them: `workers: 4` next to `threads: 2` is
pool: {size: 4, threads: 2}, because two lines that begin with pool could not both be followed. conversion.py converts
the values. The file is long because other servers spread over several keys what poolctl has in one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from poolctl.config.address import likely_address
from poolctl.config.conversion import MAX_ITEMS, NUMBERS, converted, quoted
from poolctl.config.other_servers import (
    ANSWERS,
    INSIDE,
    KEYS,
    NGINX,
    ONE,
    SECTIONS,
    THREADS_OF_CLASS,
    WORD_ANSWERS,
    WORDS,
    WORKER_CLASSES,
)

COMPOSE = frozenset(("image", "build", "ports", "depends_on", "volumes"))  # keys of a Docker Compose service
_COMPOSE = (
    "this is a Docker Compose file: keep it, set the command of a service to poolctl run FILE, and put the topology in"
    " a file of its own; poolctl init writes one"
)

NAMED = {  # the word with the option
    "ownership.accept": "half-sync/half-async",
    "ownership.lock": "leader/followers",
    "ownership.retry": "half-sync/half-reactive",
}
Texts = dict[tuple[str, ...], str]  # the values below one key by their paths, each as it would be written


def suggest_key(path: str, nested: Mapping[str, type[BaseModel]], around: Any = None) -> str:
    """The help for an unknown key: where it belongs, or why there is no such key; empty when that is not known.

    ``path`` has dots between its parts. ``around`` is the mapping that has the key, whose values the help repeats.
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
    """The key in lower case, without dashes, underscores and spaces."""
    return re.sub("[-_ ]", "", key.lower())


def is_address(plain: str, value: Any) -> bool:
    """Whether a key is the ``http`` of uWSGI or hypercorn, which is an address; nginx's is a block."""
    return plain == "http" and isinstance(value, str | int) and likely_address(value) != ""


def _known(key: str, nested: Mapping[str, type[BaseModel]]) -> str | None:
    """The key of poolctl that sets the same thing, with dots between its parts; None where there is none."""
    found = next((f"{name}.{key}" for name, part in nested.items() if key in part.model_fields), None)
    return found or KEYS.get(without_dashes(key))


def _of_section(plain: str, value: Any, around: dict[str, Any], nested: Mapping[str, type[BaseModel]]) -> str:
    """The help for a whole section of another tool's file; empty for anything else."""
    if plain == "kind" and any(without_dashes(str(key)) == "apiversion" for key in around):
        return ANSWERS["metadata"]
    if not isinstance(value, dict):
        return ""
    if plain == "services" and any(isinstance(each, dict) and not COMPOSE.isdisjoint(each) for each in value.values()):
        return _COMPOSE
    if plain == "server" and ("events" in around or not NGINX.isdisjoint(value)):
        return ANSWERS["http"]
    if plain == "events" and isinstance(most := value.get("worker_connections"), int):
        return f"keep this block in nginx.conf, and write limits: {{connections: {most}}} for its worker_connections"
    if plain not in SECTIONS:
        return ""
    lines = "; ".join(dict.fromkeys(_lines(value, nested)))
    more = f". {SECTIONS[plain]}" if SECTIONS[plain] else ""
    return f"write poolctl's own keys, at the top level: {lines or ONE}{more}"


def _lines(section: dict[str, Any], nested: Mapping[str, type[BaseModel]]) -> Iterator[str]:
    """The lines of a topology that equal the known keys of a section."""
    for key, value in list(section.items())[:MAX_ITEMS]:
        plain = without_dashes(str(key))
        known = "listen" if is_address(plain, value) else None if plain in ANSWERS else _known(str(key), nested)
        if known is not None:
            yield _together(known, section, nested) or written(known, value, "")


def _worker_class(value: Any, around: dict[str, Any], nested: Mapping[str, type[BaseModel]]) -> str:
    word = _class_of(value)
    if "uvicorn" in word or word in ("asgi", "asyncio"):
        return "write app: {asgi: MODULE:CALLABLE}: poolctl needs no worker class for ASGI apps"
    if word == "sync":
        return f"write {_together('pool.kind', around, nested)}"
    if word not in THREADS_OF_CLASS:
        return WORKER_CLASSES.get(word, "use pool, ownership and app instead: poolctl init asks for each")
    line = _together("pool.threads", around, nested)
    if word == "gthread":
        return f"write {line}, for processes with threads"
    return f"poolctl has no green threads: use {line}, OS threads for requests that wait"


def _class_of(value: Any) -> str:
    return value.rpartition(".")[2].lower() if isinstance(value, str) else ""


def _together(known: str, around: dict[str, Any], nested: Mapping[str, type[BaseModel]]) -> str:  # noqa: C901  # each key is put together in a way of its own
    """One line for all keys of a mapping that belong under the same key as this one, merged with what the file already
    has there; empty where each key gets a line of its own."""
    first = known.partition(".")[0]
    if first in ("app", "ownership", "protocol", "forwarded") or (first == known and first not in ("listen", "pool")):
        return ""
    texts = _given(first, around)
    for key, value in list(around.items())[:MAX_ITEMS]:
        place = _known(str(key), nested) or ""
        if is_address(without_dashes(str(key)), value):
            place = "listen"
        if without_dashes(str(key)) == "workerclass" and first == "pool":
            _add_class(texts, _class_of(value), around, nested)
        elif place in ("listen", "listen.at") and first == "listen":
            address = _host_and_port(around) or value
            texts["at",] = _addresses(_inherited(value) if key == "fd" else address)
        elif place.startswith(f"{first}."):
            texts[tuple(place.split(".")[1:])] = converted(place, value)
    if first == "listen":
        if len(texts) == 1 and ("at",) in texts:
            return f"listen: {texts['at',]}"
        at = texts.pop(("at",), "")
        unix = not {("mode",), ("owner",), ("group",)}.isdisjoint(texts)  # only for the file of a socket
        if unix and not at.startswith("unix:"):
            at = ""
        if at[:1] in ("", "["):  # each address of a list has options of its own
            at = "unix:///PATH" if unix else "tcp://HOST:PORT"
        texts = {("at",): at} | texts
        if ("tls",) in texts and any(len(path) > 1 for path in texts):
            del texts["tls",]  # a switch, where the options it switches on are given too
        if ("tls", "certificate") not in texts and any(path[0] == "tls" and len(path) > 1 for path in texts):
            texts = {("at",): at, ("tls", "certificate"): "PATH"} | texts  # TLS needs a certificate
    if first == "pool":
        texts = {(name,): texts[name,] for name in ("kind", "size", "threads") if (name,) in texts}
    if texts.keys() == {("kind",)}:
        return f"{first}: {texts['kind',]}"
    return f"{first}: {_tree(texts)}"


def _host_and_port(around: dict[str, Any]) -> str:
    """The address of the keys host and port; empty unless both are there."""
    if not {"host", "port"} <= around.keys():
        return ""
    host = str(around["host"])
    return f"[{host}]:{around['port']}" if host.count(":") > 1 and host[:1] != "[" else f"{host}:{around['port']}"


def _given(first: str, around: dict[str, Any]) -> Texts:
    """What the file already has at this key."""
    given = around.get(first)
    if isinstance(given, dict):
        return {
            (str(key),): converted(f"{first}.{key}", value) if f"{first}.{key}" in NUMBERS else _shown(value)
            for key, value in given.items()
            if not isinstance(value, dict | list) and (key != "kind" or value in ("process", "thread"))
        }
    if isinstance(given, str):
        known_pool = given if given in ("process", "thread") else ""  # a misspelled word is not repeated
        text = {"listen": _addresses(given), "pool": known_pool}.get(first)
        return {("at" if first == "listen" else "kind",): text} if text else {}
    return {}


def _add_class(texts: Texts, word: str, around: dict[str, Any], nested: Mapping[str, type[BaseModel]]) -> None:
    """Add what a worker class of gunicorn says about the pool."""
    counted = ("threads",) in texts or any(_known(str(key), nested) == "pool.threads" for key in around)
    if word == "sync":
        texts["kind",] = "process"
    elif word in THREADS_OF_CLASS and not counted:
        texts["threads",] = str(THREADS_OF_CLASS[word])


def _tree(texts: Texts) -> str:
    """The texts as one mapping in braces."""
    parts = []
    for name in dict.fromkeys(path[0] for path in texts):
        below = {path[1:]: text for path, text in texts.items() if path[0] == name and len(path) > 1}
        parts.append(f"{name}: {_tree(below) if below else texts[(name,)]}")
    return f"{{{', '.join(parts)}}}"


def written(known: str, value: Any, inside: str = "") -> str:
    """The key with its value, nested in braces below its owners; ``inside`` is the mapping that it already is in."""
    if known == "ownership":
        return "ownership: reuse-port"
    if known in NAMED and not inside:
        return f"ownership: {{use: {NAMED[known]}, {known.partition('.')[2]}: {converted(known, value)}}}"
    written = converted(known, value)
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
    """A descriptor as an address: 3 or higher, since the first three are the standard streams."""
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
    """The value as it can be written again, or dots where it cannot."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return quoted(value) if isinstance(value, str) and 0 < len(value) <= 60 else "..."


def suggest_word(axis: str, name: str) -> str:
    """The help for a word of another server, or for a target without its app; empty when it is not known."""
    if axis == "app":
        found = re.fullmatch(r"(wsgi|asgi|static|cgi|lines|frames|stream)[:= ]+(\S+)", name)
        if found:
            return f"write app: {{{found[1]}: {found[2]}}}"
        if re.fullmatch(r"[\w.]+:[\w.]+", name):
            return f"write app: {{wsgi: {name}}}, or app: {{asgi: {name}}}"
        if name in ("python", "app", "application", "main") or re.fullmatch(r"[\w/]+\.wsgi|\w+(\.\w+)+", name):
            return f"name the application in its module: app: {{wsgi: {name}:application}}, or {{asgi: {name}:app}}"
    plain = re.sub("[_ ]", "-", name.lower())
    if (axis, plain) in WORD_ANSWERS:
        return WORD_ANSWERS[axis, plain]
    word = WORDS.get(axis, {}).get(plain)
    return f"write {axis}: {word}" if word else ""
