# SPDX-License-Identifier: MIT
"""What serves one request after another: no request sees anything of those
before it, and what an application keeps stays what it was."""

from __future__ import annotations

import contextlib
import gc
import io
import random
import sys
import threading
import time
import weakref

import fastcgi
import pytest
from support.fcgi_client import Client, Response, request

TEXT = [("Content-Type", "text/plain")]
OURS = ("wsgi.", "fastcgi.")
# Names that the core knows by number.
USUAL = (b"HTTP_ACCEPT", b"HTTP_COOKIE", b"HTTP_REFERER", b"HTTP_RANGE", b"REMOTE_PORT",
         b"SERVER_NAME", b"QUERY_STRING", b"REDIRECT_STATUS")  # fmt: skip
DEFAULTS = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
}


def ok(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"ok"]


def without_ours(environ):
    return {key: value for key, value in environ.items() if not key.startswith(OURS)}


def expected(pairs):
    """The environ for parameters with a PATH_INFO, by the rules alone."""
    made = dict(DEFAULTS)
    for name, value in pairs:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        joined = key.startswith("HTTP_") and key in made
        separator = "; " if key == "HTTP_COOKIE" else ", "
        made[key] = made[key] + separator + text if joined else text
    never_empty = ("REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL")
    return {**made, **{name: DEFAULTS[name] for name in never_empty if not made[name]}}


