"""A server in the folder that it serves does not publish its own files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness.client import Client
from harness.server import Server


@pytest.mark.parametrize("hidden", [False, True], ids=["", "hidden"])
def test_init_in_a_folder_does_not_publish_its_topology(tmp_path: Path, hidden: bool) -> None:
    """Not under any of its names, nor after an editor has replaced it; other files of that name are served."""
    (tmp_path / "index.html").write_text("hello")
    init = [sys.executable, "-m", "poolctl", "init", "--yes", "--kind", "static", "--app", "."]
    subprocess.run(init, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    file = tmp_path / "topology.yaml"
    (tmp_path / "link").symlink_to("topology.yaml")
    os.link(file, tmp_path / "second")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "topology.yaml").write_text("an example")
    sets = ("pool.size=1", "app.listing=true", *(["app.hidden=true"] if hidden else []))
    with Server(file, tmp_path, sets=sets) as server:

        def status(target: str) -> int:
            with Client(server.port) as client:
                client.ask(target)
                return client.answer().status

        private = ["/topology.yaml", "//topology.yaml", "/%74opology.yaml", "/link", "/second"]
        assert {target: status(target) for target in private} == dict.fromkeys(private, 404)
        assert [status("/index.html"), status("/docs/topology.yaml")] == [200, 200]
        with Client(server.port) as client:
            client.ask("/")
            (tmp_path / "index.html").unlink()
            client.answer()
            client.ask("/")
            page = client.answer().body
        assert b"docs/" in page
        assert not any(name in page for name in (b"topology.yaml", b"link", b"second"))
        (tmp_path / "new").write_text(file.read_text())
        os.replace(tmp_path / "new", file)
        assert status("/topology.yaml") == 404


def test_keys_and_logs_are_not_published(tmp_path: Path) -> None:
    (tmp_path / "overlay.yaml").write_text("access_log: {to: access.log}\n")
    file = tmp_path / "shop.yaml"
    file.write_text("app: {static: .}\npid_file: shop.pid\npool: {size: 1}\naccess_log: {to: access.log}\n")
    with Server(file, tmp_path) as server:
        with Client(server.port) as client:
            found = []
            for name in ("shop.yaml", "shop.pid", "access.log", "overlay.yaml"):
                client.ask(f"/{name}")
                found.append(client.answer().status)
        assert found == [404, 404, 404, 404]  # the last one belongs to another server


OTHERS = {  # topologies and overlays of other servers
    "staging.yaml": "app: {wsgi: shop:app}\nlisten: {at: tcp://:443, tls: {certificate: s.crt, key: s.key}}\n",
    "staging.yaml.bak": "app: demo\n",
    "staging.json": '{"app": "demo", "environment": {"TOKEN": "x"}}',
    "deeper/shop.yml": "x-common: 1\napp: shop:app\n",
    "secrets.yaml": "environment: {DATABASE_URL: postgres://shop:secret@db/shop}\n",
    "broken.yaml": "app: {wsgi: shop:app\nlisten: tcp://:80\n",
}
KEYS = {"s.key": "the key of staging.yaml"}
DATA = {  # the user's own files
    "data.yaml": "name: shop\nlisten: to music\nuser: ada\n",
    "menu.yml": "app: Starters\nname: Menu\n",
    "openapi.yaml": "openapi: 3.1.0\ninfo: {title: shop}\npaths: {}\n",
    "package.json": '{"name": "shop", "version": "1.0.0"}',
    "list.json": "[1, 2]",
    "compose.yaml": "services: {web: {image: shop}}\n",
    "app.json": '{"app": {"title": "Shop"}, "name": "shop"}',
    "s.crt": "a certificate is public",
}


def test_topologies_of_other_servers_are_not_published_but_data_is(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    for name, text in (OTHERS | KEYS | DATA).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "link.yaml").symlink_to("staging.yaml")
    file = tmp_path / "prod.yaml"
    file.write_text("app: {static: ., listing: true}\npool: {size: 1}\n")
    with Server(file, tmp_path) as server:

        def status(*names: str) -> dict[str, int]:
            found = {}
            for name in names:
                with Client(server.port) as client:
                    client.ask(f"/{name}")
                    found[name] = client.answer().status
            return found

        hidden = [*OTHERS, *KEYS, "link.yaml", "prod.yaml"]
        assert status(*hidden) == dict.fromkeys(hidden, 404)
        assert status(*DATA) == dict.fromkeys(DATA, 200)
        (tmp_path / "new.yaml").write_text("app: demo\n")
        (tmp_path / "data.yaml").write_text("app: demo\nlisten: tcp://:80\n")
        assert status("new.yaml", "data.yaml") == {"new.yaml": 404, "data.yaml": 404}
        with Client(server.port) as client:
            client.ask("/")
            page = client.answer().body.decode()
        assert [name for name in hidden if f'"./{name}"' in page] == []
        assert [name for name in DATA if f'"./{name}"' not in page] == ["data.yaml"]
    assert server.log.count("'staging.yaml' belongs to a poolctl server and is not published") == 1
    assert server.log.count("'new.yaml' is a poolctl topology and is not published") == 1
