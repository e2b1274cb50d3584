# SPDX-License-Identifier: MIT
"""A guestbook that keeps its database connection open.

    python -m fastcgi app:app --bind unix:guestbook.sock --threads 4

Each thread opens SQLite once, at its first request, and keeps it open.
"""

from __future__ import annotations

import html
import json
import os
import pathlib
import secrets
import sqlite3
import string
import threading
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, quote

import fastcgi

DATABASE = os.environ.get("GUESTBOOK_DB", "guestbook.db")
FOLDER = pathlib.Path(__file__).resolve().parent.parent
PAGE = string.Template((FOLDER / "page.html").read_text("utf-8"))
CSS = (FOLDER / "page.css").read_text("utf-8")
LONGEST = {"name": 80, "message": 2000}
LONGEST_FORM = 64 * 1024
SHOWN = 50


class Connection(sqlite3.Connection):
    """One open database, and what is told about it."""

    def __init__(self) -> None:
        super().__init__(DATABASE, timeout=2.0)
        self.id = secrets.token_hex(4)
        self.opened = time.monotonic()
        self.requests = 0
        self.worker = f"{threading.current_thread().name}, process {os.getpid()}"

    @property
    def age(self) -> float:
        return time.monotonic() - self.opened

    def entries(self) -> list[tuple[int, str, str]]:
        query = "SELECT at, name, message FROM entries ORDER BY id DESC LIMIT ?"
        return self.execute(query, (SHOWN,)).fetchall()

    def count(self) -> int:
        return int(self.execute("SELECT count(*) FROM entries").fetchone()[0])

    def add(self, name: str, message: str) -> None:
        row = (int(time.time()), name, message)
        self.execute("INSERT INTO entries (at, name, message) VALUES (?, ?, ?)", row)
        self.commit()


def prepare(connection: Connection) -> None:
    """Of several threads that open a new file at once, one sets its mode and the others are told
    that it is locked, whatever the timeout; their connections are opened again."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, "
        "at INTEGER NOT NULL, name TEXT NOT NULL, message TEXT NOT NULL)"
    )


# Replacing a connection to a local file gains nothing: each stays open as long as its thread.
database = fastcgi.resource(
    Connection,
    name="guestbook",
    configure=prepare,
    acquire_timeout=2,
    max_age=None,
    max_idle=None,
)


class Mistake(Exception):
    """Something the visitor can put right; `status` is the answer's."""

    def __init__(self, text: str, status: str = "400 Bad Request") -> None:
        super().__init__(text)
        self.status = status


def age_text(seconds: float) -> str:
    """8 s, 3 min 12 s, 2 h 5 min."""
    minutes, rest = divmod(int(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def entry_html(at: int, name: str, message: str) -> str:
    when = time.gmtime(at)
    shown = time.strftime("%d %B %Y, %H:%M UTC", when).lstrip("0")
    return (
        f'<article class="entry"><header><h3>{html.escape(name)}</h3>\n'
        f'<time datetime="{time.strftime("%Y-%m-%dT%H:%M:%SZ", when)}">{shown}</time></header>\n'
        f"<p>{html.escape(message)}</p></article>"
    )


def count_text(count: int) -> str:
    if count == 0:
        return "No entries yet"
    return "1 entry" if count == 1 else f"{count} entries"


def page(kept: Connection | None, path: str, notice: str = "", **form: str) -> bytes:
    """The whole page; without a connection it still shows what is wrong."""
    entries = [entry_html(*entry) for entry in kept.entries()] if kept else []
    return PAGE.substitute(
        title="Guestbook in Python",
        language="Python",
        css=CSS,
        connection_id=kept.id if kept else "none",
        connection_age_s=f"{kept.age:.3f}" if kept else "0",
        connection_age=age_text(kept.age) if kept else "not open",
        requests=kept.requests if kept else 0,
        worker=html.escape(kept.worker) if kept else "nobody",
        notice=f'<p class="notice" role="alert">{html.escape(notice)}</p>' if notice else "",
        action=html.escape(path),
        name=html.escape(form.get("name", "")),
        message=html.escape(form.get("message", "")),
        count=count_text(kept.count()) if kept else "The entries cannot be shown",
        entries="\n".join(entries) or '<p class="empty">Be the first to sign.</p>',
        status_url=html.escape(path.rpartition("/")[0] + "/status"),
    ).encode()


def read_form(environ: dict[str, Any]) -> dict[str, str]:
    """The fields of the form, without surrounding white space."""
    body = environ["wsgi.input"].read(LONGEST_FORM + 1)
    if len(body) > LONGEST_FORM:
        raise Mistake("The form is too large.", "413 Content Too Large")
    fields = parse_qs(body.decode("utf-8", "replace"))
    return {name: fields.get(name, [""])[0].replace("\r\n", "\n").strip() for name in LONGEST}


def check_form(form: dict[str, str]) -> None:
    for name, longest in LONGEST.items():
        if not form[name]:
            raise Mistake(f"Please write your {name}.")
        if len(form[name]) > longest:
            raise Mistake(f"Your {name} is longer than {longest:,} characters.")


def own_path(environ: dict[str, Any]) -> str:
    """The path of this page, which the web server has judged, as a link has it."""
    path: str = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
    return quote("/" + path.lstrip("/"), encoding="latin-1")


def answer(environ: dict[str, Any], kept: Connection) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status, headers and body for one request."""
    path, method = own_path(environ), environ["REQUEST_METHOD"]
    if path.endswith("/status"):
        facts = {
            "connection_id": kept.id,
            "connection_age_s": round(kept.age, 3),
            "requests": kept.requests,
        }
        return "200 OK", [("Content-Type", "application/json")], json.dumps(facts).encode()
    html_type = [("Content-Type", "text/html; charset=utf-8")]
    if method in ("GET", "HEAD"):
        return "200 OK", html_type, page(kept, path)
    if method != "POST":
        notice = "This page can be read and signed, nothing else."
        allowed = [*html_type, ("Allow", "GET, HEAD, POST")]
        return "405 Method Not Allowed", allowed, page(kept, path, notice)
    form: dict[str, str] = {}
    try:
        form = read_form(environ)
        check_form(form)
        kept.add(form["name"], form["message"])
    except Mistake as mistake:
        return mistake.status, html_type, page(kept, path, str(mistake), **form)
    except sqlite3.OperationalError as error:
        notice = f"Your entry could not be saved, please try again: {error}."
        return "503 Service Unavailable", html_type, page(kept, path, notice, **form)
    return "303 See Other", [("Location", path)], b""


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    try:
        with database as connection:
            connection.requests += 1
            status, headers, body = answer(environ, connection)
    except (sqlite3.Error, fastcgi.Unavailable) as error:
        environ["wsgi.errors"].write(f"guestbook: {DATABASE}: {error}\n")
        notice = f"The database cannot be used now: {error}."
        status, body = "503 Service Unavailable", page(None, own_path(environ), notice)
        headers = [("Content-Type", "text/html; charset=utf-8")]
    headers.append(("Cache-Control", "no-store"))
    start_response(status, headers)
    return [body]
