# SPDX-License-Identifier: MIT
"""The keys of environ that parameters do not decide alone."""

from __future__ import annotations

import socket
import threading
from wsgiref.validate import validator

import fastcgi
import pytest
from support.fcgi_client import Client, fetch


def ok(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


def test_what_is_never_empty_has_a_value(serve):
    seen = []

    def app(environ, start_response):
        names = ("REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL")
        seen.append([environ[name] for name in names])
        return ok(environ, start_response)

    empty = {"REQUEST_METHOD": "", "SERVER_NAME": "", "SERVER_PORT": "", "SERVER_PROTOCOL": ""}
    full = {"REQUEST_METHOD": "PUT", "SERVER_NAME": "h", "SERVER_PORT": "81",
            "SERVER_PROTOCOL": "HTTP/1.0"}  # fmt: skip
    steps = [empty, full, empty, {**empty, "HTTPS": "on"}, {**empty, "HTTPS": ""}, {},
             {"REQUEST_SCHEME": "https"}, {**full, "HTTPS": "on"}]  # fmt: skip
    defaults = ["GET", "localhost", "80", "HTTP/1.1"]
    secure = ["GET", "localhost", "443", "HTTP/1.1"]
    sent = [*full.values()]
    serving = serve(validator(app), interface="wsgi")
    with Client(serving.address) as client:
        for params in steps:
            client.send_request(params=params)
            assert client.collect().body == b"ok"
    assert seen == [defaults, sent, defaults, secure, defaults, defaults, secure, sent]


@pytest.mark.parametrize("stream", [False, True], ids=["collected", "streamed"])
def test_no_coding_that_the_web_server_has_taken_off(serve, stream):
    """Bottle would take it off once more. Without a length it says that there is a body."""
    seen = []

    def app(environ, start_response):
        seen.append(environ.get("HTTP_TRANSFER_ENCODING", "none"))
        return ok(environ, start_response)

    with Client(serve(app, stream=stream).address) as client:
        for sent, body, streamed in [
            ("4", b"four", "none"),
            ("-1", b"four", "chunked"),
            ("", b"", "chunked"),
        ] * 2:
            client.begin()
            client.params(
                {
                    "REQUEST_METHOD": "POST",
                    "CONTENT_LENGTH": sent,
                    "HTTP_TRANSFER_ENCODING": "chunked",
                }
            )
            client.stdin(body)
            assert client.collect().body == b"ok"
            assert seen[-1] == (streamed if stream else "none")


LENGTHS = ["-1", "", None]


@pytest.mark.parametrize("stream", [False, True], ids=["collected", "streamed"])
def test_a_body_of_unknown_length(serve, stream):
    """Collected it has a length, which Django and cgi go by; streamed it has none."""
    seen = []

    def app(environ, start_response):
        length = environ.get("CONTENT_LENGTH", "none")
        seen.append((length, environ["wsgi.input_terminated"], len(environ["wsgi.input"].read())))
        return ok(environ, start_response)

    bodies = [b"", b"x" * 70_000, b"y" * 300_000]
    with Client(serve(app, stream=stream).address) as client:
        for body in bodies:
            for sent in LENGTHS * 2:
                given = {} if sent is None else {"CONTENT_LENGTH": sent}
                client.begin()
                client.params({"REQUEST_METHOD": "POST", "PATH_INFO": f"/{len(seen)}", **given})
                client.stdin(body)
                assert client.collect().body == b"ok"
                left = "none" if sent in (None, "-1") else sent
                wanted = str(len(body)) if body and not stream else left
                assert seen[-1] == (wanted, True, len(body))
        assert client.request("POST", body=b"four").body == b"ok"
        assert seen[-1] == ("4", True, 4)


def test_parameters_do_not_replace_our_keys(serve):
    names = ["wsgi.input", "wsgi.errors", "wsgi.url_scheme", "wsgi.multiprocess", "wsgi.version",
             "wsgi.file_wrapper", "wsgi.input_terminated", "wsgi.run_once", "wsgi.multithread",
             "wsgi.other", "fastcgi.request", "fastcgi.aborted", "fastcgi.orig.SCRIPT_NAME",
             "fastcgi.orig.PATH_INFO", "fastcgi.other"]  # fmt: skip
    seen = []

    def ours(environ):
        return {key: str(value) for key, value in environ.items() if key.startswith(("wsgi", "fa"))}

    def app(environ, start_response):
        assert environ["wsgi.input"] is environ["fastcgi.request"]
        assert environ["fastcgi.aborted"]() is None
        params = environ["fastcgi.request"].params
        seen.append((ours(environ), sorted(set(params) & set(names))))
        return ok(environ, start_response)

    def ask(client, pairs):
        client.begin()
        client.params([(b"PATH_INFO", b"/x"), *pairs])
        client.stdin(b"")
        assert client.collect().body == b"ok"
        known = seen.pop()
        return {k: v for k, v in known[0].items() if " object at " not in v}, known[1]

    with Client(serve(app).address) as client:
        own, _ = ask(client, [])
        for pairs in (
            [(name.encode(), b"evil") for name in names],
            [(name.encode(), b"other") for name in names],
            [(name.encode(), b"evil") for name in names * 2],
            [(b"HTTP_CONTENT_TYPE", b"x"), *((name.encode(), b"evil") for name in names)],
        ):
            assert ask(client, pairs) == (own, sorted(names))
        assert ask(client, []) == (own, [])


def test_multiprocess_where_others_may_serve_the_same(tmp_path):
    """An inherited listener is shared: by workers, mod_fcgid's and spawn-fcgi's processes."""

    def app(environ, start_response):
        start_response("200 OK", [])
        return [repr(environ["wsgi.multiprocess"]).encode()]

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "shared"))
        listener.listen()
        for address, expected in ((f"unix:{tmp_path}/own", b"False"),
                                  (f"fd:{listener.fileno()}", b"True")):  # fmt: skip
            with fastcgi.Server(address) as server:
                thread = threading.Thread(target=server.run, args=(app,),
                                          kwargs={"interface": "wsgi"})  # fmt: skip
                thread.start()
                asked = address if expected == b"False" else f"unix:{tmp_path}/shared"
                assert fetch(asked).body == expected
                server.stop()
                thread.join(60)
                assert not thread.is_alive()
