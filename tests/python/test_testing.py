# SPDX-License-Identifier: MIT
"""fastcgi.testing: applications in process, over real records."""

import threading

import fastcgi
import pytest
from fastcgi.testing import (
    AUTHORIZER,
    BEGIN_REQUEST,
    FILTER,
    PARAMS,
    STDIN,
    STDOUT,
    Client,
    pair,
    pairs,
    record,
    request_bytes,
    request_params,
    stream,
)


def echo(request):
    if request.method == "POST":
        return 200, {"Content-Type": request.params.get("CONTENT_TYPE", "")}, request.read()
    return 200, {"X-Test": request.params.get("HTTP_X_TEST", "")}, f"{request.path}?{request.query}"


def wsgi(environ, start_response):
    start_response("201 Created", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode("latin-1"), environ["wsgi.input"].read()]


def test_get():
    with Client(echo) as client:
        response = client.get("/a%20b?x=1", headers={"X-Test": "yes"})
    assert (response.status, response.text) == (200, "/a b?x=1")
    assert response.header("x-test") == "yes"
    assert (response.app_status, response.protocol_status, response.stderr) == (0, 0, b"")


def test_post_large_bodies_on_few_threads():
    body = bytes(range(256)) * 40_000
    with Client(echo, threads=2) as client:
        for _ in range(3):
            response = client.post("/", body, headers={"Content-Type": "a/b"})
            assert response.body == body
            assert response.header("Content-Type") == "a/b"


def test_wsgi_and_head():
    with Client(wsgi) as client:
        response = client.post("/%C3%A4", "body")
        assert (response.status, response.text) == (201, "/äbody")
        assert client.head("/").body == b""


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_any_split(piece: int):
    with Client(echo) as client:
        assert client.post("/", "hello" * 30, piece=piece).text == "hello" * 30


def test_failing_handler_answers_500(capfd: pytest.CaptureFixture[str]):
    def fails(request):
        raise ValueError("on purpose")

    with Client(fails) as client:
        assert client.get("/").status == 500
        assert client.get("/").status == 500
    assert "on purpose" in capfd.readouterr().err


def test_params_replace_the_usual_ones():
    def show(request):
        text = request.params["SERVER_NAME"] + request.params["ODD"]
        return 200, {}, text.encode("latin-1")

    with Client(show) as client:
        assert client.get("/", params={"SERVER_NAME": "here", "ODD": b"\xc3\xa4"}).text == "hereä"


def test_interleaved_requests_on_one_connection():
    with Client(echo, threads=2) as client, client.connect() as connection:
        for number in (1, 2, 3):
            connection.begin(request_params("POST", "/", length=2), request_id=number)
        for number in (3, 1, 2):
            connection.stdin(b"a", end=False, request_id=number)
        for number in (2, 3, 1):
            connection.stdin(b"%d" % number, request_id=number)
        found = connection.responses(1, 2, 3)
    assert [found[number].text for number in (1, 2, 3)] == ["a1", "a2", "a3"]


def test_abort_and_early_close_reach_the_handler():
    reasons = []
    begun, came = threading.Event(), threading.Event()

    def waits(request):
        begun.set()
        try:
            request.read()
        except fastcgi.Aborted:
            reasons.append(request.aborted)
            came.set()
            raise

    with Client(waits, stream=True) as client:
        for reason in ("record", "connection"):
            with client.connect() as connection:
                connection.begin(request_params("POST", "/", length=5))
                connection.stdin(b"x", end=False)
                assert begun.wait(60)  # Nobody works for a client that left before.
                begun.clear()
                if reason == "record":
                    connection.abort()
                    assert came.wait(60)
            assert came.wait(60)
            came.clear()
    assert reasons == ["record", "connection"]


def test_every_split():
    """Each cut is another pair of reads for the server."""
    with Client(echo) as client:
        sent = request_bytes("POST", "/", body="hello", headers={"Content-Type": "a/b"})
        answers = list(
            client.every_split("POST", "/", body="hello", headers={"Content-Type": "a/b"})
        )
    assert len(answers) == len(sent) - 1 > 300
    assert {(one.text, one.header("Content-Type"), one.app_status) for one in answers} == {
        ("hello", "a/b", 0)
    }


