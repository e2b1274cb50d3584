# SPDX-License-Identifier: MIT
"""What only Tcl has: commands for handles, return codes, limits and values."""

import pytest
from swig.program import Program

LISTEN = """
package require fastcgi_swig
set server [fastcgi::Server]
$server listen [lindex $argv 0]
"""


def test_commands_of_finished_requests_go(tmp_path):
    text = """
    set kept {}
    $server serve {apply {request {
        if {[$request param PATH_INFO] eq "/keep"} { lappend ::kept $request }
        if {[$request param PATH_INFO] eq "/throw"} { error $request }
        set alive [lmap name $::kept { $name ended }]
        $request reply 200 text/plain "[llength [info commands *_p_shim_request]] $alive"
    }}}
    """
    with Program("tcl", tmp_path, LISTEN, text) as program:
        for _ in range(5):
            program.ask("/keep")
        for _ in range(200):
            program.ask("/throw")
            program.ask("/")
        count, *ended = program.ask("/").split()
        assert int(count) <= 64
        assert ended == [b"1"] * 5
        assert program.stop() == 0


def test_pulled_requests_go_too(tmp_path):
    text = """
    while {![$server stopped]} {
        set request [$server accept]
        if {$request ne ""} {
            $request reply 200 text/plain [llength [info commands *_p_shim_request]]
        }
    }
    """
    with Program("tcl", tmp_path, LISTEN, text) as program:
        counts = [int(program.ask()) for _ in range(300)]
    assert max(counts) <= 64


def test_a_deleted_request_fails(tmp_path):
    text = """
    while {![$server stopped]} {
        [$server accept] -delete
    }
    """
    with Program("tcl", tmp_path, LISTEN, text) as program:
        assert b"500" in program.ask()


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("return -code break", 0),
        ("return -code 9", 9),
        ("return -code error -errorcode {MINE 7} broken", 7),
    ],
)
def test_ways_out_of_a_loop(tmp_path, script, status):
    text = f"""{LISTEN}
    proc handle request {{ {script} }}
    while 1 {{
        set code [catch {{$server run handle raise}} message options]
        if {{$code == 1}} {{ exit [lindex [dict get $options -errorcode] 1] }}
        if {{$code == 3}} break
        exit $code
    }}
    """
    with Program("tcl", tmp_path, text) as program:
        program.ask()
        assert program.wait() == status, program.output()


def test_a_limit_leaves_the_loop(tmp_path):
    text = """
    set child [interp create]
    $child eval [list set auto_path $auto_path]
    $child eval {package require fastcgi_swig; set server [fastcgi::Server]}
    $child eval [list eval "\\$server listen [lindex $argv 0]"]
    $child limit command -value [expr {[$child eval {info cmdcount}] + 100}]
    catch {$child eval {$server run {apply {request {while 1 {incr i}}}}}} message
    puts $message
    exit 6
    """
    with Program("tcl", tmp_path, text) as program:
        assert b"500" in program.ask()
        assert program.wait() == 6
        assert "limit exceeded" in program.output()


def test_values(tmp_path):
    text = """
    proc said script {
        catch {uplevel 1 $script} message options
        return [lrange [dict get $options -errorcode] 0 1]
    }
    $server serve {apply {request {
        set number 5
        set bytes [binary format a1 5]
        set other [fastcgi::Server]
        set said [list \\
            [said {$request write \\u20ac}] [said {$request header X \\u0100}] \\
            [said {$other set $number $number}] [said {$other set $bytes $bytes}] \\
            [said {$::server run {}}] [said {$::server run "a \\{"}] \\
            [said {$::server run x never}] [said {$request read x}]]
        $request header X [string length [$request params]]
        $request reply 200 text/plain [join $said |]\\u00e9
    }}}
    """
    invalid = b"FCGI INVALID"
    with Program("tcl", tmp_path, LISTEN, text) as program:
        assert program.ask().split(b"|") == [invalid] * 7 + [b"SWIG TypeError\xe9"]
