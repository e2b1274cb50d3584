# SPDX-License-Identifier: MIT
"""What only PHP has: exit, fatal errors, pcntl and its kinds of callables."""

import os
import signal
import time

import pytest
from swig.program import Program

LISTEN = """<?php
$server = new FastCGIServer();
$server->listen($argv[1]);
"""


def test_exit_runs_shutdown_functions(tmp_path):
    text = f"""{LISTEN}
    register_shutdown_function(function () {{ fwrite(STDERR, "shutting down\n"); }});
    $server->run(function ($request) {{ try {{ exit(3); }} catch (Throwable) {{}} }}, 'raise');
    """
    with Program("php", tmp_path, text) as program:
        assert b"500" in program.ask()
        assert program.wait() == 3
        assert "shutting down" in program.output()


@pytest.mark.parametrize("policy", ["raise", "log500"])
def test_a_fatal_error_ends_the_script(tmp_path, policy):
    text = f"""{LISTEN}
    ini_set('memory_limit', '8M');
    register_shutdown_function(function () {{ fwrite(STDERR, "shutting down\n"); }});
    $server->run(function ($request) {{ $text = str_repeat('x', 100_000_000); }}, '{policy}');
    """
    with Program("php", tmp_path, text) as program:
        assert b"500" in program.ask()
        assert program.wait() == 255
        assert "shutting down" in program.output()


def test_signal_handlers(tmp_path):
    text = """
    class Interrupted extends Exception {}
    pcntl_async_signals(true);
    pcntl_signal(SIGINT, function () { throw new Interrupted(); });
    try {
        $server->run(fn($request) => $request->reply(200, '', 'x'));
    } catch (Interrupted $error) {
        exit(7);
    }
    """
    with Program("php", tmp_path, LISTEN, text) as program:
        assert program.ask() == b"x"
        time.sleep(0.2)
        os.kill(program.pid, signal.SIGINT)
        assert program.ends_within(2) == 7


@pytest.mark.parametrize(
    "handler", ["'answer'", "'Kept::named'", "[new Kept(), 'magic']", "[new Kept(), 'own'](...)"]
)
def test_callables(tmp_path, handler):
    text = f"""{LISTEN}
    function answer($request) {{ $request->reply(200, '', 'x'); }}
    class Kept {{
        public static function named($request) {{ answer($request); }}
        public function own($request) {{ answer($request); }}
        public function __call($name, $arguments) {{ answer(...$arguments); }}
    }}
    $server->serve({handler});
    """
    with Program("php", tmp_path, text) as program:
        assert [program.ask() for _ in range(5)] == [b"x"] * 5
        assert program.stop() == 0


def test_arguments(tmp_path):
    text = """
    function said($call) {
        try { $call(); } catch (Throwable $error) {
            return get_class($error) . ':' . $error->getMessage();
        }
        return 'nothing';
    }
    class Silent { public function __toString() { throw new Exception(); } }
    $server->serve(function ($request) use ($server) {
        $silent = new Silent();
        $calls = [
            fn() => $request->write(null), fn() => $request->write($silent),
            fn() => $request->write([1]), fn() => $request->read('1'),
            fn() => $request->start(1 << 40), fn() => $server->run('no_such_function'),
            fn() => $server->run('said', 'never'), fn() => $server->run('said', 5),
            fn() => clone $request,
        ];
        $request->reply(200, 'text/plain', implode("\n", array_map('said', $calls)));
    });
    """
    with Program("php", tmp_path, LISTEN, text) as program:
        assert program.ask().decode().splitlines() == [
            "TypeError:data must be of type string, null given",
            "TypeError:data must be of type string, Silent given",
            "TypeError:data must be of type string, array given",
            "TypeError:size must be of type int, string given",
            "FastCGIError:status does not fit",
            "FastCGIError:a handler is something that can be called",
            'FastCGIError:what to do on an error is "log500" or "raise"',
            "TypeError:on_error must be of type string, int given",
            "Error:Trying to clone an uncloneable object of class FastCGIRequest",
        ]


def test_memory_of_failures(tmp_path):
    text = """
    $server->run(function ($request) {
        if ($request->param('PATH_INFO') === '/memory') {
            gc_collect_cycles();
            $request->reply(200, '', (string)memory_get_usage());
        }
        throw new Exception('no');
    });
    """
    with Program("php", tmp_path, LISTEN, text) as program:
        for _ in range(50):
            program.ask()
        before = int(program.ask("/memory"))
        for _ in range(1000):
            program.ask()
        assert int(program.ask("/memory")) - before < 4096
