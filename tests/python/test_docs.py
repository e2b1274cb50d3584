# SPDX-License-Identifier: MIT
"""The code in docs/python.md does what the page says."""

from __future__ import annotations

import pathlib
import re
import threading

import fastcgi
import psycopg
import pytest
from fastcgi.testing import Client
from support.databases import Postgres, started
from support.fcgi_client import DATA, get_params, record, wait_until
from support.fcgi_client import Client as Connection

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "python.md"


@pytest.fixture
def code(tmp_path, monkeypatch):
    """Every name that the page's code defines."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    names = {"__name__": "docs"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_its_tests_pass(code):
    tests = [name for name in code if name.startswith("test_")]
    assert len(tests) == 3
    for name in tests:
        code[name]()


@pytest.mark.parametrize(
    ("name", "uri", "line", "text"),
    [
        ("hello", "/x", "200 OK", "Hello from /x\n"),
        ("teapot", "/", "418 I'm a teapot", ""),
        ("report", "/", "200 OK", "[(0,)]"),
        ("digits", "/?6", "200 OK", "0x78"),
        ("visits", "/", "200 OK", "1"),
        ("ticks", "/", "200 OK", "tick\n" * 3 + "end\n"),
    ],
)
def test_its_handlers_answer(code, name, uri, line, text):
    with Client(code[name]) as client:
        response = client.get(uri)
    assert (response.header("Status"), response.text) == (line, text)


@pytest.fixture
def shop(monkeypatch):
    """The database that the page's pools connect to."""
    for database in started(Postgres):
        database.ask("CREATE DATABASE shop")
        monkeypatch.setenv("PGHOST", str(database.folder))
        monkeypatch.setenv("PGUSER", "postgres")
        with psycopg.connect("dbname=shop") as connection:
            connection.execute("CREATE TABLE orders AS SELECT FROM generate_series(1, 3)")
            connection.execute("CREATE TABLE items AS SELECT FROM generate_series(1, 2)")
            connection.execute("CREATE TABLE customers AS SELECT 'Ann' AS name")
        connection.close()
        yield database


def test_its_pools_answer(shop, code):
    for name, text in (("orders", "3"), ("items", "2"), ("customers", "Ann"), ("site", "Ann")):
        with Client(code[name]) as client:
            assert client.get("/").text == text
    wait_until(lambda: shop.backends() == 0)


def test_its_loop_answers_until_it_is_stopped(code, tmp_path):
    address = f"unix:{tmp_path}/x"
    with fastcgi.Server(address) as server:
        server.set_roles([(1, 1, "responder"), (9, 2, "lookup")])
        thread = threading.Thread(target=code["loop"], args=[server])
        thread.start()
        with Connection(address) as client:
            for role, name in ((1, "responder"), (9, "lookup")) * 3:
                client.begin(role=role)
                client.params(get_params())
                client.stdin(b"")
                if role == 9:
                    client.send(record(DATA, 1))
                assert client.collect().body.decode() == f"Hello, {name}\n"
        server.stop()
        thread.join(60)
        assert not thread.is_alive()


def test_what_else_it_says_of_loops(tmp_path):
    with fastcgi.Server("127.0.0.1:0", poller="poll") as server:
        server.listen(f"unix:{tmp_path}/x")
        assert [":0" in address for address in server.addresses] == [False, False]
        assert server.accept(timeout=0) is None
        with pytest.raises(fastcgi.Unsupported):
            server.fileno()
        server.stop()
        assert list(server) == []


def test_pages_name_what_is_public():
    """All but what others are made by, and what a program has given itself."""
    pages = [PAGE.parents[1] / "README.md", *PAGE.parent.glob("*.md")]
    text = "".join(page.read_text() for page in pages)
    public = set(fastcgi.__all__) - {"FileWrapper", "SharedLock", "__version__"}
    assert {name for name in public if not re.search(rf"\b{name}\b", text)} == set()
    methods = {name for name in dir(fastcgi.Server) if not name.startswith("_")}
    told = set(re.findall(r"\b[Ss]erver\.(\w+)", text))
    assert methods - told == {"address", "run"}


def test_detect_interface_does_what_it_says():
    assert fastcgi.detect_interface(lambda request: None) == "handler"
    assert fastcgi.detect_interface(lambda environ, start_response: []) == "wsgi"
    assert fastcgi.detect_interface(lambda scope, receive, send: None) == "asgi"
    with pytest.raises(TypeError):
        fastcgi.detect_interface(lambda: None)


def test_its_table_has_every_reason(code):
    header = PAGE.parents[1] / "core" / "include" / "fastcgi" / "event.h"
    table = header.read_text().partition("define FCGI_ABORT_MAP(X)")[2].partition("\n\n")[0]
    reasons = re.findall(r"^  X\(([A-Z]+),", table, re.M)
    shown = re.findall(r'^\| `"(\w+)"`', PAGE.read_text(), re.M)
    assert [reason.lower() for reason in reasons] == shown
