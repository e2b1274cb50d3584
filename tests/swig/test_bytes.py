# SPDX-License-Identifier: MIT
"""The same bytes on the wire from C, the hand-written modules and SWIG.

Every conformance case that sends without waiting is played to the application
of each; what comes back must equal what the one in C sends, byte for byte. The
applications of the hand-written modules write in larger parts, so that their
output is cut into records elsewhere: there a stream's adjoining records count
as one.
"""

import socket
import struct
from collections.abc import Iterator

import pytest
from conformance.cases import Case, all_cases
from conformance.test_server import APPS
from support.fcgi_client import connect
from support.process import Process
from swig.languages import CHOSEN

# The applications hold requests, or wait for silence, in ways of their own.
HANDLERS = ("echo", "data", "params", "early", "page", "fault", "big", "authorize")
HAND_WRITTEN = ("python", "lua")
LANGUAGES = (*HAND_WRITTEN, *(f"swig_{name}" for name in CHOSEN))


def plain(case: Case) -> bool:
    return case.handler in HANDLERS and all(action == "send" for action, _ in case.steps())


CASES = {case.name: case for case in all_cases() if plain(case)}


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> Iterator:
    """answers(language, case): all that the application sends back."""
    running: dict[tuple, tuple[Process, str]] = {}
    folder = tmp_path_factory.mktemp("bytes")

    def address_of(language: str, case: Case) -> str:
        key = (language, case.handler, case.limits)
        if key not in running:
            address = f"unix:{folder}/{len(running)}.sock"
            command = [*APPS[language], case.handler, address, *case.limits]
            process = Process(command, folder / f"{len(running)}.log")
            running[key] = (process.wait_for_address(address), address)
        return running[key][1]

    def ask(language: str, case: Case) -> bytes:
        with connect(address_of(language, case)) as wire:
            return talk(wire, b"".join(data for _, data in case.steps()))

    yield ask
    for process, _ in running.values():
        process.stop()


def talk(wire: socket.socket, data: bytes) -> bytes:
    """Send all and read to the end."""
    got = b""
    try:
        wire.sendall(data)
        wire.shutdown(socket.SHUT_WR)
        while part := wire.recv(1 << 18):
            got += part
    except ConnectionError:
        pass  # It was reset; what came before counts.
    return got


def streams(data: bytes) -> list[tuple[int, int, bytes]]:
    """The records as (type, id, content), with adjoining ones of a stream joined."""
    found: list[tuple[int, int, bytes]] = []
    while data:
        _, kind, request_id, length, padding = struct.unpack("!BBHHBx", data[:8])
        content, data = data[8 : 8 + length], data[8 + length + padding :]
        if content and found and found[-1][2] and found[-1][:2] == (kind, request_id):
            content = found.pop()[2] + content
        found.append((kind, request_id, content))
    return found


def test_there_are_cases():
    assert len(CASES) > 100


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", CASES)
def test_same_bytes(answers, name: str, language: str):
    found, wanted = answers(language, CASES[name]), answers("c", CASES[name])
    if language in HAND_WRITTEN:
        assert streams(found) == streams(wanted)
    else:
        assert found == wanted
