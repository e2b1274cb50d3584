# SPDX-License-Identifier: MIT
"""The command `fcgi`: usage, exit statuses, and `fcgi dump`."""

import random
import re
import socket
import struct
import threading
import time
from pathlib import Path

import pytest
from support.fcgi_client import (
    ABORT_REQUEST,
    DATA,
    END_REQUEST,
    GET_VALUES,
    GET_VALUES_RESULT,
    PARAMS,
    STDERR,
    STDIN,
    STDOUT,
    UNKNOWN_TYPE,
    head,
    pairs,
    record,
)
from support.paths import INCLUDE
from support.tool import fcgi, scripted


def answer(text: bytes, app_status: int = 0) -> bytes:
    end = record(END_REQUEST, 1, struct.pack("!IB3x", app_status, 0))
    return record(STDOUT, 1, text) + record(STDOUT, 1) + end


def test_help_and_version():
    version = re.search(
        r'VERSION_TEXT\s+"(.*)"', (INCLUDE / "fastcgi" / "version.h").read_text()
    ).group(1)
    assert fcgi("--version").stdout.decode() == f"fcgi {version}\n"
    for words in ([], ["call"], ["dump"]):
        done = fcgi(*words, "--help")
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(b"usage: fcgi ")


def test_call_says_how_to_ask_as_the_web_server():
    """Root opens every socket, also one that the web server may not open."""
    assert "sudo -u www-data fcgi call ADDRESS URI" in fcgi("call", "--help").stdout.decode()


def test_a_web_server_is_no_application(directory: Path):
    with scripted(directory, b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n") as address:
        done = fcgi("call", address, "/")
    assert (done.returncode, done.stdout) == (4, b"")
    assert done.stderr.decode() == (
        f"fcgi: {address}: the application broke the FastCGI protocol: it answers with HTTP; "
        "ask a FastCGI application, not a web server\n"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "no command"),
        (["nothing"], '"nothing"'),
        (["call"], "no address"),
        (["call", "unix:/x"], "no URI"),
        (["call", "unix:/x", "path"], '"path"'),
        (["call", "unix:/x", "/", "/more"], '"/more"'),
        (["call", "unix:/x", "/", "--bogus"], "--bogus"),
        (["call", "unix:/x", "/", "-q"], "-q"),
        (["call", "unix:/x", "/", "-d"], "-d needs a value"),
        (["call", "unix:/x", "/", "-d", "--fail"], "-d needs a value"),
        (["call", "unix:/x", "/", "--file", "-f"], "--file needs a value"),
        (["call", "unix:/x", "/", "--file", "--"], "--file needs a value"),
        (["bench", "unix:/x", "--uri", "--json"], "--uri needs a value"),
        (["spec", "unix:/x", "--only", "-v"], "--only needs a value"),
        (["top", "unix:/x", "--path", "--once"], "--path needs a value"),
        (["status", "unix:/x", "--path", "--json"], "--path needs a value"),
        (["call", "unix:/x", "/", "--role", "chief"], '"chief"'),
        (["call", "unix:/x", "/", "--role", "65536"], '"65536"'),
        (["call", "unix:/x", "/", "--keep", "0"], "--keep=0"),
        (["call", "unix:/x", "/", "--timeout", "soon"], "--timeout=soon"),
        (["call", "unix:/x", "/", "-H", "none"], '"none"'),
        (["call", "unix:/x", "/", "-d", "a", "-d", "@b"], "@FILE"),
        (["call", "unix:/x", "/", "--ping"], "--ping"),
        (["call", "unix:/x", "--ready", "--ping"], "not both"),
        (["call", "unix:/x", "--ready", "/", "/b"], '"/b"'),
        (["call", "nonsense", "/"], "nonsense"),
        (["dump", "a", "b"], '"b"'),
        (["dump", "--bogus"], "--bogus"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(words: list[str], says: str):
    done = fcgi(*words)
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("fcgi: ")
    assert says in line


@pytest.mark.parametrize(
    ("sent", "words", "status", "says"),
    [
        (answer(b"Status: 404 No\r\n\r\nno\n"), [], 0, None),
        (answer(b"Status: 404 No\r\n\r\nno\n"), ["-f"], 1, "status 404"),
        (answer(b"\r\nno\n", app_status=3), [], 0, "exit status is 3"),
        (answer(b"\r\nno\n", app_status=3), ["-f"], 1, "exit status is 3"),
        (answer(b"no\n"), [], 4, "no empty line"),
        (record(STDOUT, 1, b"\n\nno\n"), [], 3, "closed the connection"),
        (record(STDOUT, 1, b"\r\nno\n")[:-1], [], 4, "inside a record"),
        (record(STDOUT, 2, b"x"), [], 4, "not open"),
        (record(END_REQUEST, 1, b"short"), [], 4, "8 bytes"),
        (b"HTTP/1.1 400 Bad Request\r\n", [], 4, "it answers with HTTP"),
        (record(END_REQUEST, 1, b"\0\0\0\0\2\0\0\0"), [], 4, "OVERLOADED"),
        (b"", [], 3, "closed the connection"),
    ],
)
def test_exit_status(directory: Path, sent: bytes, words: list[str], status: int, says: str | None):
    with scripted(directory, sent) as address:
        done = fcgi("call", address, "/", *words)
    assert done.returncode == status, done
    text = done.stderr.decode()
    assert text.count("\n") == (says is not None), text
    assert (says or "") in text


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("rnu", "did you mean run?"),
        ("rum", "did you mean run?"),
        ("--run", "did you mean run?"),
        ("calls", "did you mean call?"),
        ("staus", "did you mean status?"),
        ("stat", "did you mean status?"),
        ("tpo", "did you mean top?"),
        ("help", "did you mean --help?"),
        ("--hlep", "did you mean --help?"),
        ("verison", "did you mean --version?"),
        ("nothing", "see fcgi --help"),
        ("php-cgi", "see fcgi --help"),
        ("", "see fcgi --help"),
        ("-", "see fcgi --help"),
        ("x" * 100, "see fcgi --help"),
    ],
)
def test_mistyped_command(word: str, hint: str):
    done = fcgi(word)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f'fcgi: no command "{word}"; {hint}\n'


