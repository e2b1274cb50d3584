# SPDX-License-Identifier: MIT
"""`fcgi call` against the echo application of each language."""

import hashlib
import random
from pathlib import Path

import pytest
from support.process import Process
from support.tool import fcgi

App = tuple[Process, str]


def lines(text: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.decode().splitlines())


def test_get_sends_what_a_web_server_sends(echo: App):
    _, address = echo
    done = fcgi("call", address, "/a%20b/c?x=1&y=%20", "-H", "X-Test: hello")
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout) == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/c",
        "QUERY_STRING": "x=1&y=%20",
        "CONTENT_LENGTH": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_X_TEST": "hello",
    }


def test_parameters_are_set_and_removed(echo: App):
    _, address = echo
    done = fcgi(
        "call",
        address,
        "/ping?q",
        *("-p", "SCRIPT_FILENAME=/ping"),
        *("-p", "SERVER_PROTOCOL=X=Y"),
        *("-H", "X-Test: dropped", "-p", "HTTP_X_TEST"),
    )
    shown = lines(done.stdout)
    assert (shown["SCRIPT_NAME"], shown["PATH_INFO"]) == ("/ping", "")
    assert (shown["SERVER_PROTOCOL"], shown["HTTP_X_TEST"]) == ("X=Y", "")


def test_data_makes_a_post(echo: App):
    _, address = echo
    done = fcgi("call", address, "/", "-d", "a=1", "-d", "b=2", "-i")
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert (done.returncode, body) == (0, b"a=1&b=2")
    assert b"X-Echo-Length: 7\r\n" in head + b"\r\n"
    assert b"application/x-www-form-urlencoded" in head


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_method(echo: App, method: str):
    _, address = echo
    done = fcgi("call", address, "/", "-X", method, "-d", "")
    assert (done.returncode, done.stdout) == (0, b"")


def test_bodies_larger_than_any_socket_holds(echo: App, directory: Path):
    """Both ways at once, from a file and from a pipe, again on one connection."""
    _, address = echo
    data = random.Random(1).randbytes(20_000_000)
    (directory / "body").write_bytes(data)
    done = fcgi("call", address, "/", "-d", f"@{directory}/body", "--keep", "2")
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data * 2).digest()
    piped = fcgi("call", address, "/", "-d", "@-", input=data)
    assert (piped.returncode, piped.stdout == data) == (0, True)


def test_keep_sends_all_requests_on_one_connection(echo: App):
    _, address = echo
    done = fcgi("call", address, "/", "--keep", "40", "-d", "x")
    assert (done.returncode, done.stdout) == (0, b"x" * 40)


def test_ping_prints_the_values(echo: App):
    _, address = echo
    done = fcgi("call", address, "--ping")
    assert done.returncode == 0
    assert lines(done.stdout)["FCGI_MPXS_CONNS"] == "1"
    assert set(lines(done.stdout)) == {"FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS"}


def test_a_header_given_twice_is_joined_as_web_servers_do(echo: App):
    _, address = echo
    done = fcgi("call", address, "/", "-H", "X-Test: a", "-H", "x-test:  b, c", "-H", "X-Test: d")
    assert lines(done.stdout)["HTTP_X_TEST"] == "a, b, c, d"
    done = fcgi("call", address, "/", "-H", "X-Test: a", "-H", "X-Other: b", "-H", "X-Test:c")
    assert lines(done.stdout)["HTTP_X_TEST"] == "a, c"
    done = fcgi("call", address, "/", *("-H", "X-Test: a"), *("-p", "HTTP_X_TEST=over"))
    assert lines(done.stdout)["HTTP_X_TEST"] == "over"


def test_ready_has_a_handler_answer_and_prints_nothing(echo: App):
    _, address = echo
    for words in ([], ["/path"], ["/", "-X", "GET"]):
        done = fcgi("call", address, "--ready", *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_unknown_role_is_a_protocol_failure(echo: App):
    _, address = echo
    done = fcgi("call", address, "/", "--role", "77")
    assert done.returncode == 4
    assert b"FCGI_UNKNOWN_ROLE" in done.stderr


def test_bad_parameters_are_answered_400(echo: App):
    """The library's own refusal shows as a failure only when asked for."""
    _, address = echo
    bad = ["call", address, "/", "-p", "CONTENT_LENGTH=many"]
    assert fcgi(*bad).returncode == 0
    done = fcgi(*bad, "-f")
    assert (done.returncode, done.stdout) == (1, b"400 Bad Request\n")
    assert b"status 400" in done.stderr
