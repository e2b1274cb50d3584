# SPDX-License-Identifier: MIT
"""What others send to the socket of a supervisor that its workers report to."""

import socket
import subprocess
import sys
from pathlib import Path

from support.fcgi_client import Client, get_params
from support.paths import EXAMPLES
from support.supervisor import Supervisor


def notify_socket(worker: int) -> str:
    variables = Path(f"/proc/{worker}/environ").read_text().split("\0")
    (name,) = [v.partition("=")[2] for v in variables if v.startswith("NOTIFY_SOCKET=")]
    return name


def test_a_stranger_cannot_say_that_a_worker_is_ready(directory: Path):
    """Who sends is what the kernel says."""
    command = ["/bin/sleep", "50"]
    options = ["--ready-after", "never", "--start-timeout", "1"]
    with Supervisor(directory, command, *options, name="stranger", workers=1) as supervisor:
        supervisor.wait_for_line("worker .* starts")
        (pid,) = supervisor.workers()
        name = notify_socket(pid)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"READY=1", name.replace("@", "\0", 1))
        assert supervisor.wait(60) == 3


FLOOD = """
import socket, sys
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sender.connect(sys.argv[1].replace("@", "\\0", 1))
print(flush=True)
while True:
    for message in (b"READY=1", b"", b"x" * 5000, b"\\n" * 1000, b"STOPPING=1\\0"):
        sender.send(message)
"""


def test_a_flood_of_messages_holds_nothing_up(directory: Path):
    """Anybody can send; what workers say gets through, a reload and a stop end."""
    with Supervisor(directory, [EXAMPLES / "hello"], name="flood") as supervisor:
        supervisor.ready()
        command = [sys.executable, "-c", FLOOD, notify_socket(min(supervisor.workers()))]
        floods = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
        try:
            for flood in floods:
                assert flood.stdout.readline() == b"\n", "it has connected"
            for _ in range(3):
                before = supervisor.workers()
                supervisor.reload(seconds=60)
                supervisor.wait_for_workers(lambda now, old=before: not now & old, seconds=60)
                with Client(supervisor.address) as client:
                    assert client.ask(get_params()).body == b"Hello\n"
            assert all(flood.poll() is None for flood in floods), "they go on"
            assert supervisor.stop(60) == 0
        finally:
            for flood in floods:
                flood.kill()
                flood.wait()
