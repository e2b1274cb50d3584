#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Shows whether a HAProxy stops reading a multiplexed FastCGI connection for good.

    haproxy_stall.py [HAPROXY]      # the program, "haproxy" by default

It needs nothing but Python and HAProxy. A responder of its own answers two GETs
over the one connection that HAProxy makes, in records that alternate. The first
record of one answer is 16,320 bytes long, tune.bufsize less 64. When it has come
whole, fcgi_strm_handle_stdout() finds no room left in the stream's buffer and sets
FCGI_CF_DEM_SFULL, but returns success, as the record is done. So the demultiplexer
decodes the next header, which belongs to the other stream, and stops there
because the record behind it is not all there. fcgi_rcv_buf() clears the flag
only for the stream of the last header, and that one has nothing to read. The
connection is not read again, whatever the clients do.

Exit status: 0 when both answers are whole, 1 when HAProxy stalls.
"""

import http.client
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from itertools import zip_longest
from pathlib import Path

BEGIN, END, PARAMS, STDIN, STDOUT, GET_VALUES, RESULT = 1, 3, 4, 5, 6, 9, 10
HEAD = b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
SIZE = 200_000  # Of each answer.
LENGTH = 8000  # Of the other records.
FULL = 16384 - 64
PADDING = 8  # So that two calls of recv() are needed for the one of that length.
SECONDS = 10  # Longer than any answer takes.

CONFIG = """
global
  nbthread 1
fcgi-app app
  docroot /
  option keep-conn
  option mpxs-conns
  option max-reqs 100
  option get-values
defaults
  mode http
  timeout client 20s
  timeout connect 5s
  timeout server 20s
frontend clients
  bind 127.0.0.1:{port}
  default_backend applications
backend applications
  http-reuse always
  use-fcgi-app app
  server app unix@{path} proto fcgi
"""


def record(kind: int, number: int, content: bytes = b"") -> bytes:
    header = struct.pack("!BBHHBB", 1, kind, number, len(content), PADDING, 0)
    return header + content + bytes(PADDING)


def pair(name: bytes, value: bytes) -> bytes:
    return bytes([len(name), len(value)]) + name + value


def answer(number: int, first: int) -> list[bytes]:
    """The records of one answer, the first one of that length."""
    content = HEAD % SIZE + b"x" * SIZE
    parts = [content[:first]]
    parts += [content[at : at + LENGTH] for at in range(first, len(content), LENGTH)]
    records = [record(STDOUT, number, part) for part in parts]
    return [*records, record(STDOUT, number), record(END, number, bytes(8))]


def exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def serve(connection: socket.socket) -> None:
    """Wait for two requests, then answer them record by record in turn."""
    ready: list[int] = []
    while True:
        _, kind, number, length, padding, _ = struct.unpack("!BBHHBB", exactly(connection, 8))
        exactly(connection, length + padding)
        if kind == GET_VALUES:
            values = pair(b"FCGI_MPXS_CONNS", b"1") + pair(b"FCGI_MAX_REQS", b"100")
            connection.sendall(record(RESULT, 0, values))
        if kind == STDIN and length == 0:
            ready.append(number)
        if len(ready) == 2:
            break
    one, other = answer(ready[0], len(HEAD % SIZE)), answer(ready[1], FULL)
    connection.sendall(one.pop(0))
    time.sleep(0.5)  # The head has been read, and there is nothing more to read.
    turns = zip_longest(other, one, fillvalue=b"")
    connection.sendall(b"".join(first + second for first, second in turns))
    time.sleep(SECONDS)


def responder(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=served, args=(connection,), daemon=True).start()


def served(connection: socket.socket) -> None:
    try:
        serve(connection)
    except (EOFError, OSError):
        connection.close()


def get(port: int, found: list[str]) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        client.request("GET", "/")
        response = client.getresponse()
        found.append(f"{response.status}, {len(response.read())} bytes")
    except (OSError, http.client.HTTPException) as error:
        found.append(repr(error))


def attempt(haproxy: str, folder: Path) -> list[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path, config = folder / "app.sock", folder / "haproxy.cfg"
    config.write_text(CONFIG.format(port=port, path=path))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        threading.Thread(target=responder, args=(listener,), daemon=True).start()
        with subprocess.Popen([haproxy, "-db", "-f", config], stderr=subprocess.DEVNULL) as child:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.05)
            found: list[str] = []
            clients = [threading.Thread(target=get, args=(port, found)) for _ in range(2)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            child.kill()
    return found


def main() -> int:
    haproxy = sys.argv[1] if len(sys.argv) > 1 else "haproxy"
    version = subprocess.run([haproxy, "-v"], capture_output=True, text=True, check=True).stdout
    print(version.splitlines()[0])
    with tempfile.TemporaryDirectory() as folder:
        found = attempt(haproxy, Path(folder))
    whole = [f"200, {SIZE} bytes"] * 2
    print(*found, "it stalls" if found != whole else "both are whole", sep="\n")
    return int(found != whole)


if __name__ == "__main__":
    sys.exit(main())
