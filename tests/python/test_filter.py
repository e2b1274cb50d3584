# SPDX-License-Identifier: MIT
"""The example filter."""

from __future__ import annotations

import pathlib

import pytest
from support.fcgi_client import DATA, FILTER, Client, nginx_params, stream, wait_for_server

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "python" / "filter.py"


@pytest.fixture
def filtered(command, tmp_path):
    """filtered(data, **params): the answer of the example to a file."""
    address = f"unix:{tmp_path}/filter.sock"
    command(str(EXAMPLE), address)
    wait_for_server(address)

    def ask(data, **params):
        with Client(address) as client:
            client.begin(role=FILTER)
            client.params({**nginx_params(), "FCGI_DATA_LENGTH": str(len(data)), **params})
            client.stdin(b"")
            client.send(stream(DATA, 1, data))
            return client.collect()

    return ask


def test_lines_are_numbered(filtered):
    answer = filtered(b"one\n\nthree", FCGI_DATA_LAST_MOD="0")
    assert answer.body == b"     1  one\n     2  \n     3  three\n"
    assert answer.headers["last-modified"] == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_a_long_file_comes_whole(filtered):
    text = b"".join(b"line %d\n" % number for number in range(1, 100_001))
    lines = filtered(text).body.splitlines()
    assert len(lines) == 100_000
    assert lines[-1] == b"100000  line 100000"


def test_a_file_that_is_known_is_not_read(filtered):
    answer = filtered(
        b"one\n",
        FCGI_DATA_LAST_MOD="0",
        HTTP_IF_MODIFIED_SINCE="Thu, 01 Jan 1970 00:00:00 GMT",
    )
    assert (answer.status, answer.body) == (304, b"")


def test_a_file_cut_short_is_no_answer(filtered):
    """Nor does it look like one when the first line had left before."""
    answer = filtered(b"one\ntwo", FCGI_DATA_LENGTH="100")
    assert answer.status == 500 or not answer.ended
