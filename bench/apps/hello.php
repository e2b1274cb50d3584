<?php
// SPDX-License-Identifier: MIT
// The same application for PHP-FPM.
header('Content-Type: text/plain');
header_remove('X-Powered-By');
if (($_SERVER['PATH_INFO'] ?? '') === '/page') {
    echo str_repeat('x', 10240);
} elseif (($_SERVER['PATH_INFO'] ?? '') === '/sleep') {
    usleep(10000);
    echo "slept\n";
} elseif (!empty($_SERVER['CONTENT_LENGTH'])) {
    echo strlen(file_get_contents('php://input')), "\n";
} else {
    echo "Hello\n";
}
