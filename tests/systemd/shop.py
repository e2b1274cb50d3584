# SPDX-License-Identifier: MIT
"""A shop that remembers in SQLite how often it was asked."""

import os
import sqlite3
import threading

local = threading.local()


def app(environ, start_response):
    if not hasattr(local, "db"):
        local.db = sqlite3.connect("/var/lib/shop/shop.db", timeout=30)
        local.db.execute("create table if not exists visit (at integer)")
    with local.db:
        local.db.execute("insert into visit values (strftime('%s'))")
    (count,) = local.db.execute("select count(*) from visit").fetchone()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {count}\n".encode()]
