# SPDX-License-Identifier: MIT
"""The path that each web server has judged is the one that an application gets.

A Flask application behind real web servers; docs/paths.md says what is expected.
"""

import pytest
from support.path_sites import App, Sites

# The web server, the request, and what comes of it: SCRIPT_NAME and PATH_INFO, or a status.
ROWS = [
    ("nginx", "/", ("", "/")),
    ("nginx", "/a%20b?q=1", ("", "/a b")),
    ("nginx", "/a%2Fb", ("", "/a/b")),
    ("nginx", "/a+b", ("", "/a+b")),
    ("nginx", "/100%25", ("", "/100%")),
    ("nginx", "/a//b", ("", "/a/b")),
    ("nginx", "//a", ("", "/a")),
    ("nginx", "/a/", ("", "/a/")),
    ("nginx", "/%C3%A9", ("", "/\xc3\xa9")),
    ("nginx", "/%ff%fe", ("", "/\xff\xfe")),
    ("nginx", "/a%3Fb", ("", "/a?b")),
    ("nginx", "/a/./b", ("", "/a/b")),
    ("nginx", "/a/../b", ("", "/b")),
    ("nginx", "/a;v=1", ("", "/a;v=1")),
    ("nginx", "/a%0Ab", ("", "/a\nb")),
    ("nginx", "/a%00b", 400),
    ("nginx", "/admin/x", 403),
    ("nginx", "/admin/../open/x", ("", "/open/x")),
    ("nginx", "/admin/%2e%2e/open/x", ("", "/open/x")),
    ("nginx", "//admin/x", 403),
    ("nginx", "/open/../admin/x", 403),
    ("nginx", "/%61dmin/x", 403),
    ("nginx", "/guarded/x", 401),
    ("nginx", "/guarded/%2e%2e/guarded/x", 401),
    ("nginx", "/auth", 404),
    ("nginx", "/old/a%20b", ("", "/new/a b")),
    ("nginx", "/break/a%20b", ("", "/new/a b")),
    ("nginx", "/fail", ("", "/page500")),
    ("nginx", "/refused/x", ("", "/page404")),
    ("nginx", "/try/x", ("", "/front")),
    ("nginx", "/page.html", ("", "/part/x")),
    ("nginx", "/pre/a%20b", ("/pre", "/a b")),
    ("nginx", "/pre/a//b", ("/pre", "/a/b")),
    ("nginx", "/pre/a/./b", ("/pre", "/a/b")),
    ("nginx", "/pre/x/../b", ("/pre", "/b")),
    ("nginx", "/pre", ("/pre", "")),
    ("nginx", "/pre/", ("/pre", "/")),
    ("nginx", "/prex", ("/prex", "")),
    ("nginx", "/strict/a%20b", ("/strict", "/a b")),
    ("nginx", "/strict", ("/strict", "")),
    ("nginx", "/mount", 301),
    ("nginx", "/mount/", ("", "/mount/")),
    ("nginx", "/loose/x", ("/loose", "/x")),
    ("nginx", "/loosex", ("", "/loosex")),
    ("nginx", "/idx/", ("", "/idx/")),
    ("nginx", "/idx/x", ("", "/idx/x")),
    ("nginx", "/uri/x%20y", ("", "/uri/x y")),
    ("nginx", "/flup/x%20y", ("", "/flup/x y")),
    ("nginx", "/hand/x", ("/set", "/by/hand")),
    ("nginx", "/script/", ("", "/script/hand")),
    ("nginx", "/strip/x", ("/strip", "/x")),
    ("nginx", "/strip/strip/x", ("/strip", "/strip/x")),
    ("lighttpd", "/pre/a%20b", ("/pre", "/a b")),
    ("lighttpd", "/pre", ("/pre", "")),
    ("lighttpd", "/pre/a//b", ("/pre", "/a/b")),
    ("lighttpd", "/pre/x/../b", ("/pre", "/b")),
    ("lighttpd", "/pre/a%zz", ("/pre", "/a%zz")),
    ("lighttpd", "/old/a", ("/new", "/a")),
    ("lighttpd", "/nowhere", ("/pre", "/page404")),
    # The error handler of 1.4.69 is for 403 too, that of 1.4.79 is not.
    ("lighttpd", "/admin/x", [403, ("/pre", "/page404")]),
    ("lighttpd", "/admin/../pre/x", ("/pre", "/x")),
    ("lighttpd-fixed", "/pre/a%20b", ("", "/pre/a b")),
    ("lighttpd-fixed", "/", ("", "/")),
    ("lighttpd-fixed", "/a%2Fb", ("", "/a/b")),
    ("lighttpd-fixed", "/a//b/../c", ("", "/a/c")),
    ("lighttpd-root", "/x/y", ("/x", "/y")),
    ("lighttpd-root", "/", ("", "/")),
    ("apache", "/same/a%20b?q=1", ("", "/same/a b")),
    ("apache", "/same/a%2Fb", ("", "/same/page404")),
    ("apache", "/same/a//b", ("", "/same/a/b")),
    ("apache", "/same/a/../b", ("", "/same/b")),
    ("apache", "/same/a%3Fb", ("", "/same/a?b")),
    ("apache", "/same/100%25", ("", "/same/100%")),
    ("apache", "/same/%ff", ("", "/same/\xff")),
    ("apache", "/same/a;v=1", ("", "/same/a;v=1")),
    ("apache", "/gen/a%20b", ("", "/gen/a b")),
    ("apache", "/pre/a%20b", ("/pre", "/a b")),
    ("apache", "/pre/", ("/pre", "/")),
    ("apache", "/pre", ("/pre", "")),
    ("apache", "/handler/a%20b", ("/handler", "/a b")),
    ("apache", "/handler", ("/handler", "")),
    ("apache", "/old/a%20b", ("", "/same/new/a b")),
    ("apache", "/p/a%20b?q=1", ("", "/new/a b")),
    ("apache", "/p/%252e%252e/x", ("", "/new/%2e%2e/x")),
    ("apache", "/p/../same/x", ("", "/same/x")),
    ("apache", "/all/a%20b", ("", "/all/a b")),
    ("apache", "/nowhere", ("", "/same/page404")),
    ("apache", "/page.shtml", ("", "/same/part")),
    ("apache", "/admin/x", 403),
    ("apache", "/admin/../same/x", ("", "/same/x")),
    ("apache", "/admin/%2e%2e/same/x", ("", "/same/x")),
    ("apache-root", "/pre", ("/pre", "")),
    ("apache-root", "/handler", ("/handler", "")),
    ("apache-root", "/unescape/a%20b", ("", "/unescape/a b")),
    ("apache-root", "/unescape/a.php/b%20c", ("", "/unescape/a.php/b c")),
    ("apache-root", "/full/a.php/b%20c", ("", "/full/a.php/b c")),
    ("apache-root", "/first-dot/a.php/b%20c", ("/first-dot/a.php", "/b c")),
    ("apache-root", "/last-dot/a.php/b%20c", ("/last-dot/a.php", "/b c")),
    ("apache-nodecode", "/p/x", ("", "/new/x")),
    ("apache-nodecode", "/p/admin/secret", 403),
    ("apache-nodecode", "/p/admin%2Fsecret", ("", "/new/admin%2Fsecret")),
    ("apache-nodecode", "/p/admin%2fsecret%20x", ("", "/new/admin%2fsecret x")),
    ("apache-nodecode", "/p/admin%252Fsecret", ("", "/new/admin%2Fsecret")),
    ("apache-nodecode", "/p/x%2F..%2Fadmin%2Fsecret", ("", "/new/x%2F..%2Fadmin%2Fsecret")),
    ("apache-nodecode", "/p/x/..%2Fadmin%2Fsecret", ("", "/new/x/..%2Fadmin%2Fsecret")),
    ("apache-nodecode", "/same/a%2Fb", ("", "/same/a%2Fb")),
    ("apache-nodecode", "/pre/a%2Fb", ("/pre", "/a%2Fb")),
    ("fcgid", "/fcgid/a%20b", ("/fcgid", "/a b")),
    ("fcgid", "/fcgid", ("/fcgid", "")),
    ("fcgid", "/fcgid/a//b", ("/fcgid", "/a/b")),
    ("fcgid", "/shared/x%20y", ("/shared/index.fcgi", "/x y")),
    ("fcgid", "/rooted/x%20y", ("/rooted", "/x y")),
    ("fcgid", "/rooted/", ("/rooted", "/")),
    ("fcgid", "/rooted/x//y/../z", ("/rooted", "/x/z")),
    ("fcgid", "/rooted/index.fcgi/x", ("/rooted", "/index.fcgi/x")),
    ("fcgid-recipe", "/x", ("", "/x")),
    ("fcgid-recipe", "/x%20y?q=1", ("", "/x y")),
    ("fcgid-recipe", "/", ("", "/")),
    ("fcgid-recipe", "/x//y/../z", ("", "/x/z")),
    ("fcgid-recipe", "/index.fcgi/x", ("", "/index.fcgi/x")),
    ("caddy", "/", ("", "/")),
    ("caddy", "/a%20b", ("", "/a b")),
    ("caddy", "/a//b", ("", "/a//b")),
    ("caddy", "/a/../b", ("", "/a/../b")),
    ("caddy", "/pre/a%20b", ("/pre", "/a b")),
    ("caddy", "/pre/pre", ("/pre", "/pre")),
    ("caddy", "/pre", ("/pre", "")),
    ("caddy", "/mount/x", ("/mount", "/x")),
    ("caddy", "/mount", ("", "/mount")),
    ("caddy", "/admin/x", 403),
    ("haproxy", "/", ("", "/")),
    ("haproxy", "/a%20b", ("", "/a b")),
    ("haproxy", "/a//b", ("", "/a//b")),
    ("haproxy", "/pre/a%20b", ("/pre", "/a b")),
    ("haproxy", "/pre/a//b", ("/pre", "/a//b")),
    ("haproxy", "/pre", ("", "/pre")),
    ("haproxy", "/admin/x", 403),
    ("h2o", "/", ("", "/")),
    ("h2o", "/a%20b", ("", "/a b")),
    ("h2o", "/pre/a%20b", ("", "/pre/a b")),
    ("h2o", "/pre", ("", "/pre")),
    ("h2o", "/a/../b", ("", "/b")),
    ("h2o", "/a//b", ("", "/a//b")),
]

