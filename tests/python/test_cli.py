# SPDX-License-Identifier: MIT
"""The command: python -m fastcgi module:app."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
import sys

import pytest
from fastcgi.testing import Connection, request_params
from support.fcgi_client import fetch

APP = """
import os, sys
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi " + environ["SCRIPT_NAME"].encode()]
application = app
def handler(request):
    return 200, None, b"handler"
def factory(word="made"):
    return lambda request: (200, None, word)
number = 3
class space:
    inner = handler
async def awaited(request):
    pass
"""


@pytest.fixture(autouse=True)
def app_file(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    return tmp_path / "app.py"


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["app:app"], b"wsgi "),
        (["app"], b"wsgi "),
        (["app:app", "--root-path", "/pre"], b"wsgi /pre"),
        (["app:handler", "--threads", "3"], b"handler"),
        (["app:space.inner"], b"handler"),
        (["app:factory()"], b"made"),
        (["app:factory('other')"], b"other"),
        (["app:factory(word='named')"], b"named"),
        (["app:factory", "--factory"], b"made"),
        (["app:handler", "--interface", "handler", "--stream", "--log-level", "debug"], b"handler"),
    ],
)
def test_serves(command, tmp_path, arguments, body):
    running = command("-m", "fastcgi", *arguments, "--bind", "unix:x.sock", "--log-level", "info")
    line = running.wait_for("pid")
    assert "unix:x.sock" in line
    assert fetch(f"unix:{tmp_path}/x.sock").body == body
    running.process.terminate()
    assert running.finish()[0] == 0
    assert not (tmp_path / "x.sock").exists()


def test_several_addresses_options_and_chdir(command, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "helper.py").write_text("body = b'from helper'")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "app.py").write_text(
        "import helper\ndef app(request): return 200, None, helper.body"
    )
    running = command(
        "-m", "fastcgi", "app:app", "-b", "unix:a", "-b", "127.0.0.1:0", "--socket-mode", "600",
        "--chdir", str(tmp_path / "inner"), "--pythonpath", str(tmp_path / "lib"),
        "--limit-request-body", "1K", "--io-timeout", "5m", "--backlog", "10", "--body-memory",
        "64K", "--idle-timeout", "0",
    )  # fmt: skip
    line = running.wait_for("pid")
    tcp = line.partition("unix:a, ")[2].partition(" ")[0]
    path = tmp_path / "inner" / "a"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert fetch(f"unix:{path}").body == b"from helper"
    assert fetch(tcp).body == b"from helper"
    assert fetch(tcp, "POST", body=b"x" * 1025).status == 413


def test_inherited_listener_on_descriptor_0(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "inherited"))
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "fastcgi", "app:app", "--log-level", "error"],
            stdin=listener,
            cwd=tmp_path,
        )
    try:
        assert fetch(f"unix:{tmp_path}/inherited").body == b"wsgi "
    finally:
        process.terminate()
        assert process.wait(60) == 0
    assert (tmp_path / "inherited").exists(), "a socket that was handed over stays"


def run(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "fastcgi", *arguments],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        ([], 2, "MODULE:APP"),
        (["app:app", "--bogus"], 2, "--bogus"),
        (["app:app", "--threads", "0"], 2, "--threads=0: must be a whole number from 1 to 4096"),
        (["app:app", "--threads", "many"], 2, "--threads"),
        (["app:app", "--interface", "cgi"], 2, "--interface"),
        (
            ["app:app", "--socket-mode", "999"],
            2,
            "--socket-mode=999: must be an octal mode",
        ),
        (
            ["app:app", "--io-timeout", "soon"],
            2,
            "--io-timeout=soon: must be a time",
        ),
        (
            ["app:app", "--limit-request-body", "1Z"],
            2,
            "--limit-request-body=1Z: must be a size",
        ),
        (["app:app", "--root-path", "pre"], 2, "must be a path that begins with /"),
        (["app:app", "--thread", "3"], 2, "--thread"),
        (["missing:app"], 1, "no module named 'missing'"),
        (["app.sub:app"], 1, "app.sub"),
        (["app:missing"], 1, "module 'app' has no attribute 'missing'"),
        (["app:number"], 1, "'number' is not callable but int"),
        (["app:number()"], 1, "not callable but int"),
        (["app:1+1"], 1, "write module:name or module:factory()"),
        (["app:factory("], 1, "write module:name or module:factory()"),
        (["./app.py"], 1, "is not the name of a module"),
        (["app:awaited"], 1, "asynchronous"),
        (["app:app", "--chdir", "/nowhere"], 1, "/nowhere: No such file or directory"),
        (["app:app", "--bind", "nonsense"], 1, "nonsense"),
        (["app:app", "--bind", "unix:missing/x.sock"], 1, "missing/x.sock"),
        (["app:app", "--bind", "unix:app.py"], 1, "app.py"),
        (["app:app", "--bind", "192.0.2.1:80"], 1, "192.0.2.1:80"),
        (["app:app"], 1, ""),
    ],
)
def test_mistakes_are_one_line_and_a_status(tmp_path, arguments, status, complaint):
    done = run(tmp_path, *arguments)
    lines = done.stderr.splitlines()
    assert done.returncode == status, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("fastcgi: ")
    assert complaint in lines[0]
    assert done.stdout == ""


def test_an_address_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run(tmp_path, "app:app", "--bind", address)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert address in done.stderr


def test_a_live_unix_socket(tmp_path):
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(tmp_path / "x.sock"))
        taken.listen()
        done = run(tmp_path, "app:app", "--bind", "unix:x.sock")
        assert (tmp_path / "x.sock").exists()
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "x.sock" in done.stderr


@pytest.mark.parametrize(
    ("source", "shown", "last"),
    [
        ("1 / 0", 'app.py", line 1', "cannot import: ZeroDivisionError: division by zero"),
        ("import no_such", 'app.py", line 1', "ModuleNotFoundError: No module named 'no_such'"),
        ("def app(:", "SyntaxError", "cannot import: SyntaxError: invalid syntax"),
        ("def app():\n  raise OSError(5, 'x')", "line 2", "the factory failed: OSError"),
        ("import sys; sys.exit(0)", 'app.py", line 1', "cannot import: SystemExit: 0"),
    ],
)
def test_an_application_that_fails_to_start(tmp_path, app_file, source, shown, last):
    app_file.write_text(source)
    done = run(tmp_path, "app:app()" if "def app()" in source else "app:app", "-b", "unix:x")
    assert done.returncode == 1
    assert shown in done.stderr
    assert "importlib" not in done.stderr
    assert "_app.py" not in done.stderr
    final = done.stderr.splitlines()[-1]
    assert final.startswith("fastcgi: app:app")
    assert last in final


def test_version_and_help(tmp_path):
    assert run(tmp_path, "--version").stdout.startswith("fastcgi 0.")
    shown = run(tmp_path, "--help").stdout
    for option in ("--bind", "--threads", "--limit-request-body", "--graceful-timeout"):
        assert option in shown


def test_an_interrupt_while_the_application_is_imported(command, app_file):
    app_file.write_text("import sys, time\nsys.stderr.write('importing\\n')\ntime.sleep(20)")
    running = command("-m", "fastcgi", "app:app", "--bind", "unix:x.sock")
    running.wait_for("importing\n")
    running.process.send_signal(signal.SIGINT)
    assert running.finish() == (130, "importing\nfastcgi: interrupted\n")


ROLES = """
def app(request):
    return 200, None, request.role
