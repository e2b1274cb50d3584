# SPDX-License-Identifier: MIT
"""The strings and the dict of one environ may serve the next one. Thousands of
random requests: each environ is that which is made alone, and what an application
keeps or does with it changes no other."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.fcgi_client import Client

REQUESTS = 1500
# An environ with a duplicate is made alone.
TWICE = "PLAIN_TWICE"
ALONE = [(TWICE.encode(), b"1"), (TWICE.encode(), b"2")]
# Few values, so that they come again, many of one length. In one of so many requests
# the parameter is there.
PATHS = (b"/a/b", b"/a/c", b"/", b"/\xc3\xa9", b"/a%20b", b"/proxy/of/some/longer/path")
WORDS = (b"", b"x", b"one", b"two", b"\xe9ne", b"longer words", b"other words", b"w" * 100)
PROXIED = (b"proxy:fcgi://localhost:9000/srv/a", b"proxy:fcgi://localhost/srv/a?one")
COMMON: dict[bytes, tuple[tuple[bytes, ...], float]] = {
    b"REQUEST_URI": (PATHS, 0.9),
    b"PATH_INFO": (PATHS, 0.7),
    b"SCRIPT_NAME": ((b"", b"/a", b"/b", b"/proxy"), 0.7),
    b"DOCUMENT_URI": (PATHS, 0.3),
    b"SCRIPT_FILENAME": ((b"/srv/a", b"/srv/b", *PROXIED), 0.5),
    b"SERVER_SOFTWARE": ((b"nginx/1.22", b"Apache/2.4"), 0.9),
    b"HTTPS": ((b"on", b"off", b""), 0.3),
    b"REQUEST_SCHEME": ((b"http", b"https"), 0.5),
    b"SERVER_NAME": ((b"", b"one.example", b"two.example"), 0.8),
    b"SERVER_PORT": ((b"80", b"443", b""), 0.8),
    b"REQUEST_METHOD": ((b"GET", b"PUT", b"DELETE", b""), 0.95),
    b"SERVER_PROTOCOL": ((b"HTTP/1.1", b"HTTP/1.0"), 0.95),
    b"CONTENT_LENGTH": ((b"", b"0", b"-1"), 0.6),
    b"CONTENT_TYPE": (WORDS, 0.5),
    b"QUERY_STRING": (WORDS, 0.8),
    b"HTTP_COOKIE": (WORDS, 0.7),
    b"HTTP_ACCEPT": (WORDS, 0.98),
    b"HTTP_REFERER": (WORDS, 0.3),
    b"HTTP_X_OWN": (WORDS, 0.9),
    b"HTTP_X_RARE": (WORDS, 0.1),
    b"PLAIN": (WORDS, 0.5),
    b"wsgi.url_scheme": (WORDS, 0.05),
    b"HTTP_TRANSFER_ENCODING": ((b"chunked",), 0.002),
}
Pairs = list[tuple[bytes, bytes]]


def traffic(seed: int) -> Iterator[Pairs]:
    """Lists of parameters that mostly are those of the one before."""
    chance = random.Random(seed)
    now: dict[bytes, bytes] = {}
    for _ in range(REQUESTS):
        for name, (values, often) in COMMON.items():
            if chance.random() < 0.2:
                now.pop(name, None)
                if chance.random() < often:
                    now[name] = chance.choice(values)
            elif name in now and chance.random() < 0.1:
                length = chance.choice((len(now[name]), chance.randrange(700)))
                if values is WORDS:
                    now[name] = bytes(chance.choices(b"abc", k=length))
        pairs = list(now.items())
        if chance.random() < 0.2:
            chance.shuffle(pairs)
        yield pairs


def copied(environ: dict[str, Any]) -> dict[str, bytes]:
    """What it says; as UTF-8, which a string that takes é for ASCII has not."""
    return {
        key: value.encode()
        for key, value in environ.items()
        if isinstance(value, str) and key != TWICE
    }


class Keeper:
    """An application that does with its environ what `styles` do."""

    def __init__(self, seed: int, styles: list[Callable[[Keeper, dict[str, Any]], None]]) -> None:
        self.chance = random.Random(seed)
        self.styles = styles
        self.seen: list[dict[str, bytes]] = []
        self.kept: list[tuple[Any, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.seen.append(copied(environ))
        for _, value in self.kept[-3:]:
            assert value is not environ
        if self.styles:
            self.chance.choice(self.styles)(self, environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    def check(self, alone: Keeper) -> None:
        for at, (found, wanted) in enumerate(zip(self.seen, alone.seen, strict=True)):
            assert found == wanted, at
        for said, value in self.kept:
            assert said == (copied(value) if isinstance(value, dict) else value.encode())


def nothing(keeper: Keeper, environ: dict[str, Any]) -> None:
    pass


def keep_value(keeper: Keeper, environ: dict[str, Any]) -> None:
    name = keeper.chance.choice([name for name in environ if isinstance(environ[name], str)])
    keeper.kept.append((environ[name].encode(), environ[name]))


def keep_environ(keeper: Keeper, environ: dict[str, Any]) -> None:
    keeper.kept.append((copied(environ), environ))


def use_hashes(keeper: Keeper, environ: dict[str, Any]) -> None:
    numbers = {str(value, "latin-1"): value for value in (*PATHS, *WORDS)}
    for value in environ.values():
        if isinstance(value, str):
            assert numbers.get(value, value.encode("latin-1")) == value.encode("latin-1")


def intern(keeper: Keeper, environ: dict[str, Any]) -> None:
    name = keeper.chance.choice([name for name in environ if isinstance(environ[name], str)])
    text = environ[name].encode()
    sys.intern(environ[name])
    keeper.kept.append((text, sys.intern(text.decode())))


def name_attribute(keeper: Keeper, environ: dict[str, Any]) -> None:
    value = environ["QUERY_STRING"]
    setattr(keeper, value, 1)
    assert getattr(keeper, str(value.encode("latin-1"), "latin-1")) == 1
    delattr(keeper, value)


def change(keeper: Keeper, environ: dict[str, Any]) -> None:
    ways: list[Callable[[], Any]] = [
        lambda: environ.update(QUERY_STRING="changed", leak="of the application"),
        lambda: environ.pop("SERVER_NAME"),
        lambda: environ.popitem(),
        lambda: environ.setdefault("leak", "of the application"),
        lambda: environ.__delitem__("PATH_INFO"),
        lambda: environ.__ior__({"HTTP_COOKIE": "changed"}),
        lambda: environ.clear(),
    ]
    keeper.chance.choice(ways)()


GENTLE = [nothing, use_hashes]
STYLES = {
    "gentle": GENTLE,
    "keeps values": [*GENTLE, keep_value, intern, name_attribute],
    "keeps environs": [*GENTLE * 300, keep_environ],
    "changes": [change],
    "changes rarely": [*GENTLE * 300, keep_value, change],
    "all": [*GENTLE, keep_value, keep_environ, intern, name_attribute, change],
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_every_environ_is_that_which_is_made_alone(serve, style, stream):
    seed = sorted(STYLES).index(style) * 2 + stream
    ours, alone = Keeper(seed, STYLES[style]), Keeper(seed, [])
    clients = [
        (Client(serve(app, interface="wsgi", stream=stream).address), more)
        for app, more in ((ours, []), (alone, ALONE))
    ]
    for pairs in traffic(seed):
        for client, more in clients:
            client.begin()
            client.params([*pairs, *more])
            client.stdin(b"")
            assert client.collect().status == 200
    for client, _ in clients:
        client.close()
    ours.check(alone)


def test_a_body_whose_length_was_not_sent_leaves_none(serve):
    seen = []

    def app(environ, start_response):
        seen.append((environ.get("CONTENT_LENGTH"), environ["wsgi.input"].read()))
        start_response("200 OK", [])
        return [b"ok"]

    bodies = [b"", b"four", b"", b"eleven char", b""]
    with Client(serve(app, interface="wsgi").address) as client:
        for body in bodies:
            client.begin()
            client.params({"REQUEST_METHOD": "POST", "REQUEST_URI": "/"})
            if body:
                client.stdin(body)
            client.stdin(b"")
            assert client.collect().status == 200
    assert seen == [(str(len(body)) if body else None, body) for body in bodies]
