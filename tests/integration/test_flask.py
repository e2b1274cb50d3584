# SPDX-License-Identifier: MIT
"""`python -m fastcgi flask_app:app` behind nginx."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.site import Site, serve_behind_nginx

HERE = Path(__file__).parent
BOUNDARY = "part-of-the-test"


@pytest.fixture(scope="module")
def site(directory: Path) -> Iterator[Site]:
    address = f"unix:{directory}/flask.sock"
    command = [
        sys.executable,
        "-m",
        "fastcgi",
        "flask_app:app",
        "--bind",
        address,
        "--threads",
        "4",
    ]
    with serve_behind_nginx(directory, command, address, cwd=HERE) as running:
        yield running


def multipart(name: str, data: bytes) -> bytes:
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def test_routes(site: Site, way: str):
    assert site.request(f"/{way}/").body == b"index"
    assert (
        site.request(f"/{way}/hello/J%C3%BCrgen?greeting=a+b").body.decode() == "hello Jürgen, a b"
    )
    assert site.request(f"/{way}/nowhere").status == 404
    assert site.request(f"/{way}/form").status == 405


def test_form_post_redirects_below_the_mount_point(site: Site, way: str):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = site.request(f"/{way}/form", "POST", urlencode({"name": "Ada"}), headers)
    assert (answer.status, answer.headers["Location"]) == (303, f"/{way}/hello/Ada")


def test_upload_of_20_mb(site: Site, way: str):
    data = os.urandom(20_000_000)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = site.request(f"/{way}/upload", "POST", multipart("big.bin", data), headers)
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "name": "big.bin",
        "length": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def test_streaming_response(site: Site, way: str):
    answer = site.request(f"/{way}/stream")
    assert answer.body.decode() == "".join(f"line {number}\n" for number in range(1000))


def test_exception_is_500_with_its_traceback_on_stderr(site: Site, way: str):
    before = len(site.app.output())
    answer = site.request(f"/{way}/boom")
    assert answer.status == 500
    assert b"the application broke" not in answer.body
    logged = site.app.output()[before:]
    assert "Traceback (most recent call last)" in logged
    assert "RuntimeError: the application broke" in logged
    assert site.request(f"/{way}/").status == 200
