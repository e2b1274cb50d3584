# SPDX-License-Identifier: MIT
"""`fcgi run` with programs that know nothing of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import nginx
from support.fcgi_client import Client, get_params, wait_until
from support.paths import BUILD, CC, EXAMPLES, tool
from support.process import Process
from support.reload import under_load
from support.supervisor import Supervisor
from support.tool import fcgi

LIBFCGI = r"""
#include <fcgi_stdio.h>
#include <unistd.h>
int main(void) {
  while (FCGI_Accept() >= 0)
    printf("Content-Type: text/plain\r\n\r\nlibfcgi %ld\n", (long)getpid());
  return 0;
}
"""


def libfcgi_program(directory: Path) -> list:
    source = directory / "libfcgi.c"
    source.write_text(LIBFCGI)
    program = directory / "libfcgi"
    subprocess.run([CC, source, "-o", program, "-lfcgi"], check=True)
    return [program]


def ask_libfcgi(supervisor: Supervisor, directory: Path) -> bytes:
    with Client(supervisor.address) as client:
        return client.ask(get_params(), keep=False).body


def php_program(directory: Path) -> list:
    (directory / "page.php").write_text("<?php echo 'php ', getmypid(), \"\\n\";")
    return [tool("php-cgi")]


def ask_php(supervisor: Supervisor, directory: Path) -> bytes:
    page = f"SCRIPT_FILENAME={directory}/page.php"
    return fcgi("call", supervisor.address, "/", "-p", page, "-p", "REDIRECT_STATUS=200").stdout


def fcgiwrap_program(directory: Path) -> list:
    script = directory / "script.cgi"
    script.write_text(
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nfcgiwrap %d\\n' $PPID\n"
    )
    script.chmod(0o755)
    return [tool("fcgiwrap")]


def ask_fcgiwrap(supervisor: Supervisor, directory: Path) -> bytes:
    page = f"SCRIPT_FILENAME={directory}/script.cgi"
    return fcgi("call", supervisor.address, "/script.cgi", "-p", page).stdout


PROGRAMS = {
    "libfcgi": (libfcgi_program, ask_libfcgi),
    "php": (php_program, ask_php),
    "fcgiwrap": (fcgiwrap_program, ask_fcgiwrap),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_start_reload_and_stop(directory: Path, name: str):
    make, ask = PROGRAMS[name]
    options = ["--ready-after", "0.3", "--graceful-timeout", "5"]
    with Supervisor(directory, make(directory), *options, name=name) as supervisor:
        supervisor.ready()
        seen = set()
        for _ in range(3):
            workers = supervisor.workers()
            assert len(workers) == 2
            who, pid = ask(supervisor, directory).split()
            assert who.decode() == name
            assert int(pid) in workers
            assert not workers & seen
            seen |= workers
            supervisor.reload()
            supervisor.wait_for_workers(lambda now, old=workers: len(now) == 2 and not now & old)
        victim = min(supervisor.workers())
        os.kill(victim, signal.SIGKILL)
        supervisor.wait_for_workers(lambda now: len(now) == 2 and victim not in now)
        assert ask(supervisor, directory).startswith(name.encode())
        os.kill(supervisor.pid, signal.SIGUSR1)  # No worker knows it, none may die of it.
        supervisor.wait_for_workers(lambda now: len(now) == 2)
        os.kill(supervisor.pid, signal.SIGTERM)
        assert supervisor.wait(60) == 0
        assert "is killed" not in supervisor.output(), supervisor.output()


ECHO_PHP = """<?php
header("Content-Type: text/plain");
if ($_SERVER["REQUEST_METHOD"] === "GET") {
  usleep(20000);
  echo "QUERY_STRING=", $_SERVER["QUERY_STRING"], "\\n";
} else {
  echo file_get_contents("php://input");
}
"""
PHP_WAY = """fastcgi_pass app_without_keepalive; fastcgi_param REDIRECT_STATUS 200;
      fastcgi_param SCRIPT_FILENAME $document_root/echo.php;"""


def test_php_behind_nginx_loses_no_request(directory: Path, monkeypatch: pytest.MonkeyPatch):
    (directory / "echo.php").write_text(ECHO_PHP)
    monkeypatch.setitem(nginx.WAYS, "php", PHP_WAY)
    options = ["--ready-after", "0.3", "--workers", "4"]
    with under_load("nginx php", directory, [tool("php-cgi")], *options) as stage:
        for _ in range(5):
            time.sleep(0.1)
            stage.supervisor.reload()
        result = stage.load.finish()
        assert result.failed == 0, result
        assert result.requests > 100


def test_php_that_limits_its_requests_is_started_again(directory: Path):
    """It ends with status 0 after so many: nothing to wait for."""
    options = ["--ready-after", "0.3"]
    env = {"PHP_FCGI_MAX_REQUESTS": "5"}
    with Supervisor(
        directory, php_program(directory), *options, name="php5", workers=1, env=env
    ) as supervisor:
        supervisor.ready()
        answers = [ask_php(supervisor, directory) for _ in range(23)]
        assert all(answer.startswith(b"php ") for answer in answers)
        assert len(set(answers)) == 5


def reaches(address: str) -> bool:
    """Whether a connection comes about; one that is turned away gets no answer."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 0.5).close()
    except TimeoutError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return reserved.getsockname()[1]


