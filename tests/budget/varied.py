# SPDX-License-Identifier: MIT
"""Requests as different browsers, crawlers and monitors send them one after another.

Values have other lengths, and headers come, go and stand elsewhere; the order of
what the web server itself says stays. Each run gives the same requests.
"""

import random
import struct
from collections.abc import Iterator

COUNT = 20  # Both counts of requests are multiples of it.
PARAMS, STDIN = 4, 5
TEXT = "abcdefghijklmnopqrstuvwxyz0123456789-"
# Headers that one in so many requests lacks.
LACKING = {"HTTP_COOKIE": 3, "HTTP_UPGRADE_INSECURE_REQUESTS": 3, "HTTP_ACCEPT_LANGUAGE": 5}
# Headers that one in so many requests has, with a value of so many bytes.
ADDED = {
    "HTTP_REFERER": (3, 40),
    "HTTP_CACHE_CONTROL": (4, 9),
    "HTTP_IF_NONE_MATCH": (4, 20),
    "HTTP_SEC_FETCH_MODE": (3, 8),
    "HTTP_SEC_FETCH_SITE": (3, 11),
    "HTTP_X_FORWARDED_FOR": (4, 14),
    "HTTP_X_OF_OUR_OWN": (3, 12),
}


def records(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Type, content and all bytes of each record."""
    while len(data) >= 8:
        size, padding = struct.unpack("!HB", data[4:7])
        yield data[1], data[8 : 8 + size], data[: 8 + size + padding]
        data = data[8 + size + padding :]


def pairs(content: bytes) -> Iterator[tuple[str, str]]:
    at = 0

    def length() -> int:
        nonlocal at
        size = content[at]
        if size & 128:
            size = struct.unpack("!I", content[at : at + 4])[0] & 0x7FFFFFFF
            at += 3
        at += 1
        return size

    while at < len(content):
        name, value = length(), length()
        text = content[at : at + name + value].decode()
        at += name + value
        yield text[:name], text[name:]


def encoded(found: list[tuple[str, str]]) -> bytes:
    def length(size: int) -> bytes:
        return bytes([size]) if size < 128 else struct.pack("!I", size | 0x80000000)

    return b"".join(
        length(len(name)) + length(len(value)) + name.encode() + value.encode()
        for name, value in found
    )


def another(found: list[tuple[str, str]], chance: random.Random) -> list[tuple[str, str]]:
    """The parameters of another request to the same server."""

    def text(least: int, most: int) -> str:
        return "".join(chance.choices(TEXT, k=chance.randint(least, most)))

    path, query = "/" + text(0, 40), text(0, 30) if chance.random() < 0.3 else ""
    other = {
        "REQUEST_URI": path + ("?" if query else "") + query,
        "PATH_INFO": path,
        "DOCUMENT_URI": path,
        "QUERY_STRING": query,
        "REMOTE_PORT": str(chance.randint(1024, 65535)),
        "HTTP_USER_AGENT": text(40, 125),
        "HTTP_COOKIE": text(20, 300),
    }
    server = [(name, other.get(name, value)) for name, value in found if name[:5] != "HTTP_"]
    client = [
        (name, other.get(name, value))
        for name, value in found
        if name[:5] == "HTTP_" and chance.randrange(LACKING.get(name, 10**6)) > 0
    ]
    client += [
        (name, text(size, size))
        for name, (one_in, size) in ADDED.items()
        if not chance.randrange(one_in)
    ]
    chance.shuffle(client)
    return server + client


def varied(request: bytes) -> list[bytes]:
    """Requests made of one, each as whole records."""
    chance = random.Random(1)
    parts = list(records(request))
    found = [pair for kind, content, _ in parts if kind == PARAMS for pair in pairs(content)]
    requests = []
    for _ in range(COUNT):
        content = encoded(another(found, chance))
        params = struct.pack("!BBHHBx", 1, PARAMS, 1, len(content), 0) + content
        ends = b"".join(struct.pack("!BBHHBx", 1, kind, 1, 0, 0) for kind in (PARAMS, STDIN))
        requests.append(parts[0][2] + params + ends)
    return requests
