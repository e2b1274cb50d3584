<?php
// SPDX-License-Identifier: MIT
// A program over the SWIG module that does as told.c says.
$server = new FastCGIServer();
isset($argv[1]) ? $server->listen($argv[1]) : $server->listen_inherited();
$server->serve(function ($request) {
    $told = $request->param('QUERY_STRING');
    if ($told === 'fail') {
        throw new RuntimeException(str_repeat('x', 500));
    }
    if ($told !== '') {
        touch(getenv('MARK'));
    }
    while ($told === 'loop') {
    }
    while ($told === 'call') { // A signal ends one.
        sleep(1000);
    }
    if ($told === 'code') { // A call in C.
        strpos(str_repeat('a', 20000000), str_repeat('a', 10000000) . 'b');
    }
    $request->reply(200, 'text/plain', "fine\n");
});
