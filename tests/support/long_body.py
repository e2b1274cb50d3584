# SPDX-License-Identifier: MIT
"""A body of 4 GiB and 1 byte goes in and comes out again, and what memory that takes."""

import os
import threading
import zlib

from support.fcgi_client import (
    END_REQUEST,
    HEADER,
    STDIN,
    STDOUT,
    connect,
    head,
    post_params,
    record,
    stream,
)
from support.process import Process

LENGTH = (4 << 30) + 1
WARM_UP, WARM_UPS = 64 << 20, 4  # Each of the threads has served one then.
# What waits in buffers is bounded by their windows, and on a busy machine the first
# bodies may have left less of it behind than a later one. The C library's allocator
# keeps pieces of a heap in which bytes objects of 64 KiB come and go. The growth
# ends there, whatever the length.
MOST_GROWTH = {"c": 2 << 20, "lua": 2 << 20, "python": 4 << 20}
CONTENT = os.urandom(65528)  # With its header a record of 64 KiB.
RECORD = record(STDIN, 1, CONTENT)
BATCH = 16


class Sender(threading.Thread):
    """Sends a request with a body of `length` bytes, and sums them."""

    def __init__(self, connection, length: int):
        super().__init__()
        self.connection, self.length = connection, length
        self.checksum = 0

    def run(self) -> None:
        self.connection.sendall(head(1, post_params(self.length)))
        whole, rest = divmod(self.length, len(CONTENT))
        for _ in range(whole // BATCH):
            self._send(RECORD * BATCH, BATCH)
        self._send(RECORD * (whole % BATCH), whole % BATCH)
        self.checksum = zlib.crc32(CONTENT[:rest], self.checksum)
        self.connection.sendall(stream(STDIN, 1, CONTENT[:rest]))

    def _send(self, data: bytes, records: int) -> None:
        for _ in range(records):
            self.checksum = zlib.crc32(CONTENT, self.checksum)
        self.connection.sendall(data)


class Receiver:
    """Takes an answer's records apart without keeping its body."""

    def __init__(self) -> None:
        self.head = b""
        self.length = 0
        self.checksum = 0
        self.ended = False
        self._header = b""
        self._kind = self._left = self._padding = 0

    def feed(self, data: memoryview) -> None:
        while data:
            if self._left:
                data = self._content(data)
            elif self._padding:
                skipped = min(self._padding, len(data))
                self._padding -= skipped
                data = data[skipped:]
            else:
                data = self._next_header(data)

    def _next_header(self, data: memoryview) -> memoryview:
        wanted = HEADER.size - len(self._header)
        self._header += data[:wanted]
        if len(self._header) == HEADER.size:
            _, self._kind, _, self._left, self._padding = HEADER.unpack(self._header)
            self.ended |= self._kind == END_REQUEST
            self._header = b""
        return data[wanted:]

    def _content(self, data: memoryview) -> memoryview:
        part = data[: self._left]
        self._left -= len(part)
        if self._kind == STDOUT:
            self._body(part)
        return data[len(part) :]

    def _body(self, part: memoryview) -> None:
        if b"\r\n\r\n" not in self.head:
            self.head += bytes(part)
            assert b"\r\n\r\n" in self.head, "the head of the answer is split over records"
            self.head, body = (
                self.head[: self.head.index(b"\r\n\r\n") + 4],
                self.head.split(b"\r\n\r\n", 1)[1],
            )
            part = memoryview(body)
        self.length += len(part)
        self.checksum = zlib.crc32(part, self.checksum)


def pass_through(app: Process, address: str, length: int) -> int:
    """Send a body through the echo application; returns the most RSS seen."""
    connection = connect(address, 60)
    sender, receiver = Sender(connection, length), Receiver()
    sender.start()
    buffer = bytearray(1 << 20)
    peak, next_look = 0, 0
    while not receiver.ended and (count := connection.recv_into(buffer)):
        receiver.feed(memoryview(buffer)[:count])
        if receiver.length >= next_look:
            peak = max(peak, app.rss_bytes())
            next_look += 16 << 20
    sender.join()
    connection.close()
    assert (receiver.length, receiver.checksum) == (length, sender.checksum)
    return max(peak, app.rss_bytes())


def growth(app: Process, address: str, length: int = LENGTH) -> int:
    """How much more memory than after a few shorter bodies a long one takes."""
    before = max(pass_through(app, address, WARM_UP) for _ in range(WARM_UPS))
    return pass_through(app, address, length) - before