def test_pieces_are_read_one_by_one():
    sizes = []

    def handler(request):
        while piece := request.read1():
            sizes.append(len(piece))
        return 200, {}, b""

    with Client(handler, stream=True) as client, client.connect() as connection:
        connection.begin(request_params("POST", "/", length=1000))
        parts = stream(STDIN, 1, bytes(1000))
        connection.send(parts, piece=100)
        connection.response()
    assert sum(sizes) == 1000
    assert len(sizes) > 1


def test_end_input_is_no_abort():
    def handler(request):
        assert request.aborted is None
        return 200, {}, request.read()

    with Client(handler) as client, client.connect() as connection:
        connection.send(request_bytes("POST", "/", body="all of it"))
        connection.end_input()
        assert connection.response().text == "all of it"


@pytest.mark.parametrize("left", [0, 1, 8, 30])
def test_an_early_close_never_starts_a_handler(left):
    """Inside PARAMS nobody knows yet what is asked."""
    started = []

    def handler(request):
        started.append(request)
        return 200, {}, b""

    with Client(handler) as client:
        begin = record(BEGIN_REQUEST, 1, b"\0\1\0\0\0\0\0\0")
        params = stream(PARAMS, 1, pairs(request_params("GET", "/")), end=False)
        with client.connect() as connection:
            connection.send((begin + params)[: len(begin) + len(params) - left])
        assert client.get("/").status == 200
    assert len(started) == 1


def test_a_body_cut_short_is_never_taken_for_whole(capfd):
    def handler(request):
        with pytest.raises(fastcgi.Truncated):
            request.read()
        return 422, {}, b"short"

    with Client(handler) as client, client.connect() as connection:
        connection.begin(request_params("POST", "/", length=10))
        connection.stdin(b"only")
        assert connection.response().status == 422


BAD_PARAMS = {
    "a name longer than all": pair("A", "b", name_length=1000),
    "a value longer than all": pair("A", "b", value_length=1000),
    "2 GiB": pair("A", "b", name_length=0x7FFFFFFF, value_length=0x7FFFFFFF),
    "half a length": b"\x80\0",
    "a NUL": pair("A", "b\0c"),
}


@pytest.mark.parametrize("sent", BAD_PARAMS.values(), ids=BAD_PARAMS)
def test_bad_lengths_in_params_never_start_a_handler(sent):
    started = []

    def handler(request):
        started.append(request.path)
        return 200, {}, b""

    with Client(handler) as client:
        with client.connect() as connection:
            connection.send(record(BEGIN_REQUEST, 1, b"\0\1\0\0\0\0\0\0"))
            connection.send(stream(PARAMS, 1, sent) + stream(STDIN, 1, b""))
            assert connection.response().status in (400, 431)
        assert client.get("/next").status == 200
    assert started == ["/next"]


def test_a_record_that_claims_too_much_waits_for_the_rest():
    with Client(echo) as client, client.connect() as connection:
        connection.begin(request_params("POST", "/", length=3))
        connection.send(record(STDIN, 1, b"ab", length=3))
        connection.send(b"c" + record(STDIN, 1))
        assert connection.response().text == "abc"


def test_a_record_that_claims_too_little_breaks_the_protocol():
    with Client(echo) as client:
        with client.connect() as connection:
            connection.begin(request_params("POST", "/", length=20))
            connection.send(record(STDIN, 1, b"x" * 20, length=4))
            with pytest.raises(fastcgi.Closed):
                connection.response()
        with client.connect() as connection:
            connection.send(record(STDIN, 1, version=2))
            with pytest.raises(fastcgi.Closed):
                connection.response()
        assert client.get("/").status == 200


def test_broken_records_close_the_connection():
    with Client(echo) as client:
        for sent in (b"GET / HTTP/1.1\r\n\r\n", record(STDOUT, 0)):
            with client.connect() as connection:
                connection.send(sent)
                with pytest.raises(fastcgi.Closed):
                    connection.response()
        assert client.get("/").status == 200


def test_roles_other_than_the_responder():
    def role(request):
        data = request.read_data() if request.role == "filter" else b""
        return 200, {}, request.role.encode() + data

    with Client(role) as client:
        assert client.request("GET", "/", role=FILTER, data=b"abc").text == "filterabc"
        assert client.request("GET", "/", role=AUTHORIZER).text == "authorizer"


def test_what_ends_the_server_is_raised():
    client = Client(lambda request: (200, {}, ""), interface="unknown")
    with pytest.raises(ValueError, match="unknown interface"):
        client.close()