def test_nobody_listens(directory: Path):
    done = fcgi("call", f"unix:{directory}/none.sock", "/")
    assert done.returncode == 3
    assert f"{directory}/none.sock" in done.stderr.decode()


def test_file_is_missing(directory: Path):
    for option in ("-d", "--file"):
        name = f"{directory}/none"
        done = fcgi("call", "unix:/x", "/", option, f"@{name}" if option == "-d" else name)
        assert (done.returncode, name in done.stderr.decode()) == (3, True)


def test_ready_tells_from_what_is_answered(directory: Path):
    for sent, status in [
        (answer(b"Status: 503 Busy\r\n\r\nno\n"), 5),
        (answer(b"Status: 404 No\r\n\r\n"), 0),
        (record(END_REQUEST, 1, b"\0\0\0\0\2\0\0\0"), 4),
        (b"", 3),
    ]:
        with scripted(directory, sent) as address:
            done = fcgi("call", address, "--ready")
        assert (done.returncode, done.stdout) == (status, b"")
        assert done.stderr.count(b"\n") == (status > 0)


def test_cookies_and_other_headers_are_joined_each_in_its_way(directory: Path):
    words = ["-H", "Cookie: a=1", "-H", "cookie: b=2", "-H", "Content-Type: x/y",
             "-H", "content-type: z/z", "-H", "Host: there"]  # fmt: skip
    got = []

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as peer:
            got.append(peer.recv(65536))
            peer.sendall(answer(b"\r\n"))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/joined.sock")
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        assert fcgi("call", f"unix:{directory}/joined.sock", "/", *words).returncode == 0
        thread.join()
    for pair in (b"HTTP_COOKIEa=1; b=2", b"CONTENT_TYPEz/z", b"HTTP_HOSTthere"):
        assert pair in got[0]


def test_a_silent_application_lives(directory: Path):
    for words in (["--ping"], ["--ready"]):
        with scripted(directory, None) as address:
            done = fcgi("call", address, *words, "--timeout", "0.3")
        assert (done.returncode, b"in time" in done.stderr) == (5, True)


def test_timeout(directory: Path):
    for words in (["/"], ["/x", "-f"]):
        began = time.monotonic()
        with scripted(directory, None) as address:
            done = fcgi("call", address, *words, "--timeout", "0.3")
        assert (done.returncode, b"in time" in done.stderr) == (3, True)
        assert 0.2 < time.monotonic() - began < 10


def test_stderr_and_headers(directory: Path):
    sent = record(STDERR, 1, b"a note") + answer(b"A: b\nStatus: 201 Made\n\nbody")
    with scripted(directory, sent) as address:
        done = fcgi("call", address, "/", "-i")
    assert (done.returncode, done.stderr) == (0, b"a note\n")
    assert done.stdout == b"A: b\nStatus: 201 Made\n\nbody"


