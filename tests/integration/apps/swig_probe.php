<?php
// SPDX-License-Identifier: MIT
// The probe over the SWIG module: swig_probe.php [ADDRESS [OPTION=VALUE...]].
const TYPE = 'text/plain';

function tell($line)
{
    fwrite(STDERR, "probe: $line\n");
}

function begin($request, $status = 200)
{
    $request->header('Content-Type', TYPE);
    $request->start($status);
}

function by_exec($command)
{
    $child = pcntl_fork();
    if ($child === 0) {
        pcntl_exec('/bin/sh', ['-c', $command]);
    }
    pcntl_waitpid($child, $status);
}

$block = str_repeat('x', 100000);
$ways = ['popen' => 'shell_exec', 'system' => 'system', 'exec' => 'by_exec'];
$paths = [
    'gate' => function ($request) {
        $query = $request->param('QUERY_STRING');
        tell("$query began");
        while (!file_exists(getenv('GATE'))) {
            clearstatcache();
            usleep(10000);
        }
        $request->reply(200, TYPE, "$query\n");
    },
    'write' => function ($request) use ($block) {
        begin($request);
        try {
            while (true) {
                $request->write($block);
            }
        } finally {
            tell('write ended');
        }
    },
    'fault' => function ($request) use ($block) {
        begin($request);
        try {
            while (true) {
                $request->write($block);
            }
        } catch (FastCGIError $error) {
            throw new RuntimeException('a fault of its own', 0, $error);
        }
    },
    'complain' => function ($request) {
        $count = $request->param('QUERY_STRING');
        for ($number = 0; $number < (int) $count; $number++) {
            $request->log(sprintf('complaint %029d', $number));
        }
        $request->reply(200, TYPE, "$count\n");
    },
    'reply' => fn($request) => $request->reply((int) $request->param('QUERY_STRING'), TYPE, 'abc'),
    'start' => function ($request) {
        begin($request, (int) $request->param('QUERY_STRING'));
        $request->write('abc');
    },
    'promise' => function ($request) {
        $request->header('Content-Length', $request->param('QUERY_STRING'));
        begin($request);
        $request->write('a');
        $request->flush();
        $request->write('bc');
    },
    'length' => function ($request) {
        $length = $request->content_length();
        $request->reply(200, TYPE, $length . ' ' . strlen($request->read()));
    },
    'file' => function ($request) {
        $length = $request->param('LENGTH');
        if ($length !== null) {
            $request->header('Content-Length', $length);
        }
        begin($request);
        $request->send_file($request->param('FILE'));
    },
    'run' => function ($request) use ($ways) {
        $ways[$request->param('WAY')]($request->param('COMMAND'));
        $request->reply(200, TYPE, "done\n");
    },
];
$free = function ($request) {
    $request->reply(200, TYPE, 'QUERY_STRING=' . $request->param('QUERY_STRING') . "\n");
};

$server = new FastCGIServer();
foreach (array_slice($argv, 2) as $option) {
    $server->set_text(...explode('=', $option, 2));
}
isset($argv[1]) ? $server->listen($argv[1]) : $server->listen_inherited();
$server->serve(function ($request) use ($paths, $free) {
    $name = basename($request->path());
    ($paths[$name] ?? $free)($request);
});
