# SPDX-License-Identifier: MIT
"""SCRIPT_NAME and PATH_INFO from what each web server sends."""

from __future__ import annotations

import pytest
from support.fcgi_client import Client, fetch

URI = "/pre/a%20b/d?q"
PATH = "/pre/a b/d"
LIGHTTPD = {"SERVER_SOFTWARE": "lighttpd/1.4.69"}
PROXY = {"SCRIPT_FILENAME": "proxy:fcgi://localhost/new/a%20b", "SERVER_SOFTWARE": "Apache"}
SHARED = {
    "SCRIPT_NAME": "/index.fcgi",
    "PATH_INFO": "/x",
    "REDIRECT_URL": "/x",
    "REDIRECT_STATUS": "200",
    "SCRIPT_FILENAME": "/srv/index.fcgi",
}

# What the servers send for URI, with the application reached at /pre.
NGINX = {"REQUEST_URI": URI, "SCRIPT_NAME": PATH}
H2O = {"REQUEST_URI": URI, "SCRIPT_NAME": "", "PATH_INFO": PATH}
MAPPED = {"REQUEST_URI": URI, "SCRIPT_NAME": "/pre", "PATH_INFO": "/a b/d"}
ALONE = {"REQUEST_URI": "/pre", "SCRIPT_NAME": "/pre", "PATH_INFO": ""}

# The configured mount point, what is sent; script_name, path_info, raw_path. All cases are in
# tests/unit/gateway/test_path.c; here is what shows that the bindings use that.
ROWS = [
    (None, NGINX, "", PATH, "/pre/a%20b/d"),
    (None, H2O, "", PATH, "/pre/a%20b/d"),
    (None, MAPPED, "/pre", "/a b/d", "/pre/a%20b/d"),
    (None, ALONE, "/pre", "", "/pre"),
    (None, {"SCRIPT_NAME": "/pre", **LIGHTTPD}, "/pre", "", None),
    (None, {"SCRIPT_NAME": PATH}, "", PATH, None),
    (None, {}, "", "", None),
    ("/pre", NGINX, "/pre", "/a b/d", "/pre/a%20b/d"),
    ("/pre/", H2O, "/pre", "/a b/d", "/pre/a%20b/d"),
    ("/pre", MAPPED, "/pre", "/a b/d", "/pre/a%20b/d"),
    ("/pr", NGINX, "/pr", PATH, "/pre/a%20b/d"),
    ("/", MAPPED, "", PATH, "/pre/a%20b/d"),
    ("", MAPPED, "", PATH, "/pre/a%20b/d"),
    ("/\xfc", {"SCRIPT_NAME": "/\xc3\xbc/x"}, "/\xc3\xbc", "/x", None),
    # REQUEST_URI never overrules them.
    (None, {"REQUEST_URI": "/guarded", "SCRIPT_NAME": "/auth"}, "", "/auth", None),
    (None, {"REQUEST_URI": "/admin/../open", "SCRIPT_NAME": "/open"}, "", "/open",
     "/admin/../open"),
    (None, {"REQUEST_URI": "/x"}, "", "", None),
    (None, {"REQUEST_URI": "/idx/", "SCRIPT_NAME": "/idx/i.php", "DOCUMENT_URI": "/idx/"}, "",
     "/idx/", "/idx/"),
    (None, {"REQUEST_URI": "/old/a%20b", "SCRIPT_NAME": "/old/a b", **PROXY}, "", "/new/a b", None),
    (None, SHARED, "/index.fcgi", "/x", None),
    ("", {"REQUEST_URI": "/x", **SHARED}, "", "/x", "/x"),
    (None, {"SCRIPT_NAME": "/\xff%zz"}, "", "/\xff%zz", None),
]  # fmt: skip


def sent_as(sent):
    return {name: value.encode("latin-1") for name, value in sent.items()}


@pytest.mark.parametrize(("root", "sent", "script_name", "path_info", "raw_path"), ROWS)
def test_split(serve, root, sent, script_name, path_info, raw_path):
    def app(environ, start_response):
        start_response("200 OK", [])
        native = environ["fastcgi.request"]
        assert (native.script_name, native.path_info) == (script_name, path_info)
        return [repr((environ["SCRIPT_NAME"], environ["PATH_INFO"])).encode()]

    options = {} if root is None else {"root_path": root}
    serving = serve(app, **options)
    body = fetch(serving.address, params=sent_as(sent)).body
    assert body.decode() == repr((script_name, path_info))

    def handler(request):
        return 200, None, repr((request.script_name, request.path_info, request.raw_path))

    serving = serve(handler, **options)
    body = fetch(serving.address, params=sent_as(sent)).body
    assert body.decode() == repr((script_name, path_info, raw_path))


def test_the_whole_path_is_what_was_sent_whatever_the_root_path(serve):
    for root in (None, "", "/pre", "/other"):
        options = {} if root is None else {"root_path": root}
        serving = serve(lambda r: (200, None, r.path), **options)
        for sent in (NGINX, H2O, MAPPED):
            assert fetch(serving.address, params=sent).body.decode() == PATH


def test_the_environ_follows_each_parameter_that_the_path_is_made_of(serve):
    """One connection: the environ of the request before is the next one's pattern."""

    def app(environ, start_response):
        start_response("200 OK", [])
        kept = [key for key in environ if key.startswith("fastcgi.orig.")]
        text = repr((environ["SCRIPT_NAME"], environ["PATH_INFO"], sorted(kept)))
        return [text.encode()]

    names = ["SCRIPT_NAME", "PATH_INFO", "DOCUMENT_URI", "SCRIPT_FILENAME", "REDIRECT_URL",
             "REDIRECT_STATUS", "SERVER_SOFTWARE", "REQUEST_URI"]  # fmt: skip
    with_all = [(dict.fromkeys(names, "") | sent, root) for root, sent, *_ in ROWS]
    for root in (None, "", "/pre"):
        options = {} if root is None else {"root_path": root}
        chosen = [sent_as(sent) for sent, its in with_all if its in (None, root)]
        address = serve(app, **options).address
        alone = [fetch(address, params=sent).body for sent in chosen]
        with Client(address) as client:
            for turn in range(2 * len(chosen)):
                at = turn * 7 % len(chosen)
                assert client.request(params=chosen[at]).body == alone[at], chosen[at]


def test_the_file_without_what_the_proxy_of_apache_puts_around_it(serve):
    """One connection again: nothing of one request stays for the next."""
    proxied = "proxy:fcgi://localhost//srv/a.py?q"
    rows = [
        ({"SCRIPT_FILENAME": proxied, "QUERY_STRING": "q"}, ("/srv/a.py", proxied)),
        ({"SCRIPT_FILENAME": "/srv/b.py", "QUERY_STRING": "q"}, ("/srv/b.py", None)),
        ({"SCRIPT_FILENAME": proxied, "QUERY_STRING": ""}, ("/srv/a.py?q", proxied)),
        ({"SCRIPT_FILENAME": proxied, "QUERY_STRING": "", "MORE": "x"}, ("/srv/a.py?q", proxied)),
        ({}, (None, None)),
    ]

    def app(environ, start_response):
        start_response("200 OK", [])
        file = environ.get("SCRIPT_FILENAME")
        assert environ["fastcgi.request"].script_filename == file
        return [repr((file, environ.get("fastcgi.orig.SCRIPT_FILENAME"))).encode()]

    with Client(serve(app).address) as client:
        for sent, expected in [*rows, *rows[::-1], *rows]:
            assert client.request(params=sent_as(sent)).body.decode() == repr(expected)
