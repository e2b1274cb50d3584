# SPDX-License-Identifier: MIT
"""A Starlette application, for test_asgi.py."""

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

GATE = Path(os.environ.get("GATE", "/nonexistent"))


@contextlib.asynccontextmanager
async def lifespan(app: Starlette):
    yield {"pid": os.getpid()}


async def index(request: Request) -> Response:
    return JSONResponse(
        {
            "url": request.url.path,
            "root_path": request.scope["root_path"],
            "query": dict(request.query_params),
            "pid": request.state.pid == os.getpid(),
        }
    )


async def upload(request: Request) -> Response:
    digest = hashlib.sha256()
    length = 0
    async for piece in request.stream():
        digest.update(piece)
        length += len(piece)
    return JSONResponse({"length": length, "sha256": digest.hexdigest()})


async def events(request: Request) -> Response:
    """One event, and another once the gate is open."""

    async def all_of_them():
        print("probe: events began", flush=True)
        try:
            yield b"data: first\n\n"
            while not GATE.exists():
                await asyncio.sleep(0.01)
            yield b"data: last\n\n"
        finally:
            print("probe: events ended", flush=True)

    return StreamingResponse(all_of_them(), media_type="text/event-stream")


async def large(request: Request) -> Response:
    async def pieces():
        for number in range(1000):
            yield number.to_bytes(2, "big") * 5000

    return StreamingResponse(pieces())


async def file(request: Request) -> Response:
    return FileResponse(__file__)


async def nap(request: Request) -> Response:
    await asyncio.sleep(0.1)
    return PlainTextResponse("slept")


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", index),
        Route("/upload", upload, methods=["POST"]),
        Route("/events", events),
        Route("/large", large),
        Route("/file", file),
        Route("/nap", nap),
    ],
)
