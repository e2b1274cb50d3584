# SPDX-License-Identifier: MIT
"""What the tests of ASGI send and receive."""

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain")],
}


def body(data: bytes, more: bool = False) -> dict:
    return {"type": "http.response.body", "body": data, "more_body": more}


def answers(*messages):
    """An application that sends these."""

    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    return app


async def read(receive) -> tuple[bytes, int]:
    """The whole body, and in how many messages it came."""
    parts = []
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        parts.append(message["body"])
        more = message["more_body"]
    return b"".join(parts), len(parts)
