# SPDX-License-Identifier: MIT
"""A reload reads the options again, under each launcher; one that is wrong changes nothing."""

import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params, wait_until
from support.paths import BUILD, EXAMPLES
from support.process import Process
from support.supervisor import children, copy_for_all, state

FCGI = str(BUILD / "tools" / "fcgi")
COMMANDS = {
    "run": ([FCGI, "run"], ["--", str(EXAMPLES / "hello")]),
    "python": ([sys.executable, "-m", "fastcgi"], ["app:app"]),
    "lua": ([str(BUILD / "lua" / "bin" / "fcgi-lua")], ["app.lua"]),
}
each = pytest.mark.parametrize("launcher", COMMANDS)


class Launcher(Process):
    """A supervisor that reads options.toml, which has `text` at first."""

    def __init__(
        self,
        directory: Path,
        launcher: str,
        text: str,
        *words: str,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
    ):
        self.file = directory / "options.toml"
        self.address = f"unix:{directory}/reread.sock"
        self.pid_file = directory / "pid"
        (directory / "app.py").write_text("def app(request):\n    return 200, {}, b'hi'\n")
        (directory / "app.lua").write_text("return function() return 200, {}, 'hi' end\n")
        self.write(text)
        before, after = COMMANDS[launcher]
        mine = ["--config", "options.toml", "--pid", "pid"]
        mine += ["--allow-root"] if os.geteuid() == 0 and "--user" not in words else []
        super().__init__(
            [*before, *mine, *words, *after],
            directory / "log",
            cwd=cwd or directory,
            env={"PWD": str(cwd or directory)} | (env or {}),
        )
        self.wait_for_line(r"workers? (is|are) ready after")

    def write(self, text: str) -> None:
        self.file.write_text(f'bind = "{self.address}"\n{text}\n')

    def wait_for_line(self, pattern: str, count: int = 1) -> str:
        def found() -> bool:
            assert self.running(), f"it ended:\n{self.output()}"
            return len(re.findall(pattern, self.output())) >= count

        wait_until(found, 30, f"{pattern} in {self.log}")
        return [line for line in self.output().splitlines() if re.search(pattern, line)][count - 1]

    def reload(self, text: str | None = None) -> str:
        """The line about the beginning of a reload with that file, once the old
        workers, which answer as long as they live, are gone."""
        old = children(self.pid)
        if text is not None:
            self.write(text)
        before = len(re.findall(r"generation \d+ is ready after", self.output()))
        os.kill(self.pid, signal.SIGHUP)
        self.wait_for_line(r"generation \d+ is ready after", before + 1)
        wait_until(lambda: not old & children(self.pid), 30, "the old workers to end")
        return self.wait_for_line(r"reload: generation", before + 1)

    def refused(self, text: str | None, count: int = 1) -> str:
        if text is not None:
            self.write(text)
        os.kill(self.pid, signal.SIGHUP)
        return self.wait_for_line(r"reload failed", count)

    def workers(self, count: int) -> set[int]:
        wait_until(lambda: len(children(self.pid)) == count, 30, f"{count} workers")
        return children(self.pid)

    def status(self) -> int:
        """Of a request with more than three parameters."""
        with Client(self.address) as client:
            return client.ask(get_params("/")).status


@each
def test_new_values_are_taken(directory: Path, launcher: str):
    """Of the supervisor and of its workers, also when there is none any more."""
    with Launcher(directory, launcher, "workers = 1\nlimit_params = 3") as process:
        process.workers(1)
        assert process.status() == 431
        line = process.reload("workers = 3\nlimit_params = 500")
        assert line.endswith("generation 2 starts, with new values of workers, limit_params")
        process.workers(3)
        assert process.status() == 200
        process.reload("workers = 2\nlimit_params = 3\nrequest_timeout = 9")
        process.workers(2)
        assert process.status() == 431
        line = process.reload("")
        assert line.endswith("with new values of workers, limit_params, request_timeout")
        process.workers(1)
        assert process.status() == 200
        assert process.reload().endswith("generation 5 starts")


