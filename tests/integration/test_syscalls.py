# SPDX-License-Identifier: MIT
"""How many system calls the C hello makes for a request."""

import os
import re
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from support.fcgi_client import Client, get_params, request, wait_until
from support.paths import EXAMPLES, tool
from support.process import Process

REQUESTS = 200
# Calls that belong to no request: attaching, accepting, registering, the end, and a
# wait more where the machine is slow. One more call for each request is three times that.
SLACK = REQUESTS // 3
# More calls for a request that came after its connection: look, watch, wait, wait for
# the peer's end, watch no more.
LATE = 5


def trace(directory: Path, name: str, work: Callable[[str], None]) -> tuple[Counter, int]:
    """The calls that hello makes during work(address), and how many found nothing to read.
    A wait that ends because time has passed is the clock's: a slow run has more, and
    of the looks of the spare thread, so only the threads that send are counted."""
    address = f"unix:{directory}/{name}.sock"
    calls = directory / f"{name}.strace"
    with Process([EXAMPLES / "hello", address], directory / f"{name}.log") as hello:
        hello.wait_for_address(address)
        work(address)  # What is done once is done before counting.
        command = [tool("strace"), "-f", "-o", calls, "-p", hello.pid]
        with Process(command, directory / f"{name}-strace.log") as strace:
            wait_until(
                lambda: "attached" in strace.output() or not strace.running(),
                10,
                "strace attaching",
            )
            assert strace.running(), strace.output()
            work(address)
    lines = calls.read_text().splitlines(keepends=True)
    serving = {line.split()[0] for line in lines if re.search(r" send(to|msg)\(", line)}
    text = "".join(line for line in lines if line.split()[0] in serving)
    counted = Counter(re.findall(r"^\d+ +(\w+)\(", text, re.M))
    counted["epoll_wait"] -= len(re.findall(r"epoll_wait.*\) += 0$", text, re.M))
    return counted, len(re.findall(r"recv\w*\(.* EAGAIN", text))


def test_new_connections(directory: Path):
    """Wait, accept, receive, send, shut; and a little later see the peer's end,
    close. A client that still sends when its answer comes (it ends STDIN twice,
    say) would lose it without the two: nothing in what has come tells that more
    will. Neither watching the connection nor a wait of its own is needed."""
    data = request(1, get_params(), keep=False)

    def work(address: str) -> None:
        for _ in range(REQUESTS):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(address.removeprefix("unix:"))
                client.sendall(data)
                answer = b"".join(iter(lambda: client.recv(4096), b""))
                assert b"\r\n\r\nHello\n" in answer

    calls, late = trace(directory, "new", work)
    assert REQUESTS <= calls["accept4"] <= REQUESTS + SLACK, calls
    # On a busy machine the server may always be faster than its client.
    assert late <= REQUESTS / 2 or os.getloadavg()[0] > os.cpu_count(), calls
    del calls["poll"]  # Whether clients have left is asked when the machine is slow.
    del calls["futex"]  # The spare thread held a lock just then.
    assert calls.total() <= 7 * REQUESTS + LATE * late + SLACK, calls


def test_kept_connection(directory: Path):
    """Wait, receive, send."""

    def work(address: str) -> None:
        with Client(address) as client:
            for _ in range(REQUESTS):
                assert client.ask(get_params()).body == b"Hello\n"

    calls, _ = trace(directory, "kept", work)
    assert calls["sendmsg"] + calls["writev"] + calls["write"] + calls["sendto"] >= REQUESTS, calls
    del calls["futex"]
    assert calls.total() <= 3 * REQUESTS + SLACK, calls
