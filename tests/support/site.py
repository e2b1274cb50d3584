# SPDX-License-Identifier: MIT
"""An application behind nginx, and how a browser sees it."""

import http.client
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.nginx import Nginx
from support.process import Process

ATTEMPT_SECONDS = 60


@dataclass
class Answer:
    """One whole HTTP response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass
class Site:
    """nginx with the application behind it."""

    app: Process
    nginx: Nginx
    address: str  # Where the application listens.

    def connect(self, timeout: float = ATTEMPT_SECONDS) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.nginx.port, timeout=timeout)

    def request(
        self, path: str, method: str = "GET", body=None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own."""
        connection = self.connect()
        try:
            return exchange(connection, path, method, body, headers)
        finally:
            connection.close()


def exchange(connection, path, method="GET", body=None, headers=None) -> Answer:
    """One request on an open connection."""
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


@contextmanager
def serve_behind_nginx(
    directory: Path, command: list, address: str, cwd: Path | None = None, env=None
):
    """Start the application and nginx; stop both at the end."""
    with Process(command, directory / "app.log", cwd=cwd, env=env) as app:
        app.wait_for_address(address)
        with Nginx(directory, address) as nginx:
            yield Site(app, nginx, address)
