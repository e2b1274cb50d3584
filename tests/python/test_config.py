# SPDX-License-Identifier: MIT
"""Options from the command line, the environment and files."""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import re
import subprocess
import sys

import pytest
from fastcgi import _config
from fastcgi import _config_types as types
from fastcgi._config_table import APP, COMMAND, OPTIONS, SERVER
from fastcgi._config_types import available_cpus
from fastcgi._types import Options

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "processes.md"
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


def load(place, *arguments, **env):
    return _config.load(arguments, str(place), env)


def sources(settings, key):
    return settings[key].value, settings[key].source


def test_the_later_source_wins(place):
    """Each adds one option to be seen, and takes one from the one before."""
    (place / "f.toml").write_text(
        'app = "app:app"\nthreads = 2\nbacklog = 2\nworkers = 2\nlimit-params = 2\n'
    )
    (place / "pyproject.toml").write_text(
        "[tool.fastcgi]\nbacklog = 3\nworkers = 3\nlimit_params = 3\n"
    )
    environ = {"FASTCGI_WORKERS": "4", "FASTCGI_LIMIT_PARAMS": "4"}
    settings = load(place, "-c", "f.toml", "--limit-params", "5", **environ)
    assert sources(settings, "app") == ("app:app", "f.toml")
    assert sources(settings, "threads") == (2, "f.toml")
    assert sources(settings, "backlog") == (3, "pyproject.toml")
    assert sources(settings, "workers") == (4, "$FASTCGI_WORKERS")
    assert sources(settings, "limit_params") == (5, "command line")
    assert "limit_params_size" not in settings


def test_the_file_can_be_named_in_the_environment(place):
    (place / "f.toml").write_text("threads = 2\n")
    assert load(place, FASTCGI_CONFIG="f.toml").read("threads") == 2
    (place / "g.toml").write_text("threads = 3\n")
    assert load(place, "--config", "g.toml", FASTCGI_CONFIG="f.toml").read("threads") == 3


def test_kinds_of_values(place):
    (place / "f.toml").write_text(
        'bind = ["unix:a", "127.0.0.1:0"]\nstream = true\nfactory = false\nio_timeout = 0.5\n'
        'graceful_timeout = "5m"\nidle_timeout = 0\nsocket_mode = "600"\n'
        'limit_request_body = "1K"\n'
        'reload_extra_file = "x"\n'
    )
    settings = load(place, "--config", "f.toml")
    assert {key: value.value for key, value in settings.items() if key != "config"} == {
        "bind": ["unix:a", "127.0.0.1:0"], "stream": True, "factory": False, "io_timeout": 0.5,
        "graceful_timeout": 300, "idle_timeout": None, "socket_mode": 0o600,
        "limit_request_body": 1024, "reload_extra_file": ["x"],
    }  # fmt: skip
    settings = load(place, FASTCGI_BIND="unix:a unix:b", FASTCGI_STREAM="yes", FASTCGI_RELOAD="0")
    assert settings.read("bind") == ["unix:a", "unix:b"]
    assert (settings.read("stream"), settings.read("reload")) == (True, False)


@pytest.mark.parametrize(
    ("text", "number"),
    [("30", 30), ("30s", 30), ("5m", 300), ("1h", 3600), ("2d", 172800), ("0", None)],
)
def test_times(place, text, number):
    assert load(place, "--graceful-timeout", text).read("graceful_timeout") == number


# What int() or float() would make something of.
NO_NUMBERS = ["-1", "0x10", " 5", "5 ", "+5", "1e3", "1_0", "\u0665", "nan", "inf", "5x"]
TOO_LARGE = "99999999999999999999"


