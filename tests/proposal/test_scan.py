"""What init finds in a folder, without importing anything."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from poolctl.proposal import folder
from poolctl.proposal.scan import Candidate, project_name, scan

APPLICATIONS = Path(__file__).parents[1] / "applications"


def project(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
    return folder


def best(folder: Path, files: dict[str, str]) -> Candidate:
    return scan(project(folder, files)).candidates[0]


@pytest.mark.parametrize(
    ("source", "kind", "app"),
    [
        ("from flask import Flask\napp = Flask(__name__)", "wsgi", "shop:app"),
        ("import flask as f\nsite = f.Flask(__name__)", "wsgi", "shop:site"),
        ("from fastapi import FastAPI as Api\napp: Api = Api()", "asgi", "shop:app"),
        ("from starlette.applications import Starlette\napp = Starlette(routes=[])", "asgi", "shop:app"),
        ("from quart import Quart\napp = Quart(__name__)", "asgi", "shop:app"),
        ("import falcon\napp = falcon.App()", "wsgi", "shop:app"),
        ("import falcon.asgi\napp = falcon.asgi.App()", "asgi", "shop:app"),
        ("import bottle\napplication = bottle.default_app()", "wsgi", "shop:application"),
        ("from litestar import Litestar\napp = Litestar([])", "asgi", "shop:app"),
        ("from datasette.app import Datasette\napplication = Datasette(['a.db']).app()", "asgi", "shop:application"),
        ("config = Configurator()\napp = config.make_wsgi_app()", "wsgi", "shop:app"),
        ("def application(environ, start_response):\n    return []", "wsgi", "shop:application"),
        ("def serve(environ, start_response):\n    return []", "wsgi", "shop:serve"),
        ("async def app(scope, receive, send):\n    pass", "asgi", "shop:app"),
        ("import flask, sockets\napp = flask.Flask('x')\napp = sockets.Wrapped(app)", "wsgi", "shop:app"),
        ("import flask\nfrom whitenoise import Whi\napp = Whi(flask.Flask('x'))", "wsgi", "shop:app"),
        ("import flask, asgiref.wsgi as w\napp = w.WsgiToAsgi(flask.Flask(''))", "asgi", "shop:app"),
        ("try:\n    from flask import Flask\nfinally:\n    pass\nif 1:\n    app = Flask('x')", "wsgi", "shop:app"),
        ("import flask\ndef make():\n    made = flask.Flask('x')\n    return made\napp = make()", "wsgi", "shop:app"),
        ("def make():\n    from flask import Flask\n    return Flask('x')\napp = make()", "wsgi", "shop:app"),
        ("from unheard import Of\napplication = Of()", "", "shop:application"),
    ],
)  # fmt: skip
def test_one_module(source: str, kind: str, app: str, tmp_path: Path) -> None:
    (found,) = scan(project(tmp_path, {"shop.py": source})).candidates
    assert (found.kind, found.app, found.directory) == (kind, app, "")


@pytest.mark.parametrize(
    "source",
    [
        "from flask import Flask\nif __name__ == '__main__':\n    app = Flask('x')\n",
        "from flask import Flask\ndef f():\n    app = Flask('x')\n",
        "app = 3\napplication = None\n",
        "class Flask: ...\nmade = Flask()\n",
        "",
    ],
)
def test_modules_without_an_app(source: str, tmp_path: Path) -> None:
    assert scan(project(tmp_path, {"shop.py": source})).candidates == ()


DJANGO = "from django.core.{0} import get_{0}_application\napplication = get_{0}_application()\n"


def test_a_django_project_of_startproject(tmp_path: Path) -> None:
    files = {
        "site/manage.py": "import os\n",
        "site/mysite/__init__.py": "",
        "site/mysite/wsgi.py": DJANGO.format("wsgi"),
        "site/mysite/asgi.py": DJANGO.format("asgi"),
    }
    found = scan(project(tmp_path, files)).candidates
    assert [(each.kind, each.app, each.directory) for each in found] == [
        ("wsgi", "mysite.wsgi", "site"),
        ("asgi", "mysite.asgi", "site"),
    ]
    assert found[0].thread_safe
    assert found[0].why == "a Django application in site/mysite/wsgi.py"


@pytest.mark.parametrize(
    ("file", "beside", "app", "directory"),
    [
        ("shop/main.py", {"shop/__init__.py": ""}, "shop.main:app", ""),
        ("shop/__init__.py", {}, "shop:app", ""),
        ("src/shop/main.py", {"src/shop/__init__.py": ""}, "shop.main:app", "src"),
        ("back-end/main.py", {}, "main:app", "back-end"),
        ("backend/main.py", {}, "backend.main:app", ""),  # a namespace package
        ("backend/main.py", {"backend/models.py": "", "backend/main.py": "import models"}, "main:app", "backend"),
    ],
)
def test_the_folder_to_start_in(file: str, beside: dict[str, str], app: str, directory: str, tmp_path: Path) -> None:
    source = beside.get(file, "") + "\nfrom fastapi import FastAPI\napp = FastAPI()\n"
    found = best(tmp_path, {**beside, file: source})
    assert (found.app, found.directory) == (app, directory)


def test_a_factory_is_traced_through_the_modules_of_the_project(tmp_path: Path) -> None:
    files = {
        "wsgi.py": "from shop import create_app\napp = create_app()\n",
        "shop/__init__.py": "from .factory import create_app\n",
        "shop/factory.py": "import flask\n\ndef create_app():\n    return flask.Flask('shop')\n",
    }
    found = scan(project(tmp_path, files)).candidates
    assert [(each.kind, each.app) for each in found] == [("wsgi", "wsgi:app")]


def test_an_imported_app_with_a_common_name(tmp_path: Path) -> None:
    files = {"wsgi.py": "from shop import site as application\n", "shop.py": "import flask\nsite = flask.Flask('x')\n"}
    found = scan(project(tmp_path, files)).candidates
    assert {each.app for each in found} == {"wsgi:application", "shop:site"}
    assert found[0].app == "wsgi:application"


def test_circular_imports_end(tmp_path: Path) -> None:
    files = {"a.py": "from b import app\n", "b.py": "from a import app\n", "c.py": "app = app\n"}
    assert scan(project(tmp_path, files)).candidates == ()


def test_a_project_with_only_a_factory_gets_a_note(tmp_path: Path) -> None:
    seen = scan(project(tmp_path, {"shop.py": "import flask\ndef create_app():\n    return flask.Flask('x')\n"}))
    assert seen.candidates == ()
    (note,) = seen.notes
    assert note.startswith("create_app in shop.py creates an app when called; put ")
    assert note.endswith("`from shop import create_app; app = create_app()` into wsgi.py and use wsgi:app")


def test_folders_of_files_and_programs(tmp_path: Path) -> None:
    seen = scan(project(tmp_path, {"public/index.html": "x", "cgi-bin/hello": "#!/bin/sh\n", "html/no.txt": "x"}))
    assert [each.app for each in seen.candidates] == ["./public"]
    (tmp_path / "cgi-bin" / "hello").chmod(0o755)
    assert [(each.kind, each.app) for each in scan(tmp_path).candidates] == [
        ("cgi", "./cgi-bin"),
        ("static", "./public"),
    ]


def test_broken_modules_are_reported_and_the_others_found(tmp_path: Path) -> None:
    files = {
        "bad.py": "app = Flask(\n",
        "deep.py": "app = " + "(" * 300,
        "shop.py": "import flask\napp = flask.Flask('x')\n",
    }
    project(tmp_path, files)
    (tmp_path / "long.py").write_text("app = a" + ".b" * 2000 + "()\n")
    (tmp_path / "nul.py").write_bytes(b"app = 1\0")
    seen = scan(tmp_path)
    assert [each.app for each in seen.candidates] == ["shop:app"]
    assert seen.notes[0] == "bad.py:1 is not valid Python: '(' was never closed"
    assert len(seen.notes) == 3


def test_environments_tests_and_hidden_folders_are_skipped(tmp_path: Path) -> None:
    app = "import flask\napp = flask.Flask('x')\n"
    inside = ("env3/lib/a.py", "tests/a.py", ".tox/a.py", "node_modules/a.py", "a/b/c/d/e/f.py")
    assert scan(project(tmp_path, dict.fromkeys(inside, app) | {"env3/pyvenv.cfg": ""})).candidates == ()


def test_exceeding_the_number_of_modules_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "FILES_MAX", 3)
    seen = scan(project(tmp_path, {f"m{number}.py": "" for number in range(5)}))
    assert seen.notes == ("only the first 3 modules of this folder were examined",)


def test_mentions_of_websockets_are_noticed(tmp_path: Path) -> None:
    files = {"shop/main.py": "import fastapi\napp = fastapi.FastAPI()\n", "shop/live.py": "# @router.websocket('/x')\n"}
    assert best(tmp_path, files).websockets


def test_framework_applications_are_found_without_importing_them() -> None:
    found = {(each.kind, each.app, each.directory) for each in scan(APPLICATIONS).candidates}
    assert {
        ("wsgi", "shelf.wsgi", "django_site"),
        ("asgi", "shelf.asgi", "django_site"),
        ("wsgi", "flask_shop.shop:app", ""),
        ("asgi", "fastapi_api.api:app", ""),
        ("asgi", "datasette_data.catalogue:application", ""),
    } <= found
    assert not {"flask_shop.shop", "shelf.wsgi", "fastapi_api.api"} & set(sys.modules)


@pytest.mark.parametrize(
    ("pyproject", "name"),
    [
        ('[project]\nname = "Shop & Sons"\n', "Shop-Sons"),
        ("[project]\n", "my-folder"),
        ("[project\n", "my-folder"),
        ("project = 3\n", "my-folder"),
        ("[project]\nname = 3\n", "my-folder"),
        ('[project]\nname = "&&&"\n', "app"),
    ],
)
def test_the_name_of_the_project(pyproject: str, name: str, tmp_path: Path) -> None:
    assert project_name(project(tmp_path / "my folder", {"pyproject.toml": pyproject})) == name
