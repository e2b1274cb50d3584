# SPDX-License-Identifier: MIT
"""`pip install .` and `luarocks make` from a clean copy of the sources."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params
from support.paths import SOURCE
from support.process import Process

NOT_COPIED = shutil.ignore_patterns(
    ".git", "build", "dist", "__pycache__", "*.egg-info", ".venv", ".cache"
)
CLEAN = {"PYTHONPATH": "", "LUA_PATH": ";;", "LUA_CPATH": ";;"}


def run(*command: object, **options) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def directory() -> Iterator[Path]:
    """A temporary directory with a copy of the sources in src/."""
    path = Path(tempfile.mkdtemp(prefix="fastcgi-package-"))
    shutil.copytree(SOURCE, path / "src", ignore=NOT_COPIED)
    yield path
    shutil.rmtree(path)


def require_hello(command: list, directory: Path) -> None:
    address = f"unix:{directory}/app.sock"
    with Process(
        [*command, "--bind", address], directory / "app.log", cwd=directory, env=CLEAN
    ) as app:
        app.wait_for_address(address)
        with Client(address) as client:
            assert client.ask(get_params()).body == b"hello"


def test_pip_install(directory: Path):
    run(sys.executable, "-m", "venv", directory / "venv")
    python = directory / "venv" / "bin" / "python"
    run(python, "-m", "pip", "--disable-pip-version-check", "install", directory / "src", env=None)
    (directory / "hello.py").write_text("def app(request):\n    return 200, {}, b'hello'\n")
    installed = run(
        python, "-c", "import fastcgi; print(fastcgi.__file__)", cwd=directory, env=CLEAN
    )
    assert installed.startswith(str(directory / "venv"))
    assert (directory / "venv" / "share" / "man" / "man1" / "fastcgi.1").exists()
    assert (directory / "venv" / "share" / "man" / "man5" / "fastcgi.toml.5").exists()
    require_hello([python, "-m", "fastcgi", "hello:app"], directory)
    require_hello([directory / "venv" / "bin" / "fastcgi", "hello:app"], directory)


def test_luarocks_make(directory: Path):
    tree = directory / "tree"
    (rockspec,) = (directory / "src").glob("*.rockspec")
    run(
        "luarocks",
        "--lua-version=5.4",
        "make",
        "--tree",
        tree,
        rockspec.name,
        cwd=directory / "src",
    )
    (directory / "hello.lua").write_text("return function(req) return 200, {}, 'hello' end\n")
    require_hello([tree / "bin" / "fcgi-lua", "hello.lua"], directory)
