# SPDX-License-Identifier: MIT
"""Make the seeds of the fuzzers' corpus from the conformance cases.

python seed.py      writes corpus/session/case-* and corpus/pairs/case-*

What the fuzzers find is kept beside them under names of its own.
"""

import hashlib
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from conformance.cases import Case, all_cases  # noqa: E402

CORPUS = HERE / "corpus"
MOST = 2048
PARAMS = 4
# Bits of fuzz_session.c's first option, for the handlers that need them.
OPTIONS = {"early": 1, "authorize": 1, "hold": 2, "fault": 8, "big": 64}


def params_of(data: bytes) -> bytes:
    """The content of all PARAMS records."""
    content = b""
    while len(data) >= 8:
        _, kind, _, length, padding, _ = struct.unpack("!BBHHBB", data[:8])
        if kind == PARAMS:
            content += data[8 : 8 + length]
        data = data[8 + length + padding :]
    return content


def seeds(case: Case) -> dict[str, bytes]:
    sent = case.sent()
    name = "case-" + case.name.replace("/", "-")
    option = OPTIONS.get(case.handler, 0)
    found = {f"session/{name}": bytes([option, 7, 199]) + sent}
    if params := params_of(sent):
        found[f"pairs/{name}"] = b"\x03" + params
    return {path: data for path, data in found.items() if len(data) <= MOST}


def wanted() -> dict[str, bytes]:
    """Path and content of every seed, each content once."""
    found: dict[bytes, tuple[str, bytes]] = {}
    for case in all_cases():
        for path, data in seeds(case).items():
            key = hashlib.sha256(path.split("/")[0].encode() + data).digest()
            found.setdefault(key, (path, data))
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