def test_more_new_values_than_a_line_takes(directory: Path):
    """No name is cut, and the line says that there are others."""
    changed = """workers = 2\nlimit_params = 9\nlimit_params_size = "1M"\nlimit_connections = 9
max_multiplexed = 9\nbody_memory = "1M"\nconnection_memory = "1M"\nserver_memory = "9M"
input_window = "1M"\noutput_window = "1M"\ndrain_bytes = "1M"\nheader_timeout = 9
io_timeout = 9\nidle_timeout = 9\nrequest_timeout = 9\ndrain_silence = 1\ndrain_timeout = 9
graceful_timeout = 9\nmax_requests = 9999\nlimit_request_body = "1M\""""
    with Launcher(directory, "run", "workers = 1") as process:
        line = process.reload(changed)
        names = line.partition("new values of ")[2].removesuffix(" and others").split(", ")
        assert line.endswith(" and others")
        assert len(names) > 5
        assert all(f"{name} = " in changed for name in names)


@each
def test_words_still_win_over_the_file(directory: Path, launcher: str):
    words = ("--workers", "2", "--limit-params", "3")
    with Launcher(directory, launcher, "", *words) as process:
        line = process.reload("workers = 1\nlimit_params = 500")
        assert line.endswith("generation 2 starts")
        process.workers(2)
        assert process.status() == 431


WRONG = {
    "limit_params = 'x'": "options.toml: limit_params=x: must be a whole number",
    "limit_parms = 3": "options.toml: there is no option 'limit_parms'; did you mean",
    "limit_params = ": "options.toml: ",
    "workers = 0": "workers=0: must be ",
    "max_worker_age = 1\nmax_worker_age_jitter = 2": "the jitter",
}


@each
def test_a_wrong_file_changes_nothing(directory: Path, launcher: str):
    """The old workers serve on; one that dies is replaced with the old values."""
    with Launcher(directory, launcher, "workers = 2\nlimit_params = 3") as process:
        workers = process.workers(2)
        for count, (text, says) in enumerate(WRONG.items(), 1):
            line = process.refused(text, count)
            assert says in line
            assert line.endswith("; generation 1 goes on serving")
        process.file.unlink()
        line = process.refused(None, len(WRONG) + 1)
        assert "options.toml: No such file or directory" in line
        assert process.workers(2) == workers
        process.file.write_text("no TOML at all")
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        wait_until(
            lambda: len(now := children(process.pid)) == 2 and not now & workers, 30, "two others"
        )
        assert process.status() == 431
        assert process.output().count("reload failed") == len(WRONG) + 1
        process.reload("workers = 1")
        process.workers(1)
        assert process.status() == 200


