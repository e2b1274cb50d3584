# SPDX-License-Identifier: MIT
"""Hello for ASGI servers."""

HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"6")]


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"Hello\n"})
