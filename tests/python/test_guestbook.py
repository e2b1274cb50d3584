# SPDX-License-Identifier: MIT
"""The guestbook: one connection for every request of a thread."""

from __future__ import annotations

import json
import pathlib
import re
import sqlite3
import time

import pytest
from support.fcgi_client import Client

ROOT = pathlib.Path(__file__).resolve().parents[2]
FORM = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}


@pytest.fixture
def client(command, tmp_path):
    running = command(
        "-m", "fastcgi", "app:app", "-b", f"unix:{tmp_path}/x",
        "--chdir", str(ROOT / "examples/guestbook/python"), GUESTBOOK_DB=str(tmp_path / "db"),
    )  # fmt: skip
    running.wait_for("pid")
    with Client(f"unix:{tmp_path}/x") as connected:
        yield connected
    running.process.terminate()
    assert running.finish()[0] == 0


def facts(client, uri="/status"):
    return json.loads(client.request(uri=uri).body)


def test_the_connection_stays_open(client):
    first = facts(client)
    time.sleep(0.05)
    second = facts(client, "/python/status")
    assert second["connection_id"] == first["connection_id"]
    assert second["requests"] == first["requests"] + 1
    assert second["connection_age_s"] >= first["connection_age_s"] + 0.04
    page = client.request(uri="/python/").body.decode()
    assert f'data-connection-id="{first["connection_id"]}"' in page
    assert 'data-requests="3"' in page


def test_signing(client, tmp_path):
    body = b"name=Ada+%3Cb%3E&message=%22Hi%22+%26+bye%0D%0Aline+2"
    answer = client.request("POST", "/python/", body=body, **FORM)
    assert (answer.status, answer.headers["location"]) == (303, "/python/")
    page = client.request(uri="/python/").body.decode()
    assert "Ada &lt;b&gt;" in page
    assert "&quot;Hi&quot; &amp; bye\nline 2" in page
    assert "1 entry" in page
    assert 'action="/python/"' in page
    assert 'href="/python/status"' in page


@pytest.mark.parametrize(
    ("body", "notice"),
    [
        (b"name=&message=x", "Please write your name."),
        (b"name=Ada&message=++", "Please write your message."),
        (b"name=" + b"a" * 81 + b"&message=kept", "Your name is longer than 80 characters."),
        (b"", "Please write your name."),
    ],
)
def test_mistakes_are_pages(client, body, notice):
    answer = client.request("POST", "/", body=body, **FORM)
    page = answer.body.decode()
    assert answer.status == 400
    assert re.search(r'<p class="notice" role="alert">([^<]*)', page)[1] == notice
    assert "No entries yet" in page
    assert ("kept</textarea>" in page) == (b"kept" in body)


def test_other_methods_and_large_forms(client):
    answer = client.request("DELETE", "/")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert client.request("POST", "/", body=b"name=" + b"x" * 70_000, **FORM).status == 413
    head = client.request("HEAD", "/")
    assert (head.status, head.body) == (200, b"")


def test_a_locked_database_is_a_page(client, tmp_path):
    client.request()
    with sqlite3.connect(tmp_path / "db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        answer = client.request("POST", "/", body=b"name=Ada&message=kept", **FORM)
        assert answer.status == 503
        assert b"database is locked" in answer.body
        assert b"kept</textarea>" in answer.body
        other.execute("ROLLBACK")
    other.close()
    assert client.request("POST", "/", body=b"name=Ada&message=kept", **FORM).status == 303


def test_a_hostile_path_cannot_redirect_elsewhere(client):
    answer = client.request("POST", "//evil.example/", body=b"name=a&message=b", **FORM)
    assert answer.headers["location"] == "/evil.example/"
    page = client.request(uri='/"><script>/').body.decode()
    assert "<script>" not in page


def test_the_path_is_what_the_web_server_judged(client):
    uri = "/old/status"
    page = client.request(uri=uri, SCRIPT_NAME="/new", PATH_INFO="/a \xe9%/").body.decode()
    assert 'action="/new/a%20%E9%25/"' in page
    assert 'href="/new/a%20%E9%25/status"' in page
