# SPDX-License-Identifier: MIT
"""A client that leaves is no fault of the application: no traceback, in no language."""

import shutil
import sys
from pathlib import Path

import pytest
from support.fcgi_client import Client, fetch, wait_until
from support.paths import SOURCE
from support.probe import probe_command
from support.process import Process
from support.told import SWIG

PYTHON = """
import fastcgi, threading

gone = []
BLOCK = b"x" * 100000

def native(request):
    if request.params["REQUEST_URI"] == "/gone":
        return 200, {"Content-Type": "text/plain"}, str(len(gone))
    request.write(b"Content-Type: text/plain\\r\\n\\r\\n")
    try:
        for _ in range(10000):
            request.write(BLOCK)
    finally:
        gone.append(1)

def pieces(request):
    if request.params["REQUEST_URI"] == "/gone":
        return 200, {"Content-Type": "text/plain"}, str(len(gone))
    def body():
        try:
            for _ in range(10000):
                yield BLOCK
        finally:
            gone.append(1)
    return 200, {"Content-Type": "text/plain"}, body()

def wsgi(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["REQUEST_URI"] == "/gone":
        return [str(len(gone)).encode()]
    try:
        for _ in range(10000):
            write(BLOCK)
    finally:
        gone.append(1)
    return []
"""
LUA = """
local gone = 0
local block = ("x"):rep(100000)
return function(req)
  if req.params.REQUEST_URI == "/gone" then
    return 200, { ["Content-Type"] = "text/plain" }, tostring(gone)
  end
  assert(req:write("Content-Type: text/plain\\r\\n\\r\\n"))
  local guard <close> = setmetatable({}, { __close = function() gone = gone + 1 end })
  for _ = 1, 10000 do assert(req:write(block)) end
end
"""


def command_of(kind: str, directory: Path, address: str) -> list:
    if kind == "lua":
        (directory / "app.lua").write_text(LUA)
        launcher = SOURCE / "bindings" / "lua" / "bin" / "fcgi-lua"
        return [shutil.which("lua5.4"), launcher, directory / "app.lua", "--bind", address]
    (directory / "left.py").write_text(PYTHON)
    interface = "wsgi" if kind == "wsgi" else "handler"
    words = [sys.executable, "-m", "fastcgi", f"left:{kind}", "--interface", interface]
    return [*words, "--chdir", directory, "--bind", address]


@pytest.mark.parametrize("kind", ["native", "pieces", "wsgi", "lua"])
def test_no_traceback(directory: Path, kind: str):
    address = f"unix:{directory}/{kind}.sock"
    log = directory / f"{kind}.log"
    with Process(command_of(kind, directory, address), log) as app:
        app.wait_for_address(address)
        for _ in range(3):
            with Client(address) as client:
                client.send_request("GET", "/")
                assert client.socket.recv(1000)
        wait_until(lambda: fetch(address, uri="/gone").body == b"3", 60, "three handlers to end")
        text = app.output()
    assert "traceback" not in text.lower(), text
    assert "failed" not in text, text


def leave_thrice(kind: str, directory: Path, path: str) -> str:
    """What a program over the SWIG module says of clients that leave while it writes."""
    address = f"unix:{directory}/{kind}-{path}.sock"
    with Process(probe_command(kind, address), directory / f"{kind}-{path}.log") as app:
        app.wait_for_address(address)
        for _ in range(3):
            with Client(address) as client:
                client.send_request(uri=f"/{path}")
                assert client.socket.recv(1000)
        assert fetch(address, uri="/?free").body == b"QUERY_STRING=free\n"
        assert app.stop() == 0, app.output()
        return app.output()


@pytest.mark.parametrize("kind", [name.replace("-", "_") for name in SWIG])
def test_no_traceback_in_the_swig_languages(directory: Path, kind: str):
    text = leave_thrice(kind, directory, "write")
    assert text.count("probe: write ended\n") == 3, text
    assert "aborted" not in text, text
    assert "swig_probe" not in text, text


@pytest.mark.parametrize("kind", [name.replace("-", "_") for name in SWIG])
def test_another_error_is_told_where_a_client_has_left(directory: Path, kind: str):
    assert leave_thrice(kind, directory, "fault").count("a fault of its own") == 3
