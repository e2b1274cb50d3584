# SPDX-License-Identifier: MIT
"""fastcgi.main, as the examples use it: addresses, mistakes and signals."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest
from fastcgi.testing import Connection, request_params

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py") if "swig" not in path.name)


def run(name, *arguments, **env):
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def ask(path, role=1):
    with Connection(str(path), 10) as client:
        client.begin(request_params("GET", "/"), role=role)
        if role != 2:
            client.stdin(b"")
        if role == 3:
            client.data(b"line\n")
        return client.response()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "no listener inherited"),
        (["nonsense"], 'address "nonsense"'),
        (["unix:/nowhere/x.sock"], "the directory /nowhere does not exist"),
        (["fd:99"], "fd:99"),
        (["--bogus"], "usage: "),
    ],
    ids=str,
)
def test_a_wrong_address_is_one_line_and_status_2(name, arguments, complaint):
    done = run(name, *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert name in done.stderr
    assert complaint in done.stderr


def test_an_address_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("hello.py", address)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert address in done.stderr


def test_help():
    done = run("hello.py", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: hello.py [ADDRESS ...]")


@pytest.mark.parametrize(("name", "role"), [(n, 3 if n == "filter.py" else 1) for n in NAMES])
def test_an_example_serves_its_address_until_interrupted(command, tmp_path, name, role):
    running = command(str(EXAMPLES / name), "unix:one.sock", "unix:two.sock")
    for path in (tmp_path / "one.sock", tmp_path / "two.sock"):
        wait_for(path)
        assert ask(path, role).status == 200
    running.process.send_signal(signal.SIGINT)
    assert running.finish() == (0, "")


def test_without_an_address_it_serves_what_is_inherited(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "inherited"))
        listener.listen()
        process = subprocess.Popen([sys.executable, str(EXAMPLES / "hello.py")], stdin=listener)
    try:
        assert ask(tmp_path / "inherited").body == b"Hello\n"
    finally:
        process.terminate()
        assert process.wait(60) == 0


def test_the_words_of_a_cgi_client_are_no_addresses(tmp_path):
    """RFC 3875, 4.4: a query without '=' is on the command line."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "inherited"))
        listener.listen()
        words = [f"unix:{tmp_path}/of-the-client", "--help"]
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / "hello.py"), *words],
            env={**os.environ, "GATEWAY_INTERFACE": "CGI/1.1"},
            stdin=listener,
        )
    try:
        assert ask(tmp_path / "inherited").body == b"Hello\n"
        assert not (tmp_path / "of-the-client").exists()
    finally:
        process.terminate()
        assert process.wait(60) == 0


def run_cgi(program, *words, body=b"", **env):
    """The program as a CGI server starts it; head and body of what it prints."""
    sent = {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET", "SCRIPT_NAME": "/x"}
    done = subprocess.run(
        [sys.executable, str(program), *words],
        env={**os.environ, **sent, **env},
        input=body,
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    head, _, rest = done.stdout.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), rest


def test_the_same_program_answers_a_cgi_server(tmp_path):
    head, body = run_cgi(EXAMPLES / "hello.py", f"unix:{tmp_path}/of-the-client", "-h")
    assert "Status: 200 OK" in head
    assert body == b"Hello\n"
    assert list(tmp_path.iterdir()) == []
    sent = bytes(range(256)) * 1000
    length = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(sent))}
    assert run_cgi(EXAMPLES / "echo.py", body=sent, **length)[1] == sent


def test_wsgi_says_that_a_cgi_process_runs_once(tmp_path):
    program = tmp_path / "app.py"
    program.write_text("""
import fastcgi
def app(environ, start_response):
    start_response("200 OK", [])
    keys = "wsgi.run_once", "wsgi.multiprocess", "wsgi.multithread"
    return [repr([environ[key] for key in keys]).encode()]
fastcgi.main(app)
""")
    assert run_cgi(program)[1] == b"[True, True, False]"


def wait_for(path):
    from support.fcgi_client import wait_for_server

    wait_for_server(f"unix:{path}")
