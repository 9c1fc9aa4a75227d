"""From a reference to a class. This imports other people's code: it happens only in the mold and in child processes
that inspect a plugin, never in the supervisor.

The file is long because a class can fail to fit its axis in many ways, and each has its message.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from dataclasses import KW_ONLY, Field, InitVar, fields, is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from poolctl.assembly.plugins.reference import Reference
from poolctl.assembly.registry import words
from poolctl.config.choice import name_key
from poolctl.errors import PoolctlError
from poolctl.runtime.interface import INTERFACE

NO_LIKE = ("leader", "kernel-hash", "client", "cpu")  # words of dispatch without a front to run a strategy
CALLED = {  # the methods of a strategy, and their arguments
    "pick": ("task", "inboxes"),
    "next": ("inbox", "waiting"),
    "joined": ("inbox",),
    "left": ("inbox",),
    "finished": ("task", "inbox", "seconds"),
}
BASES = {
    "dispatch": "poolctl.runtime.dispatch:Dispatch",
    "app": "poolctl.runtime.app:App",
    "protocol": "poolctl.runtime.protocol:Protocol",
    "ownership": "poolctl.runtime.ownership:Ownership",
    "pool": "poolctl.runtime.pool:Pool",
}


class PluginError(PoolctlError):
    """Raised for a class that cannot be a part. ``help``: the fix."""

    def __init__(self, message: str, help: str = "") -> None:  # noqa: A002  # the name of the finding's field
        super().__init__(f"{message}; {help}" if help else message)
        self.message = message
        self.help = help


def load(reference: Reference) -> type[Any]:
    """The class, checked as far as possible without running it.

    Raises PluginError; exceptions of the plugin's own code are not caught.
    """
    found: Any = _module(reference)
    if not reference.name:
        raise PluginError(
            f'the entry point {reference.text} of {reference.distribution} names the module "{reference.module}" but no'
            " class",
            f'write {reference.text} = "{reference.module}:Mine" in its pyproject.toml, and reinstall it',
        )
    for name in reference.name.split("."):
        inside = found
        found = getattr(inside, name, None)
        if found is None:
            raise _nameless(reference, inside, name)
    check(reference, found)
    return found  # type: ignore[no-any-return]  # it is a class now


def _module(reference: Reference) -> Any:
    if not reference.path:
        return importlib.import_module(reference.module)
    # A unique name: two files may have the same name, and a file may have the name of a library module.
    name = f"poolctl_plugin_{Path(reference.path).stem}_{sha256(reference.path.encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, reference.path)
    assert spec is not None  # the path ends with .py, or has been found to be a file
    assert spec.loader is not None
    folder = str(Path(reference.path).parent)
    if folder not in sys.path:
        sys.path.append(folder)  # a plugin may import its neighbours; at the end, so that they hide nothing
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _share(Path(reference.path), module)
    return module


def _share(path: Path, module: Any) -> None:
    """Let an import of the plugin's file by its own name, which the user's app may do, get the same classes."""
    if path.stem not in sys.modules:
        spec = importlib.util.find_spec(path.stem)
        if spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path:
            sys.modules[path.stem] = module


def base(axis: str) -> type[Any]:
    """The base class of plugins of this axis."""
    module, _, name = BASES[axis].partition(":")
    found: type[Any] = getattr(importlib.import_module(module), name)
    return found


def _nameless(reference: Reference, inside: Any, name: str) -> PluginError:
    kind = base(reference.axis)
    own = [
        each
        for each, value in vars(inside).items()
        if isinstance(value, type) and issubclass(value, kind) and value is not kind and not inspect.isabstract(value)
    ]
    return PluginError(
        f"{reference.where} has no class {name}",
        f"use one of its {reference.axis} classes: {', '.join(own)}" if own else "",
    )


def check(reference: Reference, found: Any) -> None:
    """Raises PluginError when it cannot be a part of its axis."""
    axis, name = reference.axis, reference.name
    kind = base(axis)
    if not isinstance(found, type):
        help_ = f"write a subclass of {kind.__name__}"
        if axis == "app" and callable(found):
            module = reference.where.removeprefix("./").removesuffix(".py").replace("/", ".")
            help_ = f"name an application as app: {{wsgi: {module}:{name}}} or {{asgi: {module}:{name}}}"
        raise PluginError(f"{name} is not a class: its type is {type(found).__name__}", help_)
    if not issubclass(found, kind):
        raise PluginError(
            f"{name} is not a subclass of poolctl.plugin.{kind.__name__}",
            f"write class {found.__name__}({kind.__name__})",
        )
    version = getattr(found, "interface", INTERFACE)
    if version != INTERFACE:
        raise PluginError(
            f"{name} is written for version {version!r} of the interface, but this poolctl has {INTERFACE}",
            "install a release of it for this version, or another version of poolctl",
        )
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        raise PluginError(
            f"{name} does not implement {', '.join(missing)}",
            f"implement it as poolctl.plugin.{kind.__name__} documents",
        )
    _check_like(axis, name, found)
    _check_options(axis, name, found)
    if axis == "dispatch":
        for method, arguments in CALLED.items():
            _check_call(name, found, method, arguments)
    for method, documented in inspect.getmembers_static(kind, inspect.isfunction):
        if not method.startswith("_") and getattr(found, method) is not documented:
            _check_override(kind, found, method, documented)
    _check_protocol(axis, name, found)


def _check_override(kind: type[Any], found: type[Any], method: str, documented: Any) -> None:
    """Raises PluginError when a method cannot be called as the base class documents."""
    function = getattr(found, method)
    if not inspect.isfunction(function) or isinstance(inspect.getattr_static(found, method), staticmethod):
        return  # anything else that can be called: its callers will tell
    signature = inspect.signature(documented)
    given = signature.parameters.values()
    words = [each.name for each in given if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    named = {each.name: each.name for each in given if each.kind == each.KEYWORD_ONLY}
    try:
        inspect.signature(function).bind(*words, **named)
    except TypeError as error:
        written = ", ".join([*words, *(["*", *named] if named else [])])
        raise PluginError(
            f"{found.__name__}.{method} cannot be called as {kind.__name__}.{method} is: {error}",
            f"write def {method}({written})",
        ) from error


def _check_protocol(axis: str, name: str, found: type[Any]) -> None:
    """Raises PluginError when an app does not say which protocol it speaks, or a protocol what it is."""
    if axis == "app" and not isinstance(getattr(found, "protocol", None), str):
        raise PluginError(
            f"{name} does not name the protocol that it speaks", 'set protocol: ClassVar[str], for instance to "http"'
        )
    if axis == "protocol":
        if not isinstance(getattr(found, "name", None), str):
            raise PluginError(f"{name} has no name, by which apps choose it", "set name: ClassVar[str]")
        if not isinstance(getattr(found, "marks_requests", None), bool):
            raise PluginError(
                f"{name} does not say whether it knows where a request ends", "set marks_requests: ClassVar[bool]"
            )


def _check_call(name: str, found: type[Any], method: str, arguments: tuple[str, ...]) -> None:
    """Raises PluginError when a method cannot be called like one of a strategy."""
    written = f"write def {method}(self, {', '.join(arguments)})"
    function = inspect.getattr_static(found, method)
    if not callable(getattr(found, method)):
        raise PluginError(f"{name}.{method} is not a method", written)
    if inspect.iscoroutinefunction(getattr(found, method)):
        raise PluginError(f"{name}.{method} is async, but a strategy decides at once", written)
    whose = () if isinstance(function, staticmethod | classmethod) else ("self",)
    try:
        inspect.signature(getattr(found, method)).bind(*whose, *arguments)
    except TypeError as error:
        given = " and ".join(arguments)
        raise PluginError(f"{name}.{method} cannot be called with {given}: {error}", written) from error


def _check_like(axis: str, name: str, found: type[Any]) -> None:
    like = getattr(found, "like", None)
    if axis not in ("dispatch", "pool", "ownership"):
        return
    known = [word for word in words(axis) if axis != "dispatch" or word not in NO_LIKE]
    if like not in known:
        raise PluginError(
            f'{name}.like is "{like}", which is not a {axis} that runs in a front'
            if axis == "dispatch"
            else f'{name}.like is "{like}", which is not a word of {axis}',
            f"set like: ClassVar[str] to one of {', '.join(known)}",
        )


def _check_options(axis: str, name: str, found: type[Any]) -> None:
    """Raises PluginError for an annotation that is neither an option nor marked as something else, and for an option
    whose type a file cannot express."""
    try:
        hints = get_type_hints(found, include_extras=True)
    except NameError as error:
        raise PluginError(f"{name}: an annotation uses an unknown name: {error}", "import that name") from error
    except (SyntaxError, TypeError) as error:
        raise PluginError(
            f"{name}: an annotation is not a type: {error}", "write a type, for instance weight: int = 3"
        ) from error
    known = {each.name: each for each in fields(found)} if is_dataclass(found) else {}
    for option in inspect.get_annotations(found):
        if isinstance(hints[option], InitVar):
            raise PluginError(f"{name}.{option} is an InitVar, which no topology can set", "make it a field")
        classwide = hints[option] is ClassVar or get_origin(hints[option]) is ClassVar
        if option not in known and not classwide and not option.startswith("_") and hints[option] is not KW_ONLY:
            message = f"{name} is not a dataclass, so {option} is not an option"
            raise PluginError(message, f"put @dataclass above class {found.__name__}")
    for option, field in known.items():
        if field.init:
            _check_option(axis, name, field, hints[option])


def _type(hint: Any) -> str:
    """The type, roughly as written."""
    return str(hint) if get_args(hint) else getattr(hint, "__qualname__", str(hint))


def _check_option(axis: str, name: str, field: Field[Any], hint: Any) -> None:
    from pydantic import PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError
    from pydantic.fields import FieldInfo

    option = field.name
    if option == name_key(axis):
        raise PluginError(f"{name} has an option {option}, the key that names the plugin itself", "rename it")
    if isinstance(field.default, FieldInfo):
        raise PluginError(
            f"{name}.{option} = Field(...) would be its value: this is a dataclass, not a pydantic model",
            f"write {option}: Annotated[{_type(hint)}, Field(...)] = its default",
        )
    try:
        TypeAdapter(hint).json_schema()
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError) as error:
        raise PluginError(
            f"{name}.{option}: a topology cannot express a value of type {_type(hint)}",
            "use numbers, strings, lists, mappings, enumerations or dataclasses of those; mark a field that is not an"
            " option with field(init=False)",
        ) from error
