"""An API: typed bodies, dependencies, background tasks, streams, uploads, a state that lives as long as a worker."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import (
    BackgroundTasks,
    Depends,
    FastAPI,
    File,
    Form,
    Header,
    HTTPException,
    Query,
    Request,
    UploadFile,
    WebSocket,
)
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

MIB = 1024 * 1024


def say(*words: object) -> None:
    sys.stderr.write(" ".join(map(str, words)) + "\n")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict]:
    say("the stock is open")
    yield {"stock": {"apple": 3}, "opened_by": os.getpid()}
    say("the stock is closed")


app = FastAPI(title="stock", lifespan=lifespan)


class Item(BaseModel):
    name: str = Field(min_length=1, max_length=40)
    price: float = Field(gt=0)
    tags: list[str] = []


class SoldOut(Exception):
    """There is no more of it."""


@app.exception_handler(SoldOut)
async def sold_out(request: Request, error: SoldOut) -> JSONResponse:
    return JSONResponse({"sold out": str(error)}, 409)


async def customer(x_token: Annotated[str | None, Header()] = None) -> AsyncIterator[str]:
    if x_token is None:
        raise HTTPException(401, "who are you?", {"WWW-Authenticate": "Token"})
    yield x_token.upper()
    say("goodbye", x_token)


@app.get("/stock")
async def stock(request: Request, collect: bool = False) -> dict:
    if collect:
        gc.collect()
    return {**request.state.stock, "own": request.state.opened_by == os.getpid(), "pid": os.getpid()}


@app.post("/items", status_code=201)
async def add(item: Item, by: Annotated[str, Depends(customer)], tasks: BackgroundTasks) -> dict:
    tasks.add_task(say, "noted", item.name)
    return {"item": item.model_dump(), "by": by}


@app.get("/items/{number}")
def item(number: int) -> dict:
    """A function that blocks: it runs in a thread."""
    if number == 0:
        raise SoldOut("zero")
    return {"number": number, "main": threading.current_thread() is threading.main_thread()}


@app.post("/upload")
async def upload(note: Annotated[str, Form()], file: Annotated[UploadFile, File()]) -> dict:
    digest = hashlib.sha256()
    while piece := await file.read(MIB):
        digest.update(piece)
    return {"note": note, "name": file.filename, "sha256": digest.hexdigest()}


@app.put("/raw")
async def raw(request: Request) -> dict:
    digest, size = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        size += len(piece)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/ticks")
async def ticks() -> StreamingResponse:
    async def numbers() -> AsyncIterator[str]:
        for number in range(5):
            await asyncio.sleep(0.01)
            yield f"data: {number}\n\n"

    return StreamingResponse(numbers(), media_type="text/event-stream")


@app.get("/forever")
async def forever() -> StreamingResponse:
    """A stream that ends with its client."""

    async def ticks() -> AsyncIterator[str]:
        try:
            while True:
                yield "data: tick\n\n"
                await asyncio.sleep(0.01)
        finally:
            say("the ticks have ended")

    return StreamingResponse(ticks(), media_type="text/event-stream")


@app.get("/large")
def large(mib: int) -> StreamingResponse:
    def parts() -> Iterator[bytes]:
        try:
            for _ in range(mib):
                yield b"x" * MIB
        finally:
            say("the stream is closed")

    return StreamingResponse(parts(), media_type="application/octet-stream")


@app.get("/source")
async def source() -> FileResponse:
    return FileResponse(__file__, filename="api.py")


@app.get("/sleep")
async def sleep(seconds: float) -> dict:
    await asyncio.sleep(seconds)
    return {"slept": seconds}


@app.get("/meet")
async def meet(folder: str, count: int) -> dict:
    """Answers when so many are in hand, in all processes together."""
    handle, _ = tempfile.mkstemp(dir=folder)
    os.close(handle)
    while len(os.listdir(folder)) < count:  # noqa: ASYNC110  # other processes set no event here
        await asyncio.sleep(0.01)
    return {"met": count}


@app.websocket("/talk/{name}")
async def talk(socket: WebSocket, name: str) -> None:
    """Answers with the name."""
    await socket.accept(subprotocol="talk" if "talk" in socket.scope["subprotocols"] else None)
    await socket.send_json({"name": name, **socket.state.stock})
    try:
        async for text in socket.iter_text():
            await socket.send_text(f"{name}: {text}")
    finally:
        say("the talk is over")


@app.websocket("/shout")
async def shout(socket: WebSocket, token: Annotated[str, Query()]) -> None:
    """Speaks until the client has left."""
    await socket.accept()
    while True:
        await socket.send_bytes(b"x" * 65536)


@app.get("/fails")
async def fails() -> None:
    raise ValueError("on purpose")
