# SPDX-License-Identifier: MIT
"""A small FastCGI web server's side over blocking sockets.

It builds and reads records with nothing of the library, so that the two can
disagree.
"""

import socket
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR, DATA = range(1, 9)
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
HEADER = struct.Struct("!BBHHBx")
MOST_CONTENT = 65535


def record(kind: int, request_id: int, content: bytes = b"", padding: int = 0) -> bytes:
    return HEADER.pack(1, kind, request_id, len(content), padding) + content + bytes(padding)


def _length(value: int) -> bytes:
    return bytes([value]) if value < 128 else struct.pack("!I", value | 0x80000000)


def pairs(params: dict[str, str]) -> bytes:
    encoded = ((name.encode(), value.encode()) for name, value in params.items())
    return b"".join(_length(len(n)) + _length(len(v)) + n + v for n, v in encoded)


def stream(kind: int, request_id: int, content: bytes, end: bool = True) -> bytes:
    """The records of a stream, with the empty one that ends it."""
    parts = [
        record(kind, request_id, content[i : i + MOST_CONTENT])
        for i in range(0, len(content), MOST_CONTENT)
    ]
    return b"".join(parts) + (record(kind, request_id) if end else b"")


def head(
    request_id: int, params: dict[str, str], keep: bool = True, role: int = RESPONDER
) -> bytes:
    """BEGIN_REQUEST and all of PARAMS."""
    begin = record(BEGIN_REQUEST, request_id, struct.pack("!HB5x", role, int(keep)))
    return begin + stream(PARAMS, request_id, pairs(params))


def request(request_id: int, params: dict[str, str], body: bytes = b"", keep: bool = True) -> bytes:
    """A whole request."""
    return head(request_id, params, keep) + stream(STDIN, request_id, body)


def get_params(path: str = "/", query: str = "", **more: str) -> dict[str, str]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        **more,
    }


def post_params(
    length: int, path: str = "/", content_type: str = "application/octet-stream"
) -> dict[str, str]:
    return get_params(
        path, REQUEST_METHOD="POST", CONTENT_LENGTH=str(length), CONTENT_TYPE=content_type
    )


@dataclass
class Response:
    """What came back for one request."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    app_status: int | None = None
    protocol_status: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case."""
        head_text = bytes(self.stdout).split(b"\r\n\r\n", 1)[0].decode("latin-1")
        lines = (line.partition(":") for line in head_text.split("\r\n"))
        return {name.lower(): value.strip() for name, _, value in lines}

    @property
    def status(self) -> int:
        return int(self.headers.get("status", "200").split()[0])

    @property
    def body(self) -> bytes:
        return bytes(self.stdout).split(b"\r\n\r\n", 1)[1]


class Client:
    """One connection to an application. Use it as a context manager."""

    def __init__(self, address: str, timeout: float = 30):
        self.socket = connect(address, timeout)
        self._input = self.socket.makefile("rb", buffering=1 << 18)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._input.close()
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def records(self) -> Iterator[tuple[int, int, bytes]]:
        """Each record as (type, id, content) until the peer closes."""
        while len(header := self._input.read(HEADER.size)) == HEADER.size:
            _, kind, request_id, length, padding = HEADER.unpack(header)
            content = self._input.read(length)
            self._input.read(padding)
            yield kind, request_id, content

    def responses(self, ids: Iterable[int]) -> dict[int, Response]:
        """Read until every request named has ended."""
        open_ids = set(ids)
        found = {request_id: Response() for request_id in open_ids}
        if not open_ids:
            return found
        for kind, request_id, content in self.records():
            response = found[request_id]
            if kind == STDOUT:
                response.stdout += content
            elif kind == STDERR:
                response.stderr += content
            elif kind == END_REQUEST:
                response.app_status, response.protocol_status = struct.unpack("!IB3x", content)
                open_ids.remove(request_id)
            if not open_ids:
                return found
        raise ConnectionError(
            f"the application closed the connection before it ended requests {sorted(open_ids)}"
        )

    def ask(
        self, params: dict[str, str], body: bytes = b"", keep: bool = True, request_id: int = 1
    ) -> Response:
        """One request and its response."""
        self.send(request(request_id, params, body, keep))
        return self.responses([request_id])[request_id]


def connect(address: str, timeout: float = 30) -> socket.socket:
    """Connect to unix:/path or host:port."""
    if address.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        connection.connect(address.removeprefix("unix:"))
        return connection
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout)


def wait_until(condition, seconds: float = 10, what: str = "it") -> None:
    """Poll until condition() is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)
