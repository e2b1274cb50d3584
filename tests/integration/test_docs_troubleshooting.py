# SPDX-License-Identifier: MIT
"""docs/troubleshooting.md quotes nginx and the program right: each line is made here."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.fcgi_client import wait_until
from support.nginx import early_log, reserve_port
from support.paths import BUILD, EXAMPLES, SOURCE, tool
from support.process import Process
from support.tool import fcgi, scripted

PAGE = (SOURCE / "docs" / "troubleshooting.md").read_text()
ROOT = os.geteuid() == 0

APP = """
import os
import time

import fastcgi

def connect():
    raise OSError("nobody listens")

db = fastcgi.resource(connect, name="db", acquire_timeout=0.1)

def app(request):
    if request.path == "/away":
        with db:
            return 200, {}, b"never"
    if request.path == "/slow":
        time.sleep(float(request.query))
    if request.path == "/head":
        return 200, {"X-Long": "x" * 20000}, b"long"
    if request.path == "/dies":
        os.kill(os.getpid(), 11)
    if request.path == "/fails":
        request.start(200, {"Content-Type": "text/plain"})
        request.write(b"x" * 100000)
        request.flush()
        raise RuntimeError("in the middle")
    return 403 if request.path == "/secret" else 200, {}, b"fine"
"""


def quoted(line: str) -> str:
    """The page has this text between backticks, in one line or over two."""
    words = " ".join(PAGE.split())
    assert line in words, f"the page does not say: {line}"
    return line


class Web(Process):
    """nginx with one server of these locations."""

    def __init__(self, directory: Path, locations: str):
        self._reserved = reserve_port()
        self.port = self._reserved.getsockname()[1]
        temporary = "".join(
            f"{kind}_temp_path {directory}/temp-{kind};\n"
            for kind in ("client_body", "fastcgi", "proxy", "uwsgi", "scgi")
        )
        config = directory / "web.conf"
        config.write_text(
            f"daemon off; pid {directory}/web.pid; error_log stderr info; events {{}}\n"
            f"http {{ access_log off; include /etc/nginx/fastcgi.conf;\n{temporary}"
            f"server {{ listen 127.0.0.1:{self.port}; root {directory}/html;\n{locations} }} }}\n"
        )
        (directory / "html").mkdir(exist_ok=True)
        nginx = tool("nginx")
        super().__init__([nginx, *early_log(nginx), "-p", directory, "-c", config],
                         directory / "web.log")  # fmt: skip
        self.wait_for_address(f"127.0.0.1:{self.port}")

    def status(self, path: str) -> int:
        words = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "60"]
        url = f"http://127.0.0.1:{self.port}{path}"
        done = subprocess.run([tool("curl"), *words, url], capture_output=True, text=True)
        return int(done.stdout)

    def says(self, line: str) -> None:
        pattern = re.escape(line).replace(r"\.\.\.", ".*")
        wait_until(
            lambda: re.search(pattern, self.output()), 10, f"{line} in nginx's log: {self.output()}"
        )

    def stop(self, seconds: float = 10) -> int:
        self._reserved.close()
        return super().stop(seconds)


@contextmanager
def web(directory: Path, locations: str) -> Iterator[Web]:
    with Web(directory, locations) as running:
        yield running


@contextmanager
def program(directory: Path, *options: object) -> Iterator[tuple[Process, str]]:
    (directory / "app.py").write_text(APP)
    address = f"unix:{directory}/app.sock"
    command = [sys.executable, "-m", "fastcgi", "app:app", "--bind", address]
    command += ["--socket-mode", "666", *options]
    with Process(command, directory / "app.log", cwd=directory) as app:
        app.wait_for_address(address)
        yield app, address


@pytest.fixture
def place(directory: Path, request: pytest.FixtureRequest) -> Path:
    """A directory of the test that nginx's workers, who may be another user, enter."""
    directory.chmod(0o755)
    path = directory / f"{len(list(directory.iterdir()))}"
    path.mkdir()
    return path


def passing(address: str, more: str = "") -> str:
    return f"location / {{ fastcgi_pass {address}; {more} }}\n"


