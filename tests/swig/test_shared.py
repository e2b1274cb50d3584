# SPDX-License-Identifier: MIT
# ruff: noqa: E501
"""Shared dictionaries, the same in every language: each program below prints the same."""

import subprocess
from pathlib import Path

import pytest
from swig.languages import CHOSEN, command

PROGRAMS = {
    "python": r"""
from fastcgi_swig import Error, Shared
d = Shared("cache", 65536)
print(d.set("a", b"x\0y"), len(d.get("a")), d.get("none") is None)
print(int(d.add("a", "1")), int(d.add("b", "1", 60)), int(d.replace("b", "22")), d.get("b").decode())
print(d.incr("n"), d.incr("n", 41), d.incr("m", 5, 10), d.get("n").decode())
print(int(d.remove("b")), int(d.remove("b")), int(d.expire("a", 9)), int(d.expire("b", 9)))
token = d.lock("l")
print(int(token > 0), d.lock("l", 0.01), int(d.unlock("l", token)), int(d.unlock("l", token)))
try:
    d.incr("a")
except Error as error:
    print(error.code)
try:
    Shared("a b")
except Error as error:
    print(error.code)
print(d.count("entries"), d.count("stored"))
d.clear()
print(d.count("entries"))
""",
    "lua": r"""
local fcgi = require "fcgi_swig"
local d = fcgi.Shared("cache", 65536)
local function flag(x) return x and 1 or 0 end
local function code(f, ...) local _, e = pcall(f, ...) return e.code end
print(d:set("a", "x\0y") .. " " .. #d:get("a") .. " " .. (d:get("none") == nil and "True" or "False"))
print(table.concat({ flag(d:add("a", "1")), flag(d:add("b", "1", 60)), flag(d:replace("b", "22")), d:get("b") }, " "))
print(table.concat({ d:incr("n"), d:incr("n", 41), d:incr("m", 5, 10), d:get("n") }, " "))
print(table.concat({ flag(d:remove("b")), flag(d:remove("b")), flag(d:expire("a", 9)), flag(d:expire("b", 9)) }, " "))
local token = d:lock("l")
print(table.concat({ flag(token > 0), d:lock("l", 0.01), flag(d:unlock("l", token)), flag(d:unlock("l", token)) }, " "))
print(code(d.incr, d, "a"))
print(code(fcgi.Shared, "a b"))
print(d:count("entries") .. " " .. d:count("stored"))
d:clear()
print(d:count("entries"))
""",
    "perl": r"""
use FastCGI::Swig;
my $d = FastCGI::Swig::Shared->new("cache", 65536);
sub flag { $_[0] ? 1 : 0 }
print join(" ", $d->set("a", "x\0y"), length($d->get("a")), defined $d->get("none") ? "False" : "True"), "\n";
print join(" ", flag($d->add("a", "1")), flag($d->add("b", "1", 60)), flag($d->replace("b", "22")), $d->get("b")), "\n";
print join(" ", $d->incr("n"), $d->incr("n", 41), $d->incr("m", 5, 10), $d->get("n")), "\n";
print join(" ", flag($d->remove("b")), flag($d->remove("b")), flag($d->expire("a", 9)), flag($d->expire("b", 9))), "\n";
my $token = $d->lock("l");
print join(" ", flag($token > 0), $d->lock("l", 0.01), flag($d->unlock("l", $token)), flag($d->unlock("l", $token))), "\n";
eval { $d->incr("a") };
print $@->code, "\n";
eval { FastCGI::Swig::Shared->new("a b") };
print $@->code, "\n";
print join(" ", $d->count("entries"), $d->count("stored")), "\n";
$d->clear;
print $d->count("entries"), "\n";
""",
    "ruby": r"""
require "fastcgi_swig"
include FastCGI::Swig
def flag(x) = x ? 1 : 0
d = Shared.new("cache", 65536)
puts [d.set("a", "x\0y"), d.get("a").size, d.get("none").nil? ? "True" : "False"].join(" ")
puts [flag(d.add("a", "1")), flag(d.add("b", "1", 60)), flag(d.replace("b", "22")), d.get("b")].join(" ")
puts [d.incr("n"), d.incr("n", 41), d.incr("m", 5, 10), d.get("n")].join(" ")
puts [flag(d.remove("b")), flag(d.remove("b")), flag(d.expire("a", 9)), flag(d.expire("b", 9))].join(" ")
token = d.lock("l")
puts [flag(token > 0), d.lock("l", 0.01), flag(d.unlock("l", token)), flag(d.unlock("l", token))].join(" ")
begin
  d.incr("a")
rescue Error => error
  puts error.code
end
begin
  Shared.new("a b")
rescue Error => error
  puts error.code
end
puts [d.count("entries"), d.count("stored")].join(" ")
d.clear
puts d.count("entries")
""",
    "tcl": r"""
package require fastcgi_swig
fastcgi::Shared d cache 65536
proc code {script} { catch {uplevel $script} text options; lindex [dict get $options -errorcode] 1 }
puts "[d set a "x\0y"] [string length [d get a]] [expr {[d get none] eq "" ? "True" : "False"}]"
puts "[d add a 1] [d add b 1 60] [d replace b 22] [d get b]"
puts "[d incr n] [d incr n 41] [d incr m 5 10] [d get n]"
puts "[d remove b] [d remove b] [d expire a 9] [d expire b 9]"
set token [d lock l]
puts "[expr {$token > 0}] [d lock l 0.01] [d unlock l $token] [d unlock l $token]"
puts [code {d incr a}]
puts [code {fastcgi::Shared e "a b"}]
puts "[d count entries] [d count stored]"
d clear
puts [d count entries]
""",
    "php": r"""<?php
$d = new FastCGIShared("cache", 65536);
function flag($x) { return $x ? 1 : 0; }
function code($f) { try { $f(); } catch (FastCGIError $e) { return $e->getCode(); } }
echo $d->set("a", "x\0y"), " ", strlen($d->get("a")), " ", $d->get("none") === null ? "True" : "False", "\n";
echo flag($d->add("a", "1")), " ", flag($d->add("b", "1", 60)), " ", flag($d->replace("b", "22")), " ", $d->get("b"), "\n";
echo $d->incr("n"), " ", $d->incr("n", 41), " ", $d->incr("m", 5, 10), " ", $d->get("n"), "\n";
echo flag($d->remove("b")), " ", flag($d->remove("b")), " ", flag($d->expire("a", 9)), " ", flag($d->expire("b", 9)), "\n";
$token = $d->lock("l");
echo flag($token > 0), " ", $d->lock("l", 0.01), " ", flag($d->unlock("l", $token)), " ", flag($d->unlock("l", $token)), "\n";
echo code(fn() => $d->incr("a")), "\n";
echo code(fn() => new FastCGIShared("a b")), "\n";
echo $d->count("entries"), " ", $d->count("stored"), "\n";
$d->clear();
echo $d->count("entries"), "\n";
""",
}
WANTED = """0 3 True
0 1 1 22
1 42 15 42
1 0 1 0
1 0 1 0
STATE
INVALID
3 6
0
"""


@pytest.mark.parametrize("language", CHOSEN)
def test_every_language_has_them(tmp_path: Path, language: str):
    (run, *_) = [command(language, tmp_path / "shared")]
    (tmp_path / Path(run[-1]).name).write_text(PROGRAMS[language].lstrip())
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == (WANTED, "", 0)
