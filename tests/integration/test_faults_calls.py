# SPDX-License-Identifier: MIT
"""System calls that fail or are interrupted, by strace's fault injection."""

import os
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params, post_params
from support.paths import tool
from support.probe import probe_command
from support.process import Process

# What strace makes of calls, and why the bytes are the same all the same.
INJECTED = {
    "recvfrom:error=EINTR:when=1+3": "every third is interrupted",
    "sendmsg:error=EINTR:when=1+3": "every third is interrupted",
    "epoll_wait:error=EINTR:when=1+2": "every second wait is interrupted",
    "accept4:error=EINTR:when=1+2": "every second is interrupted",
    "accept4:error=ECONNABORTED:when=1+2": "a client gave up while it waited",
    "accept4:error=EMFILE:when=2+4": "descriptors are lacking at times",
    "accept4:error=ENFILE:when=2+4": "the system lacks files at times",
}


@pytest.mark.parametrize("fault", INJECTED)
def test_faulty_calls_change_no_byte(directory: Path, fault: str):
    address = f"unix:{directory}/calls-{list(INJECTED).index(fault)}.sock"
    traced = [tool("strace"), "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={fault}"]
    command = [*traced, *probe_command("c", address, 1, "poll=0")]
    with Process(command, directory / "calls.log") as app:
        app.wait_for_address(address)
        for turn in range(10):
            body = os.urandom(1 + turn * 40_000)
            with Client(address) as client:
                assert client.ask(post_params(len(body)), body).body == body
                answer = client.ask(get_params(query=f"turn-{turn}"), request_id=2)
                assert answer.body == f"turn-{turn}\n".encode()
