"""Importing the callable that a target such as ``shop.wsgi:application`` names.

The file is long because each kind of app has its mistakes, and each mistake its message.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from poolctl.errors import AppError
from poolctl.similar import similar

USUAL = ("application", "app")  # the usual names of WSGI and ASGI applications
MODULE_CHARACTERS = 1 << 20  # characters of a module that are searched


def load_callable(target: str, default: str | None = None) -> Callable[..., Any]:
    """Import the module of ``module:attribute.path``, from the working directory first. Return the callable.

    ``default``: the attribute of a WSGI or ASGI application if the target names only a module. Raises AppError if the
    target does not exist or cannot be called; exceptions raised inside the module pass through.
    """
    name, colon, path = target.partition(":")
    path = path if colon else (default or "")
    if not name or not path or not all(part.isidentifier() for part in f"{name}.{path}".split(".")):
        raise AppError(f"{target!r} does not name a callable: write 'package.module:callable'{_meant(target)}")
    found: Any = _attribute(_module(name, target), name, path, likely=default is not None)
    if not callable(found):
        raise AppError(
            f"'{name}:{path}' cannot be called: its type is {type(found).__name__}; name the application itself"
        )
    function: Callable[..., Any] = found
    return function


def load_function(target: str, word: str) -> Callable[..., Any]:
    """Return the function that ``target`` names, for the app ``word``. Raises AppError as ``load_callable`` does, and
    if the function is async or does not take one argument."""
    function = load_callable(target)
    if is_async(function):
        raise AppError(
            f"{target!r} is async, but the app {word} calls it without awaiting; "
            f"write 'app: {{async-{word}: {target}}}'"
        )
    _takes(function, target, (f"a {'connection' if word == 'stream' else word.removesuffix('s')}",))
    return function


def load_async_function(target: str, word: str) -> Callable[..., Awaitable[Any]]:
    """Return the async function that ``target`` names, for the app ``word``. Raises AppError as ``load_callable`` does,
    and if the function is not async or does not take one argument."""
    function = load_callable(target)
    if not is_async(function):
        raise AppError(
            f"{target!r} is not async, but the app {word} awaits it; make it one with 'async def', "
            f"or write 'app: {{{word.removeprefix('async-')}: {target}}}'"
        )
    _takes(function, target, (f"a {'connection' if word == 'async-stream' else word[6:].removesuffix('s')}",))
    return function


def load_wsgi(target: str) -> Callable[..., Any]:
    """Return the WSGI application that ``target`` names, by default ``application`` (PEP 3333). Raises AppError as
    ``load_callable`` does, and if the application is async."""
    function = load_callable(target, "application")
    if is_async(function):
        raise AppError(f"{target!r} is async: an ASGI application, not WSGI; write 'app: {{asgi: {target}}}'")
    _takes(function, target, ("environ", "start_response"))
    return function


def load_asgi(target: str) -> Callable[..., Any]:
    """Return the ASGI application that ``target`` names, by default ``application``. Raises AppError as
    ``load_callable`` does, and if its parameters have the names of PEP 3333; any other callable may return an
    awaitable."""
    function = load_callable(target, "application")
    if not is_async(function) and _parameters(function)[:2] == ["environ", "start_response"]:
        raise AppError(
            f"{target!r} takes environ and start_response: a WSGI application, not ASGI; "
            f"write 'app: {{wsgi: {target}}}'"
        )
    _takes(function, target, ("scope", "receive", "send"))
    return function


def _takes(function: Callable[..., Any], target: str, given: tuple[str, ...]) -> None:
    """Raise AppError if a callable does not accept the arguments of an app, as every request would fail. The usual case
    is a factory, which is easily mistaken for the application that it creates."""
    try:
        signature = inspect.signature(function, follow_wrapped=False)  # the wrapper is what will be called
    except (TypeError, ValueError):
        return  # written in C, without a signature
    why = _misfit(signature, given)
    if not why:
        return
    fix = ""
    if not _misfit(signature, ()):
        name = target.partition(":")[2] or "application"
        fix = f"; if it creates the app, call it in a module, 'app = {name}()', and name that: package.module:app"
    raise AppError(f"{target!r} cannot be called with {' and '.join(given)}: {why}{fix}")


def _misfit(signature: inspect.Signature, given: tuple[str, ...]) -> str:
    try:
        signature.bind(*given)
    except TypeError as error:
        return str(error)
    return ""


def _meant(target: str) -> str:
    """Return the fix for a target in the notation of another server, or of a file path; empty if it is neither."""
    name, _, path = target.partition(":")
    module = name.removeprefix("./").removesuffix(".py").replace("/", ".")
    if path.endswith("()") and path[:-2].isidentifier():
        return f"; call it in a module, 'app = {path}', and name that: package.module:app"
    if module != name and f"{module}.{path or 'x'}".replace(".", "").isidentifier():
        file = _file(module)
        if not path and "/" in target and not name.endswith(".py") and not file:
            module, _, path = module.rpartition(".")  # the last part of app/application is the callable
        path = path or _application_in(file)
        return f"; did you mean '{module}{':' * bool(path)}{path}'?"
    return ""


def _file(module: str) -> str:
    """Return the file of a module in the folders that are searched first; empty if there is none."""
    for folder in dict.fromkeys((os.getcwd(), *sys.path[:1])):
        base = os.path.join(folder, *module.split("."))
        for path in (f"{base}.py", os.path.join(base, "__init__.py")):
            if os.path.isfile(path):
                return path
    return ""


def _application_in(file: str) -> str:
    """Return the usual name that a module defines at its top level, judged by its text; empty if there is none, or if
    it is the default, which a target need not name."""
    if not file:
        return ""
    with open(file, encoding="utf-8", errors="replace") as opened:
        text = opened.read(MODULE_CHARACTERS)
    found = [name for name in USUAL if re.search(rf"(?m)^(?:(?:async )?def |class )?{name}\b\s*[=(:]", text)]
    return found[0] if found and found[0] != USUAL[0] else ""


def _parameters(function: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []  # written in C, without a signature


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether a callable is an ``async def`` function, or an object whose ``__call__`` is one."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _module(name: str, target: str) -> Any:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    places = [sys.path[0], here] if sys.path[1:2] == [here] else [here]  # the topology's folder comes first
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only if the target or one of its packages is missing: a failing import in the user's module passes through.
        missing = error.name
        if missing is None or not (name == missing or name.startswith(missing + ".")) or _is_inside(error, name):
            raise
        raise AppError(
            f"cannot import {name!r}: no module of that name in {', '.join(places)} or the environment"
            + (
                _meant(target)
                or _inside(missing)
                or next(filter(None, (_close(missing, each) for each in places)), "")
                or "; check the name of the module"
            )
        ) from None


def _inside(missing: str) -> str:
    """Return the fix if the missing module is an attribute of its parent module; otherwise empty."""
    module, _, name = missing.rpartition(".")
    return f"; did you mean '{module}:{name}'?" if hasattr(sys.modules.get(module), name) else ""


def _close(missing: str, here: str) -> str:
    """Return the fix if a module with a similar name exists in the folder of the missing one; otherwise empty."""
    *packages, last = missing.split(".")
    folder = os.path.join(here, *packages)
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name.removesuffix(".py") for entry in entries if entry.name.endswith(".py") or entry.is_dir()
            ]
    except OSError:
        return ""
    close = similar(last, filter(str.isidentifier, names))
    return f"; did you mean {'.'.join([*packages, close])!r}?" if close else ""


def _is_inside(error: BaseException, name: str) -> bool:
    """Return whether the error was raised by code of the target's top-level package."""
    tops = name.partition(".")[0]
    trace = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module == tops or module.startswith(tops + "."):
            return True
        trace = trace.tb_next
    return False


