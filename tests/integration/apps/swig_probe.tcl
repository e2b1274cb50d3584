# SPDX-License-Identifier: MIT
# The probe over the SWIG module: swig_probe.tcl ?ADDRESS ?OPTION=VALUE ...??.
package require fastcgi_swig

set block [string repeat x 100000]
set fault "a fault of its own"

proc tell_line {line} {
    puts stderr "probe: $line"
}

proc begin {request {status 200}} {
    $request header Content-Type text/plain
    $request start $status
}

proc by_exec {command} {
    package require Tclx
    set child [fork]
    if {$child == 0} {
        execl /bin/sh [list -c $command]
    }
    wait $child
}

namespace eval ways {
    proc popen {command} {
        set pipe [open [list | /bin/sh -c $command]]
        read $pipe
        close $pipe
    }

    proc system {command} {
        ::exec /bin/sh -c $command
    }

    proc exec {command} {
        by_exec $command
    }
}

namespace eval paths {
    proc gate {request} {
        set query [$request param QUERY_STRING]
        tell_line "$query began"
        while {![::file exists $::env(GATE)]} {
            after 10
        }
        $request reply 200 text/plain "$query\n"
    }

    proc write {request} {
        begin $request
        try {
            while 1 {
                $request write $::block
            }
        } finally {
            tell_line "write ended"
        }
    }

    proc fault {request} {
        begin $request
        while {![catch {$request write $::block}]} {}
        error $::fault
    }

    proc complain {request} {
        set count [$request param QUERY_STRING]
        for {set number 0} {$number < $count} {incr number} {
            $request log [format "complaint %029d" $number]
        }
        $request reply 200 text/plain "$count\n"
    }

    proc reply {request} {
        $request reply [$request param QUERY_STRING] text/plain abc
    }

    proc start {request} {
        begin $request [$request param QUERY_STRING]
        $request write abc
    }

    proc promise {request} {
        $request header Content-Length [$request param QUERY_STRING]
        begin $request
        $request write a
        $request flush
        $request write bc
    }

    proc length {request} {
        set length [$request content_length]
        $request reply 200 text/plain "$length [string length [$request read]]"
    }

    proc file {request} {
        if {[dict exists [$request params] LENGTH]} {
            $request header Content-Length [$request param LENGTH]
        }
        begin $request
        $request send_file [$request param FILE]
    }

    proc run {request} {
        ::ways::[$request param WAY] [$request param COMMAND]
        $request reply 200 text/plain "done\n"
    }
}

proc answer {request} {
    set name [lindex [split [$request path] /] end]
    if {$name in {gate write fault complain reply start promise length file run}} {
        paths::$name $request
    } else {
        $request reply 200 text/plain "QUERY_STRING=[$request param QUERY_STRING]\n"
    }
}

set server [fastcgi::Server]
foreach option [lrange $argv 1 end] {
    regexp {^(\w+)=(.*)$} $option - name value
    $server set_text $name $value
}
if {[llength $argv]} {
    $server listen [lindex $argv 0]
} else {
    $server listen_inherited
}
$server serve answer
