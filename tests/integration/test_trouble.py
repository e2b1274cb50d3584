# SPDX-License-Identifier: MIT
"""What others do wrong is one line, which says who it was and what came, and one on the status
page, in each language alike."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fcgi_client import (
    PARAMS,
    STDIN,
    Client,
    begin,
    connect,
    get_params,
    head,
    pairs,
    post_params,
    record,
    request,
    wait_until,
)
from support.probe import probe_command
from support.process import Process

HALF_PARAMS = begin(1) + record(PARAMS, 1, pairs({"REQUEST_METHOD": "GET"}))
HALF_BODY = head(1, post_params(100)) + record(STDIN, 1, b"half")
BIG = request(1, get_params("/big", "20000000"))
SHORT = {"FASTCGI_HEADER_TIMEOUT": "0.3s", "FASTCGI_IO_TIMEOUT": "0.3s", "PROBE_COLLECT": "1"}


def say(data: bytes) -> Callable[[socket.socket], None]:
    return lambda peer: peer.sendall(data)


def say_and_reset(data: bytes) -> Callable[[socket.socket], None]:
    """What was sent and is not read makes a close a reset."""

    def do(peer: socket.socket) -> None:
        peer.sendall(data)
        peer.recv(1)
        peer.close()

    return do


# What a peer does, the variables of the server, its line with the peer's name, and its counter.
KINDS = {
    "http": (
        say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        {},
        "closed the connection of {peer}, from which came an HTTP request; in nginx use "
        "fastcgi_pass, not proxy_pass",
        "protocol_errors",
    ),
    "tls": (
        say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        {},
        "closed the connection of {peer}, from which came TLS; FastCGI is spoken without it",
        "protocol_errors",
    ),
    "header": (
        say(HALF_PARAMS),
        SHORT,
        "a request's parameters stopped coming from {peer}: closed",
        "timeouts_header",
    ),
    "body": (
        say(HALF_BODY),
        SHORT,
        "a request body stopped coming from {peer}: answered 408",
        "timeouts_body",
    ),
    "output": (
        say(request(1, get_params("/big", "350000"))),  # The handler need not wait.
        SHORT,
        "{peer} took no more of an answer: closed",
        "timeouts_output",
    ),
    "reset": (
        say_and_reset(BIG),
        {},
        "{peer} reset its connection while requests were open",
        "resets",
    ),
}


def counted(asking: Client) -> dict[str, int]:
    return json.loads(asking.request(uri="/status?json").body)["fastcgi"]["total"]


@pytest.mark.parametrize("kind", KINDS)
def test_one_line_and_one_count(language: str, kind: str, directory: Path):
    act, variables, line, counter = KINDS[kind]
    line = line.format(peer=f"process {os.getpid()} of user {os.geteuid()}")
    address = f"unix:{directory}/{language}-{kind}.sock"
    env = {"FASTCGI_STATUS_PATH": "/status", "PROBE_TELLS": "1", **variables}
    log = directory / f"{language}-{kind}.log"
    with Process(probe_command(language, address, 2), log, env=env) as app:
        app.wait_for_address(address)
        with Client(address) as asking, connect(address) as peer:
            before = counted(asking)
            act(peer)
            wait_until(lambda: counted(asking)[counter] == before[counter] + 1, what=counter)
            wait_until(lambda: line in app.output(), what=line)
            after = counted(asking)
            others = [name for _, _, _, name in KINDS.values() if name != counter]
            assert [after[name] - before[name] for name in others] == [0] * len(others)
        assert app.output().count(line) == 1
        assert "raceback" not in app.output()
