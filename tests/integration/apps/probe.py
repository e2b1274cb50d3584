# SPDX-License-Identifier: MIT
"""What the fault tests ask: probe.py ADDRESS [THREADS]."""

import os
import sys
import time
from collections.abc import Iterator

import fastcgi

TEXT = {"Content-Type": "text/plain"}


def pieces(request: fastcgi.Request) -> Iterator[bytes]:
    """Of one size: HAProxy 3 stops reading for good at some others."""
    while piece := request.read(16384):
        yield piece


def tell_abort(request: fastcgi.Request) -> None:
    query = request.params.get("QUERY_STRING", "")
    print(f"probe: {query} aborted: {request.aborted}", file=sys.stderr, flush=True)


def echo(request: fastcgi.Request) -> None:
    request.start(200, TEXT)
    for piece in pieces(request):
        request.write(piece)


def big(request: fastcgi.Request) -> None:
    """As many bytes as the query string says."""
    request.start(200, TEXT)
    left = int(request.query)
    while left > 0:
        request.write(b"x" * min(left, 16384))
        left -= 16384


def wait_for_gate(request: fastcgi.Request) -> None:
    """Until the file that $GATE names is there. Its line is one write(2)."""
    os.write(2, f"probe: {request.query} began\n".encode())
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)


def shout(request: fastcgi.Request) -> tuple[int, dict[str, str], bytes]:
    return 200, TEXT, request.read().upper()


def answer(request: fastcgi.Request) -> tuple[int, dict[str, str], str] | None:
    path = request.params.get("PATH_INFO") or request.params.get("SCRIPT_NAME", "")
    if path == "/gate":
        wait_for_gate(request)
    if path == "/slow":
        time.sleep(1)
    if path == "/stderr":
        request.write_stderr("a line\n")
    if path == "/complain":
        for number in range(int(request.query)):
            request.write_stderr(f"complaint {number:029}")
    try:
        if request.method == "POST":
            return echo(request)
        if path == "/big":
            return big(request)
    except fastcgi.Aborted:
        tell_abort(request)
        raise
    return 200, TEXT, request.query + "\n"


if __name__ == "__main__":
    fastcgi.serve(
        answer,
        sys.argv[1],
        threads=int(sys.argv[2]) if len(sys.argv) > 2 else 1,
        stream="PROBE_COLLECT" not in os.environ,
        roles={"shout": fastcgi.Role(shout, 77)},
    )
