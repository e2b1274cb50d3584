# SPDX-License-Identifier: MIT
"""A FastCGI responder over raw sockets that can be told to be wrong.

It uses nothing of the library, so that a tool that finds its faults finds those
of other applications too.
"""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HEADER = struct.Struct("!BBHHBB")
BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, _, _, GET_VALUES, RESULT, UNKNOWN = range(1, 12)
KNOWN = {b"FCGI_MAX_CONNS": b"8", b"FCGI_MAX_REQS": b"8", b"FCGI_MPXS_CONNS": b"1"}
HEAD = b"Content-Type: text/plain\r\n\r\n"


class Closed(Exception):
    """The connection is to be closed."""


@dataclass
class Request:
    role: int
    keep: bool
    params: bytes = b""
    ready: bool = False
    misplaced: bool = False
    body: bytes = b""


@dataclass
class Connection:
    """One connection; `faults` names what it does wrong.

    `sulks[0]` is how many requests it will fail, on any connection.
    """

    socket: socket.socket
    faults: frozenset[str]
    sulks: list[int]
    requests: dict[int, Request] = field(default_factory=dict)
    answered: int = 0
    last: bool = False

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise Closed
            data += piece
        return data

    def send(self, kind: int, request_id: int, content: bytes = b"") -> None:
        version = 2 if "version 2" in self.faults and kind == END else 1
        self.socket.sendall(HEADER.pack(version, kind, request_id, len(content), 0, 0) + content)

    def serve(self) -> None:
        with self.socket, suppress(Closed, ConnectionError):
            while True:
                version, kind, request_id, size, padding, _ = HEADER.unpack(self.exactly(8))
                if version != 1:
                    raise Closed
                content = self.exactly(size)
                if "padding" not in self.faults:
                    self.exactly(padding)
                if "one byte of an id" in self.faults:
                    request_id &= 255
                self.take(kind, request_id, content)

    def take(self, kind: int, request_id: int, content: bytes) -> None:
        if kind == BEGIN:
            self.begin(request_id, content)
        elif request_id == 0 and kind < GET_VALUES and kind != 0:
            raise Closed
        elif request_id == 0:
            self.manage(kind, content)
        elif request := self.requests.get(request_id):
            self.feed(request_id, request, kind, content)
        elif "inactive ids" in self.faults and kind == STDIN and not content:
            self.finish(request_id, 0)

    def begin(self, request_id: int, content: bytes) -> None:
        if len(content) < 8:
            self.sulks[0] = 2
        if len(content) < 8 or request_id in self.requests or request_id == 0:
            raise Closed
        role, flags = struct.unpack("!HB", content[:3])
        request = Request(role, bool(flags & 1))
        if role != 1 and "any role" not in self.faults:
            self.requests[request_id] = request
            self.finish(request_id, 3)
        else:
            self.requests[request_id] = request

    def manage(self, kind: int, content: bytes) -> None:
        if kind == GET_VALUES:
            asked = set(names_of(content))
            known = {name: value for name, value in KNOWN.items() if name in asked}
            if "unknown values" in self.faults:
                known |= {name: b"1" for name in asked if len(name) < 100}
            self.send(RESULT, 0, b"".join(map(pair, known, known.values())))
        elif kind not in (RESULT, UNKNOWN):
            told = 0 if "unknown types" in self.faults else kind
            self.send(UNKNOWN, 0, bytes([told, 0, 0, 0, 0, 0, 0, 0]))

    def feed(self, request_id: int, request: Request, kind: int, content: bytes) -> None:
        if kind == ABORT and "aborts" not in self.faults:
            self.finish(request_id, 0)
        elif kind == PARAMS and not request.ready:
            request.params += content
            request.ready = not content
        elif kind == STDIN:
            request.misplaced |= not request.ready
            request.body += content
            if not content:
                self.answer(request_id, request)

    def answer(self, request_id: int, request: Request) -> None:
        self.answered += 1
        if "closes at once" in self.faults:
            raise Closed
        text = HEAD if "no head" not in self.faults else b"hello\n"
        wrong = is_wrong(request.params, len(request.body))
        if request.misplaced or (wrong and "lax" not in self.faults):
            text = b"Status: 400 Bad Request\r\n\r\n"
        if "sulks" in self.faults and self.sulks[0] > 0:
            self.sulks[0] -= 1
            text = b"Status: 500 Internal Server Error\r\n\r\n"
        told = request_id + 1 if "wrong id" in self.faults else request_id
        if "first id" in self.faults and self.answered > 1:
            told = 1
        self.send(STDOUT, told, text)
        if "unclosed" not in self.faults:
            self.send(STDOUT, told)
        if "never ends" not in self.faults:
            self.finish(request_id, 0, told)

    def finish(self, request_id: int, status: int, told: int | None = None) -> None:
        request = self.requests.pop(request_id, Request(1, True))
        status = 9 if "protocolStatus" in self.faults else status
        body = struct.pack("!IB3x", 0, status)[: 4 if "short end" in self.faults else 8]
        self.send(END, request_id if told is None else told, body)
        if "ends twice" in self.faults:
            self.send(END, request_id, body)
        self.last |= not request.keep
        closes = self.last and not self.requests and "never closes" not in self.faults
        if closes or "closes" in self.faults:
            raise Closed


def pair(name: bytes, value: bytes) -> bytes:
    return bytes([len(name), len(value)]) + name + value


def pairs_of(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The pairs; ValueError when the last one is cut off."""
    at = 0
    while at < len(data):
        lengths = []
        for _ in range(2):
            size = 4 if data[at : at + 1] >= b"\x80" else 1
            word = data[at : at + size]
            if len(word) < size:
                raise ValueError
            lengths.append(int.from_bytes(word) & (0x7FFFFFFF if size == 4 else 0xFF))
            at += size
        end = at + sum(lengths)
        if end > len(data):
            raise ValueError
        yield data[at : at + lengths[0]], data[at + lengths[0] : end]
        at = end


def names_of(data: bytes) -> Iterator[bytes]:
    with suppress(ValueError):
        for name, _ in pairs_of(data):
            yield name


def is_wrong(params: bytes, body: int) -> bool:
    """Whether a request is to be refused."""
    try:
        found = list(pairs_of(params))
    except ValueError:
        return True
    lengths = {value for name, value in found if name == b"CONTENT_LENGTH" and value}
    wrong = len(lengths) > 1 or not all(value.isdigit() for value in lengths)
    return (
        wrong
        or any(int(value) > body for value in lengths)
        or any(b"\0" in name + value for name, value in found)
    )


@contextmanager
def responder(directory: Path, *faults: str, lives: int | None = None) -> Iterator[str]:
    """Its address. With `lives` it is gone after so many connections."""
    path = directory / "responder.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    threads: list[threading.Thread] = []
    open_sockets: list[socket.socket] = []
    sulks = [0]

    def accept() -> None:
        with suppress(OSError):
            while lives is None or len(threads) < lives:
                accepted, _ = listener.accept()
                accepted.settimeout(60)
                open_sockets.append(accepted)
                connection = Connection(accepted, frozenset(faults), sulks)
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()
            listener.close()

    def serve(connection: Connection) -> None:
        with suppress(OSError):
            connection.serve()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"unix:{path}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        accepting.join(60)
        for accepted in open_sockets:
            with suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(60)
        listener.close()
        os.unlink(path)
