# SPDX-License-Identifier: MIT
"""The C examples: addresses, inherited listeners, a foreign loop, signals."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from support.fcgi_client import STDIN, Client, get_params, head, post_params, stream
from support.paths import EXAMPLES
from support.process import Process

EXAMPLE_NAMES = ["hello", "uv"]


def require_hello(address: str) -> None:
    with Client(address) as client:
        for _ in range(3):
            response = client.ask(get_params())
            assert (response.status, response.body) == (200, b"Hello\n")
            assert response.headers["content-length"] == "6"
    with Client(address) as client:
        assert client.ask(get_params(), keep=False).body == b"Hello\n"


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_address_and_signals(directory: Path, name: str, number: int):
    path = directory / f"{name}-{number}.sock"
    with Process([EXAMPLES / name, f"unix:{path}"], directory / "log") as app:
        app.wait_for_address(f"unix:{path}")
        require_hello(f"unix:{path}")
        os.kill(app.pid, number)
        assert app.wait() == 0
        assert app.output() == ""
    assert not path.exists(), "the socket that the program made is left behind"


def test_a_program_of_one_call_takes_options_from_the_environment(directory: Path):
    path = directory / "mode.sock"
    env = {**os.environ, "FASTCGI_SOCKET_MODE": "606"}
    with Process([EXAMPLES / "hello", f"unix:{path}"], directory / "mode.log", env=env) as app:
        app.wait_for_address(f"unix:{path}")
        assert path.stat().st_mode & 0o777 == 0o606


def test_tcp_address(directory: Path):
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        with Process([EXAMPLES / "hello", address], directory / "tcp.log") as app:
            app.wait_for_address(address)
            require_hello(address)


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_listener_on_descriptor_0(directory: Path, name: str):
    path = directory / f"{name}-0.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        app = subprocess.Popen([EXAMPLES / name], stdin=listener)
    require_hello(f"unix:{path}")
    app.terminate()
    assert app.wait(60) == 0
    assert path.exists(), "a socket that was handed over is not the program's to remove"


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_listener_of_systemd(directory: Path, name: str):
    """LISTEN_FDS announces descriptor 3, LISTEN_PID for whom."""
    path = directory / f"{name}-3.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        script = f'exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "{EXAMPLES / name}"'
        app = subprocess.Popen(["bash", "-c", script], stdin=listener)
    require_hello(f"unix:{path}")
    app.terminate()
    assert app.wait(60) == 0


def test_graceful_stop_finishes_the_request(directory: Path):
    """SIGTERM while an upload runs: it is answered whole, then the program ends."""
    address = f"unix:{directory}/graceful.sock"
    with Process([EXAMPLES / "echo", address, "2"], directory / "graceful.log") as app:
        app.wait_for_address(address)
        with Client(address) as client:
            client.send(head(1, post_params(20)), stream(STDIN, 1, b"0123456789", end=False))
            with Client(address) as other:
                assert other.ask(get_params()).status == 200
            os.kill(app.pid, signal.SIGTERM)
            client.send(stream(STDIN, 1, b"0123456789"))
            assert client.responses([1])[1].body == b"0123456789" * 2
        assert app.wait() == 0
