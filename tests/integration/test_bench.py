# SPDX-License-Identifier: MIT
"""`fcgi bench`: it counts exactly, holds its rate, and sees wrong answers."""

import json
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.paths import BUILD, EXAMPLES
from support.process import Process
from support.responder import END, HEAD, STDOUT, Connection, responder
from support.tool import fcgi

TRANSPORT, PROTOCOL = 3, 4


def bench(address: str, *words: object) -> tuple[dict, int, str]:
    """What --json prints, the exit status and stderr."""
    done = fcgi("bench", address, "--json", *words)
    return json.loads(done.stdout or b"{}"), done.returncode, done.stderr.decode()


def errors(result: dict) -> dict[str, int]:
    return {kind: count for kind, count in result["errors"].items() if count}


@pytest.fixture(scope="module")
def hello(directory: Path) -> Iterator[str]:
    address = f"unix:{directory}/hello.sock"
    with Process([EXAMPLES / "hello", address], directory / "hello.log") as app:
        app.wait_for_address(address)
        yield address


@pytest.fixture(scope="module")
def echo_app(directory: Path) -> Iterator[str]:
    address = f"unix:{directory}/echo.sock"
    with Process([EXAMPLES / "echo", address], directory / "echo.log") as app:
        app.wait_for_address(address)
        yield address


@contextmanager
def answering(directory: Path, *answers: list[tuple[int, bytes]]) -> Iterator[str]:
    """An application that gives these answers in turn, each as records."""
    path = directory / "answering.sock"
    left = list(answers)

    class Answers(Connection):
        def answer(self, request_id: int, request: object) -> None:
            records = left.pop(0) if len(left) > 1 else left[0]
            self.requests.pop(request_id)
            for kind, content in records:
                self.send(kind, request_id, content)

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                Answers(accepted, frozenset(), [0]).serve()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"unix:{path}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(60)
            path.unlink()


def page(text: bytes, end: bytes = bytes(8)) -> list[tuple[int, bytes]]:
    return [(STDOUT, text), (STDOUT, b""), (END, end)]


