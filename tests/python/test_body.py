# SPDX-License-Identifier: MIT
"""Reading bodies: collected, spilled to a file, streamed, cut short."""

from __future__ import annotations

import hashlib
import io
import random
import threading
import time

import fastcgi
import pytest
from support.fcgi_client import Client, fetch

TEXT = {"Content-Type": "text/plain"}


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


@pytest.mark.parametrize("stream", [False, True], ids=["collect", "stream"])
@pytest.mark.parametrize("size", [0, 1, 8191, 65535, 65536, 1 << 20, 20 << 20])
@pytest.mark.parametrize("chunk", [None, 100_000])
def test_sizes(serve, size, stream, chunk):
    body = random.Random(size).randbytes(size)

    def handler(request):
        data = request.read() if chunk is None else b"".join(iter(lambda: request.read(chunk), b""))
        assert request.read() == b"" == request.read(10)
        return 200, TEXT, digest(data) + b" %d" % len(data)

    answer = fetch(serve(handler, stream=stream).address, "POST", body=body)
    assert answer.body == digest(body) + b" %d" % size


def test_small_memory_spills_to_a_file_in_temp_dir(serve, tmp_path):
    body = random.Random(1).randbytes(3 << 20)
    serving = serve(
        lambda r: (200, TEXT, digest(r.read())), body_memory=1024, temp_dir=str(tmp_path)
    )
    with Client(serving.address) as client:
        for _ in range(2):
            assert client.request("POST", body=body).body == digest(body)
    assert [path.name for path in tmp_path.iterdir()] == ["0.sock"], "the file has a name"


@pytest.mark.parametrize("stream", [False, True], ids=["collect", "stream"])
def test_file_methods_are_those_of_a_file(serve, stream):
    """The same random calls on the body and on io.BytesIO."""
    random_calls = random.Random(7)
    text = b"".join(
        bytes(random_calls.choices(b"ab\n", k=random_calls.choice([1, 5, 50, 9000])))
        for _ in range(60)
    )
    sizes = [-1, 0, 1, 2, 7, 100, 8192, 20000]
    calls = [
        (random_calls.choice(["read", "readline", "readlines", "next", "readinto"]),
         random_calls.choice(sizes[1:]))
        for _ in range(400)
    ]  # fmt: skip

    def do(file, name, size):
        if name == "next":
            return next(file, None)
        if name == "readinto":
            buffer = bytearray(size)
            return file.readinto(buffer), bytes(buffer)
        return getattr(file, name)(size)

    def handler(request):
        model = io.BytesIO(text)
        for name, size in calls:
            if name == "readlines" and size == 0:
                continue
            got, expected = do(request, name, size), do(model, name, size)
            assert got == expected, (name, size)
        assert request.read(None) == model.read(None)
        return 200, TEXT, b"same"

    assert fetch(serve(handler, stream=stream).address, "POST", body=text).body == b"same"


def test_wrong_arguments(serve):
    def handler(request):
        for wrong in ("3", 1.5):
            with pytest.raises(TypeError):
                request.read(wrong)
        with pytest.raises(TypeError):
            request.read(1, 2)
        with pytest.raises((TypeError, BufferError)):
            request.readinto(b"read-only")
        return 200, TEXT, request.read()

    assert fetch(serve(handler).address, "POST", body=b"still here").body == b"still here"


def test_stream_starts_before_the_body_has_come(serve):
    def handler(request):
        request.start(200, TEXT)
        request.write(b"ready")
        request.flush()
        while part := request.read1(100):
            request.write(part.upper())
            request.flush()

    with Client(serve(handler, stream=True).address) as client:
        client.begin()
        client.params({"REQUEST_METHOD": "POST"})
        expected = b"ready"
        for part in (b"one", b"two", b"three"):
            while client.answers[1].body != expected:
                assert client.step()
            client.stdin(part, end=False)
            expected += part.upper()
        client.stdin(b"")
        assert client.collect().body == expected


@pytest.mark.parametrize("stream", [False, True], ids=["collect", "stream"])
def test_a_cut_upload_is_never_taken_for_a_whole_one(serve, stream):
    caught = []

    def handler(request):
        try:
            return 200, TEXT, request.read()
        except fastcgi.Truncated as error:
            caught.append(error)
            return 400, TEXT, b"cut"

    serving = serve(handler, stream=stream)
    with Client(serving.address) as client:
        client.begin()
        client.params({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "10"})
        client.stdin(b"12345")
        assert client.collect().body == b"cut"
    assert isinstance(caught[0], ConnectionError)
    assert isinstance(caught[0], fastcgi.Error)


def test_a_client_that_leaves_during_the_upload(serve, capfd):
    caught = []
    done = threading.Event()

    def handler(request):
        try:
            request.read()
        except OSError as error:
            caught.append(error)
            raise
        finally:
            done.set()

    serving = serve(handler, stream=True)
    with Client(serving.address) as client:
        client.begin()
        client.params({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "10"})
        client.stdin(b"12345", end=False)
        time.sleep(0.1)
    assert done.wait(60)
    assert isinstance(caught[0], fastcgi.Aborted)
    serving.stop(graceful=True)
    assert "Traceback" not in capfd.readouterr().err


def test_a_peer_that_is_silent_times_out(serve):
    def handler(request):
        with pytest.raises(fastcgi.Timeout) as caught:
            request.read()
        assert isinstance(caught.value, TimeoutError)
        return 408, TEXT, b"slow"

    with Client(serve(handler, stream=True, io_timeout=0.2).address) as client:
        client.begin()
        client.params({"REQUEST_METHOD": "POST"})
        while not client.answers[1].body:
            assert client.step()
        assert client.answers[1].status == 408


def test_too_large_a_body_is_413(serve):
    serving = serve(lambda r: (200, TEXT, b"never"), limit_request_body=1000)
    answer = fetch(serving.address, "POST", body=b"x" * 1001)
    assert answer.status == 413
    assert fetch(serving.address, "POST", body=b"x" * 1000).status == 200


def test_an_unread_body_does_not_disturb_the_next_request(serve):
    """Also when more than the input window of it has come already."""

    def handler(request):
        time.sleep(0.1)
        return 200, TEXT, b"unread"

    serving = serve(handler, threads=2, stream=True)
    with Client(serving.address) as client:
        for _ in range(3):
            assert client.request("POST", body=b"\1\1\0\1" * 300_000).body == b"unread"
