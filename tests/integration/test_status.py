# SPDX-License-Identifier: MIT
"""Status page, request deadline and slow log of a server, and the tools that read them."""

import fcntl
import json
import os
import pty
import re
import resource
import shutil
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support.fcgi_client import Client, get_params, wait_until
from support.nginx import reserve_port
from support.paths import BUILD, EXAMPLES, INCLUDE, SOURCE
from support.process import Process
from support.site import Answer, Site, serve_behind_nginx
from support.tool import fcgi

THREADS = 4
PATH = "/kept/status"  # As nginx passes it on.
APPS = SOURCE / "tests" / "integration" / "apps"


@contextmanager
def hanging_site(directory: Path, name: str, *options: str) -> Iterator[tuple[Site, Path]]:
    """The application that hangs, on THREADS threads behind nginx, and the file that frees it."""
    folder = directory / name
    folder.mkdir()
    gate = folder / "gate"
    address = f"unix:{folder}/app.sock"
    command = [sys.executable, "-m", "fastcgi", "hang:app", "--chdir", APPS]
    command += ["--bind", address, "--threads", THREADS, "--status-path", PATH, *options]
    with serve_behind_nginx(folder, command, address, env={"GATE": str(gate)}) as site:
        try:
            yield site, gate
        finally:
            gate.touch()


class Hung:
    """Requests that keep every handler busy; their answers in the end."""

    def __init__(self, site: Site, count: int = THREADS):
        self.answers: list[Answer] = []
        self._threads = [threading.Thread(target=self._ask, args=(site,)) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self, site: Site) -> None:
        self.answers.append(site.request("/kept/hang?token=s3cret"))

    def join(self) -> list[Answer]:
        for thread in self._threads:
            thread.join(60)
        return self.answers


def status(site: Site) -> dict:
    return json.loads(site.request(f"{PATH}?json").body)["fastcgi"]


def test_page_while_every_handler_hangs(directory: Path):
    with hanging_site(directory, "hang") as (site, gate):
        hung = Hung(site)
        wait_until(lambda: status(site)["total"]["active"] == THREADS, 10, "handlers hanging")
        began = time.monotonic()
        page = site.request(PATH, headers={"Accept": "text/html"})
        assert time.monotonic() - began < 20
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert page.body.count(b"/kept/hang") == THREADS
        assert b"http" not in page.body.replace(b"http-equiv", b"")  # It loads nothing.
        hanging = status(site)["workers"][0]["in_flight"]
        assert {(r["phase"], r["method"], r["path"]) for r in hanging} == {
            ("handler", "GET", "/kept/hang")
        }
        for query in ("html", "json&full", "xml&full", "full", "text", "openmetrics"):
            assert b"s3cret" not in site.request(f"{PATH}?{query}").body
        waiting = Hung(site, 1)
        wait_until(lambda: status(site)["total"]["queued"] == 1, 10, "one more waiting")
        gate.touch()
        assert [a.status for a in hung.join() + waiting.join()] == [200] * (THREADS + 1)
        wait_until(lambda: status(site)["workers"][0]["in_flight"] == [], 5, "all answered")
        done = status(site)["total"]
        assert (done["responses_2xx"], done["active_max"]) == (THREADS + 1, THREADS)


def test_deadline_and_slow_log(directory: Path):
    options = ["--request-timeout", "1.5s", "--slow-log", "0.3s"]
    with hanging_site(directory, "late", *options) as (site, gate):
        hung = Hung(site)
        for answer in hung.join():
            assert (answer.status, answer.body) == (504, b"504 Gateway Timeout\n")
        # Every handler still hangs, so another request gets the same, and the page answers.
        late = site.request("/kept/other")
        assert late.status == 504
        total = status(site)["total"]
        assert (total["overdue"], total["aborts_deadline"]) == (THREADS, THREADS + 1)
        gate.touch()
        wait_until(lambda: status(site)["total"]["overdue"] == 0, 10, "handlers returning")
        assert site.request("/kept/other").body == b"None\n"
        log = site.app.output()
    assert log.count("slow request: GET /kept/hang, for ") == THREADS
    assert log.count("in wait_for_the_gate") == THREADS
    assert "GET /kept/hang: not answered within 1.5 s, so the client gets 504" in log
    assert "Traceback" not in log


