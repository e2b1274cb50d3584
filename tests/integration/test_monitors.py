# SPDX-License-Identifier: MIT
"""What watches PHP-FPM also watches this library: its status page has the same names, order and
formats as a real PHP-FPM's, and the requests of known monitors get what they look for.

The requests are recorded: php-fpm_exporter 2.2 (github.com/hipages), php-fpm-healthcheck 0.5
(github.com/renatomefi), the template "PHP-FPM by HTTP" of Zabbix 6.0, Prometheus 2.42.
`./dev monitors EXPORTER` runs a real exporter, which is in no Debian and not on PyPI."""

import json
import os
import re
import subprocess
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support.fcgi_client import Client
from support.paths import EXAMPLES
from support.process import Process

FPM = """[global]
error_log = {folder}/errors
daemonize = no
[www]
{user}
listen = {folder}/fpm.sock
pm = static
pm.max_children = 2
pm.status_path = /status
ping.path = /ping
"""

# What each monitor sends beside the path and the query.
EXPORTER = {
    "REQUEST_METHOD": "GET",
    "SERVER_SOFTWARE": "go / php-fpm_exporter",
    "REMOTE_ADDR": "127.0.0.1",
    "CONTENT_LENGTH": "0",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "GATEWAY_INTERFACE": "CGI/1.1",
}
HEALTHCHECK = {"REQUEST_METHOD": "GET", "CONTENT_LENGTH": "0"}
PROMETHEUS = {
    "REQUEST_METHOD": "GET",
    "HTTP_ACCEPT": "application/openmetrics-text;version=1.0.0,"
    "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "HTTP_USER_AGENT": "Prometheus/2.42.0",
}
BROWSER = {"REQUEST_METHOD": "GET", "HTTP_ACCEPT": "text/html,application/xhtml+xml,*/*;q=0.8"}
# The members that the template of Zabbix takes from "?json".
ZABBIX = [
    "pool",
    "process manager",
    "start time",
    "start since",
    "accepted conn",
    "listen queue",
    "max listen queue",
    "listen queue len",
    "idle processes",
    "active processes",
    "total processes",
    "max active processes",
    "max children reached",
    "slow requests",
]


def ask(address: str, path: str, query: str = "", params: dict | None = None) -> tuple[dict, str]:
    sent = {"SCRIPT_NAME": path, "SCRIPT_FILENAME": path, "QUERY_STRING": query}
    with Client(address) as client:
        answer = client.request(params={**(params or HEALTHCHECK), **sent}, keep=False)
    assert answer.status == 200
    return answer.headers, answer.body.decode()


@pytest.fixture(scope="module")
def ours(directory: Path) -> Iterator[str]:
    """The C hello, which knows nothing of a status."""
    address = f"unix:{directory}/hello.sock"
    env = {"FASTCGI_STATUS_PATH": "/status", "FASTCGI_PING_PATH": "/ping"}
    with Process([EXAMPLES / "hello", address], directory / "hello.log", env=env) as app:
        app.wait_for_address(address)
        yield address


@pytest.fixture(scope="module")
def fpm(directory: Path) -> Iterator[str]:
    user = "user = nobody\ngroup = nogroup" if os.geteuid() == 0 else ""
    (directory / "fpm.conf").write_text(FPM.format(folder=directory, user=user))
    program = sorted(Path("/usr/sbin").glob("php-fpm*"))[-1]
    command = [program, "-y", directory / "fpm.conf"]
    if os.geteuid() == 0:
        command.append("-R")
    address = f"unix:{directory}/fpm.sock"
    with Process(command, directory / "fpm.log") as process:
        process.wait_for_address(address)
        yield address


def lines_of(text: str) -> list[str]:
    """The names of lines "name:   value", and whatever other lines there are."""
    return [line.partition(":")[0] for line in text.splitlines()]


def without(names: list[str], *gone: str) -> list[str]:
    """Names but those that only some versions of PHP-FPM have."""
    return [name for name in names if name not in gone]


@pytest.mark.parametrize("query", ["", "full"])
def test_lines_are_those_of_php_fpm(ours: str, fpm: str, query: str):
    (ours_head, mine), (theirs_head, theirs) = (
        ask(ours, "/status", query),
        ask(fpm, "/status", query),
    )
    names = without(lines_of(mine), "memory peak")  # PHP-FPM has two processes.
    assert names == without(lines_of(theirs), "memory peak")[: len(names)]
    assert len(names) == (29 if query else 14)
    assert ours_head["content-type"].split(";")[0] == theirs_head["content-type"].split(";")[0]
    # The values begin in the same column.
    assert {re.match(r"[^:]+:\s+", line).end() for line in mine.splitlines() if ":" in line} == {22}


