# SPDX-License-Identifier: MIT
"""Requests and responses of every size, behind nginx."""

import hashlib
import os

import pytest
from support.site import Site, exchange

SIZES = {"0 B": 0, "1 B": 1, "1 MiB": 1 << 20, "64 MiB": 64 << 20}
BLOCK = os.urandom(1 << 20)


def body_of(size: int) -> bytes:
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


def lines(body: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in body.decode().splitlines())


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_get(site: Site, way: str):
    answer = site.request(f"/{way}/some/path?a=1&b=%20", headers={"X-Test": "hello"})
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert lines(answer.body) == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": f"/{way}",
        "PATH_INFO": "/some/path",
        "QUERY_STRING": "a=1&b=%20",
        "CONTENT_LENGTH": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_X_TEST": "hello",
    }


def test_head(site: Site, way: str):
    answer = site.request(f"/{way}/x", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"].startswith("text/plain")
    # The kept connection is still in step.
    assert lines(site.request(f"/{way}/after").body)["PATH_INFO"] == "/after"


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_post(site: Site, way: str, size: int):
    body = body_of(size)
    answer = site.request(f"/{way}/", "POST", body, {"Content-Type": "application/x-test"})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/x-test"
    assert answer.headers["X-Echo-Length"] == str(size)
    assert len(answer.body) == size
    assert digest(answer.body) == digest(body)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_post_unbuffered(site: Site, size: int):
    """nginx passes the body on, and the answer back, as they come."""
    body = body_of(size)
    answer = site.request("/stream/", "POST", body)
    assert (answer.status, len(answer.body), digest(answer.body)) == (200, size, digest(body))


@pytest.mark.parametrize("way", ["kept", "stream"])
def test_chunked_upload(site: Site, way: str):
    """A body whose length is not told beforehand."""
    parts = [BLOCK[:1], BLOCK[:70_000], BLOCK[:5]]
    answer = site.request(f"/{way}/", "POST", iter(parts))  # http.client sends chunks then.
    assert (answer.status, digest(answer.body)) == (200, digest(b"".join(parts)))


@pytest.mark.parametrize("size", [1, 100, 127, 128, 1000, 4000, 30_000])
def test_head_of_the_answer(site: Site, way: str, size: int):
    """The echoed Content-Type makes response heads of many sizes."""
    content_type = "a/" + "b" * (size - 1)
    answer = site.request(f"/{way}/", "POST", b"body", {"Content-Type": content_type})
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (
        200,
        content_type,
        b"body",
    )


def test_many_requests_in_sequence(site: Site, way: str):
    connection = site.connect()
    for number in range(500):
        answer = exchange(connection, f"/{way}/{number}")
        assert answer.status == 200
        assert lines(answer.body)["PATH_INFO"] == f"/{number}"
    connection.close()
