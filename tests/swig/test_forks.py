# SPDX-License-Identifier: MIT
"""A child that a handler forks, in each language, owns nothing of the server."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest
from support.fcgi_client import Client, connect, wait_until
from support.paths import BUILD
from support.supervisor import children, state
from swig.languages import CHOSEN
from swig.program import Program

# What the child does, which the path says, and its status then. Where a handler
# returns or raises, the program goes on behind its loop.
STATUS = {"return": 5, "raise": 6, "exit": 7, "use": 0}
PROGRAMS = {
    "python": """
import os, sys, time, fastcgi_swig
server = fastcgi_swig.Server()
def be_child(request, way):
    if way == "exit":
        sys.exit(7)
    if way == "raise":
        raise RuntimeError("in the child")
    if way == "use":
        for call in (lambda: request.reply(200, "text/plain", b"child"), request.flush,
                     lambda: request.write(b"child"), request.fail):
            try:
                call()
            except Exception:
                continue
            os._exit(1)
        server.stop(False)
        server.close()
        os._exit(0 if server.forked() else 2)
    while way == "hang":
        time.sleep(1000)
def handler(request):
    way, text = request.path().rpartition("/")[2], f"pid {os.getpid()}"
    if way:
        child = os.fork()
        if child == 0:
            return be_child(request, way)
        text = f"child {child}"
        if way != "hang":
            text = f"status {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}"
    request.reply(200, "text/plain", text.encode())
server.listen(sys.argv[1])
try:
    server.serve(handler)
except RuntimeError:
    sys.exit(6 if server.forked() else 1)
sys.exit(5 if server.forked() else 0)
""",
    "lua": f"""
package.cpath = "{BUILD}/tests/integration/?.so;" .. package.cpath
local fcgi, processes = require "fcgi_swig", require "processes"
local server = fcgi.Server()
"""
    + """
local function be_child(request, way)
  if way == "exit" then os.exit(7) end
  if way == "raise" then error "in the child" end
  if way == "use" then
    for _, call in ipairs {
      function() request:reply(200, "text/plain", "child") end,
      function() request:flush() end,
      function() request:write "child" end,
      function() request:fail() end,
    } do
      if pcall(call) then processes._exit(1) end
    end
    server:stop(false)
    server:close()
    processes._exit(server:forked() and 0 or 2)
  end
  while way == "hang" do processes.pause() end
end
server:listen(arg[1])
local fine = pcall(server.serve, server, function(request)
  local way, text = request:path():match "[^/]*$", "pid " .. processes.getpid()
  if way ~= "" then
    local child = processes.fork()
    if child == 0 then return be_child(request, way) end
    text = way == "hang" and "child " .. child or "status " .. processes.waitpid(child)
  end
  request:reply(200, "text/plain", text)
end)
if server:forked() then os.exit(fine and 5 or 6) end
os.exit(fine)
""",
    "perl": """
use strict; use warnings; use POSIX (); use FastCGI::Swig;
my $server = FastCGI::Swig::Server->new;
sub be_child {
    my ($request, $way) = @_;
    exit 7 if $way eq 'exit';
    die 'in the child' if $way eq 'raise';
    if ($way eq 'use') {
        for my $call (sub { $request->reply(200, 'text/plain', 'child') }, sub { $request->flush },
                      sub { $request->write('child') }, sub { $request->fail }) {
            POSIX::_exit(1) if eval { $call->(); 1 };
        }
        $server->stop(0);
        $server->close;
        POSIX::_exit($server->forked ? 0 : 2);
    }
    sleep while $way eq 'hang';
}
$server->listen($ARGV[0]);
my $fine = eval {
    $server->serve(sub {
        my ($request) = @_;
        my ($way) = $request->path =~ m{([^/]*)$};
        my $text = "pid $$";
        if ($way) {
            my $child = fork;
            return be_child($request, $way) if $child == 0;
            waitpid $child, 0 if $way ne 'hang';
            $text = $way eq 'hang' ? "child $child" : 'status ' . ($? >> 8);
        }
        $request->reply(200, 'text/plain', $text);
    });
    1;
};
exit($fine ? 5 : 6) if $server->forked;
exit !$fine;
""",
    "ruby": """
require "fastcgi_swig"
def be_child(server, request, way)
  exit 7 if way == "exit"
  raise "in the child" if way == "raise"
  if way == "use"
    [-> { request.reply(200, "text/plain", "child") }, -> { request.flush },
     -> { request.write("child") }, -> { request.fail }].each do |call|
      begin
        call.call
      rescue StandardError
        next
      end
      exit! 1
    end
    server.stop(false)
    server.close
    exit!(server.forked? ? 0 : 2)
  end
  sleep while way == "hang"
