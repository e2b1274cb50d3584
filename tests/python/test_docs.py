# SPDX-License-Identifier: MIT
"""The code in docs/python.md does what the page says."""

from __future__ import annotations

import pathlib
import re

import pytest
from fastcgi.testing import Client

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
    ],
)
def test_its_handlers_answer(code, name, uri, line, text):
    with Client(code[name]) as client:
        response = client.get(uri)
    assert (response.header("Status"), response.text) == (line, text)


def test_its_table_has_every_reason(code):
    header = PAGE.parents[1] / "core" / "include" / "fastcgi" / "event.h"
    table = header.read_text().partition("define FCGI_ABORT_MAP(X)")[2].partition("\n\n")[0]
    reasons = re.findall(r"^  X\(([A-Z]+),", table, re.M)
    shown = re.findall(r'^\| `"(\w+)"`', PAGE.read_text(), re.M)
    assert [reason.lower() for reason in reasons] == shown