def test_no_socket(place: Path):
    with web(place, passing(f"unix:{place}/app.sock")) as nginx:
        assert nginx.status("/") == 502
        nginx.says(quoted("connect() to unix:... failed (2: No such file or directory)"))


def test_socket_of_a_killed_program(place: Path):
    with program(place) as (app, address), web(place, passing(address)) as nginx:
        assert nginx.status("/") == 200
        os.kill(app.pid, signal.SIGKILL)
        app.wait()
        assert nginx.status("/") == 502
        nginx.says(quoted("connect() to unix:... failed (111: Connection refused)"))
    with program(place), web(place, passing(address)) as nginx:
        assert nginx.status("/") == 200, "it replaces such a socket"


@pytest.mark.skipif(not ROOT, reason="only root's nginx has workers of another user")
@pytest.mark.parametrize("who", ["socket", "directory"])
def test_no_permission(place: Path, who: str):
    closed = place / "home"
    closed.mkdir()
    with program(closed) as (_, address), web(place, passing(address)) as nginx:
        assert nginx.status("/") == 200
        (closed if who == "directory" else closed / "app.sock").chmod(0o700)
        assert nginx.status("/") == 502
        nginx.says(quoted("connect() to unix:... failed (13: Permission denied)"))
        assert fcgi("call", address, "/").returncode == 0, "root may"
        as_nginx = ["setpriv", "--reuid=nobody", "--clear-groups", "--regid=nogroup"]
        program_file = shutil.copy2(BUILD / "tools" / "fcgi", place / "fcgi")
        done = subprocess.run([*as_nginx, program_file, "call", address, "/"], capture_output=True)
        what = f"enter the directory {closed}" if who == "directory" else "write to the socket"
        assert done.returncode == 3
        assert done.stderr.decode() == (
            f"fcgi: {address}: cannot connect: Permission denied: this user may not {what}\n"
        )


def test_the_page_has_what_fcgi_call_says(place: Path):
    said = "cannot connect: Permission denied: this user may not enter the directory /run/hello"
    assert f"fcgi: unix:/run/hello/hello.sock: {said}\n" in PAGE


def test_address_of_a_web_server(place: Path):
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    with scripted(place, answer) as address, web(place, passing(address)) as nginx:
        Path(address.removeprefix("unix:")).chmod(0o666)
        assert nginx.status("/") == 502
        nginx.says(quoted("upstream sent unsupported FastCGI protocol version"))


def test_proxy_pass(place: Path):
    with program(place) as (app, address):
        proxy = f"location / {{ proxy_pass http://{address}:/; }}\n"
        with web(place, proxy) as nginx:
            assert nginx.status("/") == 502
            nginx.says(
                quoted("upstream prematurely closed connection while reading response header")
            )
            nginx.says(quoted('upstream: "http://'))
        line = quoted("an HTTP request; in nginx use fastcgi_pass, not proxy_pass")
        wait_until(lambda: line in app.output(), 10, f"{line}: {app.output()}")


def test_large_header(place: Path):
    with program(place) as (_, address), web(place, passing(address)) as nginx:
        assert nginx.status("/head") == 502
        nginx.says(quoted("upstream sent too big header while reading response header"))
    cure = "fastcgi_buffer_size 32k; fastcgi_buffers 8 32k;"
    quoted("a larger `fastcgi_buffer_size`, such as 32k, and `fastcgi_buffers 8 32k`")
    with program(place) as (_, address), web(place, passing(address, cure)) as nginx:
        assert nginx.status("/head") == 200


def test_handler_that_fails_in_the_middle(place: Path):
    with program(place) as (app, address), web(place, passing(address)) as nginx:
        assert nginx.status("/fails") == 200
        assert "RuntimeError: in the middle" in app.output()


