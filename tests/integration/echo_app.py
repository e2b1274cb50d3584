# SPDX-License-Identifier: MIT
"""The echo application in Python; README.md says what it answers."""

import fastcgi

NAMES = (
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "CONTENT_LENGTH",
    "SERVER_PROTOCOL",
    "HTTP_X_TEST",
)


def app(request: fastcgi.Request) -> None:
    if request.method in ("GET", "HEAD"):
        lines = (f"{name}={request.params.get(name, '')}\n" for name in NAMES)
        request.start(200, {"Content-Type": "text/plain"})
        request.write("".join(lines).encode("latin-1"))
        return
    content_type = request.params.get("CONTENT_TYPE") or "application/octet-stream"
    request.start(
        200,
        {"Content-Type": content_type, "X-Echo-Length": request.params.get("CONTENT_LENGTH", "")},
    )
    while data := request.read1(65536):
        request.write(data)
