<?php
// SPDX-License-Identifier: MIT
// The smallest application: php -d extension=/path/to/fastcgi_swig.so hello.php
// [address]. Without an address it serves the listener that it inherits.
$server = new FastCGIServer();
if ($argc > 1) {
    $server->listen($argv[1]);
} else {
    $server->listen_inherited();
}
$server->serve(fn($request) => $request->reply(200, 'text/plain', "Hello\n"));
