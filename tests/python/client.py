# SPDX-License-Identifier: MIT
"""A small blocking FastCGI client, the web server's side of the protocol.

    with Client("unix:x.sock") as client:
        answer = client.request("POST", "/form", body=b"a=1")
        assert answer.status == 200

One Client is one connection. ``begin``, ``params``, ``stdin`` and ``abort``
write single records, so that a test decides what is sent when; ``collect``
reads until a request has ended, whatever else comes between.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA = range(1, 9)
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = range(9, 12)
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
KEEP = 1
MOST = 65535


def record(kind: int, request_id: int, content: bytes = b"", padding: int = 0) -> bytes:
    """One record, with `padding` bytes of padding."""
    header = struct.pack("!BBHHBx", 1, kind, request_id, len(content), padding)
    return header + content + bytes(padding)


def stream(kind: int, request_id: int, data: bytes) -> bytes:
    """`data` in as many records as it takes; nothing for no data."""
    parts = (data[at : at + MOST] for at in range(0, len(data), MOST))
    return b"".join(record(kind, request_id, part) for part in parts)


def encode_pairs(pairs: Iterable[tuple[str | bytes, str | bytes]]) -> bytes:
    """Name-value pairs; str is Latin-1."""
    out = bytearray()
    for pair in pairs:
        texts = [t.encode("latin-1") if isinstance(t, str) else t for t in pair]
        for text in texts:
            length = len(text)
            out += bytes([length]) if length < 128 else struct.pack("!I", length | 1 << 31)
        for text in texts:
            out += text
    return bytes(out)


def decode_pairs(data: bytes) -> dict[str, str]:
    """The inverse of encode_pairs."""
    pairs, at = {}, 0
    while at < len(data):
        lengths = []
        for _ in range(2):
            length = data[at]
            at += 1
            if length > 127:
                length = struct.unpack("!I", data[at - 1 : at + 3])[0] & 0x7FFFFFFF
                at += 3
            lengths.append(length)
        name, value = data[at : at + lengths[0]], data[at + lengths[0] : at + sum(lengths)]
        at += sum(lengths)
        pairs[name.decode("latin-1")] = value.decode("latin-1")
    return pairs


def nginx_params(
    method: str = "GET", uri: str = "/", length: int | None = None, **extra: str
) -> dict[str, str]:
    """What nginx's stock fastcgi_params send for `uri`."""
    path, _, query = uri.partition("?")
    sent = {
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "" if length is None else str(length),
        "SCRIPT_NAME": _unquote(path),
        "REQUEST_URI": uri,
        "DOCUMENT_URI": _unquote(path),
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
    }
    sent.update(extra)
    return sent


def _unquote(path: str) -> str:
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("latin-1")


