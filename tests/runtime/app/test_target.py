"""Importing the user's code, and what is said when that does not work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from serving import ALONE

from poolctl.errors import AppError
from poolctl.runtime.app.target import load_callable
from poolctl.runtime.app.wsgi import Wsgi

SHOP = "class Site:\n    def serve(self): pass\nsite = Site()\ndef application(environ, start): return []\nnumber = 3\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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
    ("name", "mend"),
    [
        ("pc_shopp.wsgi", "; did you mean 'pc_shop'?"),
        ("pc_shop.wsgj", "; did you mean 'pc_shop.wsgi'?"),
        ("pc_shop.wsgi.more", ""),
    ],
)
def test_a_module_that_is_not_there(name: str, mend: str, project: Path) -> None:
    with pytest.raises(AppError) as caught:
        load_callable(f"{name}:application")
    told = f"cannot import '{name}': no module of that name in {project} or the environment"
    assert str(caught.value) == told + mend


def test_an_attribute_that_is_not_there() -> None:
    with pytest.raises(
        AppError, match=r"module 'pc_shop.wsgi' has no attribute 'aplication'; did you mean 'application'?"
    ):
        load_callable("pc_shop.wsgi:aplication")
    with pytest.raises(AppError, match=r"'pc_shop.wsgi:site.serv' has no attribute 'serv'; did you mean 'serve'\?"):
        load_callable("pc_shop.wsgi:site.serv")


def test_what_cannot_be_called() -> None:
    with pytest.raises(AppError, match=r"'pc_shop.wsgi:number' cannot be called: it is a int"):
        load_callable("pc_shop.wsgi:number")


def test_errors_of_the_users_code_pass_through() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"missing_thing"):
        load_callable("pc_shop.broken:application")
    with pytest.raises(KeyError, match=r"mine"):
        load_callable("pc_shop.failing:application")
