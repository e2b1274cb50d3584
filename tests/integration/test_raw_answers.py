# SPDX-License-Identifier: MIT
"""Raw CGI output of every shape, cut in two at every byte: nginx, the access log
and the status page agree on the status of the answer."""

import http.client
import json
from collections import Counter
from pathlib import Path

import pytest
from support.fcgi_client import wait_until
from support.paths import BUILD
from support.site import exchange, serve_behind_nginx

RAW = BUILD / "tests" / "integration" / "raw"
# The shapes of apps/raw.c: the status that a web server shows, and the bytes.
SHAPES = {
    "status-first": (404, 55),
    "status-last": (404, 55),
    "newlines-alone": (503, 54),
    "no-status": (200, 41),
    "location": (302, 40),
    "location-and-status": (307, 58),
    "status-without-reason": (201, 77),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_everybody_sees_one_status(shape: str, directory: Path):
    number, (status, length) = list(SHAPES).index(shape), SHAPES[shape]
    folder = directory / f"raw-{shape}"
    folder.mkdir()
    access, address = folder / "access", f"unix:{folder}/app.sock"
    env = {
        "FASTCGI_ACCESS_LOGFILE": str(access),
        "FASTCGI_ACCESS_LOGFORMAT": "%(s)s %(q)s",
        "FASTCGI_STATUS_PATH": "/kept/status",
    }
    with serve_behind_nginx(folder, [RAW, address], address, env=env) as site:
        connection = site.connect()
        for split in range(length + 1):
            assert seen(connection, f"/kept/?{number},{split}") == status, split
        log = sorted(f"{status} {number},{split}" for split in range(length + 1))
        wait_until(lambda: len(access.read_text().splitlines()) >= len(log), what="the log")
        assert sorted(line.replace("?", "") for line in access.read_text().splitlines()) == log
        page = json.loads(site.request("/kept/status?json").body)["fastcgi"]["total"]
        found = Counter({name: page[f"responses_{name}"] for name in ("2xx", "3xx", "4xx", "5xx")})
        assert +found == {f"{status // 100}xx": length + 1}


def seen(connection: http.client.HTTPConnection, target: str) -> int:
    return exchange(connection, target).status
