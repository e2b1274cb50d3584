# SPDX-License-Identifier: MIT
"""`fcgi run` with programs that know nothing of it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import nginx
from support.fcgi_client import Client, get_params
from support.paths import CC, tool
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
        assert supervisor.wait(10) == 0
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
