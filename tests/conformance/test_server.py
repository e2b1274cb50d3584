# SPDX-License-Identifier: MIT
"""Every case over a socket, against a server in C, Python, Lua or with SWIG.

FASTCGI_LANGUAGES chooses the language. A connection that stays open is probed
with GET_VALUES, which also shows that both sides are in step.
"""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import HEADER, connect
from support.paths import BUILD
from support.process import Process

from conformance.cases import Case, all_cases, split_words
from swig import languages as swig

HERE = Path(__file__).resolve().parent
PROBE = struct.pack("!BBHHBB", 1, 9, 0, 0, 0, 0)
STATUSES = ["complete", "cant_mpx", "overloaded", "unknown_role"]
APPS = {
    "c": [str(BUILD / "tests" / "conformance" / "app")],
    "python": [sys.executable, str(HERE / "app.py")],
    "lua": ["lua5.4", str(HERE / "app.lua")],
    **{f"swig_{name}": swig.app(name) for name in swig.LANGUAGES},
}
LANGUAGES = os.environ.get("FASTCGI_LANGUAGES", "c,python,lua").split(",")
# A thread of the Lua module cannot tell another that it has answered.
LACKS = {"c": (), "python": (), "lua": ("swap",)}


class Wire:
    """The web server's end of one connection."""

    def __init__(self, address: str):
        self.socket = connect(address, 10)
        self.got = b""
        self.records: list[tuple[int, int, bytes]] = []
        self.ended = False

    def receive(self, seconds: float = 10) -> bool:
        """Wait for more; False once the peer has closed."""
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionError:
            data = b""
        self.ended = not data
        self.got += data
        while len(self.got) >= 8:
            version, kind, request_id, length, padding = HEADER.unpack(self.got[:8])
            if len(self.got) < 8 + length + padding:
                break
            assert version == 1
            self.records.append((kind, request_id, self.got[8 : 8 + length]))
            self.got = self.got[8 + length + padding :]
        return not self.ended

    def send(self, data: bytes) -> None:
        """Send; a peer that has closed already is not an error here."""
        try:
            self.socket.sendall(data)
        except ConnectionError:
            self.ended = True

    def lines(self) -> list[list]:
        """What came, as the answers of cases have it."""
        lines: list[list] = []
        for kind, request_id, content in self.records:
            line = line_of(kind, request_id, content)
            if line[0] in ("stdout", "stderr") and lines and lines[-1][:2] == line[:2]:
                lines[-1][2] += content
            else:
                lines.append(line)
        return lines


def line_of(kind: int, request_id: int, content: bytes) -> list:
    if kind in (6, 7):
        name = "stdout" if kind == 6 else "stderr"
        return [name, request_id, content] if content else [f"{name}_end", request_id]
    if kind == 3:
        app_status, status = struct.unpack("!IB3x", content)
        return ["end", request_id, app_status, STATUSES[status]]
    if kind == 10:
        return ["values", 0, values_of(content)]
    assert kind == 11, f"record type {kind}"
    return ["unknown", 0, content[0]]


def values_of(content: bytes) -> dict[bytes, bytes]:
    found = {}
    while content:
        name, value = content[0], content[1]
        assert max(name, value) < 128
        found[content[2 : 2 + name]] = content[2 + name : 2 + name + value]
        content = content[2 + name + value :]
    return found


def status_of(stdout: bytes) -> tuple[int, bytes]:
    """Status and body of CGI output."""
    head, _, body = stdout.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"status:"):
            return int(line.split()[1]), body
    return 200, body


def wanted_lines(case: Case) -> Iterator[list]:
    """The expected answer, with `reply` taken apart."""
    for words in case.answer():
        name = words[0].decode()
        if name == "values":
            yield [name, 0, dict(word.split(b"=") for word in words[1:])]
            continue
        request_id = int(words[1])
        text = b"".join(words[3:])
        if name in ("http", "reply"):
            yield ["http", request_id, int(words[2]), text]
        if name == "reply":
            yield ["stdout_end", request_id]
            yield ["end", request_id, 0, "complete"]
        elif name in ("stdout", "stderr"):
            yield [name, request_id, b"".join(words[2:])]
        elif name in ("stdout_end", "stderr_end"):
            yield [name, request_id]
        elif name == "end":
            yield [name, request_id, int(words[2]), words[3].decode()]
        elif name == "unknown":
            yield [name, 0, request_id]


