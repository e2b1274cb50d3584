# SPDX-License-Identifier: MIT
# A program over the SWIG module that does as told.c says.
package require fastcgi_swig

proc answer {request} {
    set told [$request param QUERY_STRING]
    if {$told eq "fail"} {
        error [string repeat x 500]
    } elseif {$told ne ""} {
        close [open $::env(MARK) w]
    }
    while {$told eq "loop"} {}
    if {$told eq "call"} {
        after 1000000
    } elseif {$told eq "code"} { # A call in C.
        string first [string repeat a 4000000]b [string repeat a 8000000]
    }
    $request reply 200 text/plain "fine\n"
}

set server [fastcgi::Server]
if {[llength $argv]} {
    $server listen [lindex $argv 0]
} else {
    $server listen_inherited
}
$server serve answer
