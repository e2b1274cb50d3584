# SPDX-License-Identifier: MIT
"""Programs that take requests in a loop of their own and know nothing of signals,
as workers: a reload and a stop let the request that runs finish, and then the
loop ends by itself."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, Response, get_params, wait_until
from support.paths import BUILD, CC, INCLUDE, tool
from support.supervisor import Supervisor, state

from swig import languages

SECONDS = 60  # For what takes one on a machine with nothing else to do.
FILL = 100_000  # Bytes of an answer after the process id.

# Each answers with its process id and FILL times x. With the query "wait" it
# makes the file `entered` of the directory in WAIT first, and waits for `go`.
# When the loop has ended it says so on stderr.
C = r"""
#include <fastcgi/fastcgi.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
enum { FILL = 100000 };
static int is_wanted(fcgi_request *request) {
  const char *query = fcgi_request_param(request, "QUERY_STRING");
  return query && strcmp(query, "wait") == 0;
}
static void await(void) {
  int at = open(getenv("WAIT"), O_RDONLY | O_DIRECTORY);
  close(openat(at, "entered", O_CREAT | O_WRONLY, 0600));
  while (faccessat(at, "go", F_OK, 0) < 0)
    usleep(10000);
  close(at);
}
int main(void) {
  char body[FILL + 32];
  size_t len = (size_t)sprintf(body, "%ld ", (long)getpid());
  const fcgi_server_config config = {.size = sizeof config, .poller = POLLER};
  fcgi_server_event event = {.size = sizeof event};
  fcgi_server *server;
  memset(body + len, 'x', FILL);
  if (fcgi_server_new(&server, &config, NULL, 0) || fcgi_server_listen(server, NULL))
    return 1;
  while (fcgi_server_next(server, &event, -1) >= 0) {
    if (is_wanted(event.request))
      await();
    fcgi_request_reply(event.request, 200, "text/plain", body, len + FILL);
  }
  fprintf(stderr, "the loop of %ld has ended\n", (long)getpid());
  fcgi_server_free(server);
  return 0;
}
"""
# The same loop in scripts, and what differs in the languages' two modules.
PYTHON = """
import os, pathlib, sys, time
{module}
where, body = pathlib.Path(os.environ["WAIT"]), b"%d " % os.getpid() + b"x" * 100_000

def answer(request):
    if {query} == "wait":
        (where / "entered").touch()
        while not (where / "go").exists():
            time.sleep(0.01)
    {reply}

{loop}
print("the loop of", os.getpid(), "has ended", file=sys.stderr, flush=True)
"""
NATIVE_PYTHON = {
    "module": "import fastcgi",
    "query": "request.query",
    "reply": 'request.reply(body, content_type="text/plain")',
    "loop": """
server = fastcgi.Server()
server.listen(None)
for request in server:
    answer(request)
""",
}
SWIG_PYTHON = {
    "module": "import fastcgi_swig",
    "query": 'request.param("QUERY_STRING")',
    "reply": 'request.reply(200, "text/plain", body)',
    "loop": """
server = fastcgi_swig.Server()
server.listen_inherited()
while not server.stopped():
    request = server.accept()
    if request is not None:
        answer(request)
        request = None
""",
}
LUA = """
local where = os.getenv "WAIT"
local pid = io.open("/proc/self/stat"):read "n"
local body = ("%d "):format(pid) .. ("x"):rep(100000)
local function exists(name)
  local file = io.open(where .. "/" .. name)
  return file and file:close()
end
local function await()
  io.open(where .. "/entered", "w"):close()
  repeat os.execute "sleep 0.02" until exists "go"
end
{loop}
io.stderr:write(("the loop of %d has ended\\n"):format(pid))
"""
NATIVE_LUA = """
local fcgi = require "fcgi"
local server = assert(fcgi.server())
assert(server:listen())
for req in server:requests() do
  if req.params.QUERY_STRING == "wait" then await() end
  req:reply(200, { ["Content-Type"] = "text/plain" }, body)
end
"""
LUA_ACCEPT = """
local fcgi = require "fcgi"
local server = assert(fcgi.server())
assert(server:listen())
local req = server:accept()
while req do
  if req.params.QUERY_STRING == "wait" then await() end
  req:reply(200, { ["Content-Type"] = "text/plain" }, body)
  req = server:accept()
end
"""
SWIG_LUA = """
local fcgi = require "fcgi_swig"
local server = fcgi.Server()
server:listen_inherited()
while not server:stopped() do
  local request = server:accept()
  if request then
    if request:param "QUERY_STRING" == "wait" then await() end
    request:reply(200, "text/plain", body)
  end
