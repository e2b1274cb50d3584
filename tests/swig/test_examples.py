# SPDX-License-Identifier: MIT
"""Each language's smallest example, at an address and at descriptor 0."""

import socket
import subprocess
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params
from support.paths import SOURCE
from support.process import Process
from swig.languages import CHOSEN, command

# The hand-written modules have the plain name in Python and Lua.
NAMES = {"python": "hello_swig", "lua": "hello_swig"}


def hello(language: str) -> list[str]:
    return command(language, SOURCE / "examples" / language / NAMES.get(language, "hello"))


@pytest.mark.parametrize("language", CHOSEN)
def test_hello(language: str, tmp_path: Path):
    address = f"unix:{tmp_path}/hello.sock"
    with Process([*hello(language), address], tmp_path / "log") as running:
        running.wait_for_address(address)
        with Client(address) as client:
            for _ in range(3):
                assert client.ask(get_params()).body == b"Hello\n"
        assert running.stop() == 0, running.output()


@pytest.mark.parametrize("language", CHOSEN)
def test_inherited_listener(language: str, tmp_path: Path):
    path = str(tmp_path / "hello.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        running = subprocess.Popen(hello(language), stdin=listener)
    try:
        with Client(f"unix:{path}") as client:
            assert client.ask(get_params(), keep=False).body == b"Hello\n"
    finally:
        running.terminate()
        assert running.wait(60) == 0
