# SPDX-License-Identifier: MIT
"""Test an application in process, over real records, without a web server.

from fastcgi.testing import Client

def test_hello():
    with Client(app) as client:
        response = client.get("/hello?name=x")
        assert (response.status, response.text) == (200, "Hello x\\n")

``Client.connect`` gives a connection of its own on which a test can also break
the rules: ``abort``, ``end_input`` and ``close`` when it likes, ``send`` with
any bytes, such as ``record`` and ``pair`` with wrong lengths.
``Client.every_split`` cuts a request in two at every byte.
"""

from __future__ import annotations

import array
import fcntl
import select
import shutil
import socket
import struct
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from ._core import Closed, ProtocolError, Timeout, __version__
from ._server import Interface, Server

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._types import Application

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR, DATA = range(1, 9)
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3

_HEADER = struct.Struct("!BBHHBx")
_MOST_CONTENT = 65535
_DEFAULTS = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "HTTP_HOST": "localhost",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "0",
    "REQUEST_SCHEME": "http",
    "SCRIPT_NAME": "",
    "SERVER_ADDR": "127.0.0.1",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": f"fastcgi.testing/{__version__}",
}

Text = str | bytes


def _bytes(text: Text) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


def _length(length: int) -> bytes:
    return bytes([length]) if length < 128 else struct.pack("!I", length | 0x80000000)


def record(
    kind: int,
    request_id: int,
    content: bytes = b"",
    padding: int = 0,
    *,
    length: int | None = None,
    version: int = 1,
) -> bytes:
    """One record as bytes; ``length`` is what its header claims in place of the
    content's.
    """
    claimed = len(content) if length is None else length
    header = _HEADER.pack(version, kind, request_id, claimed, padding)
    return header + content + bytes(padding)


def pair(
    name: Text, value: Text, *, name_length: int | None = None, value_length: int | None = None
) -> bytes:
    """One parameter as PARAMS carries it; the lengths replace the true ones."""
    texts = _bytes(name), _bytes(value)
    claimed = name_length, value_length
    lengths = [len(t) if c is None else c for t, c in zip(texts, claimed, strict=True)]
    return b"".join([*map(_length, lengths), *texts])


def pairs(params: Mapping[str, Text]) -> bytes:
    """Names and values as PARAMS carries them."""
    return b"".join(pair(name, value) for name, value in params.items())


def stream(kind: int, request_id: int, content: bytes, end: bool = True) -> bytes:
    """The records of a stream, with the empty one that ends it."""
    parts = [
        record(kind, request_id, content[at : at + _MOST_CONTENT])
        for at in range(0, len(content), _MOST_CONTENT)
    ]
    return b"".join(parts) + (record(kind, request_id) if end else b"")


def request_params(
    method: str, uri: str, headers: Mapping[str, str] | None = None, length: int | None = None
) -> dict[str, Text]:
    """The parameters a web server sends for a request."""
    path, _, query = uri.partition("?")
    params: dict[str, Text] = dict(_DEFAULTS)
    params["REQUEST_METHOD"] = method
    params["REQUEST_URI"] = uri
    params["PATH_INFO"] = unquote_to_bytes(path)
    params["QUERY_STRING"] = query
    if length is not None:
        params["CONTENT_LENGTH"] = str(length)
    for name, value in (headers or {}).items():
        upper = name.upper().replace("-", "_")
        own = upper in ("CONTENT_TYPE", "CONTENT_LENGTH")
        params[upper if own else f"HTTP_{upper}"] = value
    return params


def request_bytes(
    method: str,
    uri: str,
    *,
    body: Text = b"",
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Text] | None = None,
    role: int = RESPONDER,
    data: bytes | None = None,
    request_id: int = 1,
    keep: bool = False,
) -> bytes:
    """A whole request, to be sent, cut or spoiled; the arguments are those of
    ``Client.request``.
    """
    content = _bytes(body)
    length = len(content) if content or method in ("POST", "PUT", "PATCH") else None
    sent = {**request_params(method, uri, headers, length), **(params or {})}
    begin = record(BEGIN_REQUEST, request_id, struct.pack("!HB5x", role, keep))
    parts = [begin, stream(PARAMS, request_id, pairs(sent))]
    if role != AUTHORIZER:
        parts.append(stream(STDIN, request_id, content))
    if role == FILTER or data is not None:
        parts.append(stream(DATA, request_id, data or b""))
    return b"".join(parts)


