#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Send a request's body back while it comes, in constant memory.

python echo.py unix:echo.sock        (without an address: the inherited listener)

GET and HEAD list a few parameters instead. Behind nginx the body is kept in a
file first: nginx stops sending it once it has the head of an answer.
"""

import tempfile
from collections.abc import Iterator

import fastcgi

SHOWN = (
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "CONTENT_LENGTH",
    "SERVER_PROTOCOL",
    "HTTP_X_TEST",
)


def pieces(request: fastcgi.Request) -> Iterator[bytes]:
    """The body as it comes."""
    while piece := request.read1(65536):
        yield piece


def echo_file(request: fastcgi.Request, headers: dict[str, str]) -> None:
    with tempfile.TemporaryFile() as file:
        for piece in pieces(request):
            file.write(piece)
        file.flush()
        request.start(200, headers)
        request.send_file(file)


def app(request: fastcgi.Request) -> None:
    params = request.params
    if request.method in ("GET", "HEAD"):
        lines = (f"{name}={params.get(name, '')}\n" for name in SHOWN)
        request.start(200, {"Content-Type": "text/plain"})
        request.write("".join(lines).encode("latin-1"))
        return
    headers = {
        "Content-Type": params.get("CONTENT_TYPE") or "application/octet-stream",
        "X-Echo-Length": params.get("CONTENT_LENGTH", ""),
    }
    if params.get("SERVER_SOFTWARE", "").startswith("nginx"):
        echo_file(request, headers)
        return
    request.start(200, headers)
    for piece in pieces(request):
        request.write(piece)


if __name__ == "__main__":
    fastcgi.main(app, stream=True)
