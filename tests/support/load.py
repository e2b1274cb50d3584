# SPDX-License-Identifier: MIT
"""Load on a web server, every answer checked; load.c does it."""

import json
import subprocess
from dataclasses import dataclass

from support.paths import BUILD


@dataclass
class Result:
    """What the clients saw."""

    get: int  # Right answers.
    post: int
    failed_get: int  # Everything else.
    failed_post: int
    silence_ms: int  # Longest time without a right answer.
    slowest_ms: int  # Longest time for one.
    first_failure: str
    silences_ms: list[int]  # Of each client, the longest time without a right answer.

    @property
    def requests(self) -> int:
        return self.get + self.post + self.failed

    @property
    def failed(self) -> int:
        return self.failed_get + self.failed_post


class Load:
    """Clients of an echo application that ask until `finish`."""

    def __init__(self, port: int, get: str, post: str, clients: int = 16):
        command = [str(BUILD / "tests" / "integration" / "load"), str(port), str(clients)]
        self._child = subprocess.Popen(
            [*command, get, post], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def right(self) -> list[int]:
        """Right answers of each client so far."""
        self._child.stdin.write(b"\n")
        self._child.stdin.flush()
        return json.loads(self._child.stdout.readline())

    def finish(self) -> Result:
        """Let the open requests end."""
        output, _ = self._child.communicate(timeout=60)
        return Result(**json.loads(output))

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.poll() is None:
            self._child.kill()
            self._child.communicate()
