# SPDX-License-Identifier: MIT
"""lighttpd and Apache ask the example authorizers."""

import base64
import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.nginx import reserve_port
from support.paths import BUILD, SOURCE, tool
from support.process import Process
from support.web_servers import Apache, Lighttpd, WebServer

PAGE = b"only for members\n"


def command(language: str, address: str) -> list[str]:
    examples = SOURCE / "examples" / language
    if language == "python":
        return [sys.executable, str(examples / "authorizer.py"), address]
    launcher = str(BUILD / "lua" / "bin" / "fcgi-lua")
    return [launcher, str(examples / "authorizer.lua"), "--bind", address, "--threads", "2"]


@pytest.fixture(scope="module", params=["python", "lua"])
def port(request: pytest.FixtureRequest, directory: Path) -> Iterator[int]:
    """The port where an example authorizer listens."""
    with reserve_port() as reserved:
        number = reserved.getsockname()[1]
    address = f"127.0.0.1:{number}"
    with Process(command(request.param, address), directory / f"{request.param}.log") as app:
        app.wait_for_address(address)
        yield number


@pytest.fixture(scope="module")
def documents(directory: Path) -> Path:
    """A directory with a page in it that web servers can read."""
    os.chmod(directory, 0o755)
    put_page(directory)
    (directory / "greeting.hello").touch()
    return directory


def put_page(folder: Path) -> None:
    (folder / "members").mkdir(parents=True, exist_ok=True)
    (folder / "members" / "page.txt").write_bytes(PAGE)


def lighttpd_dies() -> bool:
    """1.4.85 ends with SIGSEGV when an authorizer allows, whoever has written it."""
    found = subprocess.run([tool("lighttpd"), "-v"], capture_output=True, text=True).stdout
    return found.startswith("lighttpd/1.4.85 ")


@pytest.fixture(scope="module")
def lighttpd(documents: Path, port: int) -> Iterator[WebServer]:
    if lighttpd_dies():
        pytest.skip("lighttpd 1.4.85 dies of any FastCGI authorizer that allows")
    app = f'"host" => "127.0.0.1", "port" => {port}'
    asked = f'({app}, "mode" => "authorizer", "docroot" => "{documents}")'
    body = f'fastcgi.server = ("/members/" => ({asked}), ".hello" => ({asked}, ({app})))\n'
    with Lighttpd(documents, body) as running:
        yield running


APACHE = """
AuthnzFcgiDefineProvider authnz members fcgi://127.0.0.1:{port}/
<Location "/members/">
  AuthType Basic
  AuthName "members"
  AuthBasicProvider members
  Require members
  {more}
</Location>
"""


@pytest.fixture(scope="module")
def apache(documents: Path, port: int) -> Iterator[WebServer]:
    body = APACHE.format(port=port, more='Header set X-User "%{AUTH_USER}e"')
    with Apache(documents, body) as running:
        yield running


def get(server: WebServer, path: str, user: str = "") -> tuple[int, http.client.HTTPMessage, bytes]:
    headers = {}
    if user:
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


WRONG = ["", "ann:", "ann:wonder", "ann:wonder:lan", "eve:wonder:land", ":", "bob:wonder:land"]


def test_lighttpd_serves_a_file_to_members(lighttpd):
    for user in ("ann:wonder:land", "bob:builder"):
        status, _, body = get(lighttpd, "/members/page.txt", user)
        assert (status, body) == (200, PAGE)


def test_lighttpd_hands_the_variable_on(lighttpd):
    status, _, body = get(lighttpd, "/greeting.hello", "ann:wonder:land")
    assert (status, body) == (200, b"Hello ann\n")


@pytest.mark.parametrize("user", WRONG)
def test_lighttpd_keeps_others_out(lighttpd, user):
    for path in ("/members/page.txt", "/greeting.hello"):
        status, headers, body = get(lighttpd, path, user)
        assert (status, body) == (401, b"Who are you?\n")
        assert headers["WWW-Authenticate"] == 'Basic realm="members"'


@pytest.mark.parametrize("program", ["roles={'filter': print}", "roles={'authorizer': print}"])
def test_lighttpd_takes_no_failure_for_a_yes(documents, program):
    """Neither a role that nobody serves nor a handler that fails lets one in."""
    with reserve_port() as reserved:
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
    code = f"import fastcgi; fastcgi.serve(lambda request: None, bind='{address}', {program})"
    host, port = address.split(":")
    asked = f'"host" => "{host}", "port" => {port}, "mode" => "authorizer"'
    with Process([sys.executable, "-c", code], documents / "program.log") as app:
        app.wait_for_address(address)
        body = f'fastcgi.server = ("/members/" => (({asked}, "docroot" => "{documents}")))\n'
        with Lighttpd(documents, body) as server:
            status, _, page = get(server, "/members/page.txt")
            assert status in (500, 503)
            assert PAGE not in page


