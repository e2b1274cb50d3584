# SPDX-License-Identifier: MIT
"""Files are sent by their descriptor only where read() would give the same."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import pathlib
import tempfile
import zipfile

import pytest
from support.fcgi_client import fetch

TEXT = b"some text\n" * 2000
HEAD = [("Content-Type", "text/plain")]


class Upper(io.FileIO):
    def read(self, size=-1):
        return super().read(size).upper()


class Raw(io.FileIO):
    def readinto(self, buffer):
        got = super().readinto(buffer)
        buffer[:got] = bytes(buffer[:got]).upper()
        return got


def plain(path):
    return open(path, "rb")


def own_read(path):
    file = open(path, "rb")  # noqa: SIM115
    read = file.read
    file.read = lambda size=-1: read(size).upper()
    return file


def own_raw_read(path):
    file = open(path, "rb")  # noqa: SIM115
    readinto = file.raw.readinto

    def upper(buffer):
        got = readinto(buffer)
        buffer[:got] = bytes(buffer[:got]).upper()
        return got

    file.raw.readinto = upper
    return file


def zipped(path):
    with zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "f")
    return zipfile.ZipFile(path.with_suffix(".zip")).open("f")


def packed(module):
    def pack(path):
        other = path.with_suffix(f".{module.__name__}")
        with module.open(other, "wb") as file:
            file.write(path.read_bytes())
        return module.open(other, "rb")

    return pack


def temporary(path):
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115
    file.write(path.read_bytes())  # Some of it is in the buffer only.
    file.seek(0)
    return file


def unflushed(path):
    file = open(path, "r+b")  # noqa: SIM115
    file.write(b"SOME")
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("opened", "body"),
    [
        (plain, TEXT),
        (io.FileIO, TEXT),
        (packed(gzip), TEXT),
        (packed(lzma), TEXT),
        (packed(__import__("bz2")), TEXT),
        (zipped, TEXT),
        (temporary, TEXT),
        (unflushed, b"SOME" + TEXT[4:]),
        (Upper, TEXT.upper()),
        (lambda path: io.BufferedReader(Raw(path)), TEXT.upper()),
        (own_read, TEXT.upper()),
        (own_raw_read, TEXT.upper()),
        (lambda path: type("F", (io.BufferedReader,), {})(io.FileIO(path)), TEXT),
    ],
)
def test_what_is_sent_is_what_read_gives(serve, tmp_path, opened, body):
    path = tmp_path / "f"
    path.write_bytes(TEXT)

    def app(environ, start_response):
        start_response("200 OK", HEAD)
        return environ["wsgi.file_wrapper"](opened(path), 1000)

    answer = fetch(serve(app).address)
    assert (answer.status, answer.body, answer.ended) == (200, body, True)
    assert answer.headers.get("content-length") in (None, str(len(body)))


def test_what_cannot_be_read_is_500(serve, tmp_path, capfd):
    (tmp_path / "f").write_bytes(TEXT)

    def app(environ, start_response):
        start_response("200 OK", HEAD)
        if environ["PATH_INFO"] == "/text":
            return environ["wsgi.file_wrapper"](open(tmp_path / "f"))
        if environ["PATH_INFO"] == "/write":
            return environ["wsgi.file_wrapper"](io.FileIO(tmp_path / "f", "a"))
        file = open(tmp_path / "f", "rb")  # noqa: SIM115
        file.close()
        return environ["wsgi.file_wrapper"](file)

    address = serve(app).address
    for path, complaint in [
        ("/text", "must yield bytes, not str"),
        ("/write", "not open for reading"),
        ("/closed", "closed file"),
    ]:
        assert fetch(address, uri=path).status == 500
        assert complaint in capfd.readouterr().err


UNSIZED = [
    "/proc/self/status",
    "/proc/sys/kernel/ostype",
    "/sys/kernel/mm/transparent_hugepage/enabled",
]


@pytest.mark.parametrize("path", [p for p in UNSIZED if pathlib.Path(p).exists()])
@pytest.mark.parametrize("native", [False, True])
def test_files_of_the_kernel_are_read(serve, path, native):
    def wsgi(environ, start_response):
        start_response("200 OK", HEAD)
        return environ["wsgi.file_wrapper"](open(path, "rb"))

    def handler(request):
        request.start(200, dict(HEAD))
        with open(path, "rb") as file:
            request.send_file(file)

    answer = fetch(serve(handler if native else wsgi).address)
    assert (answer.status, answer.ended) == (200, True)
    assert answer.body[:4] == pathlib.Path(path).read_bytes()[:4]
    assert answer.body.endswith(b"\n")


def test_a_file_that_has_grown_is_sent_as_long_as_promised(serve, tmp_path):
    path = tmp_path / "f"

    def wsgi(environ, start_response):
        start_response("200 OK", [("Content-Length", "10")])
        path.write_bytes(b"0123456789abcdef")
        return environ["wsgi.file_wrapper"](open(path, "rb"))

    def handler(request):
        request.start(200, {"Content-Length": "10"})
        path.write_bytes(b"0123456789abcdef")
        with open(path, "rb") as file:
            request.send_file(file)

    for app in (wsgi, handler):
        answer = fetch(serve(app).address)
        assert (answer.body, answer.ended) == (b"0123456789", True)


def test_a_file_that_has_shrunk_is_no_whole_answer(serve, tmp_path, capfd):
    path = tmp_path / "f"
    path.write_bytes(b"0123")

    def wsgi(environ, start_response):
        start_response("200 OK", [("Content-Length", "10")])
        return environ["wsgi.file_wrapper"](open(path, "rb"))

    def handler(request):
        request.start(200, {"Content-Length": "10"})
        with open(path, "rb") as file:
            request.send_file(file)

    assert fetch(serve(wsgi).address).status == 500
    assert "says 10, the body has 4 bytes" in capfd.readouterr().err
    assert not fetch(serve(handler).address).ended
    assert "6 bytes shorter than Content-Length" in capfd.readouterr().err


def test_a_pipe_is_no_file_to_send(serve, tmp_path):
    told = []

    def handler(request):
        read, write = os.pipe()
        try:
            request.send_file(read)
        except ValueError as error:
            told.append(str(error))
        os.close(read)
        os.close(write)
        return 200, {}, b"ok"

    assert fetch(serve(handler).address).body == b"ok"
    assert told == ["what is no regular file is sent with a length only"]
