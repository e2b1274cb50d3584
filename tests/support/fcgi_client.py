# SPDX-License-Identifier: MIT
"""A small FastCGI web server's side over blocking sockets.

It builds and reads records with nothing of the library, so that the two can
disagree.

    with Client("unix:x.sock") as client:
        assert client.request("POST", "/form", body=b"a=1").status == 200

One Client is one connection. ``begin``, ``params``, ``stdin`` and ``abort``
write single records, so that a test decides what is sent when; ``collect``
reads until a request has ended, whatever else comes between.
"""

import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR, DATA = range(1, 9)
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
HEADER = struct.Struct("!BBHHBx")
MOST_CONTENT = 65535

Text = str | bytes


def record(kind: int, request_id: int, content: bytes = b"", padding: int = 0) -> bytes:
    return HEADER.pack(1, kind, request_id, len(content), padding) + content + bytes(padding)


def _length(value: int) -> bytes:
    return bytes([value]) if value < 128 else struct.pack("!I", value | 0x80000000)


def _bytes(text: Text) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


def pairs(params: Mapping[str, Text] | Iterable[tuple[Text, Text]]) -> bytes:
    """Name-value pairs; str is Latin-1."""
    items = params.items() if isinstance(params, Mapping) else params
    encoded = ((_bytes(name), _bytes(value)) for name, value in items)
    return b"".join(_length(len(n)) + _length(len(v)) + n + v for n, v in encoded)


def stream(kind: int, request_id: int, content: bytes, end: bool = True) -> bytes:
    """The records of a stream, with the empty one that ends it."""
    parts = [
        record(kind, request_id, content[i : i + MOST_CONTENT])
        for i in range(0, len(content), MOST_CONTENT)
    ]
    return b"".join(parts) + (record(kind, request_id) if end else b"")


def begin(request_id: int, keep: bool = True, role: int = RESPONDER) -> bytes:
    return record(BEGIN_REQUEST, request_id, struct.pack("!HB5x", role, int(keep)))


def head(
    request_id: int, params: Mapping[str, Text], keep: bool = True, role: int = RESPONDER
) -> bytes:
    """BEGIN_REQUEST and all of PARAMS."""
    return begin(request_id, keep, role) + stream(PARAMS, request_id, pairs(params))


def request(
    request_id: int, params: Mapping[str, Text], body: bytes = b"", keep: bool = True
) -> bytes:
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


def nginx_params(
    method: str = "GET", uri: str = "/", length: int | None = None, **extra: str
) -> dict[str, str]:
    """What nginx's stock fastcgi_params send for `uri`."""
    path, _, query = uri.partition("?")
    decoded = unquote_to_bytes(path).decode("latin-1")
    return {
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "" if length is None else str(length),
        "SCRIPT_NAME": decoded,
        "REQUEST_URI": uri,
        "DOCUMENT_URI": decoded,
        "DOCUMENT_ROOT": "/usr/share/nginx/html",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": "http",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "nginx/1.22.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "SERVER_ADDR": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_NAME": "localhost",
        "REDIRECT_STATUS": "200",
        "HTTP_HOST": "localhost",
        "HTTP_USER_AGENT": "test",
        **extra,
    }


@dataclass
class Response:
    """What came back for one request."""

    chunks: list[bytes] = field(default_factory=list)  # STDOUT, record by record.
    stderr: bytes = b""
    app_status: int | None = None
    protocol_status: int | None = None

    @property
    def stdout(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def ended(self) -> bool:
        """Whether END_REQUEST came; without it the connection was cut."""
        return self.protocol_status is not None

    @property
    def _head(self) -> list[tuple[str, str]]:
        text = self.stdout.partition(b"\r\n\r\n")[0].decode("latin-1")
        lines = (line.partition(":") for line in text.split("\r\n"))
        return [(name.strip().lower(), value.strip()) for name, _, value in lines]

    @property
    def headers(self) -> dict[str, str]:
        """Headers by lower-case name, Status among them; the last one wins."""
        return dict(self._head)

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self._head if key == name.lower()]

    @property
    def status(self) -> int:
        """The HTTP status; CGI takes 200 when none is named."""
        return int(self.headers.get("status", "200").split()[0])

    @property
    def body(self) -> bytes:
        return self.stdout.partition(b"\r\n\r\n")[2]


