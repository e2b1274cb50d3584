# SPDX-License-Identifier: MIT
"""Answers without an end, as `handler` and as `wsgi`; stderr says what has ended."""

import sys
import time


def tell(word: str) -> None:
    print(f"endless: {word}", file=sys.stderr, flush=True)


def ticks(word: str):
    try:
        while True:
            yield b"tick\n"
            time.sleep(0.01)
    finally:
        tell(f"{word} ended")


def write_ticks(write, word: str) -> None:
    try:
        for tick in ticks("the loop's source"):
            write(tick)
    finally:
        tell(f"{word} ended")


def handler(request):
    if request.path.endswith("/iterate"):
        return 200, {"Content-Type": "text/plain"}, ticks("iterate")
    if request.path.endswith("/write"):
        request.start(200, {"Content-Type": "text/plain"})
        write_ticks(request.write, "write")
    return 200, {}, b"free\n"


def wsgi(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
    if path.endswith("/iterate"):
        return ticks("iterate")
    if path.endswith("/write"):
        write_ticks(write, "write")
    return [b"free\n"]