end
"""
PERL = """
use strict; use warnings; use FastCGI::Swig;
my ($where, $body) = ($ENV{WAIT}, "$$ " . 'x' x 100000);
my $server = FastCGI::Swig::Server->new;
$server->listen_inherited;
until ($server->stopped) {
    my $request = $server->accept() or next;
    if ($request->param('QUERY_STRING') eq 'wait') {
        open my $file, '>', "$where/entered" or die;
        select undef, undef, undef, 0.02 until -e "$where/go";
    }
    $request->reply(200, 'text/plain', $body);
}
print STDERR "the loop of $$ has ended\\n";
"""
RUBY = """
require "fastcgi_swig"
where, body = ENV["WAIT"], "#{$$} " + "x" * 100_000
server = FastCGI::Swig::Server.new
server.listen_inherited
until server.stopped?
  next unless (request = server.accept)
  if request.param("QUERY_STRING") == "wait"
    File.write("#{where}/entered", "")
    sleep 0.02 until File.exist?("#{where}/go")
  end
  request.reply(200, "text/plain", body)
end
$stderr.puts "the loop of #{$$} has ended"
"""
TCL = """
package require fastcgi_swig
set where $env(WAIT)
set body "[pid] [string repeat x 100000]"
set server [fastcgi::Server]
$server listen_inherited
while {![$server stopped]} {
    set request [$server accept]
    if {$request eq ""} continue
    if {[$request param QUERY_STRING] eq "wait"} {
        close [open $where/entered w]
        while {![file exists $where/go]} { after 20 }
    }
    $request reply 200 text/plain $body
}
puts stderr "the loop of [pid] has ended"
"""
PHP = """<?php
$where = getenv('WAIT');
$body = getmypid() . ' ' . str_repeat('x', 100000);
$server = new FastCGIServer();
$server->listen_inherited();
while (!$server->stopped()) {
    $request = $server->accept();
    if (!$request) {
        continue;
    }
    if ($request->param('QUERY_STRING') === 'wait') {
        touch("$where/entered");
        while (!file_exists("$where/go")) {
            usleep(20000);
            clearstatcache();
        }
    }
    $request->reply(200, 'text/plain', $body);
}
fwrite(STDERR, 'the loop of ' . getmypid() . " has ended\\n");
"""
SCRIPTS = {
    "python": PYTHON.format(**NATIVE_PYTHON),
    "lua": LUA.format(loop=NATIVE_LUA),
    "lua-accept": LUA.format(loop=LUA_ACCEPT),
    "swig-python": PYTHON.format(**SWIG_PYTHON),
    "swig-lua": LUA.format(loop=SWIG_LUA),
    "swig-perl": PERL,
    "swig-ruby": RUBY,
    "swig-tcl": TCL,
    "swig-php": PHP,
}
POLLERS = {"c": "FCGI_POLLER_BEST", "c-poll": "FCGI_POLLER_POLL"}
NAMES = [*POLLERS, *SCRIPTS]

# What makes a loop handle SIGTERM, which goes before the line that listens.
HANDLERS = {
    "python": """
import signal
def stop(*_):
    print("SIGTERM came", file=sys.stderr, flush=True)
    server.stop()