@dataclass
class Response:
    """What an application answered to one request."""

    stdout: bytes = b""
    stderr: bytes = b""
    app_status: int = 0
    protocol_status: int = 0
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def _parse(self) -> Response:
        """Fill in status, headers and body from STDOUT (RFC 3875, 6)."""
        head, found, self.body = self.stdout.partition(b"\r\n\r\n")
        if not found:
            head, _, self.body = self.stdout.partition(b"\n\n")
        for line in head.decode("latin-1").splitlines():
            name, _, value = line.partition(":")
            self.headers.append((name, value.strip()))
        status = self.header("Status")
        redirects = status is None and self.header("Location") is not None
        self.status = 302 if redirects else int((status or "200").split()[0])
        return self

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()


class Connection:
    """One connection to an application, for single records and faults."""

    def __init__(self, path: str, timeout: float) -> None:
        self.timeout = timeout
        self._received = bytearray()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._socket.connect(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close at once, whatever is under way: a client that has left."""
        self._socket.close()

    def end_input(self) -> None:
        """Say that nothing more is sent; answers can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def _wait_until_read(self) -> None:
        """Wait until the application has taken what was sent, where the system
        tells; so that it comes in a read of its own.
        """
        end = time.monotonic() + self.timeout
        unread = array.array("i", [1])
        while time.monotonic() < end:
            try:
                fcntl.ioctl(self._socket, termios.TIOCOUTQ, unread)
            except OSError:
                return
            if unread[0] == 0:
                return
            time.sleep(0)
        raise Timeout("the application does not read")

    def send(self, data: bytes, piece: int | None = None) -> None:
        """Send bytes as they are, in pieces of ``piece`` bytes, each in a
        write of its own, which the application reads before the next. Answers
        are read meanwhile.
        """
        step = piece or max(len(data), 1)
        for at in range(0, len(data), step):
            if at:
                self._wait_until_read()
            self._send(memoryview(data)[at : at + step])

    def _send(self, data: memoryview) -> None:
        end = time.monotonic() + self.timeout
        while data:
            left = max(end - time.monotonic(), 0)
            readable, writable, _ = select.select([self._socket], [self._socket], [], left)
            if not readable and not writable:
                raise Timeout("the application does not read")
            if readable and not self._receive():
                return  # What it answered before it closed can still be read.
            if writable:
                try:
                    data = data[self._socket.send(data, socket.MSG_DONTWAIT) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    return

    def _receive(self) -> bool:
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError:
            raise Timeout("the application does not answer") from None
        except ConnectionResetError:
            data = b""
        self._received += data
        return bool(data)

    def begin(
        self,
        params: Mapping[str, Text],
        *,
        role: int = RESPONDER,
        request_id: int = 1,
        keep: bool = True,
    ) -> None:
        """Send BEGIN_REQUEST and all of PARAMS."""
        begin = record(BEGIN_REQUEST, request_id, struct.pack("!HB5x", role, keep))
        self.send(begin + stream(PARAMS, request_id, pairs(params)))

    def stdin(self, data: bytes, *, end: bool = True, request_id: int = 1) -> None:
        """Send bytes of the body, and its end."""
        self.send(stream(STDIN, request_id, data, end))

    def data(self, data: bytes, *, end: bool = True, request_id: int = 1) -> None:
        """Send bytes of a filter's DATA, and its end."""
        self.send(stream(DATA, request_id, data, end))

    def abort(self, request_id: int = 1) -> None:
        """Send ABORT_REQUEST."""
        self.send(record(ABORT_REQUEST, request_id))

    def _take(self, size: int) -> bytes:
        """The next bytes; fewer only at the connection's end."""
        while len(self._received) < size and self._receive():
            pass
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def records(self) -> Iterator[tuple[int, int, bytes]]:
        """Each record as type, request id and content, until the connection ends."""
        while header := self._take(_HEADER.size):
            if len(header) < _HEADER.size or header[0] != 1:
                raise ProtocolError("the application sent something that is no record")
            _, kind, request_id, length, padding = _HEADER.unpack(header)
            content = self._take(length + padding)
            if len(content) < length + padding:
                raise ProtocolError("the connection ended inside a record")
            yield kind, request_id, content[:length]

    def responses(self, *request_ids: int) -> dict[int, Response]:
        """Wait for the answers to these requests, which may come mixed."""
        found = {request_id: Response() for request_id in request_ids}
        streams: dict[tuple[int, int], bytearray] = {}
        waiting = set(request_ids)
        for kind, request_id, content in self.records() if waiting else ():
            if request_id not in waiting:
                raise ProtocolError(f"a record for request {request_id}, which is not open")
            if kind == END_REQUEST:
                if len(content) != 8:
                    raise ProtocolError("an END_REQUEST whose content is not 8 bytes")
                response = found[request_id]
                response.app_status, response.protocol_status = struct.unpack("!IB3x", content)
                waiting.discard(request_id)
            else:
                streams.setdefault((kind, request_id), bytearray()).extend(content)
            if not waiting:
                break
        if waiting:
            raise Closed(f"the application closed before it had answered request {min(waiting)}")
        for request_id, response in found.items():
            response.stdout = bytes(streams.get((STDOUT, request_id), b""))
            response.stderr = bytes(streams.get((STDERR, request_id), b""))
            response._parse()
        return found

    def response(self, request_id: int = 1) -> Response:
        """Wait for the answer to one request."""
        return self.responses(request_id)[request_id]


class Client:
    """An application served on threads of this process, and requests to it.

    Options are those of ``fastcgi.Server``, ``timeout`` is in seconds for
    anything that is waited for. Use it as a context manager.
    """

    def __init__(
        self,
        app: Application | None = None,
        *,
        interface: Interface = "auto",
        timeout: float = 10,
        **options: Any,
    ) -> None:
        self.timeout = timeout
        self._raised: BaseException | None = None
        self._directory = tempfile.mkdtemp(prefix="fastcgi-")
        self._path = f"{self._directory}/app.sock"
        try:
            self.server = Server(f"unix:{self._path}", **options)
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        self._thread = threading.Thread(
            target=self._serve, args=(app, interface), name="fastcgi.testing", daemon=True
        )
        self._thread.start()

    def _serve(self, app: Application | None, interface: Interface) -> None:
        try:
            self.server.serve(app, interface=interface)
        except BaseException as error:
            self._raised = error
            self.server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving. What ended the server before is raised here."""
        if self._thread.is_alive():
            self.server.stop()
            self._thread.join(self.timeout)
        if self._thread.is_alive():
            self.server.stop(graceful=False)
            self._thread.join(self.timeout)
        self.server.close()
        shutil.rmtree(self._directory, ignore_errors=True)
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised

    def connect(self) -> Connection:
        """A connection of its own."""
        return Connection(self._path, self.timeout)

    def request(
        self,
        method: str,
        uri: str,
        *,
        body: Text = b"",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Text] | None = None,
        role: int = RESPONDER,
        data: bytes | None = None,
        piece: int | None = None,
    ) -> Response:
        """Send one request and wait for its answer.

        ``uri`` is as the browser sends it, percent-encoded, with its query.
        ``params`` are added to the usual ones and replace them; ``data`` goes
        out on DATA, for a filter; ``piece`` cuts all of it into writes of so
        many bytes.
        """
        sent = request_bytes(
            method, uri, body=body, headers=headers, params=params, role=role, data=data
        )
        with self.connect() as connection:
            connection.send(sent, piece)
            return connection.response()

    def every_split(self, method: str, uri: str, **options: Any) -> Iterator[Response]:
        """The answers to the same request, cut in two after its first byte,
        its second, and so on, each on a connection of its own. The options are
        those of ``request_bytes``.
        """
        sent = request_bytes(method, uri, **options)
        for at in range(1, len(sent)):
            with self.connect() as connection:
                connection.send(sent[:at])
                connection._wait_until_read()
                connection.send(sent[at:])
                yield connection.response()

    def get(self, uri: str, **options: Any) -> Response:
        """GET; the options are those of ``request``."""
        return self.request("GET", uri, **options)

    def head(self, uri: str, **options: Any) -> Response:
        """HEAD; the options are those of ``request``."""
        return self.request("HEAD", uri, **options)

    def post(self, uri: str, body: Text = b"", **options: Any) -> Response:
        """POST; the options are those of ``request``."""
        return self.request("POST", uri, body=body, **options)