def _attribute(module: Any, name: str, path: str, *, likely: bool) -> Any:
    """Return the object at a path of attributes. ``likely``: a WSGI or ASGI application is expected, so suggest one of
    any name. Raises AppError."""
    found = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            meant = similar(part, _names(found, classes=not likely))
            if not meant and likely and found is module and (other := _application(module)):
                meant = f"{name}:{other}"
            where = f"module {name!r}" if found is module else f"'{name}:{path}'"
            raise AppError(
                f"{where} has no attribute {part!r}; {f'did you mean {meant!r}?' if meant else 'check the name'}"
            ) from None
    return found


def _names(owner: Any, *, classes: bool) -> Iterator[str]:
    """Yield the attributes to suggest; an application is hardly ever a class."""
    for name in dir(owner):
        if name[:2] != "__" and (classes or not inspect.isclass(getattr(owner, name, None))):
            yield name


def _application(module: Any) -> str:
    """Return the name of the application in a module: a usual name, or the only callable with the parameters of an
    application; empty if there is none."""
    own = {name: value for name, value in vars(module).items() if name[:1] != "_" and callable(value)}
    usual = next((name for name in USUAL if name in own), "")
    if usual:
        return usual
    fitting = [name for name, value in own.items() if not inspect.isclass(value) and _is_application(value)]
    return fitting[0] if len(fitting) == 1 else ""


def _is_application(function: Callable[..., Any]) -> bool:
    """Return whether the parameters have the names of PEP 3333 or of ASGI 3."""
    return _parameters(function)[:3] in (["environ", "start_response"], ["scope", "receive", "send"])