def kinds(found: object) -> object:
    """The shape of parsed JSON: names in their order, and types."""
    if isinstance(found, dict):
        return [(name, kinds(value)) for name, value in found.items() if name != "memory peak"]
    if isinstance(found, list):
        return [kinds(found[0])]
    return type(found).__name__


@pytest.mark.parametrize("query", ["json", "json&full", "full&json", "json="])
def test_json_is_that_of_php_fpm_and_ours_below(ours: str, fpm: str, query: str):
    mine, theirs = json.loads(ask(ours, "/status", query)[1]), None
    status = mine.pop("fastcgi")
    assert status["total"]["requests"] == 0
    if "=" not in query:
        theirs = json.loads(ask(fpm, "/status", query)[1])
        assert kinds(mine) == kinds(theirs)


@pytest.mark.parametrize("query", ["xml", "xml&full"])
def test_xml_is_that_of_php_fpm(ours: str, fpm: str, query: str):
    def shape(address: str) -> list[str]:
        head, text = ask(address, "/status", query)
        assert head["content-type"].startswith("text/xml")
        root = xml.fromstring(text)
        first = root.find("processes/process")
        names = [root.tag, *(at.tag for at in root), *(at.tag for at in first or ())]
        return without(names, "memory-peak")

    assert shape(ours) == shape(fpm)


def test_ping_is_that_of_php_fpm(ours: str, fpm: str):
    (ours_head, mine), (theirs_head, theirs) = ask(ours, "/ping"), ask(fpm, "/ping")
    assert mine == theirs == "pong"
    assert ours_head["content-type"].startswith("text/plain")
    assert theirs_head["content-type"].startswith("text/plain")
    assert ours_head["cache-control"] == "no-store"


def test_what_the_exporter_reads(ours: str):
    """It decodes whole numbers into int64 and knows six states."""
    got = json.loads(ask(ours, "/status", "json&full", EXPORTER)[1])
    for name in ZABBIX[2:]:
        assert type(got[name]) is int, name
        assert got[name] >= 0, name
    (process,) = got["processes"]
    assert process["state"] in ("Idle", "Running")
    assert type(process["request duration"]) is int
    assert process["request uri"] == "-"
    # It takes "request uri" apart with this expression.
    text = ask(ours, "/status", "json&full", EXPORTER)[1]
    assert len(re.findall(r'(,"request uri":)"(.*?)"(,"content length":)', text)) == 1


def test_what_the_healthcheck_reads(ours: str):
    """It skips four lines, takes a value by its name's line, and compares it as a number."""
    sent = {**HEALTHCHECK, "SCRIPT_NAME": "/status", "SCRIPT_FILENAME": "/status"}
    with Client(ours) as client:
        answer = client.request(params=sent, keep=False)
    rest = answer.stdout.decode().splitlines()[4:]
    for option in ZABBIX[4:]:
        (value,) = [
            line.partition(":")[2].strip() for line in rest if line.startswith(option + ":")
        ]
        assert int(value) >= 0
    assert answer.body != b"File not found."


def test_what_zabbix_reads(ours: str):
    got = json.loads(ask(ours, "/status", "json")[1])
    assert set(ZABBIX) <= got.keys()
    # It divides the queue's length by its limit, and warns where none is told.
    assert got["listen queue len"] > 0
    assert re.search(r"pong($|\n)", ask(ours, "/ping")[1])


@pytest.mark.parametrize("query", ["", "openmetrics", "openmetrics="])
def test_what_prometheus_reads(ours: str, query: str):
    """`params: {openmetrics: [""]}` makes it send the third form."""
    head, text = ask(ours, "/status", query, PROMETHEUS)
    assert head["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {f.name for f in text_string_to_metric_families(text)} >= {"fastcgi_requests"}


def test_a_browser_gets_a_page(ours: str):
    head, text = ask(ours, "/status", "", BROWSER)
    assert head["content-type"] == "text/html; charset=utf-8"
    assert "<title>fastcgi status</title>" in text


@pytest.mark.skipif(
    "FASTCGI_EXPORTER" not in os.environ,
    reason="neither Debian nor PyPI has the exporter; ./dev monitors takes its program",
)
def test_the_exporter_itself(ours: str):
    """What the real program makes of the page."""
    path = ours.removeprefix("unix:")
    command = [
        os.environ["FASTCGI_EXPORTER"],
        "get",
        "--phpfpm.scrape-uri",
        f"unix://{path};/status",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.lower()
    shown = dict(re.findall(r"^([A-Z][\w ]+):\s+(\S+)", done.stdout, re.M))
    assert shown["Pool"] == "fastcgi", done.stdout
    assert shown["Total Processes"] == "1", done.stdout
