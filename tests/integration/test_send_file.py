# SPDX-License-Identifier: MIT
"""A file sent with sendfile(2): all of it, and to a client that goes away."""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params, request
from support.paths import BUILD
from support.process import Process

SIZE = 24 << 20

PYTHON = """
def app(request):
    request.start(200, {"Content-Type": "application/octet-stream"})
    with open("big", "rb") as file:
        request.send_file(file)
"""

LUA = """
return function(request)
  request:start(200, { ["Content-Type"] = "application/octet-stream" })
  local file <close> = assert(io.open("big", "rb"))
  request:send_file(file)
end
"""


@pytest.fixture(scope="module", params=["python", "lua"])
def app(request: pytest.FixtureRequest, directory: Path) -> Iterator[tuple[Process, str]]:
    (directory / "big").write_bytes(os.urandom(SIZE))
    (directory / "sends.py").write_text(PYTHON)
    (directory / "sends.lua").write_text(LUA)
    address = f"unix:{directory}/{request.param}.sock"
    commands = {
        "python": [sys.executable, "-m", "fastcgi", "sends:app"],
        "lua": [BUILD / "lua" / "bin" / "fcgi-lua", "sends.lua"],
    }
    with Process(
        [*commands[request.param], "--bind", address], directory / "app.log", cwd=directory
    ) as process:
        yield process.wait_for_address(address), address


def test_all_of_it(app: tuple[Process, str], directory: Path):
    with Client(app[1]) as client:
        body = client.ask(get_params()).body
    assert len(body) == SIZE
    assert (
        hashlib.sha256(body).digest() == hashlib.sha256((directory / "big").read_bytes()).digest()
    )


def test_client_that_goes_away(app: tuple[Process, str]):
    """sendfile(2) knows no MSG_NOSIGNAL; the program survives all the same."""
    process, address = app
    for _ in range(20):
        with Client(address) as client:
            client.send(request(1, get_params()))
            assert client.socket.recv(1000)
    with Client(address) as client:
        assert client.ask(get_params()).status == 200
    assert process.running()