def dumped(data: bytes, *words: str) -> tuple[int, list[str]]:
    done = fcgi("dump", *words, input=data)
    assert done.stderr == b""
    return done.returncode, done.stdout.decode("ascii").splitlines()


def test_dump_shows_each_record_on_a_line():
    params = pairs({"NAME": "value", "EMPTY": "", "BYTES": 'tab\t"\x01'})
    data = (
        head(1, {}, role=3)[:16]
        + record(PARAMS, 1, params[:8], padding=3)
        + record(PARAMS, 1, params[8:])
        + record(PARAMS, 1)
        + record(STDIN, 1, b"line\r\n\0\xff")
        + record(STDIN, 1)
        + record(DATA, 1, b"d" * 70)
        + record(ABORT_REQUEST, 1)
        + record(GET_VALUES, 0, pairs({"FCGI_MPXS_CONNS": ""}))
        + record(GET_VALUES_RESULT, 0, pairs({"FCGI_MPXS_CONNS": "1"}))
        + record(UNKNOWN_TYPE, 0, bytes([77]) + bytes(7))
        + record(99, 5, b"?")
        + record(STDOUT, 1, b"out")
        + record(STDERR, 1)
        + record(END_REQUEST, 1, struct.pack("!IB3x", 4294967295, 1))
    )
    status, found = dumped(data)
    assert status == 0
    assert [line.split(" ", 1)[1] for line in found] == [
        "BEGIN_REQUEST id=1 len=8 pad=0 role=filter flags=1",
        'PARAMS id=1 len=8 pad=3 NAME="va...',
        rf'PARAMS id=1 len={len(params) - 8} pad=0 ...lue" EMPTY="" BYTES="tab\t\"\x01"',
        "PARAMS id=1 len=0 pad=0 end",
        r'STDIN id=1 len=8 pad=0 "line\r\n\x00\xff"',
        "STDIN id=1 len=0 pad=0 end",
        f'DATA id=1 len=70 pad=0 "{"d" * 64}" and 6 more',
        "ABORT_REQUEST id=1 len=0 pad=0",
        'GET_VALUES id=0 len=17 pad=0 FCGI_MPXS_CONNS=""',
        'GET_VALUES_RESULT id=0 len=18 pad=0 FCGI_MPXS_CONNS="1"',
        "UNKNOWN_TYPE id=0 len=8 pad=0 type=77",
        'type 99 id=5 len=1 pad=0 "?"',
        'STDOUT id=1 len=3 pad=0 "out"',
        "STDERR id=1 len=0 pad=0 end",
        "END_REQUEST id=1 len=8 pad=0 app_status=4294967295 protocol_status=CANT_MPX_CONN",
    ]
    assert found[0].split()[0] == "00000000"
    assert found[1].split()[0] == "00000010"
    assert "d" * 70 in "".join(dumped(data, "--all")[1])


@pytest.mark.parametrize("cut", range(1, 32))
def test_dump_survives_truncation(cut: int):
    data = record(STDOUT, 1, b"0123456789", padding=6) * 2
    status, found = dumped(data[:-cut])
    assert len(found) == (2 if cut < 24 else 1)
    assert status == (0 if cut == 24 else 4)
    assert cut == 24 or "truncated" in found[-1] or "garbage" in found[-1]


def test_dump_finds_records_after_garbage():
    data = b"GET / HTTP/1.1\r\n\r\n" + record(STDIN, 1, b"x") + b"\x80\x00"
    status, found = dumped(data)
    assert status == 4
    assert [line.split(" ", 1)[1] for line in found] == [
        r'garbage len=18 "GET / HTTP/1.1\r\n\r\n"',
        'STDIN id=1 len=1 pad=0 "x"',
        r'garbage len=2 "\x80\x00"',
    ]


def test_dump_takes_any_bytes():
    chance = random.Random(7)
    for size in (0, 1, 7, 8, 9, 500, 300_000):
        status, found = dumped(chance.randbytes(size))
        assert (status, bool(found)) == (4 if size else 0, size > 0)


def test_dump_reads_files(directory: Path):
    path = directory / "capture"
    path.write_bytes(record(STDIN, 1, b"x"))
    assert fcgi("dump", path).stdout == b'00000000 STDIN id=1 len=1 pad=0 "x"\n'
    missing = fcgi("dump", directory / "none")
    assert (missing.returncode, b"none" in missing.stderr) == (3, True)
