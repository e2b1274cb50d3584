# SPDX-License-Identifier: MIT
"""Files are sent by their descriptor only where read() would give the same."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import pathlib
import subprocess
import tempfile
import zipfile

import pytest
from support.fcgi_client import Client, fetch, get_params, head

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


class Reads:
    """Something that read() can be asked of, and nothing else."""

    def __init__(self, path):
        self.file = open(path, "rb")  # noqa: SIM115

    def read(self, size):
        return bytearray(self.file.read(size).upper())


class Descriptor(Reads):
    """One with a descriptor besides that gives something else."""

    def fileno(self):
        return self.file.fileno()


def piped(path):
    return subprocess.Popen(["cat", path], stdout=subprocess.PIPE).stdout


def temporary_plain(path):
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(path.read_bytes())
    file.seek(0)
    return file


@pytest.mark.parametrize("native", [False, True])
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
        (temporary_plain, TEXT),
        (piped, TEXT),
        (lambda path: io.BytesIO(path.read_bytes()), TEXT),
        (Reads, TEXT.upper()),
        (Descriptor, TEXT.upper()),
        (unflushed, b"SOME" + TEXT[4:]),
        (Upper, TEXT.upper()),
        (lambda path: io.BufferedReader(Raw(path)), TEXT.upper()),
        (own_read, TEXT.upper()),
        (own_raw_read, TEXT.upper()),
        (lambda path: type("F", (io.BufferedReader,), {})(io.FileIO(path)), TEXT),
    ],
)
def test_what_is_sent_is_what_read_gives(serve, tmp_path, opened, body, native):
    path = tmp_path / "f"
    path.write_bytes(TEXT)

    def app(environ, start_response):
        start_response("200 OK", HEAD)
        return environ["wsgi.file_wrapper"](opened(path), 1000)

    def handler(request):
        request.start(200, dict(HEAD))
        request.send_file(opened(path))

    answer = fetch(serve(handler if native else app).address)
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


def test_a_part_of_what_read_gives(serve, tmp_path, capfd):
    path = tmp_path / "f"
    path.write_bytes(TEXT)
    parts = {
        "/middle": (packed(gzip), 5, 4, b"text"),
        "/rest": (packed(gzip), 15, None, TEXT[15:]),
        "/stood": (packed(gzip), 0, 4, b"some"),
        "/none": (packed(gzip), 5, 0, b""),
        "/pipe": (piped, 0, 9, TEXT[:9]),
        "/greedy": (Greedy, 0, 9, TEXT[:9]),
        "/large": (Greedy, 0, None, TEXT * 10),
    }

    def handler(request):
        opened, offset, length, _ = parts[request.path]
        request.start(200, dict(HEAD))
        file = opened(path)
        if request.path == "/stood":
            file.read(7)
        request.send_file(file, offset, length)

    address = serve(handler).address
    for uri, part in parts.items():
        assert fetch(address, uri=uri).body == part[-1], uri


class Greedy(Reads):
    """It reads more than it is asked for."""

    def read(self, size):
        return self.file.read() * 10


def test_a_part_that_cannot_be_sent(serve, tmp_path, capfd):
    path = tmp_path / "f"
    path.write_bytes(TEXT)
    wrong = [
        (packed(gzip), 0, len(TEXT) + 6, ValueError, "6 bytes before"),
        (piped, 3, None, OSError, "seek"),
        (Reads, 3, None, AttributeError, "seek"),
        (open, 0, None, TypeError, "bytes-like"),
        (lambda path: io.FileIO(path, "a"), 0, None, io.UnsupportedOperation, "reading"),
        (lambda path: os.fdopen(os.open(path, 0), "rb").detach(), 0, -1, ValueError, "negative"),
    ]

    def handler(request):
        request.start(200, dict(HEAD))
        opened, offset, length, kind, complaint = wrong[int(request.path[1:])]
        with pytest.raises(kind, match=complaint):
            request.send_file(opened(path), offset, length)
        request.write(b"ok")

    address = serve(handler).address
    for number in range(len(wrong)):
        assert fetch(address, uri=f"/{number}").body.endswith(b"ok"), number


def test_head_reads_no_endless_file(serve):
    def handler(request):
        request.start(200, dict(HEAD))
        request.send_file(Endless())

    assert fetch(serve(handler).address, method="HEAD").ended


class Endless:
    def read(self, size):
        return bytes(size)


@pytest.mark.parametrize("shared", [False, True])
def test_a_part_of_a_file_of_the_kernel(serve, shared):
    def handler(request):
        request.start(200, dict(HEAD))
        with open("/proc/sys/kernel/ostype", "rb") as file:
            request.send_file(file.fileno() if request.path == "/fd" else file, 1, 3)

    with Client(serve(handler).address) as client:
        if shared:
            client.send(head(2, get_params("/fd")))
        for uri in ("/fd", "/object"):
            assert client.ask(get_params(uri)).body == b"inu"