class Traffic:
    """Lists of parameters, each mostly like the one before: values change,
    parameters go, come again elsewhere, come twice, or are very many."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pairs = [(b"PATH_INFO", b"/0"), (b"REQUEST_METHOD", b"GET")]
        self.number = 0

    def value(self):
        length = self.random.choice((0, 1, 7, 8, 9, 40, 200, 2000))
        return bytes(self.random.choice(b"ab\xe9\xff%") for _ in range(length))

    def name(self):
        number = self.random.randrange(12)
        if number < 4:
            return self.random.choice(USUAL)
        return self.random.choice((b"HTTP_X_%d", b"PLAIN_%d", b"\xfcber_%d")) % number

    def change(self):
        optional = [at for at, (name, _) in enumerate(self.pairs) if name != b"PATH_INFO"]
        kind = self.random.choice("vvvvvaarrst")
        at = self.random.choice(optional) if optional else None
        if kind == "v" and at is not None:
            self.pairs[at] = (self.pairs[at][0], self.value())
        elif kind == "r" and at is not None:
            del self.pairs[at]
        elif kind == "s":
            self.random.shuffle(self.pairs)
        elif kind == "t" and at is not None and self.pairs[at][0].startswith(b"HTTP_"):
            self.pairs.append((self.pairs[at][0], self.value()))
        else:
            name = self.name()
            self.pairs = [pair for pair in self.pairs if pair[0] != name]
            place = self.random.randrange(len(self.pairs) + 1)
            self.pairs.insert(place, (name, self.value()))

    def next(self):
        self.number += 1
        for _ in range(self.random.randrange(4)):
            self.change()
        uri = b"/%d" % (self.number if self.number % 3 else 0)
        pairs = [(n, uri if n == b"PATH_INFO" else v) for n, v in self.pairs]
        if self.number % 50 == 0:
            pairs += [(b"MANY_%d" % i, b"x" * 10 * i) for i in range(self.number)]
        return pairs


class Recorder:
    """An application that keeps its environ, or a copy, or spoils it."""

    def __init__(self, kept):
        self.kept = kept
        self.seen = {}

    def __call__(self, environ, start_response):
        number = environ["NUMBER"]
        self.seen[number] = environ if self.kept else without_ours(environ)
        if not self.kept:
            environ["leak"] = "of the application"
            environ["REQUEST_METHOD"] = "SPOILT"
            environ.pop("SERVER_NAME")
        return ok(environ, start_response)

    def check(self, wanted):
        seen = {number: without_ours(environ) for number, environ in self.seen.items()}
        assert seen == wanted


@pytest.mark.parametrize("kept", [False, True], ids=["spoilt", "kept"])
@pytest.mark.parametrize("seed", range(4))
def test_every_environ_is_of_its_request_alone(serve, seed, kept):
    app, traffic, wanted = Recorder(kept), Traffic(seed), {}
    with Client(serve(app, interface="wsgi").address) as client:
        for number in range(200):
            pairs = [*traffic.next(), (b"NUMBER", b"%d" % number)]
            wanted[str(number)] = expected(pairs)
            client.begin()
            client.params(pairs)
            client.stdin(b"")
            assert client.collect().body == b"ok"
    app.check(wanted)


@pytest.mark.parametrize("kept", [False, True], ids=["spoilt", "kept"])
def test_many_threads_and_multiplexed_requests_do_not_mix(serve, kept):
    app, wanted, failed = Recorder(kept), {}, []
    address = serve(app, threads=4, interface="wsgi").address

    def ask(seed):
        traffic = Traffic(seed)
        with Client(address) as client:
            for turn in range(25):
                for request_id in range(1, 9):
                    number = f"{seed}.{turn}.{request_id}"
                    pairs = [*traffic.next(), (b"NUMBER", number.encode())]
                    wanted[number] = expected(pairs)
                    client.answers[request_id] = Response()
                    client.send(request(request_id, pairs))
                if any(client.collect(i).body != b"ok" for i in range(1, 9)):
                    failed.append(seed)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not failed
    app.check(wanted)


# What an application may keep of a request, and a use of it that must fail later.
KEEPERS = {
    "environ": (
        lambda environ, start: environ,
        lambda environ: environ["fastcgi.aborted"](),
    ),
    "request": (
        lambda environ, start: environ["fastcgi.request"],
        lambda request: request.method,
    ),
    "input": (
        lambda environ, start: environ["wsgi.input"].read,
        lambda read: read(),
    ),
    "aborted": (
        lambda environ, start: environ["fastcgi.aborted"],
        lambda aborted: aborted(),
    ),
    "start_response": (
        lambda environ, start: start,
        lambda start: start("200 OK", TEXT),
    ),
    "write": (
        lambda environ, start: start("200 OK", TEXT),
        lambda write: write(b"late"),
    ),
}


@pytest.mark.parametrize(("keep", "use"), KEEPERS.values(), ids=KEEPERS)
def test_what_is_kept_does_not_become_the_next_request(serve, keep, use):
    kept = []

    def app(environ, start_response):
        for old in kept:
            with pytest.raises(fastcgi.StateError):
                use(old)
        assert environ["fastcgi.aborted"]() is None
        kept.append(keep(environ, start_response))
        with contextlib.suppress(fastcgi.StateError):  # Called to be kept.
            start_response("200 OK", TEXT)
        return [environ["PATH_INFO"].encode()]

    with Client(serve(app, interface="wsgi").address) as client:
        for path in (b"/first", b"/second", b"/third"):
            assert client.request(uri=path.decode()).body == path


def test_a_kept_environ_has_its_own_request(serve):
    kept = []

    def app(environ, start_response):
        kept.append((environ["PATH_INFO"], environ["fastcgi.request"], environ))
        return ok(environ, start_response)

    with Client(serve(app, interface="wsgi").address) as client:
        for path in ("/first", "/second", "/third"):
            assert client.request(uri=path).body == b"ok"
    assert len({id(own) for _, own, _ in kept}) == 3
    for path, own, environ in kept:
        assert environ["PATH_INFO"] == path
        assert environ["fastcgi.request"] is environ["wsgi.input"] is own
        assert environ["fastcgi.aborted"].__self__ is own


def test_a_weak_reference_does_not_reach_the_next_request(serve):
    seen = []

    def app(environ, start_response):
        seen.append(weakref.ref(environ["fastcgi.aborted"]))
        alive = [ref() for ref in seen]
        assert alive.count(environ["fastcgi.aborted"]) == 1, alive
        return ok(environ, start_response)

    with Client(serve(app, interface="wsgi").address) as client:
        for _ in range(3):
            assert client.request().body == b"ok"


def test_a_kept_request_of_a_handler_stays_ended(serve):
    kept = []

    def handler(request):
        for number, old in enumerate(kept):
            assert old is not request
            assert old.ended
            assert old.params["QUERY_STRING"] == f"n={number}"
        assert request.params["QUERY_STRING"] == f"n={len(kept)}"
        kept.append(request)
        return 200, {}, b"ok"

    with Client(serve(handler, interface="handler").address) as client:
        for number in range(3):
            assert client.request(uri=f"/?n={number}").body == b"ok"


def test_a_body_half_read_is_not_in_the_next_request(serve):
    def read(request):
        return 200, {}, request.readline()  # It reads ahead.

    def params(request):
        return 200, {}, request.params["REQUEST_URI"] + ";".join(sorted(request.params))

    def app(request):
        return params(request) if request.method == "GET" else read(request)

    with Client(serve(app, interface="handler").address) as client:
        assert client.request("POST", body=b"one\ntwo").body == b"one\n"
        assert client.request("POST", body=b"three\nfour").body == b"three\n"
        assert client.request("POST", body=b"").body == b""
        one = client.request(uri="/1", HTTP_ONE="1").body
        two = client.request(uri="/2").body
        assert (b"HTTP_ONE" in one, b"HTTP_ONE" in two) == (True, False)
        assert (one[:2], two[:2]) == (b"/1", b"/2")


def test_answers_of_every_kind_follow_each_other(serve, monkeypatch):
    """Whatever one request leaves behind, the next begins anew."""
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)

    def native(request):
        request.start(201, TEXT)
        request.write(b"native")
        request.end()

    def app(environ, start_response):
        kind = environ["PATH_INFO"][1:]
        if kind == "raise":
            raise ValueError("expected")
        if kind == "silent":
            return [b"no start_response"]
        if kind == "native":
            return native(environ["fastcgi.request"]) or []
        if kind == "bad":
            start_response("200 OK", [("X", "a\nb")])
            return [b"bad"]
        if kind == "again":
            with contextlib.suppress(fastcgi.StateError):
                start_response("404 Nope", TEXT)
                start_response("404 Nope", TEXT)
            return [b"again"]
        write = start_response("200 Fine", TEXT)
        if kind == "write":
            write(b"written ")
        return iter([b"blocks"]) if kind == "blocks" else [kind.encode()]

    wanted = {"raise": 500, "silent": 500, "native": 201, "bad": 500, "again": 404, "write": 200,
              "blocks": 200, "list": 200}  # fmt: skip
    order = [*wanted, *reversed(wanted), *random.Random(1).choices([*wanted], k=100)]
    client = Client(serve(app, interface="wsgi").address)
    for kind in order:
        answer = client.request(uri=f"/{kind}")
        assert (kind, answer.status) == (kind, wanted[kind]), log.getvalue()
        if kind in ("native", "list", "blocks", "again"):
            assert answer.body.decode() == kind
    client.close()


def test_headers_are_judged_anew_where_another_answer_used_them(serve, monkeypatch):
    """The strings of a good header may be those of a bad one elsewhere."""
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    line, good = "200 OK", ("X", "y")
    sent = {
        "/line": (line, []),
        "/header": ("200", [("Status", line)]),
        "/both": (line, [("Status", line)]),
        "/good": (line, [good]),
        "/swapped": (line, [(good[1], good[0])]),
        "/bad": (line, [(good[0], "a\rb")]),
    }
    expected = {"/both": 500, "/bad": 500}

    def app(environ, start_response):
        start_response(*sent[environ["PATH_INFO"]])
        return [b"x"]

    with Client(serve(app, interface="wsgi").address) as client:
        paths = random.Random(2).choices([*sent], k=100)
        for path in paths:
            assert (path, client.request(uri=path).status) == (path, expected.get(path, 200))
    refused = sum(path in expected for path in paths)
    assert log.getvalue().count("the answer cannot begin: header") == refused


def test_what_a_request_has_done_the_next_has_not(serve, monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)

    def app(request):
        if request.query == "start":
            request.start(200, TEXT)
        return None

    with Client(serve(app, interface="handler").address) as client:
        assert client.request(uri="/?start").status == 200
        assert client.request(uri="/").status == 500
        assert client.request(uri="/?start").status == 200
    assert "the handler returned None and wrote nothing" in log.getvalue()


def test_a_body_that_ended_with_its_answer_is_not_at_its_end_in_the_next(serve):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        yield b"ok"  # This ends the answer.
        if environ["PATH_INFO"] == "/reads":
            assert environ["wsgi.input"].read() == b""

    def whole(environ, start_response):
        if environ["PATH_INFO"] != "/end":
            return app(environ, start_response)
        environ["fastcgi.request"].reply(b"ok")
        with pytest.raises(fastcgi.StateError):
            environ["wsgi.input"].read()
        start_response("200 OK", TEXT)
        return iter([])

    with Client(serve(whole, interface="wsgi").address) as client:
        for path in ("/reads", "/end", "/other", "/end"):
            assert client.request(uri=path).body == b"ok"


def test_an_answer_that_has_begun_is_not_begun_again(serve, monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)

    def app(request):
        request.start(200, TEXT)
        request.write(b"one")
        return 200, TEXT, b"two"

    with Client(serve(app, interface="handler").address) as client:
        assert not client.request().ended
    assert "the answer has begun already" in log.getvalue()


@pytest.mark.filterwarnings("ignore:.*was dropped without end:ResourceWarning")
def test_a_request_that_a_thread_drops_fails_at_once(serve, monkeypatch):
    """The server keeps no reference that would put that off."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    served = threading.Event()

    def is_read(stream):
        try:
            stream.read(0)
        except fastcgi.StateError:  # Another thread is reading.
            return True
        return False

    def app(environ, start_response):
        stream = environ["wsgi.input"]
        threading.Thread(target=stream.read, args=(1,)).start()
        while not is_read(stream):
            time.sleep(0.001)
        served.set()
        return ok(environ, start_response)

    with Client(serve(app, interface="wsgi", stream=True).address) as client:
        client.begin()
        client.params({"REQUEST_METHOD": "POST", "REQUEST_URI": "/", "CONTENT_LENGTH": "1"})
        assert served.wait(60)
        client.stdin(b"x")
        assert client.collect().status == 500


def test_a_request_served_is_not_kept_by_the_server(serve):
    """What hangs on a request goes with it, without a further request."""
    gone = threading.Event()

    class Thing:
        pass

    def app(environ, start_response):
        environ["thing"] = thing = Thing()
        weakref.finalize(thing, gone.set)
        start_response("200 OK", [("X", "y")])
        return [b"ok"]

    with Client(serve(app, interface="wsgi").address) as client:
        for _ in range(3):
            gone.clear()
            assert client.request().body == b"ok"
            assert gone.wait(60)


def test_no_object_is_left_when_all_is_over(serve):
    """The counts of our types, also of what was waiting for a next request."""

    def everything():
        gc.collect()
        names = ("Request", "StartResponse")
        return [sum(type(o).__name__ == name for o in gc.get_objects()) for name in names]

    before = everything()
    serving = serve(ok, threads=3, interface="wsgi")
    with Client(serving.address) as client:
        for _ in range(20):
            assert client.request().body == b"ok"
    serving.stop()
    assert everything() == before