def check(request):
    request.allow({"BY": "check"})
def number(request):
    return 200, None, request.read_data()
"""


def test_roles_on_the_command_line(command, tmp_path, app_file):
    app_file.write_text(ROLES)
    running = command(
        "-m", "fastcgi", "app:app", "-b", "unix:x.sock", "--role", "authorizer=app:check",
        "--role", "lookup:9=app:app", "--role", "watch:300:none=app:app",
        "--role", "both:77:stdin+data=app:number",
    )  # fmt: skip
    line = running.wait_for("pid")
    assert "serving app:app (handler), app:check (authorizer), app:app (lookup), " in line
    path = str(tmp_path / "x.sock")
    params = request_params("GET", "/")
    with Connection(path, 10) as client:
        for role, stdin, data, body in [
            (1, b"", None, b"responder"),
            (2, None, None, b""),
            (9, b"", None, b"lookup"),
            (300, None, None, b"watch"),
            (77, b"", b"the data", b"the data"),
        ]:
            client.begin(params, role=role)
            if stdin is not None:
                client.stdin(stdin)
            if data is not None:
                client.data(data)
            answer = client.response()
            assert (answer.protocol_status, answer.body) == (0, body)
        client.begin(params, role=3)
        client.stdin(b"")
        client.data(b"")
        assert client.response().protocol_status == 3, "a role without a handler is refused"


def test_roles_without_an_application(command, tmp_path, app_file):
    app_file.write_text(ROLES)
    running = command("-m", "fastcgi", "-b", "unix:x.sock", "--role", "lookup:9=app:app")
    assert "serving app:app (lookup) on unix:x.sock" in running.wait_for("pid")
    with Connection(str(tmp_path / "x.sock"), 10) as client:
        client.begin(request_params("GET", "/"), role=9)
        client.stdin(b"")
        assert client.response().body == b"lookup"


@pytest.mark.parametrize(
    ("role", "status", "complaint"),
    [
        ("lookup=app:app", 2, "role=lookup=app:app: must be a role such as"),
        ("lookup:x=app:app", 2, "must be a role"),
        ("lookup:9:some=app:app", 2, "must be a role"),
        ("lookup:9:stdin:more=app:app", 2, "must be a role"),
        (":9=app:app", 2, "must be a role"),
        ("authorizer", 2, "must be a role"),
        ("lookup:0=app:app", 1, "the number must be from 1 to 65535"),
        ("lookup:65536=app:app", 1, "the number must be from 1 to 65535"),
        ("lookup:1=app:app", 1, "does not fit number 1 of the standard"),
        ("authorizer=app:missing", 1, "module 'app' has no attribute 'missing'"),
        ("responder=app:app", 1, "not both"),
    ],
)
def test_wrong_roles_are_one_line(tmp_path, role, status, complaint):
    done = run(tmp_path, "app:app", "-b", "unix:x", "--log-level", "error", "--role", role)
    assert (done.returncode, len(done.stderr.splitlines())) == (status, 1), done.stderr
    assert complaint in done.stderr


def test_a_role_given_twice(tmp_path):
    twice = ["--role", "authorizer=app:handler"] * 2
    done = run(tmp_path, "app:app", "-b", "unix:x", *twice)
    assert done.returncode == 1
    assert done.stderr == "fastcgi: --role: role 'authorizer' is there twice\n"
