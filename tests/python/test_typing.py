# SPDX-License-Identifier: MIT
"""The types that are shipped are complete and right."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import fastcgi
import pytest

PACKAGE = pathlib.Path(fastcgi.__file__).parent
ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*arguments, cwd=ROOT):
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "MYPYPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").exists()


def test_the_stub_is_what_the_module_is(tmp_path):
    run("mypy.stubtest", "fastcgi._core", cwd=tmp_path)


def test_the_sources_are_strict(tmp_path):
    run("mypy", "--strict", "--cache-dir", str(tmp_path), "-p", "fastcgi", cwd=tmp_path)


@pytest.mark.parametrize("name", ["python/hello.py", "python/echo.py", "python/hello_wsgi.py",
                                  "python/hello_asgi.py",
                                  "guestbook/python/app.py"])  # fmt: skip
def test_the_examples_are_strict(tmp_path, name):
    run("mypy", "--strict", "--cache-dir", str(tmp_path), str(ROOT / "examples" / name))


def test_applications_of_frameworks_have_their_types(tmp_path):
    """What they say of their own parameters fits."""
    program = tmp_path / "program.py"
    program.write_text(
        "import fastcgi\n"
        "from fastapi import FastAPI\n"
        "from starlette.applications import Starlette\n"
        "fastcgi.serve(Starlette(), lifespan='on', limit_concurrency=9, disconnect_grace=1.5)\n"
        "fastcgi.Server('unix:x', loop='uvloop').serve(FastAPI(), interface='asgi')\n"
        "fastcgi.main(FastAPI())\n"
    )
    run("mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(program))


def test_the_sources_are_clean():
    run("ruff", "check", "--no-cache", "bindings/python", "tests/python", "examples")
    run("ruff", "format", "--no-cache", "--check", "bindings/python", "tests/python", "examples")
