# SPDX-License-Identifier: MIT
"""What is wrong is refused, by whoever reads it, in one line that is the same everywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.options import Option, read_map
from support.paths import BUILD, EXAMPLES

OPTIONS = read_map()
# What a server itself reads, and that not every text can be.
READ = [one for one in OPTIONS if one.scope == "server" and one.kind != "text"]


def without_ours() -> dict[str, str]:
    """The environment without what a launcher or a server reads."""
    names = {f"FASTCGI_{one.name.upper()}" for one in OPTIONS} | {"WEB_CONCURRENCY"}
    return {name: text for name, text in os.environ.items() if name not in names}


def run(command: list, directory: Path, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command,
        cwd=directory,
        env=without_ours() | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def variable(option: Option) -> str:
    return f"FASTCGI_{option.name.upper()}"


def wrong(option: Option) -> str:
    return "root,no-such-user" if option.kind == "users" else "x"


# Each sets one variable after the other, and says what making a server says.
PYTHON = """
import os, sys
from {module} import Server
for word in sys.argv[2:]:
    name, _, text = word.partition("=")
    os.environ[name] = text
    try:
        Server(){listen}
        print("-")
    except Exception as error:
        print(error)
    del os.environ[name]
"""
LUA = """
local fcgi, setenv = require "fcgi", require "fcgi.supervisor".setenv
for i = 2, #arg do
  local name, text = arg[i]:match "^([^=]*)=(.*)$"
  setenv(name, text)
  local server, message = fcgi.server {}
  print(server and "-" or message)
  setenv(name, "")
end
"""
SWIG = {"module": "fastcgi_swig", "listen": ".listen(sys.argv[1])"}
ASKED = {
    "python": (PYTHON.format(module="fastcgi", listen=""), [sys.executable]),
    "lua": (LUA, ["lua5.4"]),
    "swig": (
        PYTHON.format(**SWIG),
        ["env", f"PYTHONPATH={BUILD}/swig/python", sys.executable],
    ),
}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What fcgi run says of each option of READ, behind its own name."""
    said = []
    for one in READ:
        given = {variable(one): wrong(one)}
        command = [BUILD / "tools" / "fcgi", "run", "--print-config"]
        done = run(command, tmp_path_factory.mktemp("run"), **given)
        assert done.returncode == 2, one.name
        assert done.stderr.startswith(f"fcgi: run: {variable(one)}={wrong(one)}: must be ")
        said.append(done.stderr.removeprefix("fcgi: run: ").removesuffix("\n"))
    return said


def test_a_program_in_c_refuses_each_variable(directory: Path, lines: list[str]):
    """Above all who may connect."""
    assert "peer_users" in [one.name for one in READ]
    for one, line in zip(READ, lines, strict=True):
        given = {variable(one): wrong(one)}
        done = run([EXAMPLES / "hello", f"unix:{directory}/x"], directory, **given)
        assert done.returncode == 1, one.name
        assert done.stderr.count("\n") == 1
        assert line in done.stderr
    assert not (directory / "x").exists()


@pytest.mark.parametrize("language", ASKED)
def test_a_server_of_a_language_refuses_each_variable(
    language: str, directory: Path, lines: list[str]
):
    text, command = ASKED[language]
    (directory / "asks").write_text(text)
    words = [f"{variable(one)}={wrong(one)}" for one in READ]
    done = run([*command, "asks", f"unix:{directory}/x", *words], directory)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == lines
