# SPDX-License-Identifier: MIT
"""Clients that leave while every thread is inside a handler: nobody works for them,
and the next one is answered as soon as a handler is free."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, connect, get_params, request, wait_until
from support.nginx import reserve_port
from support.probe import probe_command
from support.process import Process

CLIENTS = 200


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


def ask_gate(query: str, keep: bool = True, count: int = 1) -> bytes:
    """Whole requests 1 to `count` of one connection."""
    return b"".join(request(i + 1, get_params("/gate", query), b"", keep) for i in range(count))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 3], ids=["closing", "kept", "multiplexed"])
def test_200_clients(language: str, address: str, threads: int, count: int, directory: Path):
    if language.startswith("swig_") and threads > 1:
        pytest.skip("these programs have one thread")
    gate, log = directory / "gate", directory / "gone.log"
    gate.unlink(missing_ok=True)
    command = probe_command(language, address, threads)
    with Process(command, log, env={"GATE": str(gate)}) as app:
        app.wait_for_address(address)
        busy = [Client(address) for _ in range(threads)]
        for client in busy:
            client.send_request(params=get_params("/gate", "busy"))
        wait_until(
            lambda: app.output().count("probe: busy began\n") == threads, what="busy handlers"
        )
        gone = [connect(address) for _ in range(CLIENTS)]
        for peer in gone:
            peer.sendall(ask_gate("gone", count > 0, count or 1))
        for peer in gone:
            leave(peer)
        with Client(address) as last:
            last.send_request(params=get_params("/gate", "last"))
            gate.touch()
            answer = last.collect()
            assert (answer.status, answer.body) == (200, b"last\n")
        for client in busy:
            assert client.collect().body == b"busy\n"
            client.close()
        with Client(address) as other:
            assert other.request(params=get_params("/gate", "other")).body == b"other\n"
        assert "probe: gone began\n" not in app.output()
        assert app.output().count(" began\n") == threads + 2
        assert app.running()


@pytest.mark.parametrize("how", ["half-closed", "aborted"])
def test_who_still_reads(language: str, address: str, how: str, directory: Path):
    """A bare end of what is sent, or an ABORT_REQUEST, still wants the answer."""
    gate, log = directory / "gate", directory / "reads.log"
    gate.unlink(missing_ok=True)
    with Process(probe_command(language, address), log, env={"GATE": str(gate)}) as app:
        app.wait_for_address(address)
        with Client(address) as busy, Client(address) as reads:
            busy.send_request(params=get_params("/gate", "busy"))
            wait_until(lambda: "probe: busy began\n" in app.output(), what="a busy handler")
            reads.send_request(params=get_params("/gate", "reads"))
            if how == "aborted":
                reads.abort()
            else:
                reads.socket.shutdown(socket.SHUT_WR)
            gate.touch()
            assert reads.collect().body == b"reads\n"
            assert busy.collect().body == b"busy\n"