# The same with --root-path.
ROOTED = [
    ("/pre", "nginx", "/pre/a//b", ("/pre", "/a/b")),
    ("/pre", "nginx", "/pre", ("/pre", "")),
    ("/new", "nginx", "/old/a", ("/new", "/a")),
    ("/idx", "nginx", "/idx/", ("/idx", "/")),
    ("", "lighttpd-root", "/x/y", ("", "/x/y")),
    ("", "lighttpd-root", "/x", ("", "/x")),
    ("", "lighttpd", "/pre/x", ("", "/pre/x")),
    ("/slash", "lighttpd", "/slash/a", ("/slash", "/a")),
    ("/new", "apache", "/p/a", ("/new", "/a")),
    ("", "apache", "/handler/a", ("", "/handler/a")),
    ("/pre", "haproxy", "/pre", ("/pre", "")),
    ("/pre", "h2o", "/pre", ("/pre", "")),
    ("/pre", "caddy", "/pre/a", ("/pre", "/a")),
    ("/pre", "caddy", "/pre", ("/pre", "")),
    ("/mount", "caddy", "/mount", ("/mount", "")),
    ("/pre", "lighttpd", "/pre", ("/pre", "")),
    ("/pre", "lighttpd-root", "/pre", ("/pre", "")),
    ("/pre", "lighttpd-root", "/pre/a", ("/pre", "/a")),
    ("/pre", "lighttpd-fixed", "/pre", ("/pre", "")),
    ("/pre", "apache-root", "/pre", ("/pre", "")),
    ("/shop", "apache-root", "/shop", ("/shop", "")),
    ("/shop", "fcgid-root", "/shop", ("/shop", "")),
]