@pytest.mark.parametrize(
    "words",
    [
        ("-c", 1),
        ("-c", 7),
        ("-c", 5, "-t", 2),
        ("-c", 3, "--no-keep"),
        ("-c", 2, "-m", 64),
        ("-c", 2, "--params", "minimal"),
        ("-c", 2, "--params", 400),
        ("-c", 2, "--rate", 20000),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
def test_counts_are_exact(hello: str, words: tuple):
    result, status, complaint = bench(hello, "-n", 1001, *words)
    assert (status, complaint, errors(result)) == (0, "", {})
    assert (result["requests"], result["right"]) == (1001, 1001)
    assert result["sent_bytes"] == 1001 * result["request_bytes"]
    opened = 1001 if "--no-keep" in words else words[1]
    assert result["connections"] == opened
    assert result["latency_us"]["p50"] <= result["latency_us"]["max"]


def test_parameters(echo_app: str):
    """nginx's profile is that of a real request, a number is exact."""
    assert bench(echo_app, "-n", 1)[0]["params"] == 27
    assert bench(echo_app, "-n", 1, "--params", 3)[0]["params"] == 3
    assert bench(echo_app, "-n", 1, "--params", 300)[0]["params"] == 300
    result = bench(echo_app, "-n", 1, "--params", 30, "-p", "HTTP_HOST", "-p", "A=1")[0]
    assert result["params"] == 30


@pytest.mark.parametrize("size", ["1", "65535", "32769", "1M"])
def test_bodies_come_back(echo_app: str, size: str):
    words = ("--body", size, "--expect-echo", "-c", 2, "-n", 10)
    result, status, complaint = bench(echo_app, *words)
    assert (status, complaint, result["right"]) == (0, "", 10)


def test_body_that_does_not_come_back(hello: str):
    result, status, complaint = bench(hello, "--body", 9, "--expect-echo", "-n", 10)
    assert (status, errors(result)) == (1, {"echo": 10})
    assert "10 of 10 requests failed: the body is not the one sent" in complaint


@pytest.mark.parametrize("threads", [1, 3])
def test_rate_is_held(hello: str, threads: int):
    started = time.monotonic()
    result, status, _ = bench(hello, "--rate", 500, "--duration", 1, "-t", threads)
    assert (status, result["requests"]) == (0, 500)
    assert 0.9 < time.monotonic() - started < 30


def test_all_connections_take_their_turn(hello: str):
    """Also where one of them could carry everything."""
    result, status, _ = bench(hello, "--rate", 200, "-c", 16, "-n", 32)
    assert (status, result["connections"]) == (0, 16)


def test_latency_counts_from_the_intended_start(directory: Path):
    """A pause of the application delays all that were to start meanwhile."""
    pause = 0.5

    class Slow(list):
        def __iter__(self) -> Iterator[tuple[int, bytes]]:
            time.sleep(pause)
            return super().__iter__()

    right = page(HEAD + b"x")
    with answering(directory, right, Slow(right), right) as address:
        result, status, _ = bench(address, "-c", 1, "--rate", 100, "-n", 100)
    latency = result["latency_us"]
    assert (status, result["right"]) == (0, 100)
    assert latency["p90"] > pause * 0.7e6, "40 and more requests began too late"
    assert latency["max"] >= pause * 1e6


def test_late_answers_do_not_keep_it_for_ever(directory: Path):
    class Slow(list):
        def __iter__(self) -> Iterator[tuple[int, bytes]]:
            time.sleep(0.05)
            return super().__iter__()

    with answering(directory, Slow(page(HEAD + b"x"))) as address:
        words = ("-c", 1, "--rate", 1000, "--duration", 0.3, "--timeout", 0.5)
        result, status, _ = bench(address, *words)
    assert (status, result["requests"]) == (TRANSPORT, 300)
    assert errors(result) == {"timeout": 300 - result["right"]}
    assert 0 < result["right"] < 20


WRONG = [
    ("status", 1, page(b"Status: 503 Busy\r\n\r\n")),
    ("status", 1, page(b"Location: /x\r\n\r\n")),
    ("exit", 1, page(HEAD + b"x", b"\0\0\0\7\0\0\0\0")),
    ("different", 1, page(HEAD + b"y")),
    ("different", 1, page(HEAD)),
    ("different", 1, page(HEAD + b"xx")),
    ("head", PROTOCOL, page(b"no head")),
    ("head", PROTOCOL, [(END, bytes(8))]),
    ("rejected", PROTOCOL, page(HEAD + b"x", b"\0\0\0\0\2\0\0\0")),
    ("unclosed", PROTOCOL, [(STDOUT, HEAD + b"x"), (END, bytes(8))]),
    ("protocol", PROTOCOL, [(STDOUT, HEAD + b"x"), (STDOUT, b""), (STDOUT, b"x")]),
    ("protocol", PROTOCOL, page(HEAD + b"x", bytes(4))),
    ("protocol", PROTOCOL, [(11, bytes(8))]),
]


@pytest.mark.parametrize(("kind", "code", "wrong"), WRONG)
def test_one_wrong_answer_is_counted(directory: Path, kind: str, code: int, wrong: list):
    right = page(HEAD + b"x")
    with answering(directory, right, wrong, right) as address:
        result, status, complaint = bench(address, "-c", 1, "-n", 5)
    assert (status, errors(result), result["right"]) == (code, {kind: 1}, 4)
    assert complaint.count("\n") == 1
    assert f"{address}: 1 of 5 requests failed: " in complaint


FAULTS = {
    "version 2": "protocol",
    "wrong id": "protocol",
    "short end": "protocol",
    "protocolStatus": "rejected",
    "unclosed": "unclosed",
    "no head": "head",
    "closes at once": "closed",
    "never ends": "timeout",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(directory: Path, fault: str):
    with responder(directory, fault) as address:
        result, status, _ = bench(address, "-c", 2, "-n", 6, "--timeout", 0.3)
    assert errors(result) == {FAULTS[fault]: 6}
    assert status == (TRANSPORT if FAULTS[fault] in ("closed", "timeout") else PROTOCOL)


def test_faults_that_may_be_let_pass(directory: Path):
    with responder(directory, "unclosed") as address:
        assert bench(address, "-n", 20, "-c", 1, "--allow-unclosed")[1] == 0
    with answering(directory, page(HEAD + b"x"), page(HEAD + b"y")) as address:
        assert bench(address, "-n", 2, "-c", 1, "--any-answer")[1] == 0


def test_application_that_closes_what_was_to_be_kept(directory: Path):
    """Its requests go out again on a new connection, as web servers do."""
    with responder(directory, "closes") as address:
        result, status, _ = bench(address, "-n", 20, "-c", 2)
    assert (status, result["right"]) == (0, 20)
    assert result["connections"] == 20


def test_idle_connections_stay(hello: str):
    result, status, _ = bench(hello, "-n", 100, "--idle", 200)
    assert (status, result["right"], result["connections"]) == (0, 100, 16)
    assert result["idle"] == 200


def test_idle_connections_that_do_not_stay(directory: Path):
    """An application that closes them after a while keeps fewer than it seems."""
    with responder(directory, "closes") as address:
        result, status, complaint = bench(address, "-n", 1, "-c", 1, "--idle", 5)
    assert (status, result["right"], result["idle"]) == (TRANSPORT, 1, 0)
    assert complaint == f"fcgi: bench: {address}: 5 of 5 idle connections were closed\n"


def lines_of(address: str, *words: object) -> tuple[dict[str, str], str]:
    """The lines for people by their first word, and stderr."""
    done = fcgi("bench", address, *words)
    lines = [line.partition(" ") for line in done.stdout.decode().splitlines()[1:]]
    return {word: rest.strip() for word, _, rest in lines}, done.stderr.decode()


def test_a_rated_run_takes_the_time_of_its_rate(hello: str):
    """Also where the last answer is there long before the next would start."""
    assert lines_of(hello, "-n", 1, "--rate", 20)[0]["requests"] == "1 in 0.050 s, 20.0/s"
    assert bench(hello, "-n", 2, "--rate", 20)[0]["seconds"] == 0.1


def test_a_short_run_took_some_time(hello: str):
    requests = lines_of(hello, "-n", 1)[0]["requests"]
    assert re.fullmatch(r"1 in [0-9.]*[1-9][0-9.]* (s|ms), [0-9.]+/s", requests)


def test_counts_of_failures_do_not_look_like_statuses(directory: Path):
    with answering(directory, page(b"Status: 404 Not Found\r\n\r\n")) as address:
        lines, complaint = lines_of(address, "-n", 3, "-c", 1)
    assert lines["failed"] == "3 of 3: a status other than 2xx: 404"
    assert complaint.endswith("3 of 3 requests failed: a status other than 2xx: 404\n")


def test_a_changing_page_names_the_option_for_it(directory: Path):
    head = b"Content-Type: text/plain\r\n\r\n"
    answers = [page(head + b"1"), page(head + b"2")]
    with answering(directory, *answers) as address:
        _, complaint = lines_of(address, "-n", 2, "-c", 1)
    assert "not the bytes of the first answer; --any-answer accepts others" in complaint
    with answering(directory, *answers) as address:
        assert lines_of(address, "-n", 2, "-c", 1, "--any-answer")[1] == ""


def test_histogram(hello: str):
    result = bench(hello, "-n", 1001, "-c", 4, "-t", 2)[0]
    times, counts = zip(*result["histogram_us"], strict=True)
    assert sum(counts) == 1001
    assert list(times) == sorted(times)
    assert times[-2] < result["latency_us"]["max"] <= times[-1] + 0.1
    lines = fcgi("bench", hello, "-n", 300, "--histogram").stdout.decode().splitlines()
    assert sum(int(line.split()[4]) for line in lines if line.startswith("up to")) == 300


def test_ten_thousand_connections(directory: Path):
    """Each carries a request; all are open at once."""
    address = f"unix:{directory}/many.sock"
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert most >= 10100, "raise the hard limit of open files: ulimit -Hn"
    with Process(
        ["prlimit", f"--nofile={most}", EXAMPLES / "hello", address], directory / "many.log"
    ) as app:
        app.wait_for_address(address)
        result, status, complaint = bench(address, "-c", 10000, "-n", 20000)
    assert (status, complaint, result["right"]) == (0, "", 20000)
    assert result["connections"] == 10000


def test_more_connections_than_descriptors(hello: str):
    done = subprocess.run(
        ["prlimit", "--nofile=99", BUILD / "tools/fcgi", "bench", hello, "-c", "90", "-n", "1"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "fcgi: bench: 100 descriptors are needed, and the limit is 99 (ulimit -Hn)\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [(), ("--rate", 100), ("-t", 2)], ids=str)
def test_signal_ends_it_with_results(hello: str, number: int, words: tuple):
    command = [BUILD / "tools/fcgi", "bench", hello, "--json", "-d", "30", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        time.sleep(0.5)
        child.send_signal(number)
        out, complaint = child.communicate(timeout=60)
    assert (child.returncode, complaint) == (-number, b"")
    assert json.loads(out)["right"] > 0
    assert errors(json.loads(out)) == {}


def test_application_that_dies(directory: Path):
    address = f"unix:{directory}/dies.sock"
    with Process([EXAMPLES / "hello", address], directory / "dies.log") as app:
        app.wait_for_address(address)
        killer = threading.Timer(0.4, app.stop)
        killer.start()
        started = time.monotonic()
        result, status, complaint = bench(address, "-d", 1)
        killer.join()
    assert 0.9 < time.monotonic() - started < 30
    assert status == TRANSPORT
    assert complaint.endswith(": no connection\n")
    assert result["right"] > 0
    assert result["requests"] == result["right"] + sum(errors(result).values())


def test_no_application(directory: Path):
    done = fcgi("bench", f"unix:{directory}/none.sock", "-n", 1)
    assert (done.returncode, done.stdout) == (TRANSPORT, b"")
    assert done.stderr.decode() == (
        f"fcgi: bench: cannot connect to unix:{directory}/none.sock: No such file or directory\n"
    )


def test_over_tcp(directory: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Process([EXAMPLES / "hello", f"127.0.0.1:{port}"], directory / "tcp.log") as app:
        app.wait_for_address(f"127.0.0.1:{port}")
        for words in (("-m", 8), ("--no-keep",)):
            result, status, _ = bench(f":{port}", "-n", 500, *words)
            assert (status, result["right"]) == (0, 500)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "no address"),
        (("unix:/x", "unix:/y"), "only one address"),
        (("/x",), 'address "/x": give unix:/path'),
        (("unix:",), "a path of 1 to 107 bytes"),
        (("unix:/x", "-c", "0"), "--connections=0: must be a whole number from 1 to 100000"),
        (("unix:/x", "-b", "2G"), "--body=2G: must be a size from 0 to 1G"),
        (("unix:/x", "--params", "all"), "--params all: give nginx"),
        (("unix:/x", "--no-keep", "-m", "2"), "needs --keep"),
        (("unix:/x", "-t", "17"), "more than --connections 16"),
        (("unix:/x", "--uri", "x"), "must start with /"),
        (("unix:/x", "--fast"), "no option --fast"),
    ],
)
def test_wrong_arguments(words: tuple[str, ...], why: str):
    done = fcgi("bench", *words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert why in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_text(hello: str):
    done = fcgi("bench", hello, "-n", 50, "-c", 2)
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith(f"{hello}: 2 connections x 1 in flight, kept, 27 params")
    assert [line.split()[:2] for line in lines[1:3]] == [["requests", "50"], ["right", "50"]]
    assert done.returncode == 0
