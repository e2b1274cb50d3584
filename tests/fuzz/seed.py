# SPDX-License-Identifier: MIT
"""Make the seeds of the fuzzers' corpus from the conformance cases and the map of options.

python seed.py      writes corpus/TARGET/case-* for each target

What the fuzzers find is kept beside them under names of its own.
"""

import hashlib
import random
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from conformance.cases import Case, all_cases, frame, number, pairs_of  # noqa: E402
from support.options import read_map  # noqa: E402

CORPUS = HERE / "corpus"
MOST = 2048
PARAMS = 4
# Bits of fuzz_session.c's first option, for the handlers that need them.
OPTIONS = {"early": 1, "authorize": 1, "hold": 2, "fault": 8, "big": 64}
# fuzz_peer.c's calls and the ids of script.h, by their place in the table.
CALLS = {"begin": 0, "params_end": 1, "feed": 2, "write": 3, "write_end": 5, "param": 6}
CALLS |= {"abort": 7, "raw": 8, "send_all": 10, "get_values": 11}
# fuzz_pairing.c's calls, its roles, and its call for each stream and its end.
JOINT = {"begin": 0, "params_end": 1, "to_session": 2, "answer": 3, "end": 4, "to_peer": 5}
JOINT |= {"param": 8, "abort": 12, "get_values": 13, "complain": 14, "lend": 15, "file": 17}
ROLES = [1, 2, 3, 9, 10, 77]
STREAMS = {5: (6, 7), 8: (10, 11)}
# Lengths of values for fuzz_params.c, whose 199 has a NUL and 255 is long.
LENGTHS = (0, 0, 1, 4, 5, 9, 20, 60, 127, 128, 150, 198, 201, 255)
IDS = [1, 2, 3, 0, 17, 256, 1000, 65535]
STATUSES = {b"complete": 0, b"cant_mpx": 1, b"overloaded": 2, b"unknown_role": 3}