@pytest.mark.parametrize("name", ["php", "libfcgi"])
def test_allow_list_holds_for_programs_that_read_none(directory: Path, name: str):
    """Across a reload and a new supervisor too; php-cgi runs what it is asked to."""
    make, ask = PROGRAMS[name]
    for allowed, wanted in (("10.1.1.1", False), ("10.1.1.1,127.0.0.1", True)):
        address = f"127.0.0.1:{free_port()}"
        options = ["--ready-after", "0.2", "--allow-from", allowed]
        with Supervisor(
            directory, make(directory), *options, address=address, name=f"{name}-{wanted}"
        ) as supervisor:
            supervisor.ready()
            assert reaches(address) == wanted
            supervisor.reload()
            assert reaches(address) == wanted
            os.kill(supervisor.pid, signal.SIGUSR2)
            wait_until(
                lambda: supervisor.pid_file.read_text().strip() not in ("", str(supervisor.pid)),
                10,
                "a new supervisor",
            )
            assert reaches(address) == wanted
            if wanted:
                assert ask(supervisor, directory).startswith(name.encode())


def test_who_is_kept_out_by_the_kernel_is_told_and_counted(directory: Path):
    """The kernel says only how many packets it has dropped."""
    address = f"127.0.0.1:{free_port()}"
    options = ["--ready-after", "0.2", "--allow-from", "10.1.1.1"]
    with Supervisor(
        directory, php_program(directory), *options, address=address, name="told"
    ) as supervisor:
        supervisor.ready()
        assert not reaches(address)
        wait_until(
            lambda: "dropped at TCP listeners" in Path(supervisor.log).read_text(), 30, "the line"
        )
        seen = json.loads(fcgi("status", supervisor.pid, "--json").stdout)["fastcgi"]
        assert seen["events"]["dropped_packets"] >= 1


def test_allow_list_of_an_inherited_listener(directory: Path):
    """It is nobody's in particular: the next one that has it sets its own list."""
    run = [BUILD / "tools" / "fcgi", "run", "--ready-after", "0.2"]
    run += ["--allow-root"] if os.geteuid() == 0 else []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        for options, wanted in ((["--allow-from", "10.1.1.1"], False), ([], True)):
            command = [*run, *options, "--", *php_program(directory)]
            log = directory / f"inherited-{wanted}.log"
            with Process(command, log, stdin=listener) as supervisor:
                wait_until(lambda own=supervisor: "is ready" in own.output(), 10, "it")
                assert reaches(address) == wanted


@pytest.mark.parametrize("launcher", ["run", "python", "lua"])
@pytest.mark.parametrize("listed", ["127.0.0.2", "127.0.0.2,127.0.0.1"])
def test_both_lists_apply(directory: Path, launcher: str, listed: str):
    """--allow-from is no way round FCGI_WEB_SERVER_ADDRS, in any launcher."""
    (directory / "app.py").write_text("def app(r):\n    r.reply(200, 'text/plain', b'')\n")
    (directory / "app.lua").write_text("return function() return 200, {}, '' end\n")
    address = f"127.0.0.1:{free_port()}"
    start = {
        "run": [BUILD / "tools" / "fcgi", "run"],
        "python": [sys.executable, "-m", "fastcgi"],
        "lua": [BUILD / "lua" / "bin" / "fcgi-lua"],
    }[launcher]
    served = {"run": ["--", EXAMPLES / "hello"], "python": ["app:app"], "lua": ["app.lua"]}
    words = ["--workers", "1", "--bind", address, "--allow-from", "127.0.0.0/8", "--allow-root"]
    words += ["--chdir", str(directory), *served[launcher]]
    env = {"FCGI_WEB_SERVER_ADDRS": listed}
    log = directory / f"both-{launcher}-{len(listed)}.log"
    with Process([*start, *words], log, env=env) as supervisor:
        wait_until(lambda: "is ready" in supervisor.output(), 60, "it")
        assert reaches(address) == ("127.0.0.1" in listed)


@pytest.mark.parametrize("place", ["option", "environment"])
def test_wrong_allow_list(place: str, monkeypatch: pytest.MonkeyPatch):
    words = ["--allow-from", "10.0.0.0/8,web"] if place == "option" else []
    if not words:
        monkeypatch.setenv("FCGI_WEB_SERVER_ADDRS", "10.0.0.0/8,web")
    done = fcgi("run", "--allow-root", "--bind", "127.0.0.1:0", *words, "--", "true")
    what = "allow list" if words else "cannot listen on 127.0.0.1:0: FCGI_WEB_SERVER_ADDRS"
    assert (done.returncode, done.stderr.decode()) == (
        1,
        f'fcgi: {what} "10.0.0.0/8,web": "web" is no address; write them as 127.0.0.1, '
        "10.0.0.0/8, ::1, fd00::/8\n",
    )
