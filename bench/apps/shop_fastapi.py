"""The same as shop_django.py, with FastAPI and a lifespan."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from shop_page import PAGE


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Take a moment to start."""
    await asyncio.sleep(0.05)
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/page", response_class=HTMLResponse)
async def page() -> str:
    """The page that asks."""
    return PAGE


@app.get("/x")
@app.get("/")
async def answer() -> dict[str, str]:
    """A response that takes some time."""
    await asyncio.sleep(0.002)
    return {"path": "/x"}
