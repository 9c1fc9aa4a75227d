"""Tasks for the checks: equal ones of many clients, ones that differ in everything, and few that a strategy knows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import CodeType, FunctionType
from typing import Any

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.task import Task
from poolctl.testing.simulation import Request, task

NOT_READ = ("poolctl.runtime.dispatch", "abc", "builtins")  # modules of classes in which no author writes words
MOST_WORDS = 40
WORD_CHARACTERS = 60
DEPTH = 4  # of collections in collections, and functions in functions
COMMON = ("/", "/login", "/static/app.css", "/api/users/7")  # paths
METHODS = ("GET", "POST", "DELETE")
CLIENTS = 20

# For strategies that search the headers of ``Task.asked`` themselves.
HEADERS = (b"X-Session", b"Mcp-Session-Id", b"X-Tenant", b"X-Tenant-Id", b"X-User", b"X-Request-Id", b"Authorization")


def client(number: int) -> str:
    """Return the address of one of many clients."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


class TaskWithAnyHeader(Task):
    """A task that has every header and cookie that a strategy asks for, with the value of X-Session: the memory of a
    strategy that remembers a header would stay small if no task had that header."""

    def header(self, name: str) -> str | None:
        found = super().header(name)
        return found if found is not None else super().header("X-Session")

    def cookie(self, name: str) -> str | None:
        found = super().cookie(name)
        return found if found is not None else super().header("X-Session")


def tasks(count: int, first: int = 0) -> list[Task]:
    """Return equal tasks of different clients, with different values of everything else that a strategy may read."""
    return [equal(number) for number in range(first, first + count)]


def equal(number: int) -> Task:
    """Return one of ``tasks``."""
    value = _value(number)
    return _task(number, client(number), "GET", b"/" + value, value)


def routes(count: int) -> list[Task]:
    """Return tasks of so many routes: their paths have no numbers, which a strategy may take for one route."""
    return [_task(number, client(number), "GET", _letters(number), _value(number)) for number in range(count)]


def _letters(number: int) -> bytes:
    return b"/list-%b" % bytes(ord("g") + int(digit) for digit in str(number))  # no hexadecimal digits


def various(number: int, words: Sequence[str] = ()) -> Task:
    """Return one of many tasks of which no two have the same client, method, path or header; paths begin with words of
    the strategy."""
    value = _value(number)
    word = words[number % len(words)] if words else ""
    path = f"/{word.strip('/')}/".replace("//", "/").encode()
    return _task(number, client(number), f"M{value.decode()}", path + value, value)


def known(number: int, words: Sequence[str] = ()) -> Task:
    """Return one of few different tasks: they ask for what a strategy has words for, as a path and as a header."""
    word = (*COMMON, *words)[number % (len(COMMON) + len(words))]
    path = word if word.startswith("/") else f"/{word}"
    return _task(
        number, client(number * 7 % CLIENTS), METHODS[number // 3 % len(METHODS)], path.encode(), word.encode()
    )


def _task(number: int, client: str, method: str, path: bytes, value: bytes) -> Task:
    headers = [(header, value) for header in HEADERS]
    headers.append((b"cookie", b"sid=%b; sessionid=%b" % (value, value)))
    return TaskWithAnyHeader(*task(client, float(number), Request(method, b"%b?q=%b" % (path, value), headers)))


def _value(number: int) -> bytes:
    return b"%d" % (number * 2654435761 % 2**32)  # neighbors differ widely


def words_of(strategy: Dispatch) -> tuple[str, ...]:
    """Return the words in the code and the options of a strategy, by which it may tell tasks apart: parts of paths, and
    values of headers."""
    found = list(_words(getattr(strategy, "__dict__", {}).values()))
    for kind in type(strategy).__mro__:
        if not kind.__module__.startswith(NOT_READ):
            own = [value for name, value in vars(kind).items() if not name.startswith("__")]
            module = vars(sys.modules[kind.__module__]) if kind.__module__ in sys.modules else {}
            found += _words(own)
            found += _words(module[name] for name in _globals(own) if name in module)
    words = dict.fromkeys(word.lstrip("^").rstrip("$") for word in found)
    return tuple(word for word in words if word and len(word) <= WORD_CHARACTERS)[:MOST_WORDS]


def _words(things: Iterable[Any], depth: int = DEPTH) -> Iterator[str]:
    """Yield the words among these, in their collections, and in the code of functions."""
    for thing in things if depth else ():
        if type(thing) is str:
            if thing.isascii() and thing.isprintable() and not set(" <").intersection(thing):
                yield thing
        else:
            yield from _words(_parts(thing), depth - 1)


def _globals(things: Iterable[Any], depth: int = DEPTH) -> Iterator[str]:
    """Yield the names of globals that the code of functions reads."""
    for thing in things if depth else ():
        if isinstance(thing, CodeType):
            yield from thing.co_names
        if not isinstance(thing, str):
            yield from _globals(_parts(thing), depth - 1)


def _parts(thing: Any) -> Iterable[Any]:
    if type(thing) in (list, tuple, set, frozenset):
        return tuple(thing)
    if type(thing) is dict:
        return (*thing.keys(), *thing.values())
    if isinstance(thing, CodeType):
        return thing.co_consts
    if isinstance(thing, FunctionType):
        return (thing.__code__,)
    if isinstance(thing, re.Pattern):
        return (thing.pattern,)
    return (thing.fget,) if isinstance(thing, property) else ()
