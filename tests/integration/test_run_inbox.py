# SPDX-License-Identifier: MIT
"""What others send to the socket of a supervisor that its workers report to."""

import fcntl
import socket
import struct
import subprocess
import sys
import termios
from pathlib import Path

from support.fcgi_client import Client, get_params, wait_until
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


MESSAGES = (b"READY=1", b"\xff\0\n" * 100, b"x" * 5000, b"FDSTORE=1\nSTOPPING=1", b"")


def unread(sender: socket.socket) -> int:
    """Bytes that the supervisor has not taken yet, and what the kernel adds to them."""
    return struct.unpack("i", fcntl.ioctl(sender, termios.TIOCOUTQ, bytes(4)))[0]


def test_descriptors_that_a_stranger_sends_along_are_not_kept(directory: Path):
    with Supervisor(directory, [EXAMPLES / "hello"], name="along") as supervisor:
        supervisor.ready()
        workers, files = supervisor.workers(), supervisor.descriptors()
        name = notify_socket(min(workers)).replace("@", "\0", 1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(name)
            for number in range(200):
                message = MESSAGES[number % len(MESSAGES)]
                socket.send_fds(sender, [message], [0, 1, sender.fileno()])
            wait_until(lambda: unread(sender) == 0, 60, "the supervisor to take them")
        assert supervisor.descriptors() == files
        with Client(supervisor.address) as client:
            assert client.ask(get_params()).body == b"Hello\n"
        assert supervisor.workers() == workers
        supervisor.reload(seconds=60)
        supervisor.wait_for_workers(lambda now: len(now) == 2 and not now & workers, seconds=60)
        wait_until(lambda: supervisor.descriptors() == files, 60, "those of the old workers to go")
        assert supervisor.stop(60) == 0


# It sends the others, and ends, once it has taken the file away.
SENDER = """
import os, socket, sys, time
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sender.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
sender.send(b"READY=1")
while True:
    try:
        os.unlink(sys.argv[1])
        break
    except FileNotFoundError:
        time.sleep(0.02)
for number in range(200):
    message = (b"WATCHDOG=1", b"\\xff\\0", b"READY=1", b"x" * 5000)[number % 4]
    socket.send_fds(sender, [message], [0, 1, sender.fileno()])
socket.send_fds(sender, [b"STOPPING=1"], [0, 1])
"""


def test_descriptors_that_a_worker_sends_along_are_not_kept(directory: Path):
    """What it says counts all the same."""
    gate = directory / "gate"
    command = [sys.executable, "-c", SENDER, gate]
    options = ["--ready-after", "never", "--start-timeout", "60"]
    with Supervisor(directory, command, *options, name="own", workers=1) as supervisor:
        supervisor.ready()
        (worker,) = supervisor.workers()
        files = supervisor.descriptors()
        gate.touch()
        supervisor.wait_for_line(f"worker {worker} stops by itself", seconds=60)
        supervisor.wait_for_workers(lambda now: len(now) == 1 and worker not in now, seconds=60)
        supervisor.wait_for_line("is ready after", 2, seconds=60)
        wait_until(lambda: supervisor.descriptors() == files, 60, "as many files as before")