def records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, id and content of each whole record."""
    while len(data) >= 8:
        _, kind, request, length, padding, _ = struct.unpack("!BBHHBB", data[:8])
        yield kind, request, data[8 : 8 + length]
        data = data[8 + length + padding :]


def call(name: str, *operands: int, data: bytes = b"") -> bytes:
    return bytes([CALLS[name], *operands]) + data


def calls_of(kind: int, request: int, content: bytes) -> bytes:
    """A record of the web server as calls of a peer."""
    if kind > 9 or request not in IDS or (kind == 1 and len(content) < 8):
        return call("raw", 8, data=frame(kind & 255, request, b"", {}))
    at, size = IDS.index(request), min(len(content), 127)
    if kind == 1:
        return call("begin", at, (content[1] << 1 & 254) | (content[2] & 1))
    if kind == 2:
        return call("abort", at)
    if kind == 9:
        return call("get_values", 0)
    if kind == PARAMS:
        return call("param", at, 3, size) if content else call("params_end", at)
    return call("write", at, kind, size) if content else call("write_end", at, kind)


def answer_of(line: list[bytes]) -> bytes:
    """A line of an answer as bytes of the application, about as it sent them."""
    name, request = line[0].decode(), number(line[1]) if len(line) > 1 and line[1].isdigit() else 0
    text, end = b"".join(line[2:])[:300], struct.pack("!IB3x", 0, 0)
    if name == "values":
        return frame(10, 0, pairs_of(line[1:]), {})
    if name == "unknown":
        return frame(11, 0, bytes([request]) + bytes(7), {})
    if name == "end":
        return frame(3, request, struct.pack("!IB3x", number(line[2]), STATUSES[line[3]]), {})
    kind = 7 if name.startswith("stderr") else 6
    answer = frame(kind, request, b"" if name.endswith("_end") else text or b"x", {"pad": 3})
    if name == "reply":
        answer += frame(6, request, b"", {}) + frame(3, request, end, {})
    return answer


def feeds(data: bytes) -> bytes:
    parts = [data[i : i + 255] for i in range(0, len(data), 255)]
    return b"".join(call("feed", len(part), data=part) for part in parts)


def talk(case: Case, sent: bytes) -> bytes:
    """The case for a peer: what it says, and what it hears."""
    said = b"".join(calls_of(*record) for record in records(sent))
    heard = b"".join(answer_of(line) for line in case.answer())
    return said + call("send_all") + feeds(heard)


def joint(name: str, *operands: int) -> bytes:
    return bytes([JOINT[name], *operands])


def joint_calls(kind: int, request: int, content: bytes) -> bytes:
    """A record of the web server as calls of the two that are joined."""
    at, size = IDS.index(request) if request in IDS else 0, min(len(content), 127)
    if kind == 1 and len(content) >= 8:
        role = content[1] if content[1] in ROLES else 77
        return joint("begin", at, ROLES.index(role) | (content[2] & 1) << 3)
    if kind in STREAMS:
        return bytes([STREAMS[kind][0], at, size] if content else [STREAMS[kind][1], at])
    calls = {
        2: joint("abort", at),
        4: joint("param", at, 6, size) if content else joint("params_end", at),
        9: joint("get_values", 0),
    }
    return calls.get(kind, b"")


def conversation(sent: bytes) -> bytes:
    """The case for both sides: each record is carried, then answered."""
    said, ids = b"", set()
    for kind, request, content in records(sent):
        said += joint_calls(kind, request, content) + joint("to_session", 0, 21)
        if request in IDS and request:
            ids.add(IDS.index(request))
    said += joint("to_session", 0, 255)
    for at in sorted(ids):
        said += b"".join(joint(how, at, 90) for how in ("answer", "complain", "lend", "file"))
        said += joint("end", at, 0)
    return said + joint("to_peer", 0, 13) + joint("to_peer", 0, 255)


def params_of(data: bytes) -> bytes:
    """The content of all PARAMS records."""
    return b"".join(content for kind, _, content in records(data) if kind == PARAMS)


def seeds(case: Case) -> dict[str, bytes]:
    sent = case.sent()
    name = "case-" + case.name.replace("/", "-")
    option = OPTIONS.get(case.handler, 0)
    found = {f"session/{name}": bytes([option, 7, 199]) + sent}
    if params := params_of(sent):
        found[f"pairs/{name}"] = b"\x03" + params
        found[f"params/{name}"] = bytes([0, 7]) + params
    found[f"peer/{name}"] = bytes([7, 99]) + talk(case, sent)
    found[f"pairing/{name}"] = bytes([0, 99]) + conversation(sent)
    return {path: data for path, data in found.items() if len(data) <= MOST}


def scripts() -> Iterator[bytes]:
    """For fuzz_params.c: names of every kind, values of every length, all options."""
    chance = random.Random(1)
    for option in range(1, 32, 2):
        kinds = (range(1, 30), range(1, 256), range(126, 240))
        for names in kinds:
            size = chance.choice((3, 27, 90, 400))
            pairs = [(chance.choice(names), chance.choice(LENGTHS)) for _ in range(size)]
            yield bytes([option, chance.randrange(256)]) + bytes(sum(pairs, ()))
    for size in (27, 254, 255, 256, 300):  # Each name once, then again.
        yield bytes([1, 99]) + b"".join(bytes([1 + at % 100, 9]) for at in range(size))
    usual = b"".join(bytes([at, at]) for at in range(1, 28))
    yield bytes([1, 31]) + usual
    yield bytes([1, 31]) + usual + bytes([40, 199])
    yield bytes([1, 31]) + usual + bytes([255, 3]) + usual


VALUES = {"text": "x", "users": "root", "path": "/x", "count": "7", "processes": "auto",
          "bytes": "7M", "seconds": "7s", "mode": "007", "named_size": "x=1M"}  # fmt: skip


def option_seeds() -> dict[str, bytes]:
    """Every option of each launcher by words, by the environment and by a file."""
    found = {}
    for first, launcher in enumerate(("python", "lua", "run")):
        words, environment, file = [], [], []
        for one in read_map():
            if launcher not in one.launchers or one.scope == "command":
                continue
            value = (one.words or "").split(", ")[-1] or VALUES.get(one.kind, "1")
            words += [one.value and "x"] if one.positional else [f"{one.flag}"]
            words += [] if one.kind == "flag" or one.positional else [value]
            environment.append(f"FASTCGI_{one.name.upper()}={value}")
            quoted = "true" if one.kind == "flag" else f"'{value}'"
            file.append(f"{one.name} = {[value] if one.repeated else quoted}")
        parts = {"words": ["W", words], "environment": ["E", environment], "file": ["F", file]}
        parts["table"] = ["P", ["[tool.fastcgi]", *file]]
        for name, (kind, lines) in parts.items():
            data = bytes([first]) + kind.encode() + "\n".join(lines).encode()
            found[f"options/case-{launcher}-{name}"] = data
        few = "W--threads=4\nx\0EFASTCGI_BACKLOG=7\0Fbacklog = 8\nlimit_params = 9\n"
        found[f"options/case-{launcher}-few"] = bytes([first]) + few.encode()
    return found


def shared_scripts() -> Iterator[bytes]:
    """For fuzz_shared.c: few keys and many, small values and large ones."""
    chance = random.Random(2)
    for keys in (3, 64):
        for most in (20, 127, 255):
            for key_len in range(8):
                script = bytearray([key_len])
                while len(script) < 1500:
                    script += bytes([chance.randrange(13), chance.randrange(keys)])
                    script += bytes(chance.randrange(most) for _ in range(3))
                yield bytes(script)


def wanted() -> dict[str, bytes]:
    """Path and content of every seed, each content once."""
    found: dict[bytes, tuple[str, bytes]] = {}
    for path, data in option_seeds().items():
        found.setdefault(hashlib.sha256(data).digest(), (path, data))
    for case in all_cases():
        for path, data in seeds(case).items():
            key = hashlib.sha256(path.split("/")[0].encode() + data).digest()
            found.setdefault(key, (path, data))
    for at, data in enumerate(scripts()):
        found[data] = (f"params/case-script-{at:02}", data)
    for at, data in enumerate(shared_scripts()):
        found[data] = (f"shared/case-script-{at:02}", data)
    return dict(found.values())


def main() -> None:
    for old in CORPUS.glob("*/case-*"):
        old.unlink()
    for path, data in wanted().items():
        target = CORPUS / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


if __name__ == "__main__":
    main()