@dataclass
class Answer:
    """What came back for one request."""

    stderr: bytes = b""
    app_status: int | None = None
    protocol_status: int | None = None
    chunks: list[bytes] = field(default_factory=list)  # STDOUT, record by record.

    @property
    def stdout(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def ended(self) -> bool:
        """Whether END_REQUEST came; without it the connection was cut."""
        return self.protocol_status is not None

    @property
    def _head(self) -> list[tuple[str, str]]:
        head = self.stdout.partition(b"\r\n\r\n")[0].decode("latin-1")
        lines = (line.partition(":") for line in head.split("\r\n"))
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
    """One connection to a FastCGI application."""

    def __init__(self, address: str, timeout: float = 20.0) -> None:
        self.socket = connect(address, timeout)
        self.answers: dict[int, Answer] = {}
        self.management: list[tuple[int, bytes]] = []
        self.at_a_time = 0  # Bytes of one send; 0 sends all at once.

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are, in pieces when `at_a_time` says so."""
        step = self.at_a_time or len(data) or 1
        for at in range(0, len(data), step):
            self.socket.sendall(data[at : at + step])

    def begin(self, request_id: int = 1, keep: bool = True, role: int = RESPONDER) -> None:
        content = struct.pack("!HB5x", role, KEEP if keep else 0)
        self.answers[request_id] = Answer()
        self.send(record(BEGIN, request_id, content))

    def params(
        self,
        params: Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]],
        request_id: int = 1,
    ) -> None:
        """Send all parameters and the end of the stream."""
        pairs = params.items() if isinstance(params, Mapping) else params
        data = encode_pairs(pairs)
        self.send(stream(PARAMS, request_id, data) + record(PARAMS, request_id))

    def stdin(self, data: bytes, request_id: int = 1, end: bool = True) -> None:
        """Send body bytes, and with `end` the end of the stream."""
        self.send(stream(STDIN, request_id, data) + (record(STDIN, request_id) if end else b""))

    def abort(self, request_id: int = 1) -> None:
        self.send(record(ABORT, request_id))

    def send_request(
        self,
        method: str = "GET",
        uri: str = "/",
        body: bytes = b"",
        request_id: int = 1,
        keep: bool = True,
        params: Mapping[str, str] | None = None,
        **extra: str,
    ) -> None:
        """Send a whole request in one go; `params` replaces nginx's."""
        sent = params
        if sent is None:
            length = len(body) if body or method in ("POST", "PUT") else None
            sent = nginx_params(method, uri, length, **extra)
        self.answers[request_id] = Answer()
        self.send(
            record(BEGIN, request_id, struct.pack("!HB5x", RESPONDER, KEEP if keep else 0))
            + stream(PARAMS, request_id, encode_pairs(sent.items()))
            + record(PARAMS, request_id)
            + stream(STDIN, request_id, body)
            + record(STDIN, request_id)
        )

    def request(self, method: str = "GET", uri: str = "/", **options: object) -> Answer:
        """send_request, then collect."""
        request_id = options.get("request_id", 1)
        assert isinstance(request_id, int)
        self.send_request(method, uri, **options)  # type: ignore[arg-type]
        return self.collect(request_id)

    def read_record(self) -> tuple[int, int, bytes] | None:
        """(type, id, content), or None when the connection has ended."""
        header = self._read(8)
        if header is None:
            return None
        _, kind, request_id, length, padding = struct.unpack("!BBHHBx", header)
        content = self._read(length + padding)
        return None if content is None else (kind, request_id, content[:length])

    def _read(self, count: int) -> bytes | None:
        data = bytearray()
        while len(data) < count:
            try:
                part = self.socket.recv(count - len(data))
            except ConnectionResetError:
                return None
            if not part:
                return None
            data += part
        return bytes(data)

    def step(self) -> bool:
        """Take one record into the answer it belongs to; False at the end."""
        got = self.read_record()
        if got is None:
            return False
        kind, request_id, content = got
        if request_id == 0:
            self.management.append((kind, content))
            return True
        answer = self.answers[request_id]
        if kind == STDOUT:
            answer.chunks.append(content)
        elif kind == STDERR:
            answer.stderr += content
        elif kind == END:
            answer.app_status, answer.protocol_status = struct.unpack("!IB3x", content)
        return True

    def collect(self, request_id: int = 1) -> Answer:
        """Read until the request has ended or the connection is closed."""
        answer = self.answers[request_id]
        while not answer.ended and self.step():
            pass
        return answer


def connect(address: str, timeout: float = 20.0) -> socket.socket:
    """A connected socket for unix:PATH, unix:@NAME, HOST:PORT or [V6]:PORT."""
    if address.startswith("unix:"):
        path = address[5:]
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(timeout)
        made.connect("\0" + path[1:] if path.startswith("@") else path)
        return made
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout)


def wait_for_server(address: str, seconds: float = 20.0) -> None:
    """Wait until somebody accepts; a socket's file is there a little earlier."""
    until = time.monotonic() + seconds
    while True:
        try:
            connect(address).close()
            return
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > until:
                raise
        time.sleep(0.01)


def request(address: str, method: str = "GET", uri: str = "/", **options: object) -> Answer:
    """One request over a connection of its own."""
    with Client(address) as client:
        return client.request(method, uri, keep=False, **options)
