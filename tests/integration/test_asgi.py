# SPDX-License-Identifier: MIT
"""`python -m fastcgi asgi_app:app` behind nginx."""

import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import wait_until
from support.site import Site, serve_behind_nginx

HERE = Path(__file__).parent


@pytest.fixture(scope="module", params=["collected", "streamed"])
def bodies(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def gate(directory: Path) -> Path:
    return directory / "gate"


@pytest.fixture(scope="module")
def site(directory: Path, bodies: str, gate: Path) -> Iterator[Site]:
    folder = directory / bodies
    folder.mkdir()
    address = f"unix:{folder}/asgi.sock"
    command = [sys.executable, "-m", "fastcgi", "asgi_app:app", "--bind", address]
    command += ["--stream"] * (bodies == "streamed")
    env = {**os.environ, "GATE": str(gate)}
    with serve_behind_nginx(folder, command, address, cwd=HERE, env=env) as running:
        yield running


def test_paths(site: Site, way: str):
    said = json.loads(site.request(f"/{way}/?a=b").body)
    root = f"/{way}"
    assert said == {"url": f"/{way}/", "root_path": root, "query": {"a": "b"}, "pid": True}
    assert site.request(f"/{way}/nowhere").status == 404


def test_upload_of_20_mb(site: Site, way: str):
    data = os.urandom(20_000_000)
    said = json.loads(site.request(f"/{way}/upload", "POST", data).body)
    assert said == {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_a_stream_of_10_mb(site: Site, way: str):
    expected = b"".join(number.to_bytes(2, "big") * 5000 for number in range(1000))
    assert site.request(f"/{way}/large").body == expected


def test_a_file(site: Site, way: str):
    answer = site.request(f"/{way}/file")
    assert answer.body == (HERE / "asgi_app.py").read_bytes()
    assert site.request(f"/{way}/file", "HEAD").headers["Content-Length"] == str(len(answer.body))


def test_events_come_one_by_one(site: Site, gate: Path):
    gate.unlink(missing_ok=True)
    connection = site.connect()
    try:
        connection.request("GET", "/stream/events")
        response = connection.getresponse()
        assert response.readline() == b"data: first\n"
        gate.touch()
        assert response.read() == b"\ndata: last\n\n"
    finally:
        connection.close()


def test_events_end_with_their_client(site: Site, gate: Path):
    """nginx closes its connection when the client leaves."""
    gate.unlink(missing_ok=True)
    before = site.app.output().count("probe: events ended")
    connection = site.connect()
    connection.request("GET", "/stream/events")
    response = connection.getresponse()
    assert response.readline() == b"data: first\n"
    response.close()
    connection.close()
    wait_until(lambda: site.app.output().count("probe: events ended") > before, 60, "the end")
    assert site.request("/kept/").status == 200
    assert "Traceback" not in site.app.output()


def test_a_websocket_is_answered(site: Site, way: str):
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    answer = site.request(f"/{way}/", headers=headers)
    assert answer.status == 501
    assert b"WebSocket" in answer.body


def test_many_wait_at_the_same_time(site: Site):
    """A hundred, on the one thread of one process."""
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(site.request("/closed/nap").status)

    threads = [threading.Thread(target=ask) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 100
