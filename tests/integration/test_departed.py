# SPDX-License-Identifier: MIT
"""A client that leaves is no fault of the application: no traceback, in no language."""

import shutil
import sys
from pathlib import Path

import pytest
from support.fcgi_client import Client, fetch, wait_until
from support.paths import SOURCE
from support.process import Process

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