@pytest.mark.parametrize("text", [*NO_NUMBERS, TOO_LARGE])
def test_numbers_are_read_whole_or_refused(text):
    readers = [types.count, types.positive, types.seconds, types.octal, types.octal_or_none]
    for read in [*readers, types.workers]:
        with pytest.raises(argparse.ArgumentTypeError, match="is not a"):
            read(text)


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("worker = 2", "f.toml: there is no option 'worker'; did you mean 'workers'?"),
        ("max-request = 2", "there is no option 'max-request'; did you mean 'max_requests'?"),
        ("zzz = 2", "f.toml: there is no option 'zzz'"),
        ("workers = 'many'", "f.toml: workers: 'many' is not a whole number up to 4096, or auto"),
        ("socket_mode = 0o660", 'socket_mode: must be a text = "660", not 432'),
        ("stream = 'yes'", "f.toml: stream: must be true or false"),
        ("threads = [1]", "threads: must be a text, not [1]"),
        ("io_timeout = 'soon'", "'soon' is not a time such as 30, 0.5s or 5m"),
        ("config = 'x'", "there is no option 'config'"),
        ("x = ", "f.toml: Invalid value (at "),
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
        (["app:app"], {"FASTCGI_THREADS": "0"}, 2, "FASTCGI_THREADS: '0' is not a whole number"),
        (["app:app"], {"FASTCGI_STREAM": "x"}, 2, "FASTCGI_STREAM: 'x' is not true or false"),
        (["app:app", "--wrokers", "2"], {}, 2, "--wrokers; did you mean '--workers'?"),
        (["app:app", "--preload"], {}, 2, "--preload: workers load the application themselves"),
        (["app:app", "--keep-alive", "5"], {}, 2, "--keep-alive: --idle-timeout is how long"),
        (["app:app", "--reload", "-w", "0"], {}, 2, "--reload needs a worker, and --workers is 0"),
        (["app:app", "--workers", "5000"], {}, 2, "'5000' is not a whole number up to 4096"),
        (["app:missing"], {}, 1, "module 'app' has no attribute 'missing'"),
        (["app:app", "--status-path", "/" + "x" * 300], {}, 1, "status_path must be"),
        (["app:app", "--chdir", "/nowhere"], {}, 1, "/nowhere: No such file or directory"),
        (["app:app", "--bind", "nowhere"], {}, 1, 'address "nowhere": not an address'),
        (["app:app", "--bind", "0.0.0.0:1"], {}, 1, "0.0.0.0:1: other machines could connect"),
        (["app:app", "--allow-from", "web"], {}, 1, 'allow list "web": "web" is no address'),
        (["app:app", "--user", "no-such-user"], {}, 1, "user no-such-user: there is none"),
        (["app:app", "--socket-group", "no-such"], {}, 1, "group no-such: there is none"),
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
    done = run(place, "app:app", "--check-config", "--workers", "2", "--bind", "unix:x")
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
    assert 'socket_mode = "600"  # f.toml\n' in done.stdout
    assert 'bind = ["unix:a b", "unix:c"]  # command line\n' in done.stdout
    assert 'workers = "2"  # $FASTCGI_WORKERS\n' in done.stdout
    assert "# threads: 1  (built-in)\n" in done.stdout
    shown = {line.split()[0] if line[0] != "#" else line[2:].split(":")[0]
             for line in done.stdout.splitlines()}  # fmt: skip
    assert shown == {one.key for one in (APP, *OPTIONS) if one.scope != COMMAND}
    (place / "again.toml").write_text(done.stdout)
    again = load(place, "--config", "again.toml")
    first = load(place, *given, "--config", "f.toml", FASTCGI_WORKERS="2")
    assert {key: one.value for key, one in again.items() if key != "config"} == {
        key: one.value for key, one in first.items() if key != "config"
    }


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
        return command_line.count_workers(load(place, *arguments), env)

    assert count() == 0
    assert count(WEB_CONCURRENCY="3") == 3
    assert count(WEB_CONCURRENCY="0") == 0
    assert count(WEB_CONCURRENCY="auto") > 0
    for text in ("none", "-1", " 3"):
        with pytest.raises(_config.ConfigError, match=r"WEB_CONCURRENCY: .* is not a"):
            count(WEB_CONCURRENCY=text)
    assert count("--workers", "2", WEB_CONCURRENCY="3") == 2
    assert count("--reload") == count("--user", "x") == 1
    assert count("--allow-root") == 0


def put(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
          "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 1),
        ({"proc/self/cgroup": "3:cpu,cpuacct:/x\n",
          "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "20000\n",
          "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"proc/self/cgroup": "3:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
          "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, None),
    ],
)  # fmt: skip
def test_auto_looks_at_processors_and_quotas(place, files, limit):
    for path, text in files.items():
        put(place, path, text)
    assert available_cpus(str(place)) == (limit or len(os.sched_getaffinity(0)))


def test_docs_list_the_options():
    """docs/processes.md has the table's names, defaults and texts, in its order."""
    _, _, section = PAGE.read_text().partition("## Options of `python -m fastcgi`\n")
    rows = re.findall(r"^\| `--([^`]*)` \| (.*?) \| (.*) \|$", section.partition("\n## ")[0], re.M)
    assert rows == [
        (f"{one.name} {one.value}".strip(), one.default or "-", one.help) for one in OPTIONS
    ]


def test_the_server_knows_every_option_for_it():
    known = set(Options.__annotations__)
    names = {one.key for one in OPTIONS if one.scope == SERVER}
    assert names <= known
