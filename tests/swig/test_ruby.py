# SPDX-License-Identifier: MIT
"""What only Ruby has: threads, interrupts, jumps and its collector."""

import os
import signal
import threading
import time

import pytest
from support import fcgi_client as fcgi
from support.fcgi_client import Client, get_params, post_params
from swig.program import Program

HEAD = """
require "fastcgi_swig"
server = FastCGI::Swig::Server.new
"""
LISTEN = f"{HEAD}server.listen(ARGV[0])"
BLOCKING = {
    "run": "server.run { }",
    "accept": "server.accept",
    "read": "server.run { |request| request.read }",
}


@pytest.mark.parametrize("call", BLOCKING)
def test_interrupt(tmp_path, call):
    text = f"""{HEAD}
    server.set("stream", 1)
    server.listen(ARGV[0])
    begin
      {BLOCKING[call]}
    rescue Interrupt
      exit 7
    end
    """
    with Program("ruby", tmp_path, text) as program, Client(program.address) as client:
        if call == "read":
            client.send(fcgi.head(1, post_params(5)))
        time.sleep(1)  # It waits by now.
        os.kill(program.pid, signal.SIGINT)
        if call == "read":  # A read goes on until something comes.
            time.sleep(0.1)
            client.send(fcgi.stream(fcgi.STDIN, 1, b"12345"))
        assert program.ends_within(2) == 7, program.output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signals_that_another_thread_gets(tmp_path, number):
    text = """
    Thread.new { loop { sleep 0.01 } }
    server.serve { |request| sleep 0.5; request.reply(200, "", "whole") }
    exit 7 if Signal.trap("TERM", "DEFAULT") == "DEFAULT"
    """
    with Program("ruby", tmp_path, LISTEN, text) as program, Client(program.address) as client:
        client.send(fcgi.request(1, get_params(), keep=False))
        time.sleep(0.2)
        os.kill(program.pid, number)
        if number != signal.SIGQUIT:
            assert client.responses([1])[1].body == b"whole"
        assert program.ends_within(3) == 7, program.output()


def test_timeout_of_rubys_own(tmp_path):
    text = """
    require "timeout"
    begin
      Timeout.timeout(0.3) { server.accept }
    rescue Timeout::Error
      server.serve { |request| request.reply(200, "", "in time"); server.stop }
    end
    """
    with Program("ruby", tmp_path, LISTEN, text) as program:
        time.sleep(2)
        assert program.ask() == b"in time"
        assert program.wait() == 0


def test_other_threads_run(tmp_path):
    text = """
    ticks = 0
    Thread.new { loop { sleep 0.01; ticks += 1 } }
    until server.stopped?
      before = ticks
      request = server.accept(0.5) or next
      server.stop
      request.reply(200, "text/plain", (ticks - before).to_s)
    end
    """
    with Program("ruby", tmp_path, LISTEN, text) as program:
        time.sleep(0.4)
        assert int(program.ask()) >= 3
        assert program.wait() == 0


def test_threads_share_a_server(tmp_path):
    text = """
    threads = Array.new(4) do
      Thread.new { server.run { |request| sleep 3; request.reply(200, "", "x") } }
    end
    threads.each(&:join)
    """
    with Program("ruby", tmp_path, LISTEN, text) as program:
        asking = [threading.Thread(target=program.ask) for _ in range(4)]
        began = time.monotonic()
        for one in asking:
            one.start()
        for one in asking:
            one.join()
        assert time.monotonic() - began < 11, "one after the other they take 12 s"


def test_a_thread_can_be_killed(tmp_path):
    text = """
    thread = Thread.new { server.run { |request| Thread.current.kill } }
    waiting = Thread.new { server.run { |request| request.reply(200, "", "x") } }
    thread.join
    sleep 0.2
    waiting.kill.join
    """
    with Program("ruby", tmp_path, LISTEN, text) as program:
        while program.running():
            try:
                program.ask()
            except OSError:
                break
            time.sleep(0.02)
        assert program.ends_within(3) == 0, program.output()


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        ("exit 3", 3),
        ("break", 4),
        ("throw :out", 4),
        ("raise Interrupt", 4),
        ("raise NotImplementedError", 4),
    ],
)
def test_ways_out_of_a_loop(tmp_path, handler, status):
    text = f"""{LISTEN}
    begin
      catch(:out) {{ server.run(nil, "raise") {{ |request| {handler} }} }}
    rescue Interrupt, ScriptError
      exit 4
    end
    exit 4
    """
    with Program("ruby", tmp_path, text) as program:
        program.ask()
        assert program.ends_within(2) == status


def test_collector_at_every_step(tmp_path):
    text = """
    GC.stress = true
    server.serve do |request|
      request.header("X-Length", request.params.size.to_s)
      request.reply(200, "text/plain", request.param("PATH_INFO") + request.read)
      GC.compact
    end
    """
    with Program("ruby", tmp_path, LISTEN, text) as program:
        for i in range(5):
            assert program.ask(f"/{i}") == b"/%d" % i
        assert program.stop(30) == 0


def test_arguments(tmp_path):
    text = """
    def said = (yield; "nothing") rescue $!.class
    server.serve do |request|
      said = [
        said { request.write(nil) }, said { request.header(1, "x") }, said { request.read("1") },
        said { server.run }, said { server.run(5) }, said { server.run(->(_) {}, "never") },
        said { FastCGI::Swig::Request.new },
        said { FastCGI::Swig::Server.instance_method(:stop).bind(request) }
      ]
      request.reply(200, "text/plain", said.join(" "))
    end
    """
    error = "FastCGI::Swig::Error"
    with Program("ruby", tmp_path, LISTEN, text) as program:
        assert program.ask().decode().split() == [
            *["TypeError"] * 3,
            *[error] * 3,
            *["TypeError"] * 2,
        ]


def test_a_string_is_changed_while_it_is_written(tmp_path):
    text = """
    server.serve do |request|
      body = "a" * 5_000_000
      thread = Thread.new { sleep 0.05; body.replace("b" * 5_000_000); GC.start }
      request.reply(200, "text/plain", body)
      thread.join
    end
    """
    with Program("ruby", tmp_path, LISTEN, text) as program, Client(program.address) as client:
        client.send(fcgi.request(1, get_params()))
        time.sleep(0.3)
        assert client.responses([1])[1].body == b"a" * 5_000_000
