# SPDX-License-Identifier: MIT
"""Paths and the file's name in each language are those of the core."""

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params
from support.nginx import Nginx
from support.site import exchange
from swig.languages import CHOSEN
from swig.program import Program

# Each answers with its texts in a line each, "nothing" for those that are not there.
# A second argument is its root path.
PROGRAMS = {
    "python": """
import sys, fastcgi_swig
def handler(request):
    texts = [request.path(), request.script_name(), request.path_info(),
             request.raw_path(), request.script_filename()]
    lines = "\\n".join("nothing" if text is None else text for text in texts)
    request.reply(200, "text/plain", lines.encode("latin-1"))
server = fastcgi_swig.Server()
if len(sys.argv) > 2:
    server.set_text("root_path", sys.argv[2])
server.listen(sys.argv[1])
server.serve(handler)
""",
    "lua": """
local fcgi = require "fcgi_swig"
local server = fcgi.Server()
if arg[2] then server:set_text("root_path", arg[2]) end
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
$server->set_text('root_path', $ARGV[1]) if @ARGV > 1;
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
server.set_text("root_path", ARGV[1]) if ARGV[1]
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
if {[llength $argv] > 1} {$server set_text root_path [lindex $argv 1]}
$server listen [lindex $argv 0]
$server serve handler
""",
    "php": """<?php
$server = new FastCGIServer();
if (isset($argv[2])) $server->set_text('root_path', $argv[2]);
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


# The same with a root path: the path stays, and where it is not below the root path, the
# web server has removed that.
ROOTED = [
    (
        "/pre",
        {"SCRIPT_NAME": "", "PATH_INFO": "/pre/a \xe9", "REQUEST_URI": "/pre/%61%20%E9?q"},
        ["/pre/a \xe9", "/pre", "/a \xe9", "/pre/%61%20%E9", "nothing"],
    ),
    ("/pre", {"SCRIPT_NAME": "/pre"}, ["/pre", "/pre", "", "nothing", "nothing"]),
    (
        "/pre",
        {"SCRIPT_NAME": "/prex", "PATH_INFO": "/a"},
        ["/prex/a", "/pre", "/prex/a", "nothing", "nothing"],
    ),
    (
        "",
        {"SCRIPT_NAME": "/pre", "PATH_INFO": "/a", "REQUEST_URI": "/pre//a"},
        ["/pre/a", "", "/pre/a", "/pre//a", "nothing"],
    ),
]
# Behind nginx, whose location is /kept: the root path, the target, and what comes of it.
MOUNTED = [
    ("/kept", "/kept/a%20b?q=1", ["/kept/a b", "/kept", "/a b", "/kept/a%20b", "nothing"]),
    ("/kept/in", "/kept/in/a//b", ["/kept/in/a/b", "/kept/in", "/a/b", "/kept/in/a//b", "nothing"]),
    ("", "/kept/%61/../b", ["/kept/b", "", "/kept/b", "/kept/%61/../b", "nothing"]),
]


@pytest.fixture(scope="module", params=CHOSEN)
def language(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def program(language, tmp_path_factory) -> Iterator[Program]:
    folder: Path = tmp_path_factory.mktemp(language)
    with Program(language, folder, PROGRAMS[language]) as running:
        yield running


def rooted(language: str, folder: Path, root: str) -> Program:
    return Program(language, folder, PROGRAMS[language], words=(root,))


@pytest.mark.parametrize(("root", "sent", "expected"), ROOTED)
def test_a_root_path(language: str, root: str, sent: dict[str, str], expected, tmp_path: Path):
    with rooted(language, tmp_path, root) as program:
        assert seen(program, sent) == expected


@pytest.mark.parametrize(("root", "target", "expected"), MOUNTED)
def test_a_root_path_behind_nginx(language: str, root: str, target: str, expected, tmp_path: Path):
    with rooted(language, tmp_path, root) as program, Nginx(tmp_path, program.address) as nginx:
        connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=60)
        body = exchange(connection, target).body
    assert body.decode("latin-1").split("\n") == expected


def seen(program: Program, sent: dict[str, str]) -> list[str]:
    params = get_params(**sent)
    if "PATH_INFO" not in sent:
        del params["PATH_INFO"]
    with Client(program.address) as client:
        answer = client.ask(
            {name: value.encode("latin-1") for name, value in params.items()}, keep=False
        )
    return answer.body.decode("latin-1").split("\n")


@pytest.mark.parametrize(("sent", "expected"), ROWS)
def test_paths(program: Program, sent: dict[str, str], expected: list[str]):
    assert seen(program, sent) == expected
