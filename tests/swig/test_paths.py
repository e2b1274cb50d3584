# SPDX-License-Identifier: MIT
"""Paths and the file's name in each language are those of the core."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params
from swig.languages import CHOSEN
from swig.program import Program

# Each answers with its texts in a line each, "nothing" for those that are not there.
PROGRAMS = {
    "python": """
import sys, fastcgi_swig
def handler(request):
    texts = [request.path(), request.script_name(), request.path_info(),
             request.raw_path(), request.script_filename()]
    lines = "\\n".join("nothing" if text is None else text for text in texts)
    request.reply(200, "text/plain", lines.encode("latin-1"))
server = fastcgi_swig.Server()
server.listen(sys.argv[1])
server.serve(handler)
""",
    "lua": """
local fcgi = require "fcgi_swig"
local server = fcgi.Server()
server:listen(arg[1])
server:serve(function(request)
  local texts = { request:path(), request:script_name(), request:path_info(),
    request:raw_path() or "nothing", request:script_filename() or "nothing" }
  request:reply(200, "text/plain", table.concat(texts, "\\n"))
end)
""",
    "perl": """
use strict; use warnings; use FastCGI::Swig;
my $server = FastCGI::Swig::Server->new;
$server->listen($ARGV[0]);
$server->serve(sub {
    my ($request) = @_;
    $request->reply(200, 'text/plain', join "\\n", map { $_ // 'nothing' } $request->path,
        $request->script_name, $request->path_info, scalar $request->raw_path,
        scalar $request->script_filename);
});
""",
    "ruby": """
require "fastcgi_swig"
server = FastCGI::Swig::Server.new
server.listen(ARGV[0])
server.serve do |request|
  texts = [request.path, request.script_name, request.path_info, request.raw_path,
           request.script_filename]
  request.reply(200, "text/plain", texts.map { |text| text.nil? ? "nothing" : text }.join("\\n"))
end
""",
    "tcl": """
package require fastcgi_swig
proc handler {request} {
    set texts {}
    foreach name {path script_name path_info} {lappend texts [$request $name]}
    foreach name {raw_path script_filename} {
        set text [$request $name]
        lappend texts [expr {$text eq "" ? "nothing" : $text}]
    }
    $request reply 200 text/plain [join $texts \\n]
}
set server [fastcgi::Server]
$server listen [lindex $argv 0]
$server serve handler
""",
    "php": """<?php
$server = new FastCGIServer();
$server->listen($argv[1]);
$server->serve(function ($request) {
    $texts = [$request->path(), $request->script_name(), $request->path_info(),
        $request->raw_path(), $request->script_filename()];
    $lines = array_map(fn($text) => $text === null ? 'nothing' : $text, $texts);
    $request->reply(200, 'text/plain', implode("\\n", $lines));
});
""",
}
FILE = "proxy:fcgi://localhost:9000//srv/x.php?q=1"
# What is sent; the path, script_name, path_info, raw_path and script_filename.
ROWS = [
    (
        {"SCRIPT_NAME": "/pre", "PATH_INFO": "/a \xe9", "REQUEST_URI": "/pre/%61%20%E9?q"},
        ["/pre/a \xe9", "/pre", "/a \xe9", "/pre/%61%20%E9", "nothing"],
    ),
    (
        {"SCRIPT_NAME": "/auth", "REQUEST_URI": "/guarded", "SCRIPT_FILENAME": "/srv/auth"},
        ["/auth", "", "/auth", "nothing", "/srv/auth"],
    ),
    (
        {"SCRIPT_NAME": "/srv/x.php", "SCRIPT_FILENAME": FILE, "QUERY_STRING": "q=1"},
        ["/srv/x.php", "", "/srv/x.php", "nothing", "/srv/x.php"],
    ),
    ({}, ["", "", "", "nothing", "nothing"]),
]


@pytest.fixture(scope="module", params=CHOSEN)
def program(request, tmp_path_factory) -> Iterator[Program]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    with Program(request.param, folder, PROGRAMS[request.param]) as running:
        yield running


@pytest.mark.parametrize(("sent", "expected"), ROWS)
def test_paths(program: Program, sent: dict[str, str], expected: list[str]):
    params = get_params(**sent)
    if "PATH_INFO" not in sent:
        del params["PATH_INFO"]
    with Client(program.address) as client:
        answer = client.ask(
            {name: value.encode("latin-1") for name, value in params.items()}, keep=False
        )
    assert answer.body.decode("latin-1").split("\n") == expected
