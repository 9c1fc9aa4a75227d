"""A Django site, unchanged, under every ownership model: through WSGI and through ASGI."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from harness.forms import short
from harness.server import Server, wait_until
from running import LEFT, browsing, command, copy, served

WSGI = """
app: {wsgi: shelf.wsgi}
directory: django_site
environment: {DJANGO_SETTINGS_MODULE: shelf.settings, SHELF_DATA: data, SHELF_MODE: wsgi}
"""
ASGI = """
app: {asgi: shelf.asgi}
directory: django_site
environment: {DJANGO_SETTINGS_MODULE: shelf.settings, SHELF_DATA: data, SHELF_MODE: asgi}
"""
FORWARDED = "forwarded: {trust: [127.0.0.1]}\n"
TOPOLOGIES = {
    "wsgi half-sync/half-reactive, preload": f"{WSGI}pool: {{kind: process, size: 2}}\npreload: true\n",
    "wsgi half-sync/half-reactive threads, forwarded": f"{WSGI}pool: {{kind: thread, size: 3}}\n{FORWARDED}",
    "wsgi half-sync/half-async": f"{WSGI}pool: {{kind: process, size: 2}}\nownership: half-sync/half-async\n",
    "wsgi leader/followers, preload": (
        f"{WSGI}pool: {{kind: process, size: 2, threads: 2}}\nownership: leader/followers\npreload: true\n"
    ),
    "wsgi leader/followers threads": f"{WSGI}pool: {{kind: thread, size: 3}}\nownership: leader/followers\n",
    "wsgi reuse-port, forwarded": f"{WSGI}pool: {{kind: process, size: 2}}\nownership: reuse-port\n{FORWARDED}",
    "asgi half-sync/half-reactive": f"{ASGI}pool: {{kind: process, size: 2}}\nownership: half-sync/half-reactive\n",
    "asgi half-sync/half-async, preload": (
        f"{ASGI}pool: {{kind: process, size: 2}}\npreload: true\n"
        "ownership: {use: half-sync/half-async, accept: worker}\n"
    ),
    "asgi leader/followers, forwarded": (
        f"{ASGI}pool: {{kind: process, size: 2}}\nownership: leader/followers\n{FORWARDED}"
    ),
    "asgi reuse-port": f"{ASGI}pool: {{kind: process, size: 2}}\nownership: reuse-port\n",
}
ENVIRONMENT = {"DJANGO_SETTINGS_MODULE": "shelf.settings", "SHELF_DATA": "data"}
SEED = """
import django; django.setup()
from django.contrib.auth.models import User
from notes.models import Note
User.objects.create_superuser("root", "root@site.test", "sesame")
Note.objects.bulk_create(Note(text=f"note {number}") for number in range(50))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site with its tables, a user and some notes."""
    made = copy("django_site", tmp_path_factory.mktemp("django"))
    command(made, "manage.py", "migrate", "--verbosity", "0", environment=ENVIRONMENT)
    command(made, "-c", SEED, environment=ENVIRONMENT)
    return made


# Flask under WSGI and FastAPI under ASGI meet every ownership; Django meets each pool, and preloading, and a proxy.
ALWAYS = {
    "wsgi half-sync/half-reactive threads, forwarded",
    "wsgi leader/followers, preload",
    "asgi half-sync/half-async, preload",
    "asgi reuse-port",
}


@pytest.fixture(scope="module", params=short(TOPOLOGIES, ALWAYS))
def site(request: pytest.FixtureRequest, project: Path) -> Iterator[Server]:
    with served(TOPOLOGIES[request.param], project, tracebacks=True) as server:
        yield server


@pytest.fixture
def forwarded(request: pytest.FixtureRequest) -> bool:
    """Whether the topology trusts a proxy."""
    return "forwarded" in request.node.callspec.params["site"]


def token(page: httpx.Response) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found, page.text
    return found[1]


def test_a_form_with_csrf_sessions_and_an_upload(site: Server) -> None:
    content = os.urandom(3_000_000)  # more than Django keeps in memory, and more than the server does
    with browsing(site) as client:
        page = client.get("/")
        assert "visit 1" in page.text
        assert client.post("/", data={"text": "forged"}).status_code == 403
        form = {"text": "shelved ☃", "csrfmiddlewaretoken": token(page)}
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.bin"
        answer = client.post("/", data=form, files={"file": (name, content)}, headers={"Referer": str(page.url)})
        assert (answer.status_code, answer.headers["location"]) == (302, "/")
        page = client.get("/")
        assert "visit 2" in page.text
        assert "shelved ☃ is written" in page.text
        assert f"/files/{name}" in page.text
        download = client.get(f"/files/{name}")
        assert download.content == content
        assert download.headers["content-length"] == str(len(content))
        assert name in download.headers["content-disposition"]
        assert client.head(f"/files/{name}").headers["content-length"] == str(len(content))
        assert client.post("/", data={**form, "text": ""}, headers={"Referer": str(page.url)}).status_code == 400
        assert client.get("/files/none").status_code == 404


def test_the_admin(site: Server) -> None:
    with browsing(site, follow_redirects=True) as client:
        page = client.get("/admin/")
        assert page.url.path == "/admin/login/"
        form = {"username": "root", "password": "sesame", "csrfmiddlewaretoken": token(page), "next": "/admin/"}
        assert "Log out" in client.post(page.url, data=form).text
        assert client.get("/who").json()["user"] == "root"
        page = client.get("/admin/notes/note/add/")
        form = {"text": "by the admin", "csrfmiddlewaretoken": token(page)}
        assert "was added successfully" in client.post(page.url, data=form).text


def test_streams_coroutines_and_conditional_requests(site: Server) -> None:
    with browsing(site) as client:
        export = client.get("/export.csv")
        assert export.headers["transfer-encoding"] == "chunked"
        assert export.text.startswith("pk,text\r\n1,note 0\r\n2,note 1\r\n")
        assert client.get("/ticks").text == "0\n1\n2\n3\n4\n"
        assert client.get("/later").json()["notes"] >= 50
        page = client.get("/admin/login/")
        assert page.status_code == 200
        first = client.get("/later")
        again = client.get("/later", headers={"If-None-Match": first.headers["etag"]})
        if again.status_code == 200:  # somebody wrote a note meanwhile
            again = client.get("/later", headers={"If-None-Match": again.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_a_proxy_is_believed_where_the_file_names_it(site: Server, forwarded: bool) -> None:
    told = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "www.shelf.test"}
    with browsing(site) as client:
        found = client.get("/who?all=1", headers=told).json()
        own = client.get("/who").json()
    base = f"http://127.0.0.1:{site.port}"
    seen = ("https://www.shelf.test/who?all=1", "203.0.113.7") if forwarded else (f"{base}/who?all=1", "127.0.0.1")
    assert (found["url"], found["client"]) == seen
    assert (own["url"], own["client"]) == (f"{base}/who", "127.0.0.1")


def test_what_goes_wrong(site: Server) -> None:
    with browsing(site) as client:
        assert client.get("/fails").status_code == 500
        assert client.get("/nowhere").status_code == 404
        assert client.get("/who", headers={"Host": "elsewhere.test"}).status_code == 400
        asynchronous = client.get("/who").json()["mode"] == "asgi"
        streamed, gathered = ("/breaks-later", "/breaks") if asynchronous else ("/breaks", "/breaks-later")
        with pytest.raises(httpx.RemoteProtocolError):  # a part of a body passes for nothing whole
            client.get(streamed)
        assert client.get(gathered).status_code == 500  # Django makes a list of it first, so nothing was sent
        assert client.get("/who").status_code == 200
    site.wait_for_log("ValueError: in the middle")


def test_a_client_leaves_a_stream(site: Server) -> None:
    before = site.log.count("the ticks have ended")
    with browsing(site) as client:
        asynchronous = client.get("/who").json()["mode"] == "asgi"
        with client.stream("GET", "/forever-later" if asynchronous else "/forever") as answer:
            assert next(answer.iter_bytes()).startswith(b"tick\n")
        assert client.get("/who").status_code == 200

    def ended() -> bool:
        """Where Django hears of it by a send that fails, it keeps the error in a cycle with the stream until the worker
        collects garbage."""
        with browsing(site) as client:
            client.get("/who?collect=1")
        return site.log.count("the ticks have ended") > before

    wait_until(ended, "the end of the stream")
    assert LEFT.findall(site.log) == []


def test_the_database_under_many_clients(site: Server) -> None:
    """Each worker, and each thread, has a connection to the database of its own; what was open at the fork is not
    used."""

    def visit(number: int) -> set[int]:
        pids = set()
        with browsing(site) as client:
            for turn in range(1, 6):
                assert f"visit {turn}" in client.get("/").text
                found = client.get("/who").json()
                assert found["known"] == ["note 0"]
                assert found["mode"] in ("wsgi", "asgi")
                pids.add(found["pid"])
        return pids

    with ThreadPoolExecutor(6) as pool:
        pids = set().union(*pool.map(visit, range(6)))
    roles = site.pids("worker") or site.pids("threads")
    assert pids <= set(roles)
    assert "locked" not in site.log
    assert "malformed" not in site.log
