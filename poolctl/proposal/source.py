"""Finds the applications in one module by its syntax tree; nothing is imported. It recognizes

app = Flask(__name__)            the constructor of a framework, traced to its import
application = get_wsgi_application()
application = WhiteNoise(application)   a wrapper, traced to what it wraps
app = create_app()               a factory of this project, traced to the constructor that it calls
from shop import app             another module of this project
def application(environ, start_response)
async def app(scope, receive, send)
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

# What a call of each constructor creates: the framework's name, and the interface of its applications.
CONSTRUCTORS = {
    "flask.Flask": ("Flask", "wsgi"),
    "django.core.wsgi.get_wsgi_application": ("Django", "wsgi"),
    "django.core.asgi.get_asgi_application": ("Django", "asgi"),
    "fastapi.FastAPI": ("FastAPI", "asgi"),
    "fastapi.applications.FastAPI": ("FastAPI", "asgi"),
    "starlette.applications.Starlette": ("Starlette", "asgi"),
    "quart.Quart": ("Quart", "asgi"),
    "litestar.Litestar": ("Litestar", "asgi"),
    "litestar.app.Litestar": ("Litestar", "asgi"),
    "blacksheep.Application": ("BlackSheep", "asgi"),
    "falcon.App": ("Falcon", "wsgi"),
    "falcon.API": ("Falcon", "wsgi"),
    "falcon.asgi.App": ("Falcon", "asgi"),
    "bottle.Bottle": ("Bottle", "wsgi"),
    "bottle.default_app": ("Bottle", "wsgi"),
    "bottle.app": ("Bottle", "wsgi"),
    "channels.routing.ProtocolTypeRouter": ("Django Channels", "asgi"),
    "socketio.ASGIApp": ("Socket.IO", "asgi"),
    "socketio.WSGIApp": ("Socket.IO", "wsgi"),
    "asgiref.wsgi.WsgiToAsgi": ("WsgiToAsgi", "asgi"),
    "a2wsgi.WSGIMiddleware": ("a2wsgi", "asgi"),
    "a2wsgi.ASGIMiddleware": ("a2wsgi", "wsgi"),
}
# Methods whose result is an application: Datasette([...]).app(), config.make_wsgi_app() of Pyramid.
METHODS = {"make_wsgi_app": ("Pyramid", "wsgi"), "datasette.app.Datasette.app": ("Datasette", "asgi")}
NAMES = ("application", "app")
DEPTH = 5  # modules that a name is traced through


@dataclass(frozen=True)
class Object:
    """An application at module level. ``kind``: wsgi, asgi, or empty if only its name suggests an app."""

    name: str
    kind: str
    framework: str = ""  # empty: a plain function, or unknown
    factory: bool = False  # must be called to create the application


@dataclass
class Module:
    """The top level of one module, and what its names are bound to."""

    name: str
    imports: dict[str, str] = field(default_factory=dict)  # name here -> dotted name there
    values: dict[str, ast.expr] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=dict)
    package: bool = False  # whether it is an __init__.py


Modules = Callable[[str], Module | None]  # a module of this project by its dotted name


def read_module(name: str, text: str, *, package: bool = False) -> Module:
    """Parse a module. Raises SyntaxError, ValueError (for a NUL) and RecursionError."""
    module = Module(name, package=package)
    for statement in _top_level(ast.parse(text).body):
        _bind(module, statement)
    return module


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements that run at import, also inside `if` and `try`, except for `if __name__ == "__main__"`."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If):
            if not (isinstance(statement.test, ast.Compare) and ast.unparse(statement.test.left) == "__name__"):
                yield from _top_level([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            handlers = [inner for handler in statement.handlers for inner in handler.body]
            yield from _top_level([*statement.body, *handlers, *statement.orelse, *statement.finalbody])
        elif isinstance(statement, ast.With):
            yield from _top_level(statement.body)


def _bind(module: Module, statement: ast.stmt) -> None:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            first = alias.name.partition(".")[0]
            module.imports[alias.asname or first] = alias.name if alias.asname else first
    elif isinstance(statement, ast.ImportFrom):
        source = _absolute(module, statement)
        for alias in statement.names:
            module.imports[alias.asname or alias.name] = f"{source}.{alias.name}"
    elif isinstance(statement, ast.Assign):
        for target in statement.targets:
            if isinstance(target, ast.Name) and not _wraps(statement.value, target.id):
                module.values[target.id] = statement.value
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
        module.values[statement.target.id] = statement.value
    elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        module.functions[statement.name] = statement


def _wraps(value: ast.expr, name: str) -> bool:
    """Whether a value wraps the application of the same name, as in `application = WhiteNoise(application)`."""
    known = isinstance(value, ast.Call) and any(isinstance(each, ast.Name) and each.id == name for each in value.args)
    return known and not (isinstance(value, ast.Call) and _last(value.func) in ("WsgiToAsgi", "ASGIApp", "WSGIApp"))


def _last(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _absolute(module: Module, statement: ast.ImportFrom) -> str:
    if not statement.level:
        return statement.module or ""
    parents = module.name.split(".")
    keep = len(parents) - statement.level + (1 if module.package else 0)
    return ".".join([*parents[: max(0, keep)], *([statement.module] if statement.module else [])])


def objects(module: Module, modules: Modules) -> list[Object]:
    """Return the applications of a module, in the order of their definitions."""
    found = [
        each
        for name in [*module.values, *module.imports, *module.functions]
        if (each := _object(module, name, modules))
    ]
    best: dict[str, Object] = {}
    for each in found:
        if each.name not in best or not best[each.name].kind:
            best[each.name] = each
    return list(best.values())


def _object(module: Module, name: str, modules: Modules) -> Object | None:
    if name in module.functions:
        return _function(module, name)
    if name in module.values:
        framework, kind = _made(module, module.values[name], modules, DEPTH)
        if kind or (name in NAMES and isinstance(module.values[name], ast.Call)):
            return Object(name, kind, framework)
        return None
    if name not in NAMES:
        return None
    framework, kind = _imported(module.imports[name], modules, DEPTH)
    return Object(name, kind, framework) if kind else None


def _function(module: Module, name: str) -> Object | None:
    """Recognize a function by its parameters, (environ, start_response) or async (scope, receive, send), or as a
    factory."""
    function = module.functions[name]
    parameters = [each.arg for each in [*function.args.posonlyargs, *function.args.args]]
    if isinstance(function, ast.AsyncFunctionDef):
        return Object(name, "asgi") if parameters == ["scope", "receive", "send"] else None
    if len(parameters) == 2 and (parameters[1] == "start_response" or (name in NAMES and "env" in parameters[0])):
        return Object(name, "wsgi")
    framework, kind = _inside(module, function)
    if kind and _last_return(function) and name.lower().startswith(("create", "make", "build", "get")):
        return Object(name, kind, framework, factory=True)
    return None


def _last_return(function: ast.FunctionDef) -> bool:
    return any(isinstance(each, ast.Return) and each.value is not None for each in ast.walk(function))


def _made(module: Module, value: ast.expr, modules: Modules, depth: int) -> tuple[str, str]:
    """Return (framework, kind) of an expression's value; both are empty if unknown."""
    if depth == 0:
        return "", ""
    if isinstance(value, ast.Name):
        return _named(module, value.id, modules, depth - 1)
    if not isinstance(value, ast.Call):
        return "", ""
    dotted = _dotted(module, value.func)
    if dotted in CONSTRUCTORS:
        return CONSTRUCTORS[dotted]
    if isinstance(value.func, ast.Attribute):
        inner = value.func.value
        of = f"{_dotted(module, inner.func)}.{value.func.attr}" if isinstance(inner, ast.Call) else ""
        if of in METHODS or value.func.attr in METHODS:
            return METHODS.get(of) or METHODS[value.func.attr]
    called = _called(module, value.func, dotted, modules, depth)
    if called[1]:
        return called
    return next((made for each in value.args if (made := _made(module, each, modules, depth - 1))[1]), ("", ""))