def test_systemd_hears_the_end_of_a_reload_that_is_refused(directory: Path):
    """Otherwise `systemctl reload` would wait for it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{directory}/manager.sock")
        manager.settimeout(60)
        env = {"NOTIFY_SOCKET": f"{directory}/manager.sock"}
        with Launcher(directory, "run", "workers = 1", env=env) as process:
            assert manager.recv(4096).startswith(b"READY=1")
            process.refused("workers = x")
            assert manager.recv(4096).startswith(b"RELOADING=1")
            assert manager.recv(4096).startswith(b"READY=1")


@each
def test_a_generation_that_fails_takes_its_values_along(directory: Path, launcher: str):
    """They are right by themselves, and no worker starts with them."""
    with Launcher(directory, launcher, "workers = 2\nlimit_params = 3") as process:
        workers = process.workers(2)
        text = "workers = 1\nlimit_params = 500\naccess_logfile = '/nowhere/at/all'"
        assert "exited with status 1 before it was ready" in process.refused(text)
        assert process.workers(2) == workers
        os.kill(min(workers), signal.SIGKILL)
        wait_until(
            lambda: len(now := children(process.pid)) == 2 and now != workers, 30, "another one"
        )
        assert process.status() == 431


@each
def test_what_needs_a_new_supervisor_is_told(directory: Path, launcher: str):
    with Launcher(directory, launcher, "workers = 1") as process:
        line = process.reload("workers = 2\nbacklog = 7\nsocket_mode = '600'")
        assert line.endswith("with new values of workers")
        told = r"a reload does not change socket_mode, backlog; SIGUSR2 or a restart does"
        process.wait_for_line(told)
        process.reload()
        process.wait_for_line(told, 2)
        process.reload("workers = 2")
        assert len(re.findall(told, process.output())) == 2


@each
def test_a_new_supervisor_reads_the_file_too(directory: Path, launcher: str):
    """SIGUSR2: nothing of the old file is left in the environment."""
    with Launcher(directory, launcher, "limit_params = 3") as process:
        assert process.status() == 431
        process.write("limit_params = 500")
        os.kill(process.pid, signal.SIGUSR2)
        wait_until(lambda: not process.running(), 30, "the old supervisor to end")
        pid = int(process.pid_file.read_text())
        assert pid != process.pid
        try:
            assert process.status() == 200
        finally:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: state(pid) in ("", "Z"), 30, "its end")


@each
def test_a_number_that_signals_have_set_stays(directory: Path, launcher: str):
    """Until the file has another one."""
    with Launcher(directory, launcher, "workers = 1") as process:
        os.kill(process.pid, signal.SIGTTIN)
        process.workers(2)
        process.reload("workers = 1\nlimit_params = 500")
        process.workers(2)
        process.reload("workers = 3")
        process.workers(3)


@each
def test_a_file_is_found_from_the_first_directory(directory: Path, launcher: str):
    """Where --chdir leads elsewhere."""
    other = directory / "other"
    other.mkdir(exist_ok=True)
    (other / "app.py").write_text("def app(request):\n    return 200, {}, b'hi'\n")
    (other / "app.lua").write_text("return function() return 200, {}, 'hi' end\n")
    with Launcher(directory, launcher, "limit_params = 3", "--chdir", "other") as process:
        process.reload("limit_params = 500")
        assert process.status() == 200


@each
def test_a_link_to_another_release_leads_to_its_file(directory: Path, launcher: str):
    """By the name that the shell has for the directory."""
    for name, limit in (("one", 3), ("two", 500)):
        release = directory / launcher / name
        release.mkdir(parents=True)
        with Launcher(release, launcher, f"limit_params = {limit}") as process:
            process.workers(1)  # That of `two` has an address of its own, and is not asked.
    current = directory / launcher / "current"
    current.symlink_to("one")
    with Launcher(directory / launcher / "one", launcher, "limit_params = 3", cwd=current) as run:
        assert run.status() == 431
        current.unlink()
        current.symlink_to("two")
        run.reload()
        assert run.status() == 200


# Programs of others, which `fcgi run` starts, have FASTCGI_NAME in their environment.
@pytest.mark.parametrize("launcher", [name for name in COMMANDS if name != "run"])
def test_programs_of_handlers_do_not_get_it(directory: Path, launcher: str):
    """What a file says for the workers is not in their environment once they serve."""
    with Launcher(directory, launcher, "limit_params = 500") as process:
        code = "import os\ndef app(request):\n"
        code += "    return 200, {}, os.popen('env').read().encode()\n"
        (directory / "app.py").write_text(code)
        (directory / "app.lua").write_text(
            "return function() return 200, {}, io.popen('env'):read 'a' end\n"
        )
        process.reload()
        with Client(process.address) as client:
            body = client.ask(get_params("/")).body
        assert b"PATH=" in body
        assert b"FILE_OPTIONS" not in body
        assert b"LIMIT_PARAMS" not in body


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_file_for_root_alone_does_not_hinder_a_reload(directory: Path):
    """Whoever became another user cannot read it again."""
    tool, hello = copy_for_all(directory, Path(FCGI), EXAMPLES / "hello")
    file = directory / "secret.toml"
    file.write_text(f'bind = "unix:{directory}/s.sock"\nuser = "nobody"\nlimit_params = 3\n')
    file.chmod(0o600)
    with Process([tool, "run", "--config", file, "--", hello], directory / "log") as process:
        wait_until(lambda: "ready after" in process.output(), 30, "it to be ready")
        os.kill(process.pid, signal.SIGHUP)
        wait_until(lambda: "generation 2 is ready" in process.output(), 30, "a new generation")
        assert re.search(
            r"secret.toml: Permission denied; the new workers get the old values", process.output()
        )
        with Client(f"unix:{directory}/s.sock") as client:
            assert client.ask(get_params("/")).status == 431
