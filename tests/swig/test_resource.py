# SPDX-License-Identifier: MIT
"""What a program keeps between requests, the same in every language."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, Response, fetch, wait_until
from support.paths import BUILD, SOURCE
from support.process import Process
from swig.languages import CHOSEN, HERE, command
from swig.program import Program


class Keeper(Process):
    """The program of a language, and its database."""

    def __init__(self, language: str, folder: Path):
        self.address = f"unix:{folder}/s"
        self.database = f"{folder}/s.db"
        self.away = Path(self.database + ".away")
        run = [*command(language, HERE / "kept"), self.address, str(BUILD)]
        super().__init__(run, folder / "log")
        self.wait_for_address(self.address)

    def answer(self, path: str) -> Response:
        return fetch(self.address, uri=path)

    def text(self, path: str) -> str:
        answer = self.answer(path)
        assert answer.status == 200, self.output()
        return answer.body.decode()

    def counts(self) -> list[int]:
        """Open, in use, opened, not given back; closed by invalidate, check and reset."""
        return [int(word) for word in self.text("/counts").split()]

    def closed(self) -> int:
        file = Path(self.database + ".closed")
        return len(file.read_text()) if file.exists() else 0

    def status(self, name: str) -> int:
        line = re.search(
            rf"^fastcgi_{re.escape(name)} (\d+)$", self.text("/status?openmetrics"), re.M
        )
        assert line
        return int(line[1])


@pytest.fixture(params=CHOSEN)
def program(request, tmp_path) -> Iterator[Keeper]:
    with Keeper(request.param, tmp_path) as running:
        yield running


def test_one_is_open_for_all_requests(program: Keeper):
    """It is open before the first of them, and closed when the server stops."""
    assert program.counts() == [1, 0, 1, 0, 0, 0, 0]
    assert {program.text("/same") for _ in range(20)} == {"True 1"}
    assert program.counts() == [1, 0, 1, 0, 0, 0, 0]
    assert program.closed() == 0
    assert program.stop() == 0, program.output()
    assert program.closed() == 1


def test_nothing_of_a_request_shows_in_the_next(program: Keeper):
    assert program.text("/add") == "None"
    assert program.text("/leave") == "None"
    assert program.text("/rows") == "1"
    assert program.answer("/fail").status == 500
    assert program.text("/rows") == "1"
    wait_until(lambda: "after an insert" in program.output())
    assert program.counts() == [1, 0, 1, 0, 0, 0, 0]


def test_a_broken_one_is_replaced(program: Keeper):
    """It was said to be broken, fails its check, or cannot be reset."""
    program.text("/break")
    assert program.text("/same") == "True 2"
    program.text("/sick")
    assert program.text("/same") == "True 3"
    program.text("/spoil")
    assert program.text("/same") == "True 4"
    assert program.counts() == [1, 0, 4, 0, 1, 1, 1]
    assert program.closed() == 3


def test_what_was_not_given_back_is_closed(program: Keeper):
    assert program.text("/keep") == "None"
    assert program.text("/same") == "True 2"
    assert program.counts()[:4] == [1, 0, 2, 1]
    wait_until(lambda: "has not given back what it took" in program.output())


def test_a_database_that_is_away(program: Keeper):
    """503, and one line for all of them; when it is back, the next one works."""
    program.text("/drain")
    program.away.touch()
    before = program.output()
    for _ in range(2):
        answer = program.answer("/rows")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert program.text("/caught") == "TIMEOUT"
    wait_until(lambda: "it is away" in program.output()[len(before) :])
    (line,) = program.output()[len(before) :].splitlines()
    assert "GET /rows: resource 'db' cannot be opened: " in line
    assert "it is away" in line
    program.away.unlink()
    wait_until(lambda: program.answer("/rows").status == 200)
    assert program.counts()[:3] == [1, 0, 2]


@pytest.mark.parametrize("language", CHOSEN)
def test_a_server_is_ready_once_it_is_open(language: str, tmp_path: Path):
    (tmp_path / "s.db.away").touch()
    with Keeper(language, tmp_path) as program, Client(program.address) as client:
        wait_until(lambda: "the server is not ready before it is" in program.output())
        client.send_request(uri="/same", keep=False)
        program.away.unlink()
        assert client.collect().body == b"True 1"


def test_a_request_that_failed_for_it_runs_again(program: Keeper):
    assert program.text("/retry") == "run 2"
    assert "it is gone" not in program.output()
    assert program.status("requests_retried_total") == 1
    assert program.counts()[4] == 1


def test_a_request_that_may_have_done_something_does_not(program: Keeper):
    assert fetch(program.address, "POST", "/retry").status == 500
    wait_until(lambda: "it is gone" in program.output())


def test_the_status_counts_it_by_its_name(program: Keeper):
    program.text("/break")
    program.text("/same")
    named = '{resource="db"}'
    assert program.status(f"resource_open{named}") == 1
    assert program.status(f"resource_opened_total{named}") == 2
    assert program.status('resources_closed_total{cause="invalidated"}') == 1


def test_a_child_does_not_use_its_parents(program: Keeper):
    assert program.text("/add") == "None"
    for _ in range(2):
        assert program.text("/fork") == "status 3"
        assert program.text("/rows") == "1"
    assert program.counts()[:3] == [1, 0, 1]


def test_mistakes_have_a_code(program: Keeper):
    assert program.text("/wrong") == "STATE INVALID STATE INVALID INVALID STATE"


def test_takes_leave_nothing_behind(program: Keeper):
    """Ten thousand in each request, which first fill what the language keeps for later."""
    for _ in range(3):
        program.text("/many")
    before = program.rss_bytes()
    for _ in range(10):
        program.text("/many")
    assert program.rss_bytes() - before < 1 << 20
    assert program.counts()[:3] == [1, 0, 1]


def test_what_was_closed_is_let_go(program: Keeper):
    def replace(times: int) -> None:
        with Client(program.address) as client:
            for _ in range(times):
                assert client.request(uri="/break").status == 200

    replace(1000)
    before = program.rss_bytes()
    replace(2000)
    assert program.rss_bytes() - before < 1 << 20
    wait_until(lambda: program.closed() == 3000)


@pytest.mark.skipif("perl" not in CHOSEN, reason="the example is in Perl")
def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch):
    page = (SOURCE / "swig" / "README.md").read_text()
    (text,) = [
        text for text in re.findall(r"^```perl\n(.*?)^```", page, re.M | re.S) if "DBI" in text
    ]
    monkeypatch.chdir(tmp_path)
    with Program("perl", tmp_path, text) as program:
        for number in range(1, 11):
            assert program.ask().decode() == f"visit {number}\n"


THREADS = {
    "python": """
