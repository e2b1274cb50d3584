# SPDX-License-Identifier: MIT
"""What only Python's SWIG module has to show: threads, Ctrl-C, reference counts."""

import contextlib
import gc
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params, request, wait_until
from support.option_map import read_map
from support.paths import BUILD

sys.path.insert(0, str(BUILD / "swig" / "python"))
import fastcgi_swig


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/x"


@pytest.fixture
def server(address: str):
    made = fastcgi_swig.Server()
    made.listen(address)
    yield made
    made.close()


def start(call, *arguments) -> threading.Thread:
    thread = threading.Thread(target=call, args=arguments)
    thread.start()
    return thread


def test_threads_serve_at_once(server, address):
    together = threading.Barrier(4, timeout=60)

    def handler(request):
        together.wait()
        request.reply(200, "text/plain", threading.current_thread().name)

    threads = [start(server.run, handler) for _ in range(4)]
    with Client(address) as client:
        client.send(*(request(i, get_params()) for i in range(1, 5)))
        names = {bytes(answer.body) for answer in client.responses(range(1, 5)).values()}
    server.stop()
    for thread in threads:
        thread.join(60)
    assert len(names) == 4


def test_close_wakes_a_thread_that_waits(server):
    found = []
    thread = start(lambda: found.append(server.accept()))
    wait_until(lambda: thread.is_alive())
    time.sleep(0.1)
    server.close()
    thread.join(60)
    assert found == [None]
    assert server.stopped()
    with pytest.raises(fastcgi_swig.Error, match="the server is closed") as caught:
        server.accept()
    assert caught.value.code == "CLOSED"


def ask_until_refused(taken):
    while True:
        taken.id()


def read_until_accepted(taken):
    """Whoever asks at the same time may be first."""
    while True:
        with contextlib.suppress(fastcgi_swig.Error):
            return taken.read()


def test_a_request_is_one_threads_at_a_time(address):
    server = fastcgi_swig.Server()
    server.set("stream", 1)
    server.listen(address)
    with Client(address) as client:
        client.send(request(1, get_params())[:-8])  # Without the end of STDIN.
        taken = server.accept(10)
        reader = start(read_until_accepted, taken)
        with pytest.raises(fastcgi_swig.Error, match="another thread is using the request"):
            ask_until_refused(taken)
        client.send(request(1, get_params())[-8:])
        reader.join(60)
        taken.reply(200, "", b"done")
        assert client.responses([1])[1].body == b"done"
    server.close()


def test_ctrl_c_leaves_the_loop_and_it_can_go_on(server, address):
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        server.run(print)
    asked = []
    thread = start(lambda: asked.append(Client(address).ask(get_params())))
    server.run(lambda request: request.reply(200, "", b"again") or server.stop())
    thread.join(60)
    assert asked[0].body == b"again"


def test_the_error_is_the_handlers_own(server, address):
    failure = ZeroDivisionError("of the handler")

    def handler(request):
        raise failure

    thread = start(lambda: Client(address).ask(get_params()))
    with pytest.raises(ZeroDivisionError) as caught:
        server.run(handler, "raise")
    thread.join(60)
    assert caught.value is failure
    assert [frame.name for frame in traceback.extract_tb(caught.tb)][-1] == "handler"


def test_a_dropped_request_fails(server, address):
    thread_answers = []
    thread = start(lambda: thread_answers.append(Client(address).ask(get_params())))
    assert server.accept(10).param("REQUEST_METHOD") == "GET"
    thread.join(60)
    assert thread_answers[0].status == 500


def test_a_request_outlives_its_server(address):
    server = fastcgi_swig.Server()
    server.listen(address)
    with Client(address) as client:
        client.send(request(1, get_params()))
        taken = server.accept(10)
        del server
        gc.collect()
        taken.reply(200, "", b"late")
        assert client.responses([1])[1].body == b"late"


def test_references(server, address):
    def handler(request):
        request.params()
        request.header("A", "b")
        try:
            request.write(None)
        except TypeError:
            request.reply(200, "text/plain", request.read() + b"x")

    thread = start(server.run, handler)
    counts = []
    with Client(address) as client:
        for _ in range(3):
            for _ in range(1000):
                assert client.ask(get_params()).body == b"x"
            gc.collect()
            counts.append((len(gc.get_objects()), sys.getrefcount(None)))
    server.stop()
    thread.join(60)
    objects, nones = zip(*counts, strict=True)
    assert abs(objects[2] - objects[1]) < 500  # One for each request would be 1,000;
    assert abs(nones[2] - nones[1]) < 500  # the interpreter has some of its own.


def test_a_refused_number_is_told_as_it_was_given(server):
    """With its range; and 0 is no limit, as everywhere."""
    fresh = fastcgi_swig.Server()
    fresh.set("io_timeout", 0)
    for name, number in (("io_timeout", -1), ("io_timeout", 2**40), ("log_queue", 4096)):
        with pytest.raises(fastcgi_swig.Error) as caught:
            fresh.set(name, number)
        assert f"{name}={number}: must be a " in str(caught.value)
        assert " to " in str(caught.value)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda server: server.run(None), TypeError),
        (lambda server: server.run(print, "nonsense"), fastcgi_swig.Error),
        (lambda server: server.set("backlog", "1"), TypeError),
        (lambda server: server.set("backlog", 2**64), OverflowError),
        (lambda server: server.set_text("allow_from", "\u20ac"), UnicodeEncodeError),
        (lambda server: fastcgi_swig.Server().accept(0), fastcgi_swig.Error),
    ],
)
def test_wrong_arguments(server, call, error):
    with pytest.raises(error):
        call(server)


OF_SERVERS = [
    one for one in read_map() if one.scope == "server" or one.name in ("stream", "log_level")
]
TEXTS = {
    "flag": "true", "count": "7", "bytes": "7M", "seconds": "7s", "mode": "600", "path": "/x",
    "users": "root", "allow_from": "127.0.0.1", "temp_dir": "/tmp", "access_logformat": "common",
}  # fmt: skip


@pytest.mark.parametrize("option", OF_SERVERS, ids=lambda option: option.name)
def test_every_option_of_servers_is_there(address, option):
    """As a text, and the server that it makes listens."""
    words = (option.words or "-").split(", ")
    text = TEXTS.get(option.name) or TEXTS.get(option.kind) or words[-1]
    with contextlib.closing(fastcgi_swig.Server()) as server:
        server.set_text(option.name, text)
        server.listen(address)


@pytest.mark.parametrize("name", ["workers", "bind", "config", "user"])
def test_options_of_launchers_are_refused(name):
    refused = pytest.raises(fastcgi_swig.Error, match="is for a launcher, not for a server")
    with contextlib.closing(fastcgi_swig.Server()) as server, refused:
        server.set_text(name, "7")


def test_large_sizes_do_not_wrap(server, address):
    answers = []
    thread = start(lambda: answers.append(Client(address).ask(get_params(), b"body")))
    taken = server.accept(10)
    assert taken.read(2**62) == b"body"
    taken.end()
    thread.join(60)
