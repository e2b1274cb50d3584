# SPDX-License-Identifier: MIT
"""The application of every Python server: hello, /page, /sleep, /sqlite, /postgres, bodies.

Databases stay open between requests; a CGI start opens them anew by itself.
"""

import os
import sqlite3
import time

PAGE = b"x" * 10240
TEXT = [("Content-Type", "text/plain")]
_open = {}


def sqlite(environ):
    if "sqlite" not in _open:
        _open["sqlite"] = sqlite3.connect(os.environ["BENCH_SQLITE"], check_same_thread=False)
    row = _open["sqlite"].execute("select text from pages where id = ?", (7,)).fetchone()
    return row[0].encode()


def postgres(environ):
    if "postgres" not in _open:
        import psycopg

        _open["postgres"] = psycopg.connect(os.environ["BENCH_POSTGRES"], autocommit=True)
    row = _open["postgres"].execute("select text from pages where id = %s", (7,)).fetchone()
    return row[0].encode()


def sleep(environ):
    time.sleep(0.01)
    return b"slept\n"


def body(environ):
    total = 0
    while data := environ["wsgi.input"].read(65536):
        total += len(data)
    return b"%d\n" % total


PATHS = {"/page": lambda environ: PAGE, "/sleep": sleep, "/sqlite": sqlite, "/postgres": postgres}


def application(environ, start_response):
    answer = PATHS.get(environ.get("PATH_INFO"))
    if answer is None and environ.get("CONTENT_LENGTH"):
        answer = body
    start_response("200 OK", TEXT)
    return [answer(environ)] if answer else [b"Hello\n"]