def same(found: list, wanted: list) -> bool:
    """Refusals may say it in words of their own; so may GET_VALUES's numbers."""
    if wanted[0] == "http":
        if found[:2] != ["stdout", wanted[1]]:
            return False
        status, body = status_of(found[2])
        return status == wanted[2] and (status != 200 or body == wanted[3])
    if wanted[0] == "values" and found[0] == "values":
        return found[2].keys() == wanted[2].keys() and all(v.isdigit() for v in found[2].values())
    return found == wanted


def of_request(lines: list[list], request_id: int) -> list[list]:
    return [line for line in lines if line[1] == request_id]


def check(found: list[list], wanted: list[list], ordered: bool) -> None:
    """Compare request by request, and the order in which they ended."""
    for request_id in sorted({line[1] for line in found + wanted}):
        ours, theirs = of_request(found, request_id), of_request(wanted, request_id)
        assert len(ours) == len(theirs), (ours, theirs)
        assert all(map(same, ours, theirs)), (ours, theirs)
    ends = [[line[1] for line in lines if line[0] == "end"] for lines in (found, wanted)]
    if not ordered:
        ends = [sorted(ids) for ids in ends]
    assert ends[0] == ends[1]


def has(lines: list[list], words: list[bytes], count: int) -> bool:
    """Whether the line awaited has come `count` times."""
    name = words[0].decode()
    request_id = int(words[1]) if len(words) > 1 else 0
    return sum(line[0] == name and line[1] == request_id for line in lines) >= count


def act(wire: Wire, action: str, awaited: dict[str, int]) -> None:
    name, _, rest = action.partition(" ")
    if name == "await":
        awaited[rest] = awaited.get(rest, 0) + 1
        while not has(wire.lines(), split_words(rest), awaited[rest]):
            assert wire.receive(), f"closed before {rest}; got {wire.lines()}"
    elif name == "half_close":
        wire.socket.shutdown(socket.SHUT_WR)
    elif name == "reset":
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # The others are silence, which the reading that follows waits out.


def play(case: Case, address: str) -> None:
    wire = Wire(address)
    try:
        awaited: dict[str, int] = {}
        for action, data in case.steps():
            if action == "send":
                wire.send(data)
            else:
                act(wire, action, awaited)
        finish(case, wire)
    finally:
        wire.socket.close()


def finish(case: Case, wire: Wire) -> None:
    wanted = list(wanted_lines(case))
    if case.end == "open":
        probe(wire, wanted)
    elif case.end == "closed":
        while wire.receive():
            pass
        assert wire.got == b""
    if case.end:
        # Requests held at once are on several threads.
        check(wire.lines(), wanted, ordered=case.handler != "hold")


def probe(wire: Wire, wanted: list[list]) -> None:
    """Read what is due, then ask for no values, which is answered at once."""
    ends = sum(line[0] == "end" for line in wanted)
    while sum(line[0] == "end" for line in wire.lines()) < ends:
        assert wire.receive(), f"closed; got {wire.lines()}"
    wire.send(PROBE)
    wanted.append(["values", 0, {}])
    due = sum(line[0] == "values" for line in wanted)
    while sum(line[0] == "values" for line in wire.lines()) < due:
        assert wire.receive(), f"closed; got {wire.lines()}"
    wire.socket.shutdown(socket.SHUT_WR)
    while wire.receive():  # Anything that nobody expects comes now.
        pass


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """Start an application once for each handler and limits, on demand."""
    running: dict[tuple, tuple[Process, str]] = {}
    folder = tmp_path_factory.mktemp("conformance")

    def address_of(language: str, case: Case) -> str:
        key = (language, case.handler, case.limits)
        if key not in running:
            address = f"unix:{folder}/{len(running)}.sock"
            command = [*APPS[language], case.handler, address, *case.limits]
            process = Process(command, folder / f"{len(running)}.log")
            running[key] = (process.wait_for_address(address), address)
        process, address = running[key]
        assert process.running(), process.output()
        return address

    yield address_of
    for process, _ in running.values():
        process.stop()


def selected() -> Iterator:
    for language in LANGUAGES:
        for case in all_cases():
            if case.handler not in LACKS.get(language, ()):
                yield pytest.param(language, case, id=f"{language}-{case.name}")


@pytest.mark.parametrize(("language", "case"), list(selected()))
def test_case(servers, language: str, case: Case):
    address = servers(language, case)
    play(case, address)
    assert servers(language, case) == address
