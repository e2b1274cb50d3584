# SPDX-License-Identifier: MIT
"""SCRIPT_NAME and PATH_INFO from what each web server sends."""

from __future__ import annotations

import pytest
from support.fcgi_client import fetch

URI = "/pre/a%20b/d?q"
PATH = "/pre/a b/d"

# What the servers send for URI, with the application reached at /pre.
NGINX = {"REQUEST_URI": URI, "SCRIPT_NAME": PATH}
CADDY = {"REQUEST_URI": URI, "SCRIPT_NAME": PATH, "PATH_INFO": ""}
H2O = {"REQUEST_URI": URI, "SCRIPT_NAME": "", "PATH_INFO": PATH}
MAPPED = {"REQUEST_URI": URI, "SCRIPT_NAME": "/pre", "PATH_INFO": "/a b/d"}
OLD = {"SCRIPT_NAME": "/pre", "PATH_INFO": "/a b/d"}
OLD_WHOLE = {"SCRIPT_NAME": PATH}


@pytest.mark.parametrize(
    ("root", "sent", "script_name", "path_info"),
    [
        (None, NGINX, "", PATH),
        (None, CADDY, "", PATH),
        (None, H2O, "", PATH),
        (None, MAPPED, "/pre", "/a b/d"),
        (None, OLD, "/pre", "/a b/d"),
        (None, OLD_WHOLE, "", PATH),
        (None, {}, "", ""),
        ("/pre", NGINX, "/pre", "/a b/d"),
        ("/pre/", CADDY, "/pre", "/a b/d"),
        ("/pre", H2O, "/pre", "/a b/d"),
        ("/pre", MAPPED, "/pre", "/a b/d"),
        ("/pre", OLD, "/pre", "/a b/d"),
        ("/pre", OLD_WHOLE, "/pre", "/a b/d"),
        ("/pr", NGINX, "/pr", PATH),
        ("/", MAPPED, "", PATH),
        (None, {"REQUEST_URI": "http://host:80/x?y"}, "", "/x"),
        (None, {"REQUEST_URI": "http://host"}, "", "/"),
        (None, {"REQUEST_URI": "/a:b//c"}, "", "/a:b//c"),
        (None, {"REQUEST_URI": "/%zz%4"}, "", "/%zz%4"),
        (None, {"REQUEST_URI": "/%41%"}, "", "/A%"),
        (None, {"REQUEST_URI": "/%C3%A9"}, "", "/\xc3\xa9"),
        (None, {"REQUEST_URI": "/" + "%61" * 3000}, "", "/" + "a" * 3000),
        ("/pre", {"REQUEST_URI": "/pre"}, "/pre", ""),
    ],
)
def test_split(serve, root, sent, script_name, path_info):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [repr((environ["SCRIPT_NAME"], environ["PATH_INFO"])).encode()]

    options = {} if root is None else {"root_path": root}
    serving = serve(app, **options)
    assert fetch(serving.address, params=sent).body.decode() == repr((script_name, path_info))
    serving = serve(lambda r: (200, None, repr(r.path)), **options)
    assert fetch(serving.address, params=sent).body.decode() == repr(path_info)