@pytest.mark.parametrize(("server", "target", "expected"), ROWS)
def test_path(sites: Sites, server: str, target: str, expected):
    sites.expect(server, target, expected, App())


# Below these and the recipe are programs of Python's.
SHARED = ("/shared/", "/rooted/")
ALIKE = [row for row in ROWS if row[0] != "fcgid-recipe" and not row[1].startswith(SHARED)]


@pytest.mark.parametrize("language", ["c", "lua"])
@pytest.mark.parametrize(("server", "target", "expected"), ALIKE)
def test_path_in_another_language(sites: Sites, language: str, server: str, target: str, expected):
    sites.expect(server, target, expected, App(language))


@pytest.mark.parametrize(("root", "server", "target", "expected"), ROOTED)
def test_with_a_root_path(sites: Sites, root: str, server: str, target: str, expected):
    sites.expect(server, target, expected, App(root=root))


def test_a_guarded_page_is_given_to_who_may_see_it(sites: Sites):
    answer = sites.ask("nginx", "/guarded/x", App(), "Token: yes\r\n")
    assert answer.status == 200
    assert answer.seen()["info"] == "/guarded/x"


RAW = [
    ("nginx", "/a/../%62?q", "/a/../%62"),
    ("nginx", "/a//b", "/a//b"),
    ("nginx", "/old/a", None),
    ("apache", "/pre/a%20b", "/pre/a%20b"),
    ("apache", "/p/a", None),
    ("caddy", "/a//%62", "/a//%62"),
    ("lighttpd", "/pre/%61//b", "/pre/%61//b"),
]


@pytest.mark.parametrize(("server", "target", "raw"), RAW)
def test_the_path_as_the_client_wrote_it(sites: Sites, server: str, target: str, raw):
    assert sites.ask(server, target, App()).seen()["raw"] == raw


# What Apache's proxies put around a file's name is not there; {} is the document root.
FILES = [
    ("apache", "/handler/a%20b?q", "{}/handler"),
    ("apache", "/files/a%20b?q=1", "/srv/files/a%20b"),
    ("apache", "/gen/x?q=1", "/gen/x"),
    ("apache", "/p/x?q=1", "/new/x"),
    ("fcgid", "/fcgid/a", "{}/program.fcgi"),
    ("caddy", "/pre/a", None),
]


@pytest.mark.parametrize(("server", "target", "file"), FILES)
def test_the_name_of_the_file(sites: Sites, server: str, target: str, file: str | None):
    seen = sites.ask(server, target, App()).seen()
    assert seen["file"] == seen["native_file"]
    if file:
        assert seen["file"] == file.format(sites.server(server, App())[1]), seen
