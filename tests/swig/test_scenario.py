# SPDX-License-Identifier: MIT
"""The same scenario in every language, against tests/swig/app.*."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import fcgi_client as fcgi
from support.fcgi_client import (
    Client,
    Response,
    get_params,
    post_params,
    wait_for_server,
    wait_until,
)
from support.process import Process
from swig.languages import CHOSEN, LANGUAGES, app

ALL_BYTES = bytes(range(256))


class App(Process):
    """A running program, and a client of it."""

    def __init__(self, language: str, handler: str, folder: Path):
        self.language = language
        self.address = f"unix:{folder}/{handler}.sock"
        super().__init__([*app(language), handler, self.address], folder / f"{handler}.log")
        self.wait_for_address(self.address)

    def ask(self, path: str, body: bytes = b"", **params: str) -> Response:
        with Client(self.address) as client:
            sent = post_params(len(body), path) if body else get_params(path)
            return client.ask({**sent, **params}, body, keep=False)

    def text(self, path: str, **params: str) -> str:
        response = self.ask(path, **params)
        assert response.status == 200, response
        return response.body.decode()


@pytest.fixture(scope="module", params=CHOSEN)
def language(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def scenario(language, tmp_path_factory) -> Iterator[App]:
    with App(language, "scenario", tmp_path_factory.mktemp(language)) as running:
        yield running
        assert running.running(), running.output()


def test_any_bytes_both_ways(scenario):
    body = ALL_BYTES * 3 + b"\0"
    with Client(scenario.address) as client:
        params = fcgi.pairs(post_params(len(body), "/bytes")) + b"\x03\x03ODD\xff\xfe\x80"
        begin = fcgi.record(fcgi.BEGIN_REQUEST, 1, b"\0\1\1" + bytes(5))
        client.send(
            begin,
            fcgi.stream(fcgi.PARAMS, 1, params),
            fcgi.stream(fcgi.STDIN, 1, body),
        )
        response = client.responses([1])[1]
    assert response.body == body + b"|\xff\xfe\x80"
    assert response.headers["x-length"] == str(len(body))


def test_absent_parameter(scenario):
    assert scenario.text("/nothing") == "nothing"
    assert scenario.text("/nothing", ABSENT="") == "something"


def test_numbers_are_exact(scenario):
    above, largest = 2**53 + 1, 2**63 - 1
    told = scenario.text("/number", FCGI_DATA_LENGTH=str(above), FCGI_DATA_LAST_MOD=str(largest))
    assert told == f"-1\n{above}\n{largest}\n"
    told = scenario.text("/large")
    assert told.startswith("INVALID ")
    assert str(above) in told


def test_error_in_a_handler(scenario):
    assert scenario.ask("/die").status == 500
    wait_until(lambda: "as it was told to" in scenario.output(), what="the error in the log")
    assert LANGUAGES[scenario.language].trace in scenario.output()
    with pytest.raises(ConnectionError):
        scenario.ask("/die_late")
    assert scenario.text("/count")


def test_handler_that_writes_nothing(scenario):
    assert scenario.ask("/silent").status == 500
    line = "its handler returned and wrote nothing, so the client gets 500"
    wait_until(lambda: f"GET /silent: {line}" in scenario.output(), what="the line")


def test_promises_of_a_head(scenario):
    response = scenario.ask("/promise", LENGTH="3")
    assert (response.status, response.body) == (200, b"abc")
    assert "transfer-encoding" not in response.headers
    wait_until(lambda: "header Transfer-Encoding," in scenario.output(), what="the line")
    for length, why in [
        ("50", "Content-Length says 50, the body has 3 bytes"),
        ("x", "Content-Length 'x' is not a number of bytes"),
    ]:
        assert scenario.ask("/promise", LENGTH=length).status == 500
        wait_until(lambda: why in scenario.output(), what=why)  # noqa: B023
    assert scenario.output().count("header Transfer-Encoding,") == 1


@pytest.mark.parametrize("path", ["/odd", "/leave"])
def test_odd_errors(scenario, path):
    assert scenario.ask(path).status == 500
    assert scenario.text("/count")


def test_saved_request(scenario):
    assert scenario.ask("/save").app_status == 0
    assert scenario.text("/saved") == "STATE STATE STATE STATE ended"


def test_nothing_for_a_handle(scenario):
    assert scenario.text("/no_handle") == "INVALID INVALID"


def test_wrong_arguments(scenario):
    assert scenario.ask("/wrong").status == 500
    wait_until(lambda: "SYSTEM" in scenario.output(), what="the codes in the log")
    assert "INVALID STATE INVALID SYSTEM" in scenario.output()


def test_nested_server(scenario, tmp_path):
    inner = f"unix:{tmp_path}/inner.sock"
    with Client(scenario.address) as outside:
        outside.send(fcgi.request(1, get_params("/nested", INNER=inner)))
        wait_for_server(inner)
        with Client(inner) as inside:
            assert inside.ask(get_params(), keep=False).body == b"inner\n"
        assert outside.responses([1])[1].body == b"outer\n"


def test_file(scenario, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0\x00\xff345678")
    assert scenario.ask("/file", FILE=str(path)).body == b"\x00\xff345"


def test_thousand_multiplexed_requests(scenario):
    before = int(scenario.text("/count"))
    ids = range(1, 1001)
    with Client(scenario.address) as client:
        client.send(*(fcgi.head(i, get_params("/count")) for i in ids))
        client.send(*(fcgi.record(fcgi.STDIN, i) for i in ids))
        responses = client.responses(ids)
    counts = sorted(int(response.body) for response in responses.values())
    assert counts == list(range(before + 1, before + 1001))


def test_signal_stops(language, tmp_path):
    with App(language, "scenario", tmp_path) as running:
        assert running.text("/count") == "1"
        assert running.stop() == 0, running.output()


def test_stop_inside_a_callback(language, tmp_path):
    with App(language, "scenario", tmp_path) as running:
        assert running.text("/stop") == "stopping\n"
        assert running.wait() == 0, running.output()


def test_close_inside_a_callback(language, tmp_path):
    with App(language, "scenario", tmp_path) as running:
        with pytest.raises(ConnectionError):
            running.ask("/close")
        assert running.wait() == 0, running.output()


def test_error_leaves_the_loop_unchanged(language, tmp_path):
    with App(language, "raising", tmp_path) as running:
        assert running.ask("/").status == 500
        assert running.text("/") == "same"
        assert running.wait() == 0, running.output()


def test_pull(language, tmp_path):
    with App(language, "pull", tmp_path) as running:
        running.text("/")
        time.sleep(0.2)
        assert running.text("/stop") == "after a pause"
        assert running.wait() == 0, running.output()


def test_no_leak(scenario):
    """Memory after 100,000 requests is what it was after 20,000."""

    def ask(count: int) -> None:
        with Client(scenario.address) as client:
            for _ in range(count // 100):
                ids = range(1, 101)
                params, body = post_params(2000, "/bytes") | {"ODD": "y"}, b"x" * 2000
                client.send(*(fcgi.request(i, params, body) for i in ids))
                client.responses(ids)

    ask(20_000)
    before = scenario.rss_bytes()
    ask(100_000)
    assert scenario.rss_bytes() - before < 512 * 1024