def _named(module: Module, name: str, modules: Modules, depth: int) -> tuple[str, str]:
    if name in module.values:
        return _made(module, module.values[name], modules, depth)
    return _imported(module.imports[name], modules, depth) if name in module.imports else ("", "")


def _imported(dotted: str, modules: Modules, depth: int) -> tuple[str, str]:
    source, _, name = dotted.rpartition(".")
    other = modules(source) if source and depth else None
    return _named(other, name, modules, depth - 1) if other else ("", "")


def _called(module: Module, function: ast.expr, dotted: str, modules: Modules, depth: int) -> tuple[str, str]:
    """Return (framework, kind) of what a factory of this project creates."""
    if isinstance(function, ast.Name) and function.id in module.functions:
        return _inside(module, module.functions[function.id])
    source, _, name = dotted.rpartition(".")
    other = modules(source) if source and depth else None
    if other is None:
        return "", ""
    if name in other.functions:
        return _inside(other, other.functions[name])
    return _called(other, ast.Name(name), other.imports.get(name, ""), modules, depth - 1)


def _inside(module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, str]:
    """Return (framework, kind) of the first constructor that a function calls, by its own imports too."""
    local = Module(module.name, dict(module.imports), package=module.package)
    for statement in ast.walk(function):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            _bind(local, statement)
    calls = [_dotted(local, each.func) for each in ast.walk(function) if isinstance(each, ast.Call)]
    return next((CONSTRUCTORS[dotted] for dotted in calls if dotted in CONSTRUCTORS), ("", ""))


def _dotted(module: Module, value: ast.expr) -> str:
    """Return the full dotted name of a callee, traced to its import; empty for anything but names and attributes."""
    if isinstance(value, ast.Name):
        return module.imports.get(value.id, "")
    if isinstance(value, ast.Attribute):
        before = _dotted(module, value.value)
        return f"{before}.{value.attr}" if before else ""
    return ""