def expect_counts(app: Process, address: str, listed: str, asking: Client) -> None:
    def counted(name: str) -> int:
        return json.loads(asking.request(uri=f"{PATH}?json").body)["fastcgi"]["total"][name]

    assert counted("peers_refused") == 0
    for _ in range(2):
        with suppress(ConnectionError), Client(listed) as stranger:
            assert not stranger.request().ended
    wait_until(lambda: counted("peers_refused") == 2, what="two refused peers")
    assert counted("accepts_failed") == 0
    before = resource.prlimit(app.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(app.pid, resource.RLIMIT_NOFILE, (app.descriptors(), before[1]))
    with Client(address) as waiting:
        waiting.send_request(uri=f"{PATH}?json")
        wait_until(lambda: counted("accepts_failed") > 0, what="a failed accept")
        resource.prlimit(app.pid, resource.RLIMIT_NOFILE, before)
        assert waiting.collect().status == 200
    assert counted("peers_refused") == 2
    text = asking.request(uri=f"{PATH}?openmetrics").body.decode()
    families = {one.name: one for one in text_string_to_metric_families(text)}
    (refused,) = families["fastcgi_connections_refused"].samples
    (failed,) = families["fastcgi_accepts_failed"].samples
    assert (refused.value, failed.value) == (2, counted("accepts_failed"))


def test_connections_that_are_refused_are_counted(directory: Path):
    """By who may connect over TCP, and for want of descriptors; the page is asked beside them."""
    address, reserved = f"unix:{directory}/refused.sock", reserve_port()
    listed = f"127.0.0.1:{reserved.getsockname()[1]}"
    command = [sys.executable, "-m", "fastcgi", "hang:app", "--chdir", APPS, "--bind", address]
    command += ["--bind", listed, "--allow-from", "127.0.0.2", "--status-path", PATH]
    env = {"GATE": str(directory)}
    with reserved, Process(command, directory / "refused.log", env=env) as app:
        app.wait_for_address(address)
        with Client(address) as asking:
            expect_counts(app, address, listed, asking)


@pytest.fixture(scope="module")
def hello(directory: Path) -> Iterator[tuple[Process, str]]:
    """The C hello, which knows nothing of a status; three requests were made."""
    address = f"unix:{directory}/hello.sock"
    env = {"FASTCGI_STATUS_PATH": "/status"}
    with Process([EXAMPLES / "hello", address], directory / "hello.log", env=env) as app:
        app.wait_for_address(address)
        for _ in range(3):
            with Client(address) as client:
                assert client.request("GET", "/").status == 200
        yield app, address


def test_openmetrics_is_what_prometheus_reads(hello):
    done = fcgi("status", hello[1], "--openmetrics")
    text = done.stdout.decode()
    families = {f.name: f for f in text_string_to_metric_families(text)}
    (requests,) = families["fastcgi_requests"].samples
    assert (families["fastcgi_requests"].type, requests.value) == ("counter", 3)
    by_class = {s.labels["class"]: s.value for s in families["fastcgi_responses"].samples}
    assert by_class == {"1xx": 0, "2xx": 3, "3xx": 0, "4xx": 0, "5xx": 0}
    latency = families["fastcgi_request_duration_seconds"]
    assert latency.type == "histogram"
    assert [s.value for s in latency.samples if s.labels.get("le") == "+Inf"] == [3]
    assert all(f.documentation for f in families.values())


def test_status_tool_by_address_and_by_process(hello):
    app, address = hello
    for where in (address, app.pid):
        done = fcgi("status", where, "--json")
        assert (done.returncode, done.stderr) == (0, b"")
        seen = json.loads(done.stdout)["fastcgi"]
        assert [w["pid"] for w in seen["workers"]] == [app.pid]
        assert (seen["total"]["requests"], seen["total"]["responses_2xx"]) == (3, 3)
    assert "requests:            3\n" in fcgi("status", app.pid).stdout.decode()
    assert "total processes:      1\n" in fcgi("status", app.pid, "--fpm").stdout.decode()


@pytest.mark.parametrize("tool", ["status", "top"])
def test_mistakes_are_one_line(hello, tool: str):
    cases = [
        ([], 2, "one address or process id is needed"),
        (["1", "2"], 2, "one address or process id is needed"),
        (["x.sock", "--nope"], 2, "no option --nope"),
        (["x.sock", "--pth", "/s"], 2, "no option --pth; did you mean --path?"),
        ([hello[1], "--path", "x"], 2, "must start with /"),
        ([hello[1], "--path", "/other"], 4, "does not answer /other with its status"),
        (["unix:/nowhere/x.sock"], 3, "/nowhere/x.sock"),
        ([os.getpid()], 3, "keeps no status"),
        (["4194304"], 3, "cannot look into process"),
    ]
    for words, code, text in cases:
        done = fcgi(tool, *words)
        assert (done.returncode, done.stdout) == (code, b""), words
        assert text in done.stderr.decode()
        assert done.stderr.count(b"\n") == 1, done.stderr


@pytest.mark.parametrize("tool", ["status", "top"])
def test_a_process_of_somebody_else_names_who_may_look(directory: Path, tool: str):
    """As nobody where the tests run as root: the tool is copied to where that user may enter."""
    program = directory / "fcgi"
    shutil.copy(BUILD / "tools" / "fcgi", program)
    directory.chmod(0o755)
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    done = subprocess.run(
        [program, tool, "1"], cwd="/", capture_output=True, text=True, timeout=60, **user
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"fcgi: {tool}: cannot look into process 1: Permission denied; "
        "run it as the user of that process, or as root\n"
    )


def test_top_once(hello):
    app, address = hello
    done = fcgi("top", address, "--once", "--interval", "0.2")
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.match(rf"{address}  up [\d.]+[smhd]  generation 0  \d\d:\d\d:\d\d$", lines[0])
    assert re.match(r"requests \d+, 0/s  in handlers 0  waiting 0", lines[1])
    (worker,) = [line for line in lines if line.split()[:1] == [str(app.pid)]]
    assert worker.split()[1] == "ready"
    assert any(line.startswith(" WORKER PHASE") for line in lines)


def test_top_explains_its_columns(hello):
    """Here, and not in the help of another command: columns, states, phases, exit statuses."""
    shown = fcgi("top", hello[1], "--once", "--interval", "0.2").stdout.decode()
    (columns,) = re.findall(r"^ WORKER (STATE.*)$", shown, re.M)
    header = (INCLUDE / "fastcgi" / "status.h").read_text()
    names = re.findall(r"FCGI_(?:PHASE|WORKER_STATE)_MAP\(X\)(?:.*\\\n)+.*", header)
    words = columns.split() + re.findall(r"X\(\w+, (\w+)\)", "".join(names))
    assert {"WAIT", "overdue", "queued", "draining"} < set(words)
    text = fcgi("top", "--help").stdout.decode()
    lacking = [word for word in set(words) - {"free", "dead", "ready"} if word not in text]
    assert lacking == []
    assert "Exit status:\n  0" in text
    assert "fcgi status" not in text
    page = (SOURCE / "docs" / "status.md").read_text()
    assert [word for word in ("`WAIT`", "`overdue`", "`queued`", "`GEN`") if word not in page] == []


def test_top_fits_60_columns(hello):
    """No line but those with an address or a path in it is cut by a terminal of that width."""
    app, _ = hello
    lines = fcgi("top", app.pid, "--once", "--interval", "0.2").stdout.decode().splitlines()
    assert max(map(len, lines)) < 60, lines


def test_top_names_the_worker_of_a_request(directory: Path):
    with hanging_site(directory, "top") as (site, _gate):
        hung = Hung(site, 1)
        wait_until(lambda: status(site)["total"]["active"] == 1, 10, "a handler hanging")
        done = fcgi("top", site.app.pid, "--once", "--interval", "0.2")
        _gate.touch()
        hung.join()
    rows = [line.split() for line in done.stdout.decode().splitlines()]
    (request,) = [row for row in rows if "/kept/hang" in row]
    assert request[:2] == [str(site.app.pid), "handler"]
    assert re.fullmatch(r"[\d.]+s", request[2])


WAITING = """
import os, time

def app(request):
    while not os.path.exists({folder!r} + request.path):
        time.sleep(0.01)
    return 200, {{}}, b""
"""


def test_top_has_the_oldest_request_first(directory: Path):
    """Whatever places they have on the scoreboard: the youngest has that of one that is over."""
    folder = directory / "oldest"
    folder.mkdir()
    (folder / "waiting.py").write_text(WAITING.format(folder=str(folder)))
    address = f"unix:{folder}/app.sock"
    command = [sys.executable, "-m", "fastcgi", "waiting:app", "--chdir", folder]
    command += ["--bind", address, "--threads", "3", "--status-path", "/status"]
    with Process(command, folder / "log") as app, ExitStack() as stack:
        app.wait_for_address(address)
        clients = {name: stack.enter_context(Client(address)) for name in "abcd"}
        asking = stack.enter_context(Client(address))

        def active() -> int:
            text = asking.request(uri="/status?json").body
            return json.loads(text)["fastcgi"]["total"]["active"]

        def ask(name: str, others: int) -> None:
            clients[name].send_request(uri=f"/{name}")
            wait_until(lambda: active() == others + 1, what=f"/{name} to begin")

        for others, name in enumerate("abc"):
            ask(name, others)
        (folder / "a").touch()
        assert clients["a"].collect().status == 200
        wait_until(lambda: active() == 2, what="/a to end")
        ask("d", 2)
        shown = fcgi("top", app.pid, "--once", "--interval", "0.2").stdout.decode()
        for name in "bcd":
            (folder / name).touch()
            assert clients[name].collect().status == 200
    rows = [line.split() for line in shown.splitlines()]
    assert [row[-1] for row in rows if "handler" in row] == ["/b", "/c", "/d"]


NAP = BUILD / "tests" / "integration" / "nap"


@pytest.mark.parametrize("nap_ms", [0.2, 2, 20, 200, 2000])
def test_top_rounds_to_what_it_knows(directory: Path, nap_ms: float):
    """The histogram knows a latency to a quarter, so there are two digits of it."""
    address = f"unix:{directory}/nap{nap_ms}.sock"
    env = {"FASTCGI_STATUS_PATH": "/status"}
    with Process([NAP, address], directory / "nap.log", env=env) as app:
        app.wait_for_address(address)
        with Client(address) as client:
            assert client.ask(get_params("/", f"sleep={nap_ms}")).status == 200
        lines = fcgi("top", app.pid, "--once", "--interval", "0.2").stdout.decode().splitlines()
    worker = [str(app.pid), "ready"]
    (latency,) = [line.split()[-1] for line in lines if line.split()[:2] == worker]
    number, unit = re.fullmatch(
        r"(0\.\d\d|[1-9]\.\d|[1-9]\d|[1-9]\d0|\d\.\d(?=s)|\d+(?=s))(ms|s)", latency
    ).groups()
    assert float(number) * (1 if unit == "ms" else 1000) >= 0.75 * nap_ms


def test_top_on_a_terminal(hello):
    """It fits 60x24, is drawn again, and q leaves the terminal as it was."""
    app, _ = hello
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    before = termios.tcgetattr(theirs)
    command = [BUILD / "tools" / "fcgi", "top", str(app.pid), "-i", "0.2"]
    top = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    got = b""
    while got.count(b"\x1b[H") < 3:
        got += os.read(ours, 65536)
    assert top.poll() is None
    os.write(ours, b"q")
    while b"\x1b[?1049l" not in got:
        got += os.read(ours, 65536)
    assert top.wait(60) == 0
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
    assert got.startswith(b"\x1b[?1049h\x1b[?25l")
    assert got.endswith(b"\x1b[?25h\x1b[?1049l")
    for picture in got.split(b"\x1b[H")[1:]:
        rows = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]|\r", b"", picture).split(b"\n")
        assert len(rows) <= 24
        assert all(len(row) < 60 for row in rows), rows
    assert b"%d ready" % app.pid in got


def test_a_signal_leaves_the_terminal_as_it_was(hello):
    app, _ = hello
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    command = [BUILD / "tools" / "fcgi", "top", str(app.pid)]
    top = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    got = b""
    while b"PHASE" not in got:
        got += os.read(ours, 65536)
    top.terminate()
    while b"\x1b[?1049l" not in got:
        got += os.read(ours, 65536)
    top.wait(60)
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