def test_process_that_dies(place: Path):
    lines = [
        "upstream prematurely closed connection while reading response header",
        quoted("recv() failed (104: Connection reset by peer)"),
    ]
    rights = ["--allow-root"] if ROOT else []
    with program(place, "--workers", 1, *rights) as (app, address):
        with web(place, passing(address)) as nginx:
            assert nginx.status("/dies") == 502
            assert any(line in nginx.output() for line in lines), nginx.output()
            assert quoted('upstream: "fastcgi://') in nginx.output()
        ended = quoted("was killed by signal 11")
        wait_until(lambda: ended in app.output(), 10, f"{ended}: {app.output()}")


def test_nginx_does_not_wait(place: Path):
    line = "upstream timed out (110: Connection timed out) while reading response header"
    limit = "fastcgi_read_timeout 1s;"
    with program(place) as (_, address), web(place, passing(address, limit)) as nginx:
        assert nginx.status("/slow?3") == 504
        nginx.says(quoted(line))


def test_program_does_not_wait(place: Path):
    with program(place, "--request-timeout", "5s") as (app, address):
        with web(place, passing(address)) as nginx:
            assert nginx.status("/slow?7") == 504
        assert quoted("not answered within 5 s, so the client gets 504") in app.output()


def test_a_resource_that_cannot_be_opened(place: Path):
    line = quoted("resource 'db' cannot be opened: ...").removesuffix("...")
    with program(place) as (app, address), web(place, passing(address)) as nginx:
        assert nginx.status("/away") == 503
        wait_until(lambda: line + "OSError: nobody listens" in app.output(), 10, line)


def test_forbidden(place: Path):
    locations = "location /page { allow 192.0.2.1; deny all; }\n"
    with web(place, locations) as nginx:
        assert nginx.status("/") == 403
        nginx.says(quoted('directory index of "/..." is forbidden'))
        assert nginx.status("/page") == 403
        nginx.says(quoted("access forbidden by rule"))
    with program(place) as (_, address):
        done = fcgi("call", "--include", address, "/secret")
        assert b"Status: 403" in done.stdout


def test_not_found(place: Path):
    with web(place, "") as nginx:
        assert nginx.status("/page") == 404
        nginx.says(quoted('open() "/..." failed (2: No such file or directory)'))


def test_busy_handlers(place: Path):
    assert "`fcgi call ADDRESS --ready --timeout 3` exits with status 5" in PAGE
    with program(place, "--threads", "1") as (_, address):
        hanging = threading.Thread(target=fcgi, args=("call", address, "/slow?5"))
        hanging.start()
        wait_until(
            lambda: fcgi("call", address, "--ready", "--timeout", "1").returncode == 5,
            30,
            "every handler to be busy",
        )
        hanging.join()


def test_statuses_of_fcgi_call(place: Path):
    assert "`fcgi call` exits with status 3 if it cannot connect, and 4" in " ".join(PAGE.split())
    assert fcgi("call", f"unix:{place}/none.sock", "/").returncode == 3
    with scripted(place, b"nonsense") as address:
        assert fcgi("call", address, "/").returncode == 4


def test_program_for_plain_cgi(place: Path):
    rights = ["--allow-root"] if ROOT else []
    bind = ["--bind", f"unix:{place}/cgi.sock"]
    done = fcgi("run", *bind, *rights, "--", "/bin/echo", "Content-Type: text/plain\n")
    assert quoted("exited with status 0 before it was ready") in done.stderr.decode()


@pytest.mark.skipif(not ROOT, reason="it needs a user who is not this one")
def test_pid_file_where_only_root_writes(place: Path):
    closed = place / "run"
    closed.mkdir(mode=0o755)
    rights = ["setpriv", "--reuid=nobody", "--clear-groups", "--regid=nogroup"]
    place.chmod(0o777)
    binary, hello = place / "fcgi", place / "hello"
    for copy, original in ((binary, fcgi("--version").args[0]), (hello, EXAMPLES / "hello")):
        copy.write_bytes(Path(original).read_bytes())
        copy.chmod(0o755)
    done = subprocess.run(
        [*rights, binary, "run", "--bind", f"unix:{place}/pid.sock", "--pid", f"{closed}/hello.pid",
         "--", hello],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    quoted("pid file /run/hello.pid: Permission denied")
    assert f"pid file {closed}/hello.pid: Permission denied" in done.stderr
