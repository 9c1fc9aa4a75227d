"""Datasette over a SQLite file, unchanged."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.forms import short
from harness.server import Server
from running import browsing, copy, served

CATALOGUE = """
app: {asgi: catalogue}
directory: datasette_data
environment: {CATALOGUE: data/catalogue.db}
pool: {kind: process, size: 2}
"""
TOPOLOGIES = {
    "half-sync/half-reactive": f"{CATALOGUE}ownership: half-sync/half-reactive\n",
    "half-sync/half-async": CATALOGUE,
    "leader/followers, preload": f"{CATALOGUE}ownership: leader/followers\npreload: true\n",
    "reuse-port": f"{CATALOGUE}ownership: reuse-port\n",
}
ROWS = 3000


@pytest.fixture(scope="module", params=short(TOPOLOGIES, {"half-sync/half-reactive", "leader/followers, preload"}))
def catalogue(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = copy("datasette_data", tmp_path_factory.mktemp("datasette"))
    database = sqlite3.connect(project / "data" / "catalogue.db")
    database.execute("create table books (id integer primary key, title text, shelf text)")
    books = ((number, f"Volume {number}", f"shelf {number % 7}") for number in range(ROWS))
    database.executemany("insert into books values (?, ?, ?)", books)
    database.commit()
    database.close()
    with served(TOPOLOGIES[request.param], project) as server:
        yield server


def test_pages_and_json(catalogue: Server) -> None:
    with browsing(catalogue) as client:
        assert "catalogue" in client.get("/").text
        table = client.get("/catalogue/books?_facet=shelf&_sort_desc=id")
        assert f"Volume {ROWS - 1}" in table.text
        assert "shelf 6" in table.text
        found = client.get("/catalogue/books.json?_shape=array&_size=5&shelf=shelf+3").json()
        assert [row["id"] for row in found] == [3, 10, 17, 24, 31]
        assert client.get("/catalogue/books/42.json?_shape=array").json()[0]["title"] == "Volume 42"
        counted = client.get("/catalogue.json", params={"sql": "select count(*) as n from books", "_shape": "array"})
        assert counted.json() == [{"n": ROWS}]
        assert client.get("/catalogue/nothing").status_code == 404
        assert client.get("/catalogue.json", params={"sql": "delete from books"}).status_code == 400
        style = client.get("/-/static/app.css")
        assert style.status_code == 200
        assert int(style.headers["content-length"]) == len(style.content)


def test_a_table_streams(catalogue: Server) -> None:
    with browsing(catalogue) as client:
        answer = client.get("/catalogue/books.csv?_stream=on&_size=max")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [int(row["id"]) for row in rows] == list(range(ROWS))


def test_questions_at_once(catalogue: Server) -> None:
    def ask(number: int) -> int:
        with browsing(catalogue) as client:
            return client.get(f"/catalogue/books/{number}.json?_shape=array").json()[0]["id"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(40))) == list(range(40))
