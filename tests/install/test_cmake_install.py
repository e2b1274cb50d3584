# SPDX-License-Identifier: MIT
"""`cmake --install`: the C library, its CMake package, pkg-config, and Lua's part."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params
from support.paths import BUILD, CC, SOURCE
from support.process import Process

CONSUMER = Path(__file__).parent / "consumer"
README = (SOURCE / "README.md").read_text()


def run(*command: object, **options) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prefix() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="fastcgi-install-"))
    run("cmake", "--install", BUILD, "--prefix", path)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def library_dir(prefix: Path) -> Path:
    (found,) = prefix.rglob("libfastcgi.a")
    return found.parent


def require_answer(command: list, prefix: Path, body: bytes, env: dict[str, str]) -> None:
    address = f"unix:{prefix}/app.sock"
    with Process(command, prefix / "app.log", env=env) as app:
        app.wait_for_address(address)
        with Client(address) as client:
            assert client.ask(get_params()).body == body


@pytest.mark.parametrize("program", ["consumer", "consumer_static"])
def test_find_package(prefix: Path, library_dir: Path, program: str):
    build = prefix / "consumer"
    run(
        "cmake",
        "-S",
        CONSUMER,
        "-B",
        build,
        f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DCMAKE_C_COMPILER={CC}",
    )
    run("cmake", "--build", build)
    env = {"LD_LIBRARY_PATH": str(library_dir)}
    require_answer([build / program, f"unix:{prefix}/app.sock"], prefix, b"installed\n", env)


def test_run_path_of_the_readme(prefix: Path, library_dir: Path):
    """With another prefix the shared library is found without any variable."""
    (flag,) = re.findall(r"`(-Wl,-rpath,DIR/lib)`", README)
    assert "`PKG_CONFIG_PATH=DIR/lib/pkgconfig`" in README
    env = {**os.environ, "PKG_CONFIG_PATH": str(library_dir / "pkgconfig")}
    options = shlex.split(run("pkg-config", "--cflags", "--libs", "fastcgi", env=env))
    program = prefix / "with-run-path"
    path = flag.replace("DIR/lib", str(library_dir))
    run(CC, CONSUMER / "consumer.c", "-o", program, *options, path)
    env = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    assert str(library_dir) in run("ldd", program, env=env)
    require_answer([program, f"unix:{prefix}/app.sock"], prefix, b"installed\n", {})


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_pkg_config(prefix: Path, library_dir: Path, static: bool):
    env = {**os.environ, "PKG_CONFIG_PATH": str(library_dir / "pkgconfig")}
    options = shlex.split(
        run(
            "pkg-config",
            "--cflags",
            "--libs",
            *(["--static"] if static else []),
            "fastcgi",
            env=env,
        )
    )
    program = prefix / f"with-pkg-config-{static}"
    run(
        CC,
        "-std=c11",
        CONSUMER / "consumer.c",
        "-o",
        program,
        *(["-static"] if static else []),
        *options,
    )
    libraries = {"LD_LIBRARY_PATH": "" if static else str(library_dir)}
    version = run("pkg-config", "--modversion", "fastcgi", env=env).strip()
    assert run(program, env={**os.environ, **libraries}).strip() == version
    require_answer([program, f"unix:{prefix}/app.sock"], prefix, b"installed\n", libraries)


def test_installed_lua_launcher(prefix: Path):
    """The launcher finds the module that was installed with it."""
    app = prefix / "app.lua"
    app.write_text(
        "return function(req) return 200, {['Content-Type'] = 'text/plain'}, 'from Lua\\n' end\n"
    )
    assert list((prefix / "lib" / "lua" / "5.4").iterdir())
    assert list((prefix / "share" / "lua" / "5.4").iterdir())
    command = [
        prefix / "bin" / "fcgi-lua",
        app,
        "--bind",
        f"unix:{prefix}/app.sock",
        "--threads",
        "2",
    ]
    require_answer(command, prefix, b"from Lua\n", {"LUA_PATH": ";;", "LUA_CPATH": ";;"})


def test_installed_command(prefix: Path):
    assert run(prefix / "bin" / "fcgi", "--version").startswith("fcgi ")


def test_installed_man_pages(prefix: Path):
    """All but that of Python, which pip installs."""
    manual = prefix / "share" / "man"
    found = {path.name for path in manual.glob("man?/*")}
    wanted = {path.name for path in (SOURCE / "docs" / "man").glob("*.[1-8]")}
    assert found == wanted - {"fastcgi.1"}
    assert (manual / "man1" / "fcgi-lua.1").exists()
    assert (manual / "man5" / "fastcgi.toml.5").exists()
    if tool := shutil.which("man"):
        text = run(tool, "-M", manual, "fcgi-run", env={**os.environ, "MANPAGER": "cat"})
        assert "graceful" in text


def test_only_public_headers_are_installed(prefix: Path):
    installed = {path.name for path in (prefix / "include").rglob("*.h")}
    assert installed == {
        path.name for path in (SOURCE / "core" / "include" / "fastcgi").glob("*.h")
    }
