# SPDX-License-Identifier: MIT
"""Clients that leave while every thread is inside a handler: nobody works for them,
and the next one is answered as soon as a handler is free."""

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, connect, get_params, request, wait_until
from support.nginx import reserve_port
from support.probe import probe_command
from support.process import Process

THREADS, CLIENTS = 2, 200


@pytest.fixture(params=["unix", "tcp"])
def address(request: pytest.FixtureRequest, directory: Path) -> Iterator[str]:
    if request.param == "unix":
        yield f"unix:{directory}/{len(list(directory.iterdir()))}.sock"
        return
    reserved = reserve_port()
    port = reserved.getsockname()[1]
    yield f"127.0.0.1:{port}"
    reserved.close()


def leave(peer: socket.socket) -> None:
    """With a reset over TCP; a closed unix socket is one that has hung up."""
    if peer.family != socket.AF_UNIX:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "closing"])
def test_200_clients(language: str, address: str, keep: bool, directory: Path):
    gate, log = directory / "gate", directory / "gone.log"
    gate.unlink(missing_ok=True)
    command = probe_command(language, address, THREADS)
    with Process(command, log, env={"GATE": str(gate)}) as app:
        app.wait_for_address(address)
        busy = [Client(address) for _ in range(THREADS)]
        for client in busy:
            client.send_request(params=get_params("/gate", "busy"))
        started = "probe: {} began\n".format
        wait_until(lambda: app.output().count(started("busy")) == THREADS, what="busy handlers")
        gone = [connect(address) for _ in range(CLIENTS)]
        for peer in gone:
            peer.sendall(request(1, get_params("/gate", "gone"), b"", keep))
        for peer in gone:
            leave(peer)
        with Client(address) as last:
            last.send_request(params=get_params("/gate", "last"))
            gate.touch()
            answer = last.collect()
            assert (answer.status, answer.body) == (200, b"last\n")
            assert started("gone") not in app.output()
        for client in busy:
            assert client.collect().body == b"busy\n"
            client.close()
        with Client(address) as other:
            assert other.ask(get_params("/gate", "other")).body == b"other\n"
        assert app.output().count(" began\n") == THREADS + 2
        assert os.path.exists(f"/proc/{app.pid}"), "it lives"
