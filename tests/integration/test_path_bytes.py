# SPDX-License-Identifier: MIT
"""What each web server makes of the bytes of a path arrives in every language: at /,
with a root path, and below a mount point of the web server's own."""

import pytest
from support.path_sites import App, Sites

MERGING = ("nginx", "lighttpd", "apache", "fcgid")  # Doubled slashes are one.
RESOLVING = (*MERGING, "h2o")  # Dots are gone.
# The target; the path that it is; which web servers see another one, or say the status.
ROWS = [
    ("/", "/", {}),
    ("/a%20b", "/a b", {}),
    ("/a%2Fb", "/a/b", {("apache", "fcgid"): 404}),
    ("/a+b", "/a+b", {}),
    ("/100%25", "/100%", {}),
    ("/a//b", "/a//b", {MERGING: "/a/b"}),
    ("//a", "//a", {MERGING: "/a"}),
    ("/a/", "/a/", {}),
    ("/%C3%A9", "/\xc3\xa9", {}),
    ("/a%3Fb", "/a?b", {}),
    ("/a/./b", "/a/./b", {RESOLVING: "/a/b"}),
    ("/a/../b", "/a/../b", {RESOLVING: "/b"}),
    ("/a%zz", "/a%zz", {("nginx", "apache", "fcgid", "caddy"): 400, ("haproxy",): 500}),
    ("/a%0Ab", "/a\nb", {("lighttpd",): 400}),
    ("/a;v=1", "/a;v=1", {}),
]
LANGUAGES = ["python", "c", "lua"]
AT_ROOT = ["nginx", "lighttpd-fixed", "apache-root", "fcgid-root", "caddy", "haproxy", "h2o"]
# Where the web server splits.
MOUNTED = [
    ("nginx", "/pre"),
    ("lighttpd", "/pre"),
    ("apache-root", "/pre"),
    ("apache-root", "/handler"),
    ("fcgid", "/fcgid"),
    ("caddy", "/pre"),
    ("haproxy", "/pre"),
]
# A line's end is in no (.*): nginx splits nothing, HAProxy fails.
UNLIKE = {
    ("nginx", "/a%0Ab"): ("/pre/a\nb", ""),
    ("haproxy", "/a%0Ab"): 500,
}
QUERY = "?q=1"


def judged(server: str, path: str, others: dict) -> str | int:
    """The path that the web server judges and sends, or its status."""
    kind = server.partition("-")[0]
    return next((other for kinds, other in others.items() if kind in kinds), path)


def expect(sites: Sites, app: App, server: str, target: str, expected) -> None:
    sites.expect(server, target + QUERY, expected, app)
    if app.language == "python" and not isinstance(expected, int):
        assert sites.ask(server, target + QUERY, app).seen()["raw"] == target


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("server", AT_ROOT)
@pytest.mark.parametrize(("target", "path", "others"), ROWS)
def test_at_the_root(sites: Sites, server: str, language: str, target: str, path: str, others):
    expected = judged(server, path, others)
    if not isinstance(expected, int):
        expected = ("", expected)
    expect(sites, App(language), server, target, expected)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("server", [*AT_ROOT, "lighttpd-root"])
@pytest.mark.parametrize(("target", "path", "others"), ROWS)
def test_with_a_root_path(sites: Sites, server: str, language: str, target: str, path: str, others):
    expected = judged(server, path, others)
    if not isinstance(expected, int):
        expected = ("/shop", expected)
    expect(sites, App(language, "/shop"), server, f"/shop{target}", expected)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("server", "mount"), MOUNTED)
@pytest.mark.parametrize(("target", "path", "others"), ROWS)
def test_below_a_mount_point(
    sites: Sites, server: str, mount: str, language: str, target: str, path: str, others
):
    expected = judged(server, path, others)
    if not isinstance(expected, int):
        expected = (mount, expected)
    expected = UNLIKE.get((server, target), expected)
    expect(sites, App(language), server, mount + target, expected)
