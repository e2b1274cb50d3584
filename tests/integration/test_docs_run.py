# SPDX-License-Identifier: MIT
"""docs/run.md says what `fcgi run` does, and its examples run."""

import configparser
import json
import os
import re
import shlex
import signal
import socket
from pathlib import Path

from support.fcgi_client import Client, connect, get_params, wait_until
from support.paths import BUILD, EXAMPLES, SOURCE
from support.process import Process
from support.supervisor import Supervisor, children
from support.told import TOLD, started
from support.tool import fcgi

PAGE = (SOURCE / "docs" / "run.md").read_text()
TOOL = str(BUILD / "tools" / "fcgi")
PLACE = "unix:/run/php.sock"


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)
    return text


def rows(title: str) -> list[list[str]]:
    lines = re.findall(r"^\| (.*) \|$", section(title), re.M)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def as_anybody(words: list[str]) -> list[str]:
    """The example without the user, whom a test machine may lack."""
    if "--user" in words:
        at = words.index("--user")
        words = words[:at] + words[at + 2 :]
    words = [TOOL if word.endswith("fcgi") else word for word in words]
    at = words.index("run") + 1
    return words[:at] + (["--allow-root"] if os.geteuid() == 0 else []) + words[at:]


def require_php(address: str, directory: Path) -> None:
    page = directory / "page.php"
    page.write_text("<?php echo 6 * 7;")
    params = ["-p", f"SCRIPT_FILENAME={page}", "-p", "REDIRECT_STATUS=200"]
    assert fcgi("call", address, "/", *params).stdout == b"42"


def test_options_are_those_of_the_help():
    help_text = fcgi("run", "--help").stdout.decode()
    names = dict.fromkeys(re.findall(r"--[a-z-]+", help_text.partition("Sizes take")[0]))
    short = dict(re.findall(r"-(\w), (--[a-z-]+)", help_text))
    letters = {name: letter for letter, name in short.items()}
    shown = [row[0] for row in rows("Options")[1:]]
    assert set(shown) == {
        f"`{name}`, `-{letters[name]}`" if name in letters else f"`{name}`" for name in names
    }
    assert len(shown) == len(names)


def test_exit_statuses_are_those_of_the_help():
    help_text = fcgi("run", "--help").stdout.decode()
    there = re.findall(r"^  (\d)  (.*)$", help_text.partition("Exit status:")[2], re.M)
    assert rows("Exit status")[1:] == [[number, text] for number, text in there]


def test_variables_are_those_of_a_worker(directory: Path):
    documented = set(re.findall(r"`([A-Z_]+)`", section("What a worker gets")))
    documented -= {"READY=1", "STOPPING=1"}
    with Supervisor(directory, [EXAMPLES / "hello"], name="variables", workers=1) as supervisor:
        supervisor.ready()
        (pid,) = supervisor.workers()
        raw = Path(f"/proc/{pid}/environ").read_text().split("\0")
    names = {line.partition("=")[0] for line in raw}
    ours = {n for n in names - set(os.environ) if re.match("LISTEN|NOTIFY|FASTCGI", n)}
    assert ours == documented - {"LISTEN_FDNAMES"}


def test_first_example_serves_php(directory: Path):
    (line,) = re.findall(r"^    (fcgi run .*)$", PAGE, re.M)
    address = f"unix:{directory}/first.sock"
    words = [address if word == PLACE else word for word in as_anybody(shlex.split(line))]
    words[2:2] = ["--ready-after", "0.5"]
    with Process(words, directory / "first.log") as process:
        wait_until(lambda: "workers are ready" in process.output(), 10, "the workers")
        require_php(address, directory)
        assert len(children(process.pid)) == 4


def test_systemd_unit(directory: Path):
    """systemd's part: the listener, a notify socket, and ExecReload."""
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str
    unit.read_string(block("ini"))
    service = unit["Service"]
    assert service["Type"] == "notify"
    path = directory / "systemd.sock"
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        listener.bind(str(path))
        listener.listen()
        manager.bind(str(directory / "notify.sock"))
        manager.settimeout(60)
        env = {"NOTIFY_SOCKET": str(directory / "notify.sock")}
        words = as_anybody(shlex.split(service["ExecStart"]))
        with Process(words, directory / "unit.log", env=env, stdin=listener) as process:
            assert b"READY=1" in manager.recv(4096)
            require_php(f"unix:{path}", directory)
            reload = shlex.split(service["ExecReload"].replace("$MAINPID", str(process.pid)))
            assert reload[:2] == ["kill", "-HUP"]
            os.kill(int(reload[2]), signal.SIGHUP)
            assert b"RELOADING=1" in manager.recv(4096)
            assert b"READY=1" in manager.recv(4096)
            require_php(f"unix:{path}", directory)


def test_container_command(directory: Path):
    """As process 1, in a name space of processes of its own."""
    words = as_anybody(json.loads(block("dockerfile").removeprefix("CMD ")))
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    words = [f"0.0.0.0:{port}" if word == "0.0.0.0:9000" else word for word in words]
    words = [word + ",127.0.0.1" if word == "10.0.0.0/8" else word for word in words]
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", "--pid", "--fork", "--kill-child", *rights, *words]
    with Process(command, directory / "container.log") as outer:
        wait_until(lambda: "is ready after" in outer.output(), 20, "it to be ready")
        connect(f"127.0.0.1:{port}").close()
        require_php(f"127.0.0.1:{port}", directory)
        (pid,) = children(outer.pid)
        os.kill(pid, signal.SIGTERM)
        assert outer.wait(60) == 0


def test_health_checks(directory: Path):
    """One handler hangs, which is the only one."""
    (ping, *_), (ready, *_) = rows("Health checks")[1:]
    assert [ping, ready] == ["`fcgi call ADDRESS --ping`", "`fcgi call ADDRESS --ready`"]
    address, mark = f"unix:{directory}/health.sock", directory / "mark"
    nobody = f"unix:{directory}/nobody.sock"

    def statuses(asked: str) -> list[int]:
        check = [fcgi("call", asked, word, "--timeout", "2") for word in ("--ping", "--ready")]
        return [done.returncode for done in check]

    assert statuses(nobody) == [3, 3]
    for status_path, busy in (("", [5, 5]), ("/status", [0, 5])):
        mark.unlink(missing_ok=True)
        env = {**os.environ, "MARK": str(mark), "FASTCGI_STATUS_PATH": status_path}
        with started([str(TOLD), address], address, env=env), Client(address) as client:
            assert statuses(address) == [0, 0]
            client.send_request(params=get_params(query="loop"))
            wait_until(mark.exists, 30, "the handler")
            assert statuses(address) == busy
        os.unlink(address.removeprefix("unix:"))


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert (SOURCE / "docs" / target).exists(), target
