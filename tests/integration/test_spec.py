# SPDX-License-Identifier: MIT
"""`fcgi spec` against our applications, wrong ones, and other projects'."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conformance.cases import all_cases
from support.echo import echo_command
from support.paths import BUILD, CC, SOURCE, tool
from support.process import Process
from support.responder import responder
from support.tool import fcgi

CASES = {case.name: case for case in all_cases()}
LIMITS = sorted({case.fields["limits"] for case in CASES.values() if case.limits})
FOLDER = SOURCE / "tests" / "conformance"
APPS = {
    "c": [str(BUILD / "tests" / "conformance" / "app")],
    "python": [sys.executable, str(FOLDER / "app.py")],
    "lua": ["lua5.4", str(FOLDER / "app.lua")],
}
# A thread of the Lua module cannot tell another that it has answered.
LACKS = {"c": set(), "python": set(), "lua": {"appendix-b/b4-multiplexed"}}


@contextmanager
def contract_app(directory: Path, language: str, *limits: str) -> Iterator[str]:
    """An application that keeps the echo contract."""
    address = f"unix:{directory}/spec-{language}.sock"
    command = [*APPS[language], "spec", address, *limits]
    with Process(command, directory / f"spec-{language}.log") as app:
        app.wait_for_address(address)
        yield address
        assert app.running(), app.output()


def run(*words: object, status: int = 0) -> dict:
    """The JSON report of a run that must end with `status`."""
    done = fcgi("spec", *words, "--json")
    assert done.returncode == status, done.stdout[-2000:] + done.stderr
    return json.loads(done.stdout)


def by_result(report: dict, result: str) -> set[str]:
    return {case["name"] for case in report["cases"] if case["result"] == result}


@pytest.fixture(scope="module")
def good(directory: Path) -> Iterator[str]:
    with contract_app(directory, "c") as address:
        yield address


# --- Our own --------------------------------------------------------------------


def test_contract_applications_pass_every_case(directory: Path, language: str):
    passed: set[str] = set()
    for limits in ["", *LIMITS]:
        with contract_app(directory, language, *limits.split()) as address:
            options = ["--limits", limits] if limits else []
            report = run(address, "--echo", "--strict", *options)
        assert by_result(report, "fail") == set()
        passed |= by_result(report, "pass")
    assert set(CASES) - passed == LACKS[language]


def test_examples_pass_without_the_contract(directory: Path, language: str):
    address = f"unix:{directory}/spec-echo-{language}.sock"
    with Process(echo_command(language, address, 8), directory / "echo.log") as app:
        app.wait_for_address(address)
        report = run(address, "--strict")
    assert by_result(report, "fail") == set()
    assert report["all"]["passed"] >= 150
    reasons = {case["reason"] for case in report["cases"] if case["result"] == "skip"}
    assert reasons == {"needs the echo contract (--echo)"}


# --- Reports ----------------------------------------------------------------------


def test_counts_by_section(good: str):
    report = run(good, "--echo")
    wanted: dict[str, int] = {}
    for name in CASES:
        wanted[name.split("/")[0]] = wanted.get(name.split("/")[0], 0) + 1
    assert {name: sum(counts.values()) for name, counts in report["sections"].items()} == wanted
    assert sum(report["all"].values()) == len(CASES)
    shown = fcgi("spec", good, "--echo").stdout.decode()
    rows = dict(re.findall(r"^(\S+) +(\d+ +\d+ +\d+)$", shown, re.M))
    assert set(rows) == {*wanted, "all"}
    assert [int(n) for n in rows["all"].split()] == list(report["all"].values())
    assert "\x1b" not in shown


def test_junit_has_every_case(good: str, directory: Path):
    done = fcgi("spec", good, "--echo", "--junit")
    assert done.returncode == 0
    suites = xml.fromstring(done.stdout)
    cases = suites.findall("./testsuite/testcase")
    assert {case.get("name") for case in cases} == set(CASES)
    assert int(suites.get("tests", 0)) == len(CASES)
    with responder(directory, "unknown types") as address:
        done = fcgi("spec", address, "--junit", "--only", "management")
    failures = xml.fromstring(done.stdout).findall(".//failure")
    assert done.returncode == 1
    assert "UNKNOWN_TYPE" in (failures[0].text or "")


def test_verbose_tells_every_case(good: str):
    shown = fcgi("spec", good, "--echo", "-v").stdout.decode()
    told = re.findall(r"^(pass|skip|fail)  (\S+) \(", shown, re.M)
    assert sorted(name for _, name in told) == sorted(CASES)
    assert {result for result, _ in told} == {"pass", "skip"}


def test_colour_on_a_terminal_only(good: str):
    shown, terminal = os.openpty()
    pid = os.fork()
    if pid == 0:
        os.dup2(terminal, 1)
        tool = str(BUILD / "tools" / "fcgi")
        os.environ.pop("NO_COLOR", None)
        os.execv(tool, [tool, "spec", good, "--only", "begin/padding-7", "-v"])
    os.close(terminal)
    text = b""
    try:
        while piece := os.read(shown, 4096):
            text += piece
    except OSError:  # The terminal is gone with its last writer.
        pass
    os.close(shown)
    assert os.waitpid(pid, 0)[1] == 0
    assert b"\x1b[32mpass\x1b[0m  begin/padding-7" in text


def test_list_and_explain_name_every_case():
    listed = fcgi("spec", "--list")
    lines = listed.stdout.decode().splitlines()
    assert listed.returncode == 0
    assert sorted(line.split()[0] for line in lines) == sorted(CASES)
    for line in lines:
        case = CASES[line.split()[0]]
        assert case.fields["title"] in line
        assert case.fields["kind"] in line
    told = fcgi("spec", "--explain", "responder/body-too-short").stdout.decode()
    case = CASES["responder/body-too-short"]
    for word in (case.fields["title"], "kind: specification", *case.sections["send"]):
        assert word in told
    assert "reply 1 400" in told
    assert "the connection stays open" in told


def test_only_selects_cases_sections_and_patterns(good: str):
    words = ["--only", "begin/padding-7", "--only", "closing", "--only", "pairs/huge-*"]
    report = run(good, *words)
    wanted = {
        name
        for name in CASES
        if name == "begin/padding-7" or name.startswith(("closing/", "pairs/huge-"))
    }
    assert {case["name"] for case in report["cases"]} == wanted


def test_a_run_without_a_case_is_no_success(good: str):
    done = fcgi("spec", good, "--only", "appendix-b/b3-error")
    assert done.returncode == 2
    assert b"no case was played" in done.stderr


# --- Wrong use --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ([], 2, "no address"),
        (["unix:/x", "more"], 2, "one word too many"),
        (["--list", "more"], 2, "one word too many"),
        (["unix:/x", "--only", "no/such"], 2, 'no case "no/such"'),
        (["--explain", "no/such"], 2, 'no case "no/such"'),
        (["unix:/x", "--bad"], 2, "--bad"),
        (["unix:/x", "--only"], 2, "needs a value"),
        (["unix:/x", "--timeout", "soon"], 2, "--timeout=soon"),
        (["unix:/x", "--timeout", "0"], 2, "--timeout=0"),
        (["unix:/x", "--json", "--junit"], 2, "exclude each other"),
        (["unix:/x", "--limits", "limit_params=3"], 2, "--limits needs --echo"),
        (["unix:/x", "-p", "=x"], 2, "not NAME=VALUE"),
        (["unix:/x", "-p", "X=" + "y" * 70000], 2, "60000 bytes of parameters"),
        (["unix:/nowhere/at/all"], 3, "No such file"),
        (["unix:/" + "x" * 200], 3, "not a path"),
        (["127.0.0.1:1"], 3, "refused"),
        (["nonsense"], 3, "not an address"),
        (["fd:0"], 3, "one connection is not enough"),
    ],
)
def test_wrong_use_is_one_line(words: list[str], status: int, told: str):
    done = fcgi("spec", *words)
    assert (done.returncode, done.stdout) == (status, b"")
    assert done.stderr.count(b"\n") == 1
    assert told in done.stderr.decode()


def test_help_names_every_option():
    shown = fcgi("spec", "--help").stdout.decode()
    source = (SOURCE / "tools" / "spec" / "spec.c").read_text()
    for name in re.findall(r'^    \{"([a-z]+)", (?:no|required)_argument', source, re.M):
        assert f"--{name}" in shown


# --- Wrong applications -----------------------------------------------------------


def test_right_responder_breaks_no_rule_of_the_specification(directory: Path):
    """Written without the library, so the cases do not only fit ours."""
    with responder(directory) as address:
        report = run(address)
    assert report["all"]["passed"] >= 130
    reasons = {case["reason"] for case in report["cases"] if case["result"] == "skip"}
    assert reasons == {
        "needs the echo contract (--echo)",
        "the application does not take the role authorizer",
        "the application does not take the role filter",
    }


@pytest.mark.parametrize(
    ("fault", "cases"),
    [
        ("padding", {"begin/padding-7", "records/padding-everywhere"}),
        ("one byte of an id", {"ids/id-256", "ids/id-65535"}),
        ("first id", {"ids/interleaved", "records/many-in-one-read"}),
        ("inactive ids", {"ids/records-of-an-inactive-id"}),
        ("any role", {"begin/unknown-role-0", "begin/unknown-role-65535"}),
        ("aborts", {"abort/after-begin", "abort/not-kept"}),
        ("unknown values", {"management/unknown-names"}),
        ("unknown types", {"management/unknown-type-12", "management/unknown-type-255"}),
        ("never closes", {"closing/not-kept", "begin/flags-fe"}),
        ("ends twice", {"responder/body", "params/empty"}),
    ],
)
def test_faults_are_found(directory: Path, fault: str, cases: set[str]):
    words = [word for name in sorted(cases) for word in ("--only", name.split("/")[0])]
    start = time.monotonic()
    with responder(directory, fault) as address:
        report = run(address, "--timeout", "0.3", *words, status=1)
    failed = {case["name"]: case for case in report["cases"] if case["result"] == "fail"}
    assert cases <= set(failed)
    assert all(failed[name]["expected"] and failed[name]["came"] for name in cases)
    assert failed.keys() < {case["name"] for case in report["cases"]}
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("fault", "failing", "note"),
    [("closes", "closing", "closes connections"), ("unclosed", "appendix-b", "closes STDOUT")],
)
def test_what_is_wrong_everywhere_counts_once(directory: Path, fault: str, failing: str, note: str):
    with responder(directory, fault) as address:
        report = run(address, "--timeout", "0.3", status=1)
        shown = fcgi("spec", address, "--timeout", "0.3").stdout.decode()
    sections = {case["section"] for case in report["cases"] if case.get("counts")}
    assert sections == {failing}
    assert note in shown


@pytest.mark.parametrize(
    ("fault", "status", "told"),
    [
        ("never ends", 3, "no END_REQUEST came in time"),
        ("closes at once", 3, "closed before END_REQUEST"),
        ("wrong id", 4, "an answer to request 2"),
        ("version 2", 4, "version is not 1"),
        ("short end", 4, "body is not 8 bytes long"),
        ("protocolStatus", 4, "unknown protocolStatus"),
        ("no head", 4, "no head as CGI has it"),
    ],
)
def test_not_even_a_plain_request(directory: Path, fault: str, status: int, told: str):
    with responder(directory, fault) as address:
        done = fcgi("spec", address, "--timeout", "0.3")
    assert (done.returncode, done.stdout) == (status, b"")
    assert done.stderr.count(b"\n") == 1
    assert told in done.stderr.decode()


def test_an_application_that_dies_is_told(directory: Path):
    with responder(directory, lives=40) as address:
        done = fcgi("spec", address, "--json", "--timeout", "0.3")
    report = json.loads(done.stdout)
    assert done.returncode == 3
    assert b"has stopped answering after" in done.stderr
    assert sum(report["all"].values()) == len(CASES)
    assert report["all"]["passed"] > 0
    assert any("is gone" in case.get("reason", "") for case in report["cases"])


def test_five_cases_may_do_harm(directory: Path):
    """A plain request fails after each short BEGIN_REQUEST, and then no more."""
    with responder(directory, "sulks") as address:
        done = fcgi("spec", address, "--json", "--only", "begin")
    report = json.loads(done.stdout)
    assert done.returncode == 3
    assert b"5 cases have stopped the application from answering" in done.stderr
    assert report["all"]["failed"] == 5
    harm = {case["came"] for case in report["cases"] if case["result"] == "fail"}
    assert harm == {"status 500 instead of 200"}
    assert any("earlier cases did harm" in case.get("reason", "") for case in report["cases"])


def test_only_failures_of_the_specification_count(directory: Path):
    words = ["--only", "params/content-length-signed", "--timeout", "0.3"]
    with responder(directory, "lax") as address:
        for more, status in ((["--strict"], 1), ([], 0)):
            report = run(address, *words, *more, status=status)
            assert report["all"] == {"passed": 0, "failed": 1, "skipped": 0}
            assert report["cases"][0]["counts"] is bool(status)


# --- Other projects' --------------------------------------------------------------


PHP = """<?php
header("Content-Type: text/plain");
echo file_get_contents("php://input");
"""
FPM = """
[global]
daemonize = no
error_log = {folder}/fpm-errors.log
[www]
{user}
listen = {folder}/fpm.sock
listen.mode = 0666
pm = static
pm.max_children = 2
"""
LIBFCGI = """
#include <fcgi_stdio.h>
int main(void) {
  while (FCGI_Accept() >= 0) {
    int c;
    printf("Content-Type: text/plain\\r\\n\\r\\n");
    while ((c = getchar()) != EOF)
      putchar(c);
  }
  return 0;
}
"""
WSGI = """
def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
"""


def php_fpm(folder: Path) -> tuple[Process, str, list[str]]:
    user = "user = nobody\ngroup = nogroup" if os.geteuid() == 0 else ""
    (folder / "index.php").write_text(PHP)
    (folder / "fpm.conf").write_text(FPM.format(folder=folder, user=user))
    folder.chmod(0o755)
    program = sorted(Path("/usr/sbin").glob("php-fpm*"))[-1]
    command = [program, "-y", folder / "fpm.conf"]
    if os.geteuid() == 0:
        command.append("-R")
    process = Process(command, folder / "fpm.log")
    return process, f"unix:{folder}/fpm.sock", ["--script", str(folder / "index.php")]


def libfcgi(folder: Path) -> tuple[Process, str, list[str]]:
    (folder / "echo.c").write_text(LIBFCGI)
    subprocess.run([CC, folder / "echo.c", "-o", folder / "echo", "-lfcgi"], check=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "libfcgi.sock"))
        listener.listen(64)
        process = Process([folder / "echo"], folder / "libfcgi.log", stdin=listener)
    return process, f"unix:{folder}/libfcgi.sock", []


def uwsgi(folder: Path) -> tuple[Process, str, list[str]]:
    (folder / "wsgi.py").write_text(WSGI)
    address = folder / "uwsgi.sock"
    command = [tool("uwsgi-core"), "--plugin", "python3", "--fastcgi-socket", address]
    command += ["--wsgi-file", folder / "wsgi.py", "--master", "--die-on-term"]
    return Process(command, folder / "uwsgi.log"), f"unix:{address}", []


@pytest.mark.parametrize("start", [php_fpm, libfcgi, uwsgi], ids=lambda start: start.__name__)
def test_other_projects_are_judged_to_the_end(directory: Path, start: Callable):
    process, address, options = start(directory)
    with process:
        process.wait_for_address(address)
        report = run(address, *options, "--timeout", "0.25", status=1)
    assert sum(report["all"].values()) == len(CASES)
    assert not any("not played" in case.get("reason", "") for case in report["cases"])