def test_apache_serves_a_file_to_members(apache):
    for user in ("ann:wonder:land", "bob:builder"):
        status, headers, body = get(apache, "/members/page.txt", user)
        assert (status, body) == (200, PAGE)
        assert headers["X-User"] == user.partition(":")[0]


@pytest.mark.parametrize("user", WRONG)
def test_apache_keeps_others_out(apache, user):
    status, headers, body = get(apache, "/members/page.txt", user)
    assert status == 401
    assert PAGE not in body
    assert headers["WWW-Authenticate"] == 'Basic realm="members"'


# What an authorizer writes raw, and the status that everybody takes it for.
RAW: dict[str, tuple[int, str]] = {
    "yes": (200, "Status: 200 OK\r\n\r\n"),
    "yes with a location": (200, "Status: 200 OK\r\nLocation: http://127.0.0.1/a\r\n\r\n"),
    "variable": (200, "Variable-AUTH_USER: ann\r\n\r\n"),
    "location": (302, "Location: http://127.0.0.1/login\r\n\r\n"),
    "location in newlines": (302, "X: y\nLocation: http://127.0.0.1/login\n\n"),
    "path": (302, "Location: /login\r\n\r\n"),
    "empty location": (302, "Location:\r\n\r\n"),
    "status and location": (302, "Status: 302 A\r\nLocation: http://127.0.0.1/a\r\n\r\n"),
    "location and status": (307, "Location: http://127.0.0.1/a\r\nStatus: 307 A\r\n\r\n"),
    "status last": (403, "Content-Type: text/plain\r\nStatus: 403 No\r\n\r\nno"),
    "newlines": (403, "X: y\nVariable-AUTH_USER: ann\nStatus: 403\n\nno"),
    "created": (201, "X: y\r\nStatus: 201 A\r\n\r\n"),
    "nothing to say": (204, "X: y\r\nStatus: 204 A\r\n\r\n"),
    "not modified": (304, "X: y\r\nStatus: 304 A\r\n\r\n"),
    "tab": (500, "Status:\t200 OK\r\n\r\n"),
    "no head": (500, "yes"),
    "dropped": (500, "Connection: close\r\n\r\n"),
    "empty head": (500, "\r\nyes"),
    "newline": (500, "\n"),
    "nothing": (500, ""),
}
SAYS = f"""
import sys
import fastcgi
RAW = {RAW!r}
def check(request):
    name = request.params["HTTP_X_CASE"]
    status, text = RAW[name.removeprefix("started ")]
    if name.startswith("started "):
        request.start(status, [("Location", "http://127.0.0.1/login")])
    else:
        request.write(text.encode())
fastcgi.serve(lambda request: None, bind=sys.argv[1], roles={{"authorizer": check}})
"""
CASES = [*RAW, *(f"started {name}" for name in RAW)]


def member(server: WebServer, case: str) -> int:
    """The status that a client gets, who sees the page with 200 alone."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    user = base64.b64encode(b"ann:x").decode()
    try:
        connection.request(
            "GET", "/members/page.txt", headers={"X-Case": case, "Authorization": f"Basic {user}"}
        )
        response = connection.getresponse()
        assert (PAGE in response.read()) == (response.status == 200), case
    finally:
        connection.close()
    return response.status


def members(kind: str, folder: Path, port: int) -> WebServer:
    if kind == "apache":
        return Apache(folder, APACHE.format(port=port, more=""))
    asked = f'"host" => "127.0.0.1", "port" => {port}, "mode" => "authorizer"'
    return Lighttpd(
        folder, f'fastcgi.server = ("/members/" => (({asked}, "docroot" => "{folder}")))\n'
    )


@pytest.mark.parametrize("kind", ["apache", "lighttpd"])
def test_nobody_takes_a_no_for_a_yes(kind: str, documents: Path):
    """What the access log shows as another status than 200 lets nobody in."""
    if kind == "lighttpd" and lighttpd_dies():
        pytest.skip("lighttpd 1.4.85 dies of any FastCGI authorizer that allows")
    with reserve_port() as reserved:
        port = reserved.getsockname()[1]
    folder = documents / f"raw-{kind}"
    put_page(folder)
    access = folder / "access"
    env = {"FASTCGI_ACCESS_LOGFILE": str(access), "FASTCGI_ACCESS_LOGFORMAT": "%(s)s"}
    words = [sys.executable, "-c", SAYS, f"127.0.0.1:{port}"]
    with Process(words, folder / "says.log", env=env) as app:
        app.wait_for_address(f"127.0.0.1:{port}")
        with members(kind, folder, port) as server:
            shown = {case: member(server, case) for case in CASES}
    logged = dict(zip(CASES, map(int, access.read_text().split()), strict=True))
    said = {case: RAW[case.removeprefix("started ")][0] for case in CASES}
    granted = {case for case in CASES if shown[case] == 200}
    assert granted == {case for case in CASES if said[case] == 200}
    assert logged == said
    if kind == "lighttpd":
        assert shown == said