signal.signal(signal.SIGTERM, stop)
server.listen(""",
    "swig-perl": """
$SIG{TERM} = sub { print STDERR "SIGTERM came\n"; $server->stop };
$server->listen_inherited""",
    "swig-ruby": """
trap("TERM") { $stderr.puts "SIGTERM came"; server.stop }
server.listen_inherited""",
    "swig-php": """
pcntl_async_signals(true);
pcntl_signal(SIGTERM, function () use ($server) {
    fwrite(STDERR, "SIGTERM came\n");
    $server->stop();
});
$server->listen_inherited(""",
}


def compile_c(directory: Path, poller: str) -> list:
    source, program = directory / "loop.c", directory / "loop"
    source.write_text(f"#define _GNU_SOURCE\n#define POLLER {poller}\n" + C)
    library = next(BUILD.rglob("libfastcgi.a"))
    words = [CC, "-o", program, source, f"-I{INCLUDE}", library, "-lpthread"]
    subprocess.run([str(word) for word in words], check=True)
    return [program]


def handling(name: str) -> str:
    """The script with a handler of SIGTERM."""
    listening = HANDLERS[name].strip().rsplit("\n", 1)[1]
    before, found, after = SCRIPTS[name].partition(listening)
    assert found
    # One that comes just before a wait without end would not be seen to.
    return before + HANDLERS[name] + after.replace("accept()", "accept(0.5)")


def make(directory: Path, name: str, script_of: Callable[[str], str] = SCRIPTS.get) -> list:
    """What runs the loop."""
    if name in POLLERS:
        return compile_c(directory, POLLERS[name])
    script = directory / name
    if name.startswith("swig-"):
        language = name.removeprefix("swig-")
        if not (languages.TREE / language).exists():
            pytest.skip(f"this build has no SWIG module for {language}")
        command = languages.command(language, script)
        Path(command[-1]).write_text(script_of(name))
        return command
    script.write_text(script_of(name))
    return [sys.executable if name == "python" else tool("lua5.4"), script]


class Loop:
    """The supervisor of one such program, and the request that waits in it."""

    def __init__(self, supervisor: Supervisor, directory: Path):
        self.supervisor, self.directory = supervisor, directory

    def worker(self) -> int:
        (only,) = self.supervisor.wait_for_workers(lambda found: len(found) == 1, SECONDS)
        return only

    @contextlib.contextmanager
    def waiting(self) -> Iterator[tuple[int, Callable[[], Response]]]:
        """The worker that is inside a request, and what lets that go on."""
        entered, go = self.directory / "entered", self.directory / "go"
        entered.unlink(missing_ok=True)
        go.unlink(missing_ok=True)
        worker = self.worker()
        with Client(self.supervisor.address, timeout=5 * SECONDS) as client:
            client.send_request(params=get_params(query="wait"))
            wait_until(entered.exists, SECONDS, "the handler")

            def answer() -> Response:
                go.touch()
                return client.collect()

            yield worker, answer

    def ended_well(self, worker: int) -> None:
        wait_until(lambda: state(worker) == "", SECONDS, "the worker to go")
        self.supervisor.wait_for_line(f"worker {worker} has stopped: it exited with status 0")
        assert f"the loop of {worker} has ended" in self.supervisor.output()


def expect(response: Response, worker: int) -> None:
    assert response.body == b"%d " % worker + b"x" * FILL


@contextlib.contextmanager
def running(directory: Path, request: pytest.FixtureRequest, *how: object) -> Iterator[Loop]:
    place = Path(directory, re.sub(r"\W+", "-", request.node.name))
    place.mkdir()
    options = ["--graceful-timeout", 10 * SECONDS]
    command = make(place, *how)
    env = {"WAIT": str(place)}
    with Supervisor(place, command, *options, workers=1, env=env) as supervisor:
        yield Loop(supervisor.ready(), place)
        # What a failed test left behind waits for it.
        (place / "go").touch()


@pytest.fixture(params=NAMES)
def loop(request: pytest.FixtureRequest, directory: Path) -> Iterator[Loop]:
    with running(directory, request, request.param) as running_loop:
        yield running_loop


def test_reload_and_stop(loop: Loop):
    supervisor = loop.supervisor
    with Client(supervisor.address, timeout=5 * SECONDS) as kept:
        expect(kept.ask(get_params()), loop.worker())
        with loop.waiting() as (old, answer):
            supervisor.reload(SECONDS)
            (new,) = supervisor.workers() - {old}
            assert state(old)
            with Client(supervisor.address, timeout=5 * SECONDS) as other:
                expect(other.ask(get_params()), new)
            expect(answer(), old)
        loop.ended_well(old)
        expect(kept.ask(get_params()), new)
        # One that waits for requests goes at once.
        supervisor.reload(SECONDS)
        loop.ended_well(new)
    with loop.waiting() as (last, answer):
        os.kill(supervisor.pid, signal.SIGTERM)
        supervisor.wait_for_line("stopping")
        expect(answer(), last)
    assert supervisor.wait(SECONDS) == 0
    log = supervisor.output()
    assert f"the loop of {last} has ended" in log
    assert "killed" not in log


def test_hang_up(loop: Loop):
    with loop.waiting() as (worker, answer):
        os.kill(worker, signal.SIGHUP)
        os.killpg(worker, signal.SIGHUP)
        expect(answer(), worker)
    with Client(loop.supervisor.address) as client:
        expect(client.ask(get_params()), worker)


@pytest.mark.parametrize("name", HANDLERS)
def test_handled(request: pytest.FixtureRequest, directory: Path, name: str):
    """A program that handles SIGTERM gets it."""
    with running(directory, request, name, handling) as loop:
        worker = loop.worker()
        loop.supervisor.reload(SECONDS)
        loop.ended_well(worker)
        assert "SIGTERM came" in loop.supervisor.output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_quick_stop(loop: Loop, number: int):
    """The second signal, or the first that is none of patience, ends it."""
    supervisor = loop.supervisor
    with loop.waiting() as (worker, _):
        os.kill(supervisor.pid, number)
        supervisor.wait_for_line("stopping")
        if number == signal.SIGTERM:
            os.kill(supervisor.pid, number)
        assert supervisor.wait(SECONDS) == 0
    assert state(worker) == ""
    assert f"worker {worker} has stopped: it was killed by signal 15" in supervisor.output()
