# SPDX-License-Identifier: MIT
"""The applications that cases name in `handler`, with the Python module.

python app.py HANDLER ADDRESS [LIMIT=NUMBER...]; README.md says what each does.
HANDLER `spec` is all of them: each request's SPEC_HANDLER chooses.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable

import fastcgi

HEAD = b"Content-Type: text/plain\r\n\r\n"
LIMITS = {
    "limit_params_size": ("limit_params_size", int),
    "limit_params": ("limit_params", int),
    "max_multiplexed": ("max_multiplexed", int),
    "header_timeout": ("header_timeout", lambda text: float(text.removesuffix("s"))),
}


def refuse(request: fastcgi.Request, status: int, reason: str) -> None:
    request.reply(f"{status} {reason}\n", status, content_type="text/plain")


def echo(request: fastcgi.Request) -> None:
    try:
        body = request.read()
    except fastcgi.Truncated:
        refuse(request, 400, "Bad Request")
        return
    request.write(HEAD + body)


def data(request: fastcgi.Request) -> None:
    try:
        body = request.read() + b"|" + request.read_data()
    except fastcgi.Truncated:
        refuse(request, 400, "Bad Request")
        return
    request.write(HEAD + body)


def params(request: fastcgi.Request) -> None:
    lines = "".join(f"{name}={value}\n" for name, value in request.params.items())
    request.write(HEAD + lines.encode("latin-1"))


def early(request: fastcgi.Request) -> None:
    request.write(HEAD + b"early\n")


def page(request: fastcgi.Request) -> None:
    request.write(b"Content-type: text/html\r\n\r\n<html>\n<head> ... ")


def fault(request: fastcgi.Request) -> None:
    request.write(b"Content-type: text/html\r\n\r\n<ht")
    request.write_stderr(b"config error: missing SI_UID\n")
    request.write(b"ml>\n<head> ... ")
    request.end(938)


class Swap:
    """The first request of two waits on its thread until the second has ended."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.turn: threading.Event | None = None

    def __call__(self, request: fastcgi.Request) -> None:
        with self.lock:
            mine, self.turn = self.turn, None if self.turn else threading.Event()
            theirs = self.turn
        if mine:
            page(request)
            request.end()
            mine.set()
        elif theirs:
            request.write(b"Content-type: text/html\r\n\r\n")
            request.flush()
            theirs.wait(10)
            request.write(b"<html>\n<head> ... ")


def hold(request: fastcgi.Request) -> None:
    while not request.aborted:
        time.sleep(0.005)
    with contextlib.suppress(fastcgi.Aborted):  # Nobody may be left to read it.
        request.write(HEAD + b"aborted\n")


def big(request: fastcgi.Request) -> None:
    request.write(HEAD)
    for _ in range(100):
        request.write(b"x" * 2000)


def authorize(request: fastcgi.Request) -> None:
    if request.params.get("PASS") == "yes":
        request.write(b"Variable-AUTH: yes\r\n\r\n")
    else:
        refuse(request, 403, "Forbidden")


HANDLERS: dict[str, Callable[[fastcgi.Request], None]] = {
    handler.__name__: handler
    for handler in (echo, data, params, early, page, fault, hold, big, authorize)
}
HANDLERS["swap"] = Swap()


def spec(request: fastcgi.Request) -> None:
    handler = HANDLERS.get(request.params.get("SPEC_HANDLER", "echo"))
    if handler:
        handler(request)
    else:
        refuse(request, 501, "Not Implemented")


def main(name: str, address: str, *limits: str) -> None:
    options = {"drain_silence": 0.2, "log_level": "error"}
    for limit in limits:
        key, _, value = limit.partition("=")
        option, convert = LIMITS[key]
        options[option] = convert(value)
    fastcgi.serve(
        spec if name == "spec" else HANDLERS[name],
        address,
        interface="handler",
        stream=name in ("early", "spec"),
        threads=8 if name in ("hold", "swap", "spec") else 1,
        **options,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
