# SPDX-License-Identifier: MIT
"""Read the case files; README.md describes their language.

The C runner has a reader of its own (case_file.c), so that the two can
disagree.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "cases"
ROLES = {"responder": 1, "authorizer": 2, "filter": 3}
ACTIONS = ("await", "close", "half_close", "reset", "silence", "timeout")
ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0", "\\": b"\\", '"': b'"'}
ATOM = re.compile(r'(?:(\d+)\*)?(?:"((?:[^"\\]|\\.)*)"|([^ ]))')
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)")


def unquote(text: str) -> bytes:
    out, at = b"", 0
    for found in ESCAPE.finditer(text):
        code = found[1]
        out += text[at : found.start()].encode()
        out += bytes([int(code[1:], 16)]) if code[0] == "x" and len(code) == 3 else ESCAPES[code]
        at = found.end()
    return out + text[at:].encode()


def split_words(line: str) -> list[bytes]:
    """The words of a line, quotes and repetitions resolved."""
    words, at = [], 0
    while at < len(line):
        if line[at] == " ":
            at += 1
            continue
        if line[at] == "#":
            break
        word = b""
        while at < len(line) and line[at] != " ":
            found = ATOM.match(line, at)
            assert found, f"cannot read {line!r} at {at}"
            piece = unquote(found[2]) if found[2] is not None else found[3].encode()
            word += piece * int(found[1] or 1)
            at = found.end()
        words.append(word)
    return words


def unroll(line: str) -> Iterator[str]:
    """The line, or what "times N LINE" stands for."""
    if found := re.fullmatch(r"times (\d+) +(.*)", line):
        for n in range(1, int(found[1]) + 1):
            yield found[2].replace("$n", str(n))
    else:
        yield line


def number(word: bytes) -> int:
    return int(word.decode(), 0)


def role_of(word: bytes) -> int:
    return ROLES.get(word.decode()) or number(word)


def length_of(size: int) -> bytes:
    return bytes([size]) if size < 128 else struct.pack("!I", size | 0x80000000)


def pairs_of(words: list[bytes]) -> bytes:
    if words and words[0] == b"raw":
        return b"".join(words[1:])
    split = [word.partition(b"=") for word in words]
    return b"".join(
        length_of(len(name)) + length_of(len(value)) + name + value for name, _, value in split
    )


def begin_body(words: list[bytes]) -> bytes:
    flags = 0
    if len(words) > 1:
        flags = 1 if words[1] == b"keep" else number(words[1])
    return struct.pack("!HB5x", role_of(words[0]), flags)


BODIES = {
    "begin": (1, begin_body),
    "abort": (2, b"".join),
    "params": (4, pairs_of),
    "stdin": (5, b"".join),
    "data": (8, b"".join),
}


def records_of(line: str) -> bytes:
    """The bytes that one line of a `send` section stands for."""
    words = split_words(line)
    kind = words[0].decode()
    if kind == "raw":
        return b"".join(words[1:])
    if kind == "get":
        params = f"params {line[4:]}"
        request = words[1].decode()
        middle = records_of(params) if len(words) > 2 else b""
        return (
            records_of(f"begin {request} responder keep")
            + middle
            + records_of(f"params {request}")
            + records_of(f"stdin {request}")
        )
    options = dict(w[1:].decode().split("=") for w in words if w.startswith(b"+"))
    words = [w for w in words if not w.startswith(b"+")]
    if kind == "record":
        record_type, request_id, content = number(words[1]), number(words[2]), b"".join(words[3:])
    elif kind == "get_values":
        record_type, request_id, content = 9, 0, pairs_of(words[1:])
    else:
        record_type, body = BODIES[kind]
        request_id, content = number(words[1]), body(words[2:])
    return frame(record_type, request_id, content, {k: int(v, 0) for k, v in options.items()})


def frame(kind: int, request_id: int, content: bytes, options: dict[str, int]) -> bytes:
    size = options.get("chop") or len(content) or 1
    parts = [content[i : i + size] for i in range(0, len(content), size)] or [b""]
    pad = options.get("pad", 0)
    return b"".join(
        struct.pack(
            "!BBHHBB",
            options.get("version", 1),
            kind,
            request_id,
            options.get("length", len(part)),
            pad,
            options.get("reserved", 0),
        )
        + part
        + b"\xee" * pad
        for part in parts
    )


@dataclass
class Case:
    """One case file."""

    path: Path
    fields: dict[str, str] = field(default_factory=dict)
    sections: dict[str, list[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def handler(self) -> str:
        return self.fields.get("handler", "echo")

    @property
    def limits(self) -> tuple[str, ...]:
        return tuple(self.fields.get("limits", "").split())

    def numbers(self, what: str) -> list[int]:
        """The `statements` or `inputs` that it covers."""
        return [int(n) for n in self.fields.get(what, "").split()]

    def steps(self) -> Iterator[tuple[str, bytes]]:
        """Pairs of an action, or "send", and the bytes or the action's words."""
        for line in self.sections["send"]:
            if line.split()[0] in ACTIONS:
                yield line, b""
            else:
                yield "send", b"".join(map(records_of, unroll(line)))

    def sent(self) -> bytes:
        return b"".join(data for _, data in self.steps())

    def answer(self) -> list[list[bytes]]:
        """The lines of the expected answer as words, without the last."""
        lines = [one for line in self.sections["answer"] for one in unroll(line)]
        return [split_words(line) for line in lines if line not in ("open", "closed")]

    @property
    def end(self) -> str:
        """What becomes of the connection: open, closed, or "" if not said."""
        last = self.sections["answer"][-1:]
        return last[0] if last in (["open"], ["closed"]) else ""


def read(path: Path) -> Case:
    case = Case(path)
    section: list[str] = []
    for line in path.read_text().splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if line.startswith(" "):
            section.append(text)
        elif ":" in line:
            name, _, value = line.partition(":")
            case.fields[name] = value.strip()
        else:
            section = case.sections.setdefault(line, [])
    return case


def all_cases() -> list[Case]:
    return [read(path) for path in sorted(FOLDER.glob("*/*.case"))]
