"""Applications of frameworks, unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from harness.machine import PATIENCE
from harness.server import Serve

APP = """
import asyncio
import contextlib
import sys

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route


@contextlib.asynccontextmanager
async def lifespan(app):
    yield {"database": {"apples": 3}}
    print("the database is closed", file=sys.stderr, flush=True)


async def shelf(request):
    return JSONResponse({**request.state.database, "client": request.client.host, "url": str(request.url)})


async def upload(request):
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return JSONResponse({"size": size})


async def ticks(request):
    async def numbers():
        for number in range(5):
            yield f"{number}\\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(numbers(), media_type="text/plain")


def blocking(request):
    afterwards = BackgroundTask(print, "afterwards", file=sys.stderr, flush=True)
    return PlainTextResponse("from a thread", background=afterwards)


async def file(request):
    return FileResponse(__file__)


class Timing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["X-Timed"] = "yes"
        return response


app = Starlette(
    lifespan=lifespan,
    middleware=[Middleware(Timing), Middleware(GZipMiddleware, minimum_size=1)],
    routes=[
        Route("/shelf", shelf),
        Route("/upload", upload, methods=["POST"]),
        Route("/ticks", ticks),
        Route("/blocking", blocking),
        Route("/file", file),
    ],
)
"""


@pytest.mark.parametrize(
    "model",
    [
        {"pool": {"kind": "process", "size": 2}, "ownership": "reuse-port"},
        {"pool": {"kind": "process", "size": 2}},
        {"pool": {"kind": "thread", "size": 2}, "ownership": "leader/followers"},
    ],
    ids=["reuse-port", "half-sync/half-async", "leader/followers threads"],
)
def test_starlette(serve: Serve, tmp_path: Path, model: dict[str, Any]) -> None:
    (tmp_path / "shop.py").write_text(APP)
    server = serve({"app": {"use": "asgi", "target": "shop:app", "lifespan": "on"}, **model}, path=tmp_path)
    base = f"http://127.0.0.1:{server.port}"
    with httpx.Client(base_url=base, trust_env=False, timeout=PATIENCE) as client:
        for _ in range(2):
            response = client.get("/shelf?all=1")
            assert response.json() == {"apples": 3, "client": "127.0.0.1", "url": f"{base}/shelf?all=1"}
            assert response.headers["x-timed"] == "yes"
            assert client.post("/upload", content=b"x" * 1_000_000).json() == {"size": 1_000_000}
            assert client.post("/upload", content=iter([b"one", b"two"])).json() == {"size": 6}
            assert client.get("/ticks").text == "0\n1\n2\n3\n4\n"
            assert client.get("/blocking").text == "from a thread"
            assert client.get("/file").text == APP
            assert client.head("/file").headers["content-length"]
            assert client.get("/nowhere").status_code == 404
            assert client.put("/upload").status_code == 405
    server.wait_for_log("afterwards")
    assert server.stop() == 0
    server.wait_for_log("the database is closed")