import sys, threading, fastcgi_swig
db = fastcgi_swig.Resource(object)
meet = threading.Barrier(3)
def handler(request):
    one = db.get(request)
    meet.wait(60)
    request.reply(200, "text/plain", f"{id(one)} {threading.get_ident()}".encode())
server = fastcgi_swig.Server()
server.listen(sys.argv[1])
threads = [threading.Thread(target=server.run, args=(handler,)) for _ in range(2)]
for thread in threads:
    thread.start()
server.serve(handler)
for thread in threads:
    thread.join()
sys.exit(db.count("open"))
""",
    "ruby": """
require "fastcgi_swig"
db = FastCGI::Swig::Resource.new { Object.new }
entered, gate = Queue.new, Queue.new
Thread.new { loop { 3.times { entered.pop }; 3.times { gate << 1 } } }
handler = lambda do |request|
  one = db.get(request)
  entered << 1
  gate.pop
  request.reply(200, "text/plain", "#{one.object_id} #{Thread.current.object_id}")
end
server = FastCGI::Swig::Server.new
server.listen(ARGV[0])
threads = 2.times.map { Thread.new { server.run(handler) } }
server.serve(handler)
threads.each(&:join)
exit db.count("open")
""",
}


@pytest.mark.parametrize("language", [name for name in THREADS if name in CHOSEN])
def test_each_thread_has_its_own(language: str, tmp_path: Path):
    """They close it when they stop serving."""
    with Program(language, tmp_path, THREADS[language].lstrip()) as program:
        seen = set()
        for _ in range(5):
            clients = [Client(program.address, 60) for _ in range(3)]
            for client in clients:
                client.send_request(keep=False)
            seen |= {tuple(client.collect().body.split()) for client in clients}
            for client in clients:
                client.close()
        assert len(seen) == len({one for one, _ in seen}) == len({who for _, who in seen}) == 3
        assert program.stop() == 0, program.output()


HOLDING = """
import sys, fastcgi_swig
log = []
db = fastcgi_swig.Resource(lambda: log.append("open") or log)
db.on("reset", lambda log: log.append("reset"))
db.on("close", lambda log: log.append("close"))
server = fastcgi_swig.Server()
server.listen(sys.argv[1])
first, second = server.accept(), server.accept()
db.get(first)
try:
    db.get(second)
except fastcgi_swig.Error as error:
    log.append(error.code)
first.reply(200, "text/plain", b"first")
db.get(second)
try:
    db.get(first)
except fastcgi_swig.Error as error:
    log.append(error.code)
del second
db.close()
try:
    db.take()
except fastcgi_swig.Error as error:
    log.append(error.code)
third = server.accept()
third.reply(200, "text/plain", " ".join(log).encode())
"""


@pytest.mark.skipif("python" not in CHOSEN, reason="the program is in Python")
def test_requests_that_a_program_holds(tmp_path: Path):
    """One of them has it at a time, and its end gives it back."""
    with Program("python", tmp_path, HOLDING.lstrip()) as program:
        with Client(program.address) as first, Client(program.address) as second:
            first.send_request(keep=False)
            second.send_request(keep=False)
            bodies = [client.collect().body for client in (first, second)]
            assert bodies.count(b"first") == 1
        assert program.ask() == b"open STATE reset STATE reset close CLOSED"
        assert program.wait() == 0, program.output()
