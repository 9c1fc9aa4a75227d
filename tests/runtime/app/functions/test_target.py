"""Importing the user's code, and the errors if that fails."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from serving import ALONE

from poolctl.errors import AppError
from poolctl.runtime.app.functions.target import load_asgi, load_callable, load_function, load_wsgi
from poolctl.runtime.app.wsgi.app import Wsgi

SHOP = "class Site:\n    def serve(self): pass\nsite = Site()\ndef application(environ, start): return []\nnumber = 3\n"


@pytest.fixture(autouse=True)
def shop_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "pc_shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "wsgi.py").write_text(SHOP)
    (package / "broken.py").write_text("import pc_shop.missing_thing\n")
    (package / "failing.py").write_text("raise KeyError('mine')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("pc_shop")]:
        del sys.modules[name]


def test_a_target_is_found_in_the_working_directory() -> None:
    assert load_callable("pc_shop.wsgi:application").__name__ == "application"
    assert load_callable("pc_shop.wsgi", "application").__name__ == "application"
    assert load_callable("pc_shop.wsgi:site.serve").__name__ == "serve"
    Wsgi("pc_shop.wsgi").load(ALONE)


@pytest.mark.parametrize(
    "target", ["", ":", "pc_shop.wsgi:", ":app", "a b:c", "pc_shop.wsgi:a-b", "./shop.py:app", "a:b:c"]
)
def test_a_target_that_names_nothing(target: str) -> None:
    with pytest.raises(AppError, match=r"write 'package\.module:callable'"):
        load_callable(target, "application")


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("pc_shop.wsgi.application", "; did you mean 'pc_shop.wsgi:application'?"),
        ("wsgi.py", "; did you mean 'wsgi:application'?"),
        ("pc_shopp.wsgi", "; did you mean 'pc_shop'?"),
        ("pc_shop.wsgj", "; did you mean 'pc_shop.wsgi'?"),
        ("pc_shop.wsgi.more", "; check the name of the module"),
    ],
)
def test_a_missing_module(name: str, fix: str, shop_package: Path) -> None:
    with pytest.raises(AppError) as caught:
        load_callable(f"{name}:application")
    expected = f"cannot import '{name}': no module of that name in {shop_package} or the environment"
    assert str(caught.value) == expected + fix


def test_a_missing_attribute() -> None:
    with pytest.raises(
        AppError, match=r"module 'pc_shop.wsgi' has no attribute 'aplication'; did you mean 'application'?"
    ):
        load_callable("pc_shop.wsgi:aplication")
    with pytest.raises(AppError, match=r"'pc_shop.wsgi:site.serv' has no attribute 'serv'; did you mean 'serve'\?"):
        load_callable("pc_shop.wsgi:site.serv")


def test_an_object_that_cannot_be_called() -> None:
    with pytest.raises(AppError, match=r"'pc_shop.wsgi:number' cannot be called: its type is int"):
        load_callable("pc_shop.wsgi:number")


def test_errors_of_the_users_code_pass_through() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"missing_thing"):
        load_callable("pc_shop.broken:application")
    with pytest.raises(KeyError, match=r"mine"):
        load_callable("pc_shop.failing:application")


@pytest.mark.parametrize(
    ("target", "fix"),
    [
        ("./shop.py:app", "; did you mean 'shop:app'?"),
        ("pc_shop/wsgi:application", "; did you mean 'pc_shop.wsgi:application'?"),
        ("pc_shop/wsgi.py", "; did you mean 'pc_shop.wsgi'?"),
        ("pc_shop/wsgi/application", "; did you mean 'pc_shop.wsgi:application'?"),
        ("app/application", "; did you mean 'app:application'?"),
        ("shop:create_app()", "; call it in a module, 'app = create_app()', and name that: package.module:app"),
        ("a b:c", ""),
    ],
)
def test_targets_in_the_notation_of_files_and_other_servers(target: str, fix: str) -> None:
    with pytest.raises(AppError) as caught:
        load_callable(target, "application")
    assert str(caught.value) == f"{target!r} does not name a callable: write 'package.module:callable'{fix}"


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("one/application", "one:application"),
        ("one/app", "one:app"),
        ("inner/main", "inner.main:app"),
        ("inner/main/app", "inner.main:app"),
        ("inner/main.py", "inner.main:app"),
        ("inner/main:app", "inner.main:app"),
        ("one.py:app", "one:app"),
        ("./one.py", "one:app"),
        ("one.py", "one:app"),
        ("./two.py", "two"),
    ],
)
def test_the_suggested_target_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, meant: str) -> None:
    """Following the fix does not lead to the next error."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/main.py").write_text("async def app(scope, receive, send): ...\n")
    (tmp_path / "one.py").write_text("app = lambda environ, start: []\n")
    if "application" in target:
        (tmp_path / "one.py").write_text("application = lambda environ, start: []\n")
    (tmp_path / "two.py").write_text("application = lambda environ, start: []\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for module in ("one", "two", "inner", "inner.main"):  # another test may have imported its own
        monkeypatch.setitem(sys.modules, module, ModuleType(module))  # restored or removed at the end
        del sys.modules[module]
    with pytest.raises(AppError) as caught:
        load_callable(target, "application")
    assert f"did you mean '{meant}'?" in str(caught.value)
    assert callable(load_callable(meant, "application"))


CALLABLES = """
import functools

class Site:
    def __call__(self, environ, start_response): ...

class Response:
    def __init__(self, environ, start_response): ...

def decorated(function):
    @functools.wraps(function)
    def inner(environ, start_response): ...
    return inner

def three(scope, receive, send): ...
site, wrapped, any_number, partial = Site(), decorated(three), print, functools.partial(three, None)
def create_app(config=None): ...
"""
FACTORY = "; if it creates the app, call it in a module, 'app = create_app()', and name that: package.module:app"


@pytest.mark.parametrize("name", ["site", "Response", "wrapped", "any_number", "partial"])
def test_callables_that_accept_the_arguments_of_an_app(name: str, shop_package: Path) -> None:
    (shop_package / "pc_shop" / "callables.py").write_text(CALLABLES)
    load_wsgi(f"pc_shop.callables:{name}")


@pytest.mark.parametrize(
    ("load", "name", "says"),
    [
        (load_wsgi, "three", "environ and start_response: missing a required argument: 'send'"),
        (load_wsgi, "create_app", f"environ and start_response: too many positional arguments{FACTORY}"),
        (load_asgi, "create_app", f"scope and receive and send: too many positional arguments{FACTORY}"),
        (load_asgi, "site", "takes environ and start_response: a WSGI application, not ASGI"),
        (partial(load_function, word="lines"), "three", "a line: missing a required argument: 'receive'"),
    ],
)
def test_callables_that_would_fail_every_request(load: Any, name: str, says: str, shop_package: Path) -> None:
    (shop_package / "pc_shop" / "callables.py").write_text(CALLABLES)
    with pytest.raises(AppError, match=re.escape(says)):
        load(f"pc_shop.callables:{name}")


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("def application(environ, start_response): ...", "pc_other:application"),
        ("def app(environ, start_response): ...\ndef helper(environ, start_response): ...", "pc_other:app"),
        ("app = application = callable", "pc_other:application"),
        ("def serve(environ, start_response): ...\ndef helper(one): ...", "pc_other:serve"),
        ("async def serve(scope, receive, send): ...", "pc_other:serve"),
        ("class Site:\n    def __call__(self, environ, start_response): ...\nweb = Site()", "pc_other:web"),
        ("class Sites: ...\nsites = [Sites]\ndef sitez(): ...", "sites"),
        ("def one(environ, start_response): ...\ndef two(environ, start_response): ...", ""),
        ("app = None\n_serve = callable", ""),
    ],
)
@pytest.mark.parametrize("load", [load_wsgi, load_asgi])
def test_an_application_of_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[[str], object], source: str, meant: str
) -> None:
    (tmp_path / "pc_other.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pc_other", raising=False)
    with pytest.raises(AppError) as raised:
        load("pc_other:site")
    assert str(raised.value) == (
        f"module 'pc_other' has no attribute 'site'; {f'did you mean {meant!r}?' if meant else 'check the name'}"
    )


def test_a_function_of_another_app_is_not_taken_for_an_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pc_lines.py").write_text("def app(environ, start_response): ...\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AppError, match="check the name"):
        load_function("pc_lines:answer", "lines")
