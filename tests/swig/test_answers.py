# SPDX-License-Identifier: MIT
"""Heads that are impossible, promises that are broken, lengths of bodies and files
that change: in each language as in the modules that are written by hand."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, Response, fetch, get_params, request, wait_until
from support.probe import probe_command
from support.process import Process
from swig.languages import CHOSEN

# What the kernel makes up has no size before it is read.
MADE_UP = ["/proc/sys/kernel/ostype", "/proc/self/status"]
LONG = 8 << 20
pytestmark = pytest.mark.parametrize("language", CHOSEN)


class Probe(Process):
    """The probe of a language with these options."""

    def __init__(self, language: str, folder: Path, *options: str):
        self.address = f"unix:{folder}/probe.sock"
        command = [*probe_command(f"swig_{language}", self.address), *options]
        super().__init__(command, folder / "log")
        self.wait_for_address(self.address)

    def ask(self, uri: str, **options) -> Response:
        return fetch(self.address, uri=uri, **options)

    def tells(self, text: str, count: int = 1) -> None:
        wait_until(lambda: self.output().count(text) == count, what=f"{count} times {text!r}")


@pytest.fixture
def probe(language: str, tmp_path: Path) -> Iterator[Probe]:
    with Probe(language, tmp_path) as running:
        yield running
        assert running.ask("/?free").body == b"QUERY_STRING=free\n"
        assert running.stop() == 0, running.output()


@pytest.mark.parametrize("way", ["reply", "start"])
@pytest.mark.parametrize("status", [100, 101, 103, 199, 600])
def test_a_status_that_is_not_final_is_500(probe: Probe, way: str, status: int):
    answer = probe.ask(f"/{way}?{status}")
    assert (answer.status, answer.ended) == (500, True)
    assert b"abc" not in answer.stdout
    probe.tells("from 200 to 599")


@pytest.mark.parametrize(("length", "sent"), [("9", b"abc"), ("2", b"a")])
def test_a_stream_that_breaks_its_promise_is_cut(probe: Probe, length: str, sent: bytes):
    answer = probe.ask(f"/promise?{length}")
    assert (answer.body, answer.ended) == (sent, False)
    probe.tells("than Content-Length")


@pytest.mark.parametrize("length", ["9", "2"])
def test_a_broken_promise_spares_other_requests(probe: Probe, length: str):
    breaks, other = get_params("/promise", length), get_params("/", "other")
    with Client(probe.address) as client:
        client.send(request(1, breaks), request(2, other))
        answers = client.responses([1, 2])
    assert answers[1].app_status == 1
    assert (answers[2].body, answers[2].app_status) == (b"QUERY_STRING=other\n", 0)


def test_a_promise_that_is_kept(probe: Probe):
    answer = probe.ask("/promise?3")
    assert (answer.body, answer.ended, answer.app_status) == (b"abc", True, 0)
    assert "Content-Length" not in probe.output()


BODIES = [("-1", b"abc"), ("", b"abcd"), (None, b""), (None, b"x" * 300000)]


@pytest.mark.parametrize(("sent", "body"), BODIES)
@pytest.mark.parametrize("stream", [0, 1])
def test_the_length_of_a_body_of_unknown_length(
    language: str, sent: str | None, body: bytes, stream: int, tmp_path: Path
):
    """A collected one has been counted, unless there is none; a streamed one is on its way."""
    params = get_params("/length", REQUEST_METHOD="POST")
    if sent is not None:
        params["CONTENT_LENGTH"] = sent
    with Probe(language, tmp_path, f"stream={stream}") as probe, Client(probe.address) as client:
        told = -1 if stream else len(body) or -1
        assert client.ask(params, body).body == f"{told} {len(body)}".encode()


@pytest.mark.parametrize("path", MADE_UP)
def test_a_file_without_a_size_is_read(probe: Probe, path: str):
    answer = probe.ask("/file", FILE=path)
    assert answer.ended
    if path == MADE_UP[0]:
        assert answer.body == Path(path).read_bytes()
    else:
        assert f"\nPid:\t{probe.pid}\n".encode() in answer.body


def test_a_file_is_sent_as_long_as_promised(probe: Probe, tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"abcdef")
    answer = probe.ask("/file", FILE=str(file), LENGTH="3")
    assert (answer.body, answer.ended) == (b"abc", True)
    answer = probe.ask("/file", FILE=str(file), LENGTH="9")
    assert (answer.body, answer.ended) == (b"abcdef", False)


def begun(client: Client, file: Path) -> None:
    """Its file is on the way, and far from sent: nobody reads it."""
    client.send_request(uri="/file", FILE=str(file))
    assert client.step()


def test_a_file_that_grows_meanwhile(probe: Probe, tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * LONG)
    with Client(probe.address) as client:
        begun(client, file)
        with open(file, "ab") as more:
            more.write(b"y" * LONG)
        answer = client.collect()
    assert (len(answer.body), answer.body.count(b"y"), answer.ended) == (LONG, 0, True)


def test_a_file_that_shrinks_meanwhile(probe: Probe, tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * LONG)
    with Client(probe.address) as client:
        begun(client, file)
        os.truncate(file, LONG // 2)
        answer = client.collect()
    assert not answer.ended
    assert len(answer.body) <= LONG // 2
    probe.tells("a file got shorter")
