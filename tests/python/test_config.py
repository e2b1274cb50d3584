# SPDX-License-Identifier: MIT
"""Options from the command line, the environment and files."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest
from fastcgi import _config, _core
from fastcgi._types import Options

APP_TEXT = "def app(request): return 200, None, b'x'\n"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    (tmp_path / "app.py").write_text(APP_TEXT)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FASTCGI_")]:
        monkeypatch.delenv(name)
    return tmp_path


def run(place, *arguments, **env):
    return subprocess.run(
        [sys.executable, "-m", "fastcgi", *arguments],
        cwd=place,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def load(place, *arguments):
    return _config.load(arguments, str(place))


def origin(settings, name):
    """What is shown of an option: its value and where that comes from."""
    (line,) = [line for line in settings.show().splitlines() if line.startswith(f"{name} = ")]
    return line.partition(" = ")[2]


def test_the_later_source_wins(place, monkeypatch):
    """Each adds one option to be seen, and takes one from the one before."""
    (place / "f.toml").write_text('app = "app:app"\nbacklog = 3\nworkers = 3\nlimit_params = 3\n')
    (place / "pyproject.toml").write_text(
        "[tool.fastcgi]\nthreads = 2\nbacklog = 2\nworkers = 2\nlimit_params = 2\n"
    )
    monkeypatch.setenv("FASTCGI_WORKERS", "4")
    monkeypatch.setenv("FASTCGI_LIMIT_PARAMS", "4")
    settings = load(place, "-c", "f.toml", "--limit-params", "5")
    assert origin(settings, "app") == '"app:app"  # file f.toml'
    assert origin(settings, "threads") == '"2"  # file pyproject.toml'
    assert origin(settings, "backlog") == '"3"  # file f.toml'
    assert origin(settings, "workers") == '"4"  # environment FASTCGI_WORKERS'
    assert origin(settings, "limit_params") == '"5"  # command line'
    assert "limit_params_size" not in settings


def test_the_file_can_be_named_in_the_environment(place, monkeypatch):
    (place / "f.toml").write_text("threads = 2\n")
    monkeypatch.setenv("FASTCGI_CONFIG", "f.toml")
    assert load(place).read("threads") == 2
    (place / "g.toml").write_text("threads = 3\n")
    assert load(place, "--config", "g.toml").read("threads") == 3


def test_kinds_of_values(place, monkeypatch):
    (place / "f.toml").write_text(
        'bind = ["unix:a", "127.0.0.1:0"]\nstream = true\nfactory = false\nio_timeout = 0.5\n'
        'graceful_timeout = "5m"\nidle_timeout = 0\nsocket_mode = "600"\n'
        'limit_request_body = "1K"\n'
        'reload_extra_file = "x"\n'
    )
    settings = load(place, "--config", "f.toml")
    names = _config.SERVER + _config.PROCESSES + _core.Options.names("worker")
    assert settings.some(names) == {
        "bind": ["unix:a", "127.0.0.1:0"], "stream": True, "factory": False, "io_timeout": 0.5,
        "graceful_timeout": 300, "idle_timeout": None, "socket_mode": 0o600,
        "limit_request_body": 1024, "reload_extra_file": ["x"],
    }  # fmt: skip
    for name, text in (("BIND", "unix:a unix:b"), ("STREAM", "yes"), ("RELOAD", "0")):
        monkeypatch.setenv(f"FASTCGI_{name}", text)
    settings = load(place)
    assert settings.read("bind") == ["unix:a", "unix:b"]
    assert (settings.read("stream"), settings.read("reload")) == (True, False)


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("worker = 2", "f.toml: there is no option 'worker'; did you mean 'workers'?"),
        ("max-request = 2", "there is no option 'max-request'; did you mean 'max_requests'?"),
        ("zzz = 2", "f.toml: there is no option 'zzz'"),
        (
            "workers = 'many'",
            "f.toml: workers=many: must be a whole number from 0",
        ),
        ("socket_mode = 0o660", 'socket_mode: must be a text, such as "660"'),
        ("stream = 'yes'", "f.toml: stream: must be true or false"),
        ("threads = [1]", "threads: must be one value, not a list"),
        ("io_timeout = 'soon'", "io_timeout=soon: must be a time above 0 up to 2147483.647s"),
        ("config = 'x'", "there is no option 'config'"),
        ("x = ", "f.toml: (line 1"),
    ],
)
def test_mistakes_in_a_file(place, toml, complaint):
    (place / "f.toml").write_text(toml)
    for arguments in (["--config", "f.toml"], ["--config", "f.toml", "--check-config"]):
        done = run(place, "app:app", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert complaint in done.stderr


@pytest.mark.parametrize(
    ("arguments", "env", "status", "complaint"),
    [
        (["app:app", "--config", "none.toml"], {}, 2, "none.toml: No such file or directory"),
        (["app:app"], {"FASTCGI_THREADS": "0"}, 2, "FASTCGI_THREADS=0: must be a whole number"),
        (["app:app"], {"FASTCGI_STREAM": "x"}, 2, "FASTCGI_STREAM=x: must be true or false"),
        (["app:app", "--wrokers", "2"], {}, 2, "no option --wrokers; did you mean --workers?"),
        (["app:app", "--preload"], {}, 2, "--preload: workers load the application themselves"),
        (["app:app", "--keep-alive", "5"], {}, 2, "--keep-alive: --idle-timeout is how long"),
        (["app:app", "--reload", "-w", "0"], {}, 2, "--reload needs a worker, and --workers is 0"),
        (
            ["app:app", "--workers", "5000"],
            {},
            2,
            "--workers=5000: must be a whole number",
        ),
        (["app:missing"], {}, 1, "module 'app' has no attribute 'missing'"),
        (["app:app", "--status-path", "/" + "x" * 300], {}, 2, "must be a path that begins with /"),
        (["app:app", "--chdir", "/nowhere"], {}, 1, "/nowhere: No such file or directory"),
        (["app:app", "--bind", "nowhere"], {}, 1, 'address "nowhere": not an address'),
        (["app:app", "--bind", "0.0.0.0:1"], {}, 1, "0.0.0.0:1: other machines could connect"),
        (["app:app", "--allow-from", "web"], {}, 1, 'allow list "web": "web" is no address'),
        (["app:app", "--user", "no-such-user"], {}, 1, "user no-such-user: no such user"),
        (
            ["app:app", "--socket-group", "no-such", "--allow-root"],
            {},
            1,
            "group no-such: no such group",
        ),
        (["app:app", "--max-worker-age", "5", "--max-worker-age-jitter", "9"], {}, 1, "the jitter"),
        (["app:app", "--access-logfile", "x", "--access-logformat", "%(y)s"], {}, 1, "no atom"),
        (["app:app", "--access-logfile", "/nowhere/x"], {}, 1, "the access log /nowhere/x:"),
        (["app:app", "--error-logfile", "/nowhere/x"], {}, 1, "the error log /nowhere/x:"),
        (["app:app", "--temp-dir", "/nowhere"], {}, 1, "/nowhere"),
    ],
)
def test_check_config_says_in_one_line_what_is_wrong(place, arguments, env, status, complaint):
    done = run(place, *arguments, "--check-config", **env)
    assert (done.returncode, done.stderr.count("\n")) == (status, 1), done.stderr
    assert complaint in done.stderr


def test_check_config_without_mistakes(place):
    words = ["--workers", "2", "--bind", "unix:x", "--allow-root"]
    done = run(place, "app:app", "--check-config", *words)
    assert (done.returncode, done.stderr) == (0, "fastcgi: the configuration is fine\n")
    assert not (place / "x").exists()


def test_check_config_leaves_logs_as_they_are(place):
    (place / "old.log").write_text("a line\n")
    logs = ["--access-logfile", "new.log", "--error-logfile", "old.log"]
    done = run(place, "app:app", "--check-config", *logs)
    assert (done.returncode, done.stderr) == (0, "fastcgi: the configuration is fine\n")
    assert not (place / "new.log").exists()
    assert (place / "old.log").read_text() == "a line\n"


def test_print_config_is_a_file_of_options(place):
    (place / "f.toml").write_text('socket_mode = "600"\nstream = true\n')
    given = ["app:app", "-b", "unix:a b", "-b", "unix:c", "--graceful-timeout", "5m"]
    done = run(place, *given, "--config", "f.toml", "--print-config", FASTCGI_WORKERS="2")
    assert done.returncode == 0, done.stderr
    assert 'socket_mode = "600"  # file f.toml\n' in done.stdout
    assert 'bind = ["unix:a b", "unix:c"]  # command line\n' in done.stdout
    assert 'workers = "2"  # environment FASTCGI_WORKERS\n' in done.stdout
    assert '# threads = "1"  # default\n' in done.stdout
    (place / "again.toml").write_text(done.stdout)
    again = run(place, "--config", "again.toml", "--print-config")
    values = [[line.partition("  #")[0] for line in text.stdout.splitlines()]
              for text in (done, again)]  # fmt: skip
    assert values[0] == values[1]


def test_a_reload_reads_the_files_again(command, place):
    """Workers look for them where the supervisor was started."""
    from support.fcgi_client import fetch, wait_until

    inner = place / "inner"
    inner.mkdir()
    (inner / "app.py").write_text("def app(r): return 200, None, r.path\n")
    (place / "f.toml").write_text("chdir = 'inner'\nroot_path = '/one'\nstatus_path = '/one'\n")
    running = command(
        "-m", "fastcgi", "app:app", "--config", "f.toml", "--workers", "1", "--bind", "unix:x",
        "--allow-root",
    )  # fmt: skip
    running.wait_for("ready after")
    address = f"unix:{inner}/x"
    assert fetch(address, uri="/one").body != b"/one", "the status page"
    (place / "f.toml").write_text("chdir = 'inner'\nstatus_path = '/two'\n")
    running.process.send_signal(1)
    wait_until(lambda: fetch(address, uri="/one").body == b"/one", 20, "no status at /one")


def test_web_concurrency_is_the_default(place, monkeypatch):
    command_line = importlib.import_module("fastcgi.__main__")

    def count(*arguments, **env):
        monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
        for name, text in env.items():
            monkeypatch.setenv(name, text)
        return command_line.count_workers(load(place, *arguments))

    assert count() == 0
    assert count(WEB_CONCURRENCY="3") == 3
    assert count(WEB_CONCURRENCY="0") == 0
    assert count(WEB_CONCURRENCY="auto") > 0
    for text in ("none", "-1", " 3"):
        with pytest.raises(_config.ConfigError, match=r"WEB_CONCURRENCY=.*: must be a whole"):
            count(WEB_CONCURRENCY=text)
    assert count("--workers", "2", WEB_CONCURRENCY="3") == 2
    assert count("--reload") == count("--user", "x") == 1
    assert count("--allow-root") == 0


def test_the_server_knows_every_option_for_it():
    """Its annotations are those of the core's map."""
    names = {*_config.SERVER, "log_level"}
    assert set(Options.__annotations__) == names
