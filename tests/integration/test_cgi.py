# SPDX-License-Identifier: MIT
"""The examples, unchanged, as plain CGI programs under lighttpd and Apache."""

import hashlib
import http.client
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cgi import ApacheCgi, ApacheCgid, LighttpdCgi, Programs
from support.echo import echo_command
from support.fcgi_client import Client, get_params, post_params, request, wait_until
from support.process import Process
from support.site import Site, exchange, serve_behind_nginx
from support.web_servers import WebServer

HELLOS = ["hello", "hello.py", "hello_wsgi.py", "hello.lua"]
ECHOES = {"c": "echo", "python": "echo.py", "lua": "echo.lua"}
SERVERS = {"lighttpd": LighttpdCgi, "apache-cgi": ApacheCgi, "apache-cgid": ApacheCgid}
MIB = 1 << 20

FAILING = {
    "fails.py": b"""#!/usr/bin/env python3
import fastcgi
def app(request):
    raise RuntimeError("it failed")
fastcgi.main(app)
""",
    "fails.lua": b"""#!/usr/bin/env fcgi-lua
return function() error "it failed" end
""",
}

# Each tells its process id, then writes a gigabyte.
ENDLESS = {
    "endless.py": b"""#!/usr/bin/env python3
import os
import fastcgi
def app(request):
    request.start(200, {"Content-Type": "text/plain"})
    request.write(b"%d\\n" % os.getpid())
    for _ in range(16384):
        request.write(bytes(65536))
fastcgi.main(app)
""",
    "endless.lua": b"""#!/usr/bin/env fcgi-lua
return function(req)
  local file <close> = assert(io.open "/proc/self/stat")
  assert(req:start(200, { ["Content-Type"] = "text/plain" }))
  assert(req:write(file:read "n", "\\n"))
  for _ = 1, 16384 do
    assert(req:write(("x"):rep(65536)))
  end
end
""",
}


ON_THREADS = {
    "threads.py": b"""#!/usr/bin/env python3
import threading
import fastcgi
def app(request):
    name = threading.current_thread().name
    return 200, {"Content-Type": "text/plain"}, name.encode()
fastcgi.main(app, threads=4)
""",
    "threads.lua": b"""#!/usr/bin/env -S fcgi-lua --threads 4
return function() return 200, {}, "fastcgi-1" end
""",
}


@pytest.fixture(scope="module")
def programs(directory: Path) -> Programs:
    made = Programs(directory)
    for name, content in {**FAILING, **ENDLESS, **ON_THREADS}.items():
        made.add(name, content)
    return made


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, directory: Path, programs: Programs):
    home = directory / request.param
    home.mkdir(exist_ok=True)
    with SERVERS[request.param](home, programs) as running:
        yield running


@pytest.fixture(scope="module", params=ECHOES)
def site(request: pytest.FixtureRequest, directory: Path) -> Iterator[tuple[str, Site]]:
    """The name of an echo program, and the same one over FastCGI behind nginx."""
    home = directory / f"nginx-{request.param}"
    home.mkdir(exist_ok=True)
    address = f"unix:{home}/echo.sock"
    command = echo_command(request.param, address, threads=2)
    with serve_behind_nginx(home, command, address) as running:
        yield ECHOES[request.param], running