end
server = FastCGI::Swig::Server.new
server.listen(ARGV[0])
begin
  server.serve do |request|
    way, text = request.path[%r{[^/]*\\z}], "pid #{$$}"
    unless way.empty?
      child = fork
      next be_child(server, request, way) if child.nil?
      text = "child #{child}"
      text = "status #{Process.wait2(child)[1].exitstatus}" if way != "hang"
    end
    request.reply(200, "text/plain", text)
  end
rescue RuntimeError
  exit(server.forked? ? 6 : 1)
end
exit(server.forked? ? 5 : 0)
""",
    "tcl": """
package require fastcgi_swig
package require Tclx
proc be_child {request way} {
    global server
    switch $way {
        exit {exit 7}
        raise {error "in the child"}
        use {
            foreach call {{reply 200 text/plain child} flush {write child} fail} {
                if {![catch {$request {*}$call}]} {kill KILL [pid]}
            }
            $server stop 0
            $server close
            exit [expr {[$server forked] ? 0 : 2}]
        }
        hang {while 1 {after 1000000}}
    }
}
proc handler {request} {
    set way [lindex [split [$request path] /] end]
    set text "pid [pid]"
    if {$way ne ""} {
        set child [fork]
        if {$child == 0} {return [be_child $request $way]}
        set text "child $child"
        if {$way ne "hang"} {set text "status [lindex [wait $child] 2]"}
    }
    $request reply 200 text/plain $text
}
set server [fastcgi::Server]
$server listen [lindex $argv 0]
set failed [catch {$server serve handler}]
exit [expr {[$server forked] ? 5 + $failed : $failed}]
""",
    "php": """<?php
function be_child($server, $request, $way) {
    if ($way === 'exit') exit(7);
    if ($way === 'raise') throw new RuntimeException('in the child');
    if ($way === 'use') {
        foreach ([fn() => $request->reply(200, 'text/plain', 'child'), fn() => $request->flush(),
                  fn() => $request->write('child'), fn() => $request->fail()] as $call) {
            try {
                $call();
            } catch (Exception $error) {
                continue;
            }
            posix_kill(getmypid(), SIGKILL);
        }
        $server->stop(false);
        $server->close();
        exit($server->forked() ? 0 : 2);
    }
    while ($way === 'hang') sleep(1000);
}
$server = new FastCGIServer();
$server->listen($argv[1]);
try {
    $server->serve(function ($request) use ($server) {
        $way = basename($request->path());
        $text = 'pid ' . getmypid();
        if ($way !== '') {
            $child = pcntl_fork();
            if ($child === 0) return be_child($server, $request, $way);
            $text = "child $child";
            if ($way !== 'hang') {
                pcntl_waitpid($child, $status);
                $text = 'status ' . pcntl_wexitstatus($status);
            }
        }
        $request->reply(200, 'text/plain', $text);
    });
} catch (RuntimeException $error) {
    exit($server->forked() ? 6 : 1);
}
exit($server->forked() ? 5 : 0);
""",
}


@pytest.fixture(params=CHOSEN)
def program(request, tmp_path) -> Iterator[Program]:
    with Program(request.param, tmp_path, PROGRAMS[request.param]) as running:
        yield running
        left = children(running.pid)
    for pid in left:  # Of a test that failed.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def number(answer: bytes, word: str) -> int:
    found, value = answer.decode().split()
    assert found == word, answer
    return int(value)


def test_forks_change_nothing_of_the_parents(program: Program):
    """The request and its connection, another connection, and the listener."""
    server = program.ask("/")
    with Client(program.address, 60) as kept, Client(program.address, 60) as other:
        other.request(uri="/")
        for turn, (way, status) in enumerate(list(STATUS.items()) * 2, 1):
            answer = kept.request(uri=f"/child/{way}", request_id=turn)
            assert answer.status == 200
            assert number(answer.body, "status") == status, way
            assert other.request(uri="/", request_id=turn).body == server
            assert program.ask("/") == server
    assert program.stop() == 0, program.output()


def test_a_child_that_stays_holds_nobody_up(program: Program):
    with Client(program.address, 60) as client:
        client.send_request(uri="/child/hang", keep=False)
        child = number(client.collect().body, "child")
        assert client.socket.recv(1) == b"", "the end of the connection"
    try:
        assert number(program.ask("/"), "pid") != child
        assert program.stop() == 0, program.output()
        assert state(child) in ("S", "R")
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            connect(program.address)
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_signals_are_the_childs_own(program: Program, name: str):
    """What stops the server ends the child alone."""
    child = number(program.ask("/child/hang"), "child")

    def ended() -> bool:
        """A signal that comes while an interpreter is still forking is lost."""
        if state(child) not in ("", "Z"):
            os.kill(child, getattr(signal, name))
        return state(child) in ("", "Z")

    wait_until(ended, 20, f"its end by {name}")
    assert number(program.ask("/"), "pid") == program.pid
    assert program.stop() == 0, program.output()