class Client:
    """One connection to an application. Use it as a context manager."""

    def __init__(self, address: str, timeout: float = 30):
        self.socket = connect(address, timeout)
        self._input = self.socket.makefile("rb", buffering=1 << 18)
        self.answers: dict[int, Response] = {}
        self.management: list[tuple[int, bytes]] = []
        self.at_a_time = 0  # Bytes of one send; 0 sends all at once.

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._input.close()
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Send bytes as they are, in pieces when `at_a_time` says so."""
        data = b"".join(parts)
        step = self.at_a_time or len(data) or 1
        for at in range(0, len(data), step):
            self.socket.sendall(data[at : at + step])

    def begin(self, request_id: int = 1, keep: bool = True, role: int = RESPONDER) -> None:
        self.answers[request_id] = Response()
        self.send(begin(request_id, keep, role))

    def params(
        self, params: Mapping[str, Text] | Iterable[tuple[Text, Text]], request_id: int = 1
    ) -> None:
        """Send all parameters and the end of the stream."""
        self.send(stream(PARAMS, request_id, pairs(params)))

    def stdin(self, data: bytes, request_id: int = 1, end: bool = True) -> None:
        """Send body bytes, and with `end` the end of the stream."""
        self.send(stream(STDIN, request_id, data, end))

    def abort(self, request_id: int = 1) -> None:
        self.send(record(ABORT_REQUEST, request_id))

    def send_request(
        self,
        method: str = "GET",
        uri: str = "/",
        body: bytes = b"",
        request_id: int = 1,
        keep: bool = True,
        params: Mapping[str, Text] | None = None,
        **extra: str,
    ) -> None:
        """Send a whole request in one go; `params` replaces nginx's."""
        length = len(body) if body or method in ("POST", "PUT") else None
        sent = nginx_params(method, uri, length, **extra) if params is None else params
        self.answers[request_id] = Response()
        self.send(request(request_id, sent, body, keep))

    def request(
        self, method: str = "GET", uri: str = "/", request_id: int = 1, **options
    ) -> Response:
        """send_request, then collect."""
        self.send_request(method, uri, request_id=request_id, **options)
        return self.collect(request_id)

    def records(self) -> Iterator[tuple[int, int, bytes]]:
        """Each record as (type, id, content) until the peer closes."""
        while True:
            try:
                header = self._input.read(HEADER.size)
                if len(header) < HEADER.size:
                    return
                _, kind, request_id, length, padding = HEADER.unpack(header)
                content = self._input.read(length + padding)
            except ConnectionResetError:
                return
            if len(content) < length + padding:
                return
            yield kind, request_id, content[:length]

    def step(self) -> bool:
        """Take one record into the answer it belongs to; False at the end."""
        for kind, request_id, content in self.records():
            if request_id == 0:
                self.management.append((kind, content))
                return True
            answer = self.answers[request_id]
            if kind == STDOUT:
                answer.chunks.append(content)
            elif kind == STDERR:
                answer.stderr += content
            elif kind == END_REQUEST:
                answer.app_status, answer.protocol_status = struct.unpack("!IB3x", content)
            return True
        return False

    def collect(self, request_id: int = 1) -> Response:
        """Read until the request has ended or the connection is closed."""
        answer = self.answers[request_id]
        while not answer.ended and self.step():
            pass
        return answer

    def responses(self, ids: Iterable[int]) -> dict[int, Response]:
        """Read until every request named has ended."""
        found = {request_id: Response() for request_id in ids}
        self.answers.update(found)
        for answer in found.values():
            while not answer.ended and self.step():
                pass
        open_ids = sorted(i for i, answer in found.items() if not answer.ended)
        if open_ids:
            raise ConnectionError(
                f"the application closed the connection before it ended requests {open_ids}"
            )
        return found

    def ask(
        self, params: Mapping[str, Text], body: bytes = b"", keep: bool = True, request_id: int = 1
    ) -> Response:
        """One request and its response."""
        self.send(request(request_id, params, body, keep))
        return self.responses([request_id])[request_id]


def connect(address: str, timeout: float = 30) -> socket.socket:
    """A connected socket for unix:PATH, unix:@NAME, HOST:PORT or [V6]:PORT."""
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        connection.connect("\0" + path[1:] if path.startswith("@") else path)
        return connection
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout)


def fetch(address: str, method: str = "GET", uri: str = "/", **options) -> Response:
    """One request, as nginx sends it, over a connection of its own."""
    with Client(address) as client:
        return client.request(method, uri, keep=False, **options)


PATIENCE = 60.0  # Seconds at least for what is to come: a machine may be busy.


def patient(seconds: float) -> float:
    """The limit of a wait that a quiet machine ends long before."""
    return max(seconds, PATIENCE)


def wait_until(condition, seconds: float = PATIENCE, what: str = "it") -> None:
    """Poll until condition() is true, for PATIENCE at least."""
    seconds = patient(seconds)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)


def wait_for_server(address: str, seconds: float = 20) -> None:
    """Wait until somebody accepts; a socket's file is there a little earlier."""

    def accepts() -> bool:
        try:
            connect(address).close()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    wait_until(accepts, seconds, f"listening at {address}")
