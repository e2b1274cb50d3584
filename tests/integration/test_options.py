# SPDX-License-Identifier: MIT
"""The launchers know the same options, with the same defaults and origins; so does the manual."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params
from support.options import Option, read_map
from support.paths import BUILD, EXAMPLES, SOURCE
from support.process import Process

COMMANDS = {
    "python": [sys.executable, "-m", "fastcgi"],
    "lua": [str(BUILD / "lua" / "bin" / "fcgi-lua")],
    "run": [str(BUILD / "tools" / "fcgi"), "run"],
}
OPTIONS = read_map()
PAGE = (SOURCE / "docs" / "processes.md").read_text()

# A value of each kind that is nobody's default.
VALUES = {
    "text": "x", "users": "root", "path": "/x", "count": "7", "processes": "7", "bytes": "7M",
    "seconds": "7s", "mode": "007", "named_size": "x=7M",
}  # fmt: skip


def run(
    launcher: str, directory: Path, *words: str, **variables: str
) -> subprocess.CompletedProcess:
    env = {name: text for name, text in os.environ.items() if not name.startswith("FASTCGI_")}
    env.pop("WEB_CONCURRENCY", None)
    return subprocess.run(
        [*COMMANDS[launcher], *words],
        cwd=directory,
        env=env | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def shown(launcher: str, directory: Path, *words: str, **variables: str) -> dict[str, str]:
    """What --print-config prints of each option behind its name."""
    done = run(launcher, directory, *words, "--print-config", **variables)
    assert done.returncode == 0, done.stderr
    lines = [re.fullmatch(r"(?:# )?(\w+)(?: = |: )(.*)", line) for line in done.stdout.splitlines()]
    return {line[1]: line[2] for line in lines if line}


def has(option: Option, launcher: str) -> bool:
    return launcher in option.launchers and option.scope != "command"


def value(option: Option) -> str:
    if option.kind == "choice":
        return (option.words or "").split(", ")[-1]
    if option.name == "role":
        return "authorizer=app:check"
    return VALUES.get(option.kind, "true")


def quoted(option: Option, text: str) -> str:
    if option.kind == "flag":
        return "true"
    return f'["{text}"]' if option.repeated else f'"{text}"'


@pytest.mark.parametrize("launcher", COMMANDS)
def test_names_and_defaults_are_those_of_the_map(launcher: str, directory: Path):
    seen = shown(launcher, directory)
    assert list(seen) == [one.name for one in OPTIONS if has(one, launcher)]
    for one in OPTIONS:
        if has(one, launcher):
            default = f'"{one.standard}"' if one.standard else one.unset or "false"
            assert seen[one.name] == f"{default}  # default"


def test_each_program_names_itself_with_the_version(directory: Path):
    header = (SOURCE / "core" / "include" / "fastcgi" / "version.h").read_text()
    version = re.findall(r'VERSION_TEXT +"([^"]+)"', header)[0]
    names = {"python": "fastcgi", "lua": "fcgi-lua", "run": "fcgi"}
    for launcher, name in names.items():
        assert run(launcher, directory, "--version").stdout == f"{name} {version}\n"
    tool = [*COMMANDS["run"][:-1], "--version"]
    assert subprocess.check_output(tool, text=True, timeout=60) == f"fcgi {version}\n"


@pytest.mark.parametrize("launcher", ["python", "lua"])
def test_help_names_one_kind_of_application(launcher: str, directory: Path):
    app = next(one for one in OPTIONS if one.name == "app")
    forms = {"python": app.python or "", "lua": app.lua or ""}
    text = " ".join(run(launcher, directory, "--help").stdout.split())
    assert {one for one, form in forms.items() if form in text} == {launcher}


def test_launchers_agree(directory: Path):
    """A file, the environment and words that all of them know: the same in each."""
    (directory / "f.toml").write_text('backlog = 7\nsocket_mode = "600"\nlimit_params = 7\n')
    words = ["--config", "f.toml", "--io-timeout", "7s", "--no-multiplex", "-b", "unix:a"]
    env = {"FASTCGI_ACCESS_LOGFILE": "x", "FASTCGI_LIMIT_PARAMS": "8", "WEB_CONCURRENCY": "3"}
    seen = {one: shown(one, directory, *words, **env) for one in COMMANDS}
    common = set.intersection(*(set(names) for names in seen.values()))
    assert len(common) > 45
    for name in common:
        assert len({names[name] for names in seen.values()}) == 1, name
    assert seen["run"]["backlog"] == '"7"  # file f.toml'
    assert seen["run"]["limit_params"] == '"8"  # environment FASTCGI_LIMIT_PARAMS'
    assert seen["run"]["access_logfile"] == '"x"  # environment FASTCGI_ACCESS_LOGFILE'
    assert seen["run"]["workers"] == '"3"  # environment WEB_CONCURRENCY'
    assert seen["run"]["io_timeout"] == '"7s"  # command line'
    assert seen["run"]["no_multiplex"] == "true  # command line"


@pytest.mark.parametrize("launcher", COMMANDS)
def test_every_option_is_taken_from_everywhere(launcher: str, directory: Path):
    """From words, the environment and a file, which --print-config has written."""
    mine = [one for one in OPTIONS if has(one, launcher)]
    words: list[str] = []
    for one in mine:
        words += [] if one.positional else [one.flag]
        words += [] if one.kind == "flag" else [value(one)]
    env = {f"FASTCGI_{one.name.upper()}": "1" if one.kind == "flag" else value(one) for one in mine}
    by_words = shown(launcher, directory, *words)
    by_environment = shown(launcher, directory, **env)
    (directory / "all.toml").write_text(run(launcher, directory, *words, "--print-config").stdout)
    by_file = shown(launcher, directory, "--config", "all.toml")
    for one in mine:
        text = quoted(one, value(one))
        assert by_words[one.name] == f"{text}  # command line"
        assert by_environment[one.name] == f"{text}  # environment FASTCGI_{one.name.upper()}"
        assert by_file[one.name] == f"{text}  # file all.toml"


@pytest.mark.parametrize("launcher", COMMANDS)
def test_later_origins_win_for_every_option(launcher: str, directory: Path):
    """All of them at once, then without the last, and so on down to the default."""
    mine = [one for one in OPTIONS if has(one, launcher)]
    words = ["--config", "first.toml"]
    for one in mine:
        words += [] if one.positional else [one.flag]
        words += [] if one.kind == "flag" else [value(one)]
    env = {f"FASTCGI_{one.name.upper()}": "1" if one.kind == "flag" else value(one) for one in mine}
    lines = [f"{one.name} = {quoted(one, value(one))}" for one in mine]
    place = directory / launcher
    place.mkdir()
    (place / "first.toml").write_text("\n".join(lines))
    project = place / "pyproject.toml"
    project.write_text("\n".join(["[tool.other]", "a = 1", "[tool.fastcgi]", *lines]))
    origins = [("command line", words, env), ("environment", words[:2], env)]
    origins.append(("file first.toml", words[:2], {}))
    if launcher == "python":
        origins.append(("file pyproject.toml", [], {}))
    origins.append(("default", [], {}))
    for origin, given, variables in origins:
        if origin == "default":
            project.unlink()
        seen = shown(launcher, place, *given, **variables)
        for one in mine:
            more = f" FASTCGI_{one.name.upper()}" if origin == "environment" else ""
            assert seen[one.name].endswith(f"  # {origin}{more}"), one.name


# For a server that is made and does not listen: what its own type wants.
TYPED = {
    "flag": True, "count": 7, "bytes": 7 << 20, "seconds": 7.0, "mode": 0o600, "path": "/x",
    "users": "root", "text": "-",
}  # fmt: skip
TEXTS = {"allow_from": "127.0.0.1", "temp_dir": "/tmp", "access_logformat": "common"}
OF_SERVERS = [one for one in OPTIONS if one.scope == "server" or one.name == "stream"]
BUT_FOR_WHO_STOPS_IT = [one for one in OF_SERVERS if one.name != "graceful_timeout"]


def typed(option: Option) -> object:
    if option.kind == "choice":
        return value(option)
    return TEXTS.get(option.name, TYPED[option.kind])


def test_every_option_of_servers_is_a_field():
    for one in OF_SERVERS:
        assert one.field, one.name
        assert one.launchers != ["run"], one.name


def test_a_server_in_python_takes_every_option():
    code = "import fastcgi, sys, ast; fastcgi.Server(**ast.literal_eval(sys.argv[1]))"
    for one in BUT_FOR_WHO_STOPS_IT:
        given = repr({one.name: typed(one)})
        done = subprocess.run([sys.executable, "-c", code, given], capture_output=True, text=True)
        assert done.returncode == 0, (one.name, done.stderr)


def in_lua(given: object) -> str:
    return str(given).lower() if isinstance(given, (bool, int, float)) else f'"{given}"'


def test_a_server_in_lua_takes_every_option():
    lines = ["local fcgi = require 'fcgi'"]
    for one in OF_SERVERS:
        given = '"600"' if one.kind == "mode" else in_lua(typed(one))
        lines.append(f"assert(fcgi.server {{ {one.name} = {given} }})")
    done = subprocess.run(["lua5.4", "-"], input="\n".join(lines), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("launcher", COMMANDS)
def test_help_and_the_manual_have_every_option(launcher: str, directory: Path):
    done = run(launcher, directory, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    told = told_by_help(done.stdout)
    assert set(told) == {
        one.flag for one in OPTIONS if launcher in one.launchers and not one.positional
    }
    for one in OPTIONS:
        if one.positional:
            continue
        assert re.search(rf"`{one.flag}[ `]", PAGE), one.name
        if launcher in one.launchers:
            default = "" if one.kind == "flag" else f" Default: {one.default}"
            assert told[one.flag] == f"{one.text}{default}"


def told_by_help(text: str) -> dict[str, str]:
    """What --help says of each option, in one line."""
    told: dict[str, str] = {}
    flag = None
    for line in text.splitlines():
        head = re.match(r"  (?:-\w, |    )(--[\w-]+)(?: \S+)?(?: {2,}(\S.*))?$", line)
        if head:
            flag = head[1]
            told[flag] = head[2] or ""
        elif flag and line.startswith(" " * 30):
            told[flag] = f"{told[flag]} {line.strip()}".strip()
        else:
            flag = None
    return told


@pytest.mark.parametrize("launcher", COMMANDS)
def test_what_is_wrong_is_one_line(launcher: str, directory: Path):
    (directory / "wrong.toml").write_text("backlog = 'x'\n")
    wanted = "must be a whole number from 1 to 2147483647"
    for words, env, line in (
        (["--backlog=x"], {}, f"--backlog=x: {wanted}"),
        (["--backlgo=1"], {}, "no option --backlgo; did you mean --backlog?"),
        ([], {"FASTCGI_BACKLOG": "x"}, f"FASTCGI_BACKLOG=x: {wanted}"),
        (["--config", "wrong.toml"], {}, f"wrong.toml: backlog=x: {wanted}"),
        (["--config", "none.toml"], {}, "none.toml: No such file or directory"),
    ):
        done = run(launcher, directory, *words, "--print-config", **env)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith(f": {line}\n")
        assert done.stderr.count("\n") == 1


def test_a_server_reads_what_its_launcher_passes_on(directory: Path):
    """fcgi run has a file, and a program below it obeys."""
    address = f"unix:{directory}/obeys.sock"
    (directory / "run.toml").write_text(
        f'bind = "{address}"\nlimit_params = 3\nallow_root = true\n'
    )
    words = [*COMMANDS["run"], "--config", f"{directory}/run.toml", "--ping-path", "/ping"]
    with Process([*words, "--", EXAMPLES / "hello"], directory / "log") as process:
        process.wait_for_address(address)
        with Client(address) as client:
            assert client.ask(get_params("/ping")).status == 431
    env = {"FASTCGI_LIMIT_PARAMS": "3"}
    with Process([EXAMPLES / "hello", address], directory / "log2", env=env) as process:
        process.wait_for_address(address)
        with Client(address) as client:
            assert client.ask(get_params("/")).status == 431
