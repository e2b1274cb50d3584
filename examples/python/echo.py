# SPDX-License-Identifier: MIT
"""Send the request's body back while it comes, in constant memory.

python echo.py unix:echo.sock        (without an address: the inherited listener)
"""

import sys

import fastcgi


def echo(request: fastcgi.Request) -> None:
    request.start(200, {"Content-Type": "application/octet-stream"})
    buffer = bytearray(256 * 1024)
    view = memoryview(buffer)
    while count := request.readinto(buffer):
        request.write(view[:count])


if __name__ == "__main__":
    fastcgi.serve(echo, bind=sys.argv[1] if len(sys.argv) > 1 else None, stream=True)
