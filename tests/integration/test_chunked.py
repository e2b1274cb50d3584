# SPDX-License-Identifier: MIT
"""Bodies that come in chunks through a real Caddy, which tells no length of them."""

import hashlib
import http.client
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.fcgi_client import patient
from support.path_servers import PathCaddy
from support.process import Process

HERE = Path(__file__).parent
FIELDS = {"name": "J\xf6rg", "text": "a&b=c " * 5000}
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=part"
FILE = random.Random(1).randbytes(3_000_000)


@pytest.fixture(scope="module", params=["collected", "streamed"])
def bodies(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def caddy(directory: Path, bodies: str) -> Iterator[PathCaddy]:
    folder = directory / bodies
    folder.mkdir()
    address = f"unix:{folder}/app.sock"
    command = [sys.executable, "-m", "fastcgi", "chunked_app:app", "--bind", address]
    command += ["--threads", "2"] + ["--stream"] * (bodies == "streamed")
    with Process(command, folder / "app.log", cwd=HERE) as app:
        app.wait_for_address(address)
        with PathCaddy(folder, address.removeprefix("unix:")) as server:
            yield server


def upload(caddy: PathCaddy, path: str, body: bytes, kind: str, piece: int = 10_000) -> dict:
    """POST with Transfer-Encoding: chunked, each piece a chunk."""
    connection = http.client.HTTPConnection("127.0.0.1", caddy.port, timeout=patient(60))
    try:
        pieces = (body[at : at + piece] for at in range(0, len(body), piece))
        headers = {"Content-Type": kind, "Transfer-Encoding": "chunked"}
        connection.request("POST", path, pieces, headers, encode_chunked=True)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return json.loads(text)
    finally:
        connection.close()


@pytest.mark.parametrize("length", [0, 1, 5, 100_000, 5_000_000])
def test_the_whole_body_comes(caddy: PathCaddy, bodies: str, length: int):
    body = random.Random(length).randbytes(length)
    seen = upload(caddy, "/raw", body, "application/octet-stream")
    assert (seen["length"], seen["sha256"]) == (length, hashlib.sha256(body).hexdigest())
    assert seen["terminated"] is True
    known = bodies == "collected" and length
    assert seen["content_length"] == (str(length) if known else None)
    assert seen["sent"] in ("-1", "", None), "Caddy knows none; else this tests nothing"


def multipart() -> bytes:
    head = '--part\r\nContent-Disposition: form-data; name="{}"'
    fields = "".join(f"{head.format(name)}\r\n\r\n{text}\r\n" for name, text in FIELDS.items())
    file = f'{head.format("file")}; filename="f"\r\nContent-Type: application/octet-stream\r\n\r\n'
    return (fields + file).encode() + FILE + b"\r\n--part--\r\n"


FORMS = [
    (URLENCODED, urlencode(FIELDS).encode(), {}),
    (MULTIPART, multipart(), {"file": len(FILE)}),
]


@pytest.mark.parametrize(("kind", "body", "files"), FORMS, ids=["urlencoded", "multipart"])
@pytest.mark.parametrize("framework", ["flask", "django"])
def test_a_form_has_its_fields(caddy, bodies, framework, kind, body, files):
    """Django reads no body without a length, whatever the server says of its end."""
    seen = upload(caddy, f"/{framework}", body, kind)
    if framework == "django" and bodies == "streamed":
        assert seen == {"form": {}, "files": {}}
    else:
        assert seen == {"form": FIELDS, "files": files}
