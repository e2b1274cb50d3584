# SPDX-License-Identifier: MIT
"""The command `fcgi`, and applications that say what a test wants."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.paths import BUILD


def fcgi(*words: object, input: bytes = b"") -> subprocess.CompletedProcess:
    command = [str(BUILD / "tools" / "fcgi"), *map(str, words)]
    return subprocess.run(command, input=input, capture_output=True, timeout=300)


@contextmanager
def scripted(directory: Path, answer: bytes | None) -> Iterator[str]:
    """An application that sends `answer` and closes; None never says anything."""
    path = directory / "scripted.sock"
    done = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                if answer is None:
                    done.wait(60)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"unix:{path}"
        finally:
            done.set()
            thread.join(60)
            path.unlink()
