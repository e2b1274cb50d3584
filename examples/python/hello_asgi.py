#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The smallest ASGI application.

python -m fastcgi hello_asgi --bind unix:hello.sock --workers 4
"""

from collections.abc import Awaitable, Callable
from typing import Any

import fastcgi

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello\n"})


if __name__ == "__main__":
    fastcgi.main(application)
