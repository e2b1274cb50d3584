# SPDX-License-Identifier: MIT
"""The module in subinterpreters with a GIL of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import _interpreters, pathlib, sys, threading, time
sys.path.insert(0, {here!r})
from support.fcgi_client import fetch, wait_for_server
import fastcgi

served = '''
import sys
sys.path[:0] = {path!r}
import fastcgi
def app(environ, start_response):
    start_response("200 OK", [])
    return [name.encode()]
def stop(request):
    raise SystemExit
server = fastcgi.Server(f"unix:{{name}}")
for taken in server:
    if taken.path == "/stop":
        taken.reply("bye")
        break
    taken.reply(name)
server.close()
'''
threads = []
for name in ("one", "two"):
    interpreter = _interpreters.create("isolated")
    code = f"name = {{name!r}}" + served
    def run(interpreter=interpreter, code=code):
        failed = _interpreters.exec(interpreter, code)
        assert failed is None, failed
        _interpreters.destroy(interpreter)
    threads.append(threading.Thread(target=run))
    threads[-1].start()
for name in ("one", "two"):
    wait_for_server(f"unix:{{name}}")
    for _ in range(100):
        assert fetch(f"unix:{{name}}").body == name.encode()
for name in ("one", "two"):
    fetch(f"unix:{{name}}", uri="/stop")
for thread in threads:
    thread.join()
print("done")
"""


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="_interpreters can make isolated ones since CPython 3.13"
)
def test_two_interpreters_serve_at_once(tmp_path):
    here = str(__file__).rpartition("/")[0]
    path = [entry for entry in sys.path if entry]
    program = textwrap.dedent(PROGRAM).format(here=here, path=path)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "done\n", done.stderr


def test_two_imports_share_nothing():
    """Each import of the extension has a state of its own."""
    import importlib.util

    from fastcgi import _core

    spec = importlib.util.find_spec("fastcgi._core")
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert again.Server is not _core.Server
    assert again.Error is not _core.Error
    with pytest.raises(again.Closed):
        again.Server.__new__(again.Server).accept()
