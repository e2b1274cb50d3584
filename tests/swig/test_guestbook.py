# SPDX-License-Identifier: MIT
"""The guestbooks: one database connection for many requests, behind nginx too."""

import http.client
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params, post_params
from support.nginx import Nginx
from support.paths import SOURCE
from support.process import Process
from support.site import exchange
from swig.languages import CHOSEN, command

FOLDER = SOURCE / "examples" / "guestbook"
FORM = "application/x-www-form-urlencoded"
# Python and Lua have theirs with the hand-written modules.
GUESTBOOKS = [name for name in CHOSEN if name not in ("python", "lua")]


class Guestbook(Process):
    """A guestbook with a database of its own."""

    def __init__(self, language: str, folder: Path):
        self.address = f"unix:{folder}/guestbook.sock"
        self.database = folder / "guestbook.db"
        program = FOLDER / language / "app"
        super().__init__(
            [*command(language, program), self.address],
            folder / "log",
            env={"GUESTBOOK_DB": str(self.database)},
        )
        self.wait_for_address(self.address)

    def get(self, path: str = "/book/", **params: str):
        with Client(self.address) as client:
            return client.ask(get_params(path, **params), keep=False)

    def post(self, body: bytes, path: str = "/book/"):
        params = post_params(len(body), path, content_type=FORM)
        params |= {"REQUEST_URI": "/old/book?from=form"}
        with Client(self.address) as client:
            return client.ask(params, body, keep=False)

    def status(self) -> dict:
        return json.loads(self.get("/book/status").body)


@pytest.fixture(params=GUESTBOOKS)
def book(request, tmp_path) -> Iterator[Guestbook]:
    with Guestbook(request.param, tmp_path) as running:
        yield running


def test_one_connection(book):
    first, second = book.status(), book.status()
    assert second["connection_id"] == first["connection_id"]
    assert [first["requests"], second["requests"]] == [1, 2]
    page = book.get().body.decode()
    assert f'data-connection-id="{first["connection_id"]}"' in page
    assert 'data-requests="3"' in page
    assert "No entries yet" in page
    assert not re.search(r"\$[a-z_]+", page)


def test_signing(book):
    answer = book.post(
        b"name=O%27Brien+%26+S%C3%B8n&message=%3Cb%3Ehi%3C%2Fb%3E%0D%0A%22$css%22%00%25s"
    )
    assert (answer.status, answer.headers["location"]) == (303, "/book/")
    assert book.post(b"name=y&message=%FF%27%29%3B+DROP+TABLE+entries%3B--").status == 303
    page = book.get().body.decode()
    assert "<h3>O&#x27;Brien &amp; Søn</h3>" in page
    assert "<p>&lt;b&gt;hi&lt;/b&gt;\n&quot;$css&quot;%s</p>" in page
    assert "<p>\ufffd&#x27;); DROP TABLE entries;--</p>" in page
    assert "2 entries" in page


@pytest.mark.parametrize(
    ("body", "status", "notice"),
    [
        (b"name=&message=kept", 400, "Please write your name."),
        (b"name=me&message=++", 400, "Please write your message."),
        (b"name=" + b"%C3%B8" * 81 + b"&message=kept", 400, "Your name is longer than 80 char"),
        (b"name=me&message=" + b"x" * 2001, 400, "Your message is longer than 2,000 char"),
        (b"name=" + b"x" * 70_000, 413, "The form is too large."),
    ],
)
def test_mistakes_are_pages(book, body, status, notice):
    answer = book.post(body)
    page = answer.body.decode()
    assert answer.status == status
    assert f'<p class="notice" role="alert">{notice}' in page
    assert ("kept</textarea>" in page) == (b"kept" in body)


def test_other_methods(book):
    answer = book.get(REQUEST_METHOD="DELETE")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    head = book.get(REQUEST_METHOD="HEAD")
    assert (head.status, head.body) == (200, b"")


def test_a_hostile_path(book):
    assert book.post(b"name=a&message=b", "//evil.example/").headers["location"] == "/evil.example/"
    assert "<script>" not in book.get('/"><script>/').body.decode()


def test_the_path_is_what_the_web_server_judged(book):
    page = book.get("/a \xe9%/", SCRIPT_NAME="/new", REQUEST_URI="/old/status").body.decode()
    assert 'action="/new/a%20%E9%25/"' in page
    assert 'href="/new/a%20%E9%25/status"' in page
    assert json.loads(book.get("/new/status", REQUEST_URI="/old/").body)["requests"] == 2


def test_a_locked_database_is_a_page(book):
    book.get()
    other = sqlite3.connect(book.database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    answer = book.post(b"name=Ada&message=kept")
    other.execute("ROLLBACK")
    other.close()
    assert answer.status == 503
    assert b"database is locked" in answer.body
    assert b"kept</textarea>" in answer.body
    assert book.post(b"name=Ada&message=kept").status == 303


def test_behind_nginx(book, tmp_path):
    with Nginx(tmp_path, book.address) as nginx:
        facts = [
            json.loads(exchange(connection, f"/{way}/status").body)
            for way in ("kept", "closed", "stream")
            for connection in [http.client.HTTPConnection("127.0.0.1", nginx.port)]
            for _ in range(20)
        ]
    assert len({fact["connection_id"] for fact in facts}) == 1
    assert [fact["requests"] for fact in facts] == list(range(1, 61))


@pytest.mark.parametrize("language", GUESTBOOKS)
def test_a_database_that_cannot_be_opened(language, tmp_path):
    (tmp_path / "guestbook.db").mkdir()
    with Guestbook(language, tmp_path) as book:
        answer = book.get()
    assert answer.status == 503
    assert b"The database cannot be used now: " in answer.body