def ask(server: WebServer, path: str, method="GET", body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        return exchange(connection, path, method, body, headers)
    finally:
        connection.close()


@pytest.mark.parametrize("program", HELLOS)
def test_hello(server, program):
    answer = ask(server, f"/cgi/{program}")
    assert (answer.status, answer.body) == (200, b"Hello\n")
    assert answer.headers["Content-Type"] == "text/plain"
    # Apache drops a program's own length, and knows it only if all comes at once.
    assert answer.headers["Content-Length"] in ("6", None)


@pytest.mark.parametrize("program", HELLOS)
def test_head_has_no_body(server, program):
    answer = ask(server, f"/cgi/{program}", "HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("program", HELLOS)
def test_words_of_the_client_are_no_arguments(server, program, directory):
    """A query without "=" comes as words on the command line (RFC 3875, 4.4)."""
    path = directory / "words.sock"
    for words in ("word", f"unix:{path}", f"--bind+unix:{path}", "--help", "--+x"):
        answer = ask(server, f"/cgi/{program}?{words}")
        assert (answer.status, answer.body) == (200, b"Hello\n")
    assert not path.exists()


def comparable(body: bytes) -> list[bytes]:
    """The list without the program's place, and without lighttpd's length of no body."""
    lines = body.replace(b"CONTENT_LENGTH=0\n", b"CONTENT_LENGTH=\n").split(b"\n")
    return [line for line in lines if not line.startswith(b"SCRIPT_NAME=")]


def test_get_is_as_over_fastcgi(server, site):
    program, fastcgi = site
    headers = {"X-Test": "a b"}
    cgi = ask(server, f"/cgi/{program}/more/path?a=1&b=%20", headers=headers)
    other = fastcgi.request("/kept/more/path?a=1&b=%20", headers=headers)
    assert b"QUERY_STRING=a=1&b=%20\n" in cgi.body
    assert b"PATH_INFO=/more/path\n" in cgi.body
    assert b"HTTP_X_TEST=a b\n" in cgi.body
    assert comparable(cgi.body) == comparable(other.body)
    assert cgi.status == other.status
    assert cgi.headers["Content-Type"] == other.headers["Content-Type"]


@pytest.mark.parametrize("size", [0, 1, MIB, 10 * MIB])
def test_post_is_as_over_fastcgi(server, site, size):
    program, fastcgi = site
    body = os.urandom(size)
    headers = {"Content-Type": "image/x-test"}
    cgi = ask(server, f"/cgi/{program}", "POST", body, headers)
    other = fastcgi.request("/kept/", "POST", body, headers)
    digests = {hashlib.sha256(data).hexdigest() for data in (body, cgi.body, other.body)}
    assert len(digests) == 1
    assert cgi.status == other.status == 200
    for name in ("Content-Type", "X-Echo-Length"):
        assert cgi.headers[name] == other.headers[name]


@pytest.mark.parametrize("program", ECHOES.values())
def test_chunked_body(server, program):
    answer = ask(server, f"/cgi/{program}", "POST", iter([b"one ", b"two"]))
    assert (answer.status, answer.body) == (200, b"one two"), answer.headers


@pytest.mark.parametrize("program", FAILING)
def test_failure_is_answered(server, program):
    answer = ask(server, f"/cgi/{program}")
    assert answer.status == 500
    assert b"it failed" not in answer.body


def is_gone(pid: int) -> bool:
    """Neither running nor left as a zombie."""
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("program", ENDLESS)
def test_client_that_leaves_ends_the_program(server, program):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(f"GET /cgi/{program} HTTP/1.0\r\n\r\n".encode())
        answer = client.makefile("rb")
        while (line := answer.readline().strip()) != b"":
            assert line
        pid = int(answer.readline())
        answer.read(1 << 20)
        answer.close()
        assert not is_gone(pid)
    wait_until(lambda: is_gone(pid), 20, f"the end of {program}")


@pytest.mark.parametrize("program", HELLOS)
def test_program_alone(programs, program):
    """Exit status 0, and nothing on stderr."""
    done = programs.run(program, get_params())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"\r\n\r\nHello\n")
    assert b"Content-Length: 6\r\n" in done.stdout


@pytest.mark.parametrize("program", ON_THREADS)
def test_threads(programs, program):
    done = programs.run(program, get_params())
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\r\n\r\nfastcgi-" in done.stdout


def parts(response: bytes) -> tuple[list[bytes], bytes]:
    """Header lines, which a Lua table has in any order, and the body."""
    head, _, body = response.partition(b"\r\n\r\n")
    return sorted(head.split(b"\r\n")), body


@pytest.mark.parametrize("language", ECHOES)
def test_same_bytes_as_over_fastcgi(programs, directory, language):
    address = f"unix:{directory}/same-{language}.sock"
    with Process(echo_command(language, address, threads=1), directory / "same.log") as app:
        app.wait_for_address(address)
        for params, body in ((get_params("/a", "b=c"), b""), (post_params(5), b"hello")):
            with Client(address) as client:
                client.send(request(1, params, body, keep=False))
                over_fastcgi = bytes(client.responses([1])[1].stdout)
            done = programs.run(ECHOES[language], params, body + b" and more")
            assert (done.returncode, parts(done.stdout)) == (0, parts(over_fastcgi))


@pytest.mark.parametrize("program", ECHOES.values())
def test_body_without_length_is_not_read(programs, program):
    done = programs.run(program, {"REQUEST_METHOD": "POST"}, b"not for us")
    assert (done.returncode, done.stdout.partition(b"\r\n\r\n")[2]) == (0, b"")


@pytest.mark.parametrize("program", FAILING)
def test_failure_alone(programs, program):
    done = programs.run(program, get_params())
    assert done.returncode == 0
    assert b"Status: 500 " in done.stdout
    assert b"it failed" in done.stderr


@pytest.mark.parametrize("program", HELLOS)
def test_started_by_hand_it_says_what_is_missing(programs, program):
    """One line, for neither a listener nor a CGI server is there."""
    done = programs.run(program, {"GATEWAY_INTERFACE": ""})
    assert done.returncode != 0
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert b"listener inherited: give an address" in done.stderr
