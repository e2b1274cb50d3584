# SPDX-License-Identifier: MIT
"""What ends a program in each language ends only the request in a handler."""

from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params, wait_until
from swig.languages import CHOSEN
from swig.program import Program

# Each serves /exit, /status, /nested and /late, and /fine; then it leaves with
# status 7, so that its own exit is seen to end it.
PROGRAMS = {
    "python": """
import sys, fastcgi_swig
def handler(request):
    path = request.param("PATH_INFO")
    if path == "/exit":
        sys.exit()
    if path == "/status":
        sys.exit(3)
    if path == "/nested":
        import argparse
        argparse.ArgumentParser().parse_args(["--unknown"])
    if path == "/late":
        request.reply(200, "text/plain", "late")
        sys.exit(4)
    request.reply(200, "text/plain", "fine")
server = fastcgi_swig.Server()
server.listen(sys.argv[1])
server.serve(handler)
sys.exit(7)
""",
    "lua": """
local fcgi = require "fcgi_swig"
local server = fcgi.Server()
server:listen(arg[1])
server:serve(function(request)
  local path = request:param "PATH_INFO"
  if path == "/exit" then os.exit() end
  if path == "/status" then os.exit(3, true) end
  if path == "/nested" then coroutine.wrap(function() os.exit(1) end)() end
  if path == "/late" then request:reply(200, "text/plain", "late"); os.exit(4) end
  request:reply(200, "text/plain", "fine")
end)
os.exit(7)
""",
    "perl": """
use strict; use warnings; use FastCGI::Swig;
my $server = FastCGI::Swig::Server->new;
$server->listen($ARGV[0]);
$server->serve(sub {
    my ($request) = @_;
    my $path = $request->param('PATH_INFO');
    exit if $path eq '/exit';
    exit(3) if $path eq '/status';
    (sub { map { exit 1 } 1 })->() if $path eq '/nested';
    if ($path eq '/late') { $request->reply(200, 'text/plain', 'late'); exit 4 }
    $request->reply(200, 'text/plain', 'fine');
});
exit 7;
""",
    "ruby": """
require "fastcgi_swig"
server = FastCGI::Swig::Server.new
server.listen(ARGV[0])
server.serve do |request|
  case request.param("PATH_INFO")
  when "/exit" then exit
  when "/status" then exit(3)
  when "/nested" then abort "left by abort"
  when "/late"
    request.reply(200, "text/plain", "late")
    exit 4
  else request.reply(200, "text/plain", "fine")
  end
end
exit 7
""",
    "tcl": """
package require fastcgi_swig
proc nested {} { uplevel #0 exit 1 }
proc handler {request} {
    switch [$request param PATH_INFO] {
        /exit {exit}
        /status {exit 3}
        /nested nested
        /late {$request reply 200 text/plain late; exit 4}
        default {$request reply 200 text/plain fine}
    }
}
set server [fastcgi::Server]
$server listen [lindex $argv 0]
$server serve handler
exit 7
""",
    "php": """<?php
function nested() { die("in words\\n"); }
$server = new FastCGIServer();
$server->listen($argv[1]);
$server->serve(function ($request) {
    switch ($request->param('PATH_INFO')) {
        case '/exit': exit;
        case '/status': exit(3);
        case '/nested': nested();
        case '/late':
            $request->reply(200, 'text/plain', 'late');
            exit(4);
    }
    $request->reply(200, 'text/plain', 'fine');
});
exit(7);
""",
}
TOLD = {"python": "SystemExit", "ruby": "(SystemExit)"}  # Elsewhere a line of ours.


@pytest.fixture(params=CHOSEN)
def language(request) -> str:
    return request.param


@pytest.mark.parametrize("path", ["/exit", "/status", "/nested"])
def test_an_exit_is_the_500_of_its_request(language, path, tmp_path: Path):
    told = TOLD.get(language, "exit was called: it ends the request")
    with Program(language, tmp_path, PROGRAMS[language]) as program:
        for count in range(1, 4):
            with Client(program.address) as client:
                assert client.ask(get_params(path), keep=False).status == 500
            wait_until(lambda count=count: program.output().count(told) == count, 20, "the line")
        assert program.ask("/fine") == b"fine"
        assert program.stop() == 7, program.output()


def test_an_exit_after_the_answer_changes_nothing(language, tmp_path: Path):
    with Program(language, tmp_path, PROGRAMS[language]) as program:
        for _ in range(3):
            assert program.ask("/late") == b"late"
            assert program.ask("/fine") == b"fine"
        assert program.stop() == 7, program.output()
