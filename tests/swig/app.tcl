# SPDX-License-Identifier: MIT
# Handlers over the SWIG module: tclsh app.tcl HANDLER ADDRESS ?OPTION=NUMBER ...?
# README.md says what each does. The same program exists in every language.
package require fastcgi_swig

set HEAD "Content-Type: text/plain\r\n\r\n"
set PAGE_HEAD "Content-type: text/html\r\n\r\n"
set PAGE_BODY "<html>\n<head> ... "

proc text {request body} {
    $request reply 200 text/plain $body
}

# --- The handlers of the conformance cases ------------------------------------

proc refuse {request status reason} {
    $request reply $status text/plain "$status $reason\n"
}

proc answer_read {request script} {
    try {
        set body [uplevel 1 $script]
    } trap {FCGI TRUNCATED} {} {
        refuse $request 400 "Bad Request"
    } on ok {} {
        $request write $::HEAD
        $request write $body
    }
}

namespace eval answering {
    proc echo {request} {
        answer_read $request {$request read}
    }

    proc data {request} {
        answer_read $request {string cat [$request read] | [$request read_data]}
    }

    proc params {request} {
        set lines ""
        dict for {name value} [$request params] {
            append lines $name = $value \n
        }
        $request write $::HEAD$lines
    }

    proc early {request} {
        $request write "${::HEAD}early\n"
    }

    proc page {request} {
        $request write $::PAGE_HEAD$::PAGE_BODY
    }

    proc fault {request} {
        $request write "${::PAGE_HEAD}<ht"
        $request log "config error: missing SI_UID"
        $request write "ml>\n<head> ... "
        $request end 938
    }

    proc big {request} {
        $request write $::HEAD
        for {set i 0} {$i < 10000} {incr i} {
            $request write [string repeat x 20]
        }
    }

    proc authorize {request} {
        if {[$request param PASS] eq "yes"} {
            $request write "Variable-AUTH: yes\r\n\r\n"
        } else {
            refuse $request 403 Forbidden
        }
    }
}

# --- Those that hold requests, with the pull API ------------------------------

proc finish {request} {
    if {![$request ended]} {
        $request end
    }
}

# The requests that wait: for an abort, for another one, and for their bodies,
# with what has come of them.
set held {}
set first ""
set reading {}

# The first request waits for a second one.
proc swap {request} {
    global first
    if {$first eq ""} {
        set first $request
        $request write $::PAGE_HEAD
        $request flush
        return
    }
    answering::page $request
    $request end
    $first write $::PAGE_BODY
    $first end
    set first ""
}

proc let_go {request} {
    if {[$request aborted] eq ""} {
        return 0
    }
    # Nobody may be left to read it.
    catch {$request write "${::HEAD}aborted\n"}
    finish $request
    return 1
}

# Read what has come, without waiting; true when the request is over.
proc read_on {request name} {
    upvar 1 $name body
    try {
        while {[set part [$request read_some]] ne ""} {
            append body $part
        }
        $request write $::HEAD$body
    } trap {FCGI AGAIN} {} {
        return 0
    } trap {FCGI TRUNCATED} {} {
        refuse $request 400 "Bad Request"
    } trap FCGI {} {
        # It is over as well.
    }
    finish $request
    return 1
}

proc take {request name} {
    switch -- $name {
        hold { lappend ::held $request }
        swap { swap $request }
        echo {
            $request set_timeout 0
            lappend ::reading $request ""
        }
        default {
            if {[info commands answering::$name] eq ""} {
                refuse $request 501 "Not Implemented"
            } else {
                answering::$name $request
            }
            finish $request
        }
    }
}

proc turn {} {
    set ::held [lmap request $::held {
        if {[let_go $request]} continue
        set request
    }]
    set still {}
    foreach {request body} $::reading {
        if {![read_on $request body]} {
            lappend still $request $body
        }
    }
    set ::reading $still
}

proc holding {server name_of} {
    while {![$server stopped]} {
        set request [$server accept 0.005]
        if {$request ne ""} {
            try {
                take $request [apply $name_of $request]
            } trap FCGI {} {
                if {![$request ended]} {
                    $request fail
                }
            }
        }
        turn
    }
}

proc spec_name {request} {
    set name [$request param SPEC_HANDLER]
    return [expr {$name eq "" ? "echo" : $name}]
}

# --- The scenario: one server, a handler for each path ------------------------

set requests 0
set kept ""

# The name of the code of the error that a script raises.
proc problem {script} {
    try {
        uplevel 1 $script
    } trap FCGI {message options} {
        return [lindex [dict get $options -errorcode] 1]
    }
    return none
}

namespace eval path {
    proc bytes {request server} {
        set body [$request read 3][$request read_some 2][$request read]
        $request header X-Length [string length $body]
        text $request $body|[$request param ODD]
    }

    proc nothing {request server} {
        text $request [expr {[dict exists [$request params] ABSENT] ? "something" : "nothing"}]
    }

    # Write nothing.
    proc silent {request server} {}

    proc promise {request server} {
        $request header Transfer-Encoding chunked
        $request header Content-Length [$request param LENGTH]
        text $request abc
    }

    proc number {request server} {
        text $request "[$request content_length]\n[$request data_length]\n[$request data_modified]\n"
    }

    proc large {request server} {
        set other [fastcgi::Server]
        try {
            $other set socket_mode 9007199254740993
        } trap FCGI {message options} {
            text $request "[lindex [dict get $options -errorcode] 1] $message"
        } finally {
            $other -delete
        }
    }

    proc die {request server} {
        error "as it was told to"
    }

    proc die_late {request server} {
        $request write "${::HEAD}some of it"
        $request flush
        error "after output"
    }

    # An error without a text.
    proc odd {request server} {
        error ""
    }

    # What would leave a loop of the language's own.
    proc leave {request server} {
        return -code break
    }

    proc close {request server} {
        $server close
        $server -delete
    }

    proc save {request server} {
        set ::kept $request
    }

    proc saved {request server} {
        global kept
        set codes [list [problem {$kept read}] [problem {$kept params}] [problem {$kept end}] \
            [problem {$kept write x}] [expr {[$kept ended] ? "ended" : "open"}]]
        text $request [join $codes]
    }

    proc no_handle {request server} {
        # Nothing, an address that is none, another class's, and one that is gone.
        set gone [fastcgi::Server]
        $gone -delete
        set codes [list [problem {fastcgi::Request_read NULL}] \
            [problem {fastcgi::Request_read _0100000000000000_p_shim_request}] \
            [problem {fastcgi::Request_read $server}] [problem {fastcgi::Server_accept $gone}]]
        text $request "[lsort -unique $codes] [problem {fastcgi::Server_accept {}}]"
    }

    proc wrong {request server} {
        set codes [list \
            [problem {
                $request header X "a\nb"
                $request start 200
            }] \
            [problem {$server set no_such_option 1}] \
            [problem {$server listen nonsense}] \
            [problem {$request send_file /no/such/file}]]
        $request fail
        puts [join $codes]
        flush stdout
    }

    proc stop {request server} {
        $server stop
        text $request "stopping\n"
    }

    proc nested {request server} {
        set inner [fastcgi::Server]
        $inner listen [$request param INNER]
        $inner run [list apply {{inner inside} {
            text $inside "inner\n"
            $inner stop
        }} $inner]
        $inner -delete
        text $request "outer\n"
    }

    proc file {request server} {
        $request header Content-Type text/plain
        $request start
        $request send_file [$request param FILE] 1 5
    }

    proc count {request server} {
        text $request [incr ::requests]
    }
}

proc route {server request} {
    path::[string range [$request param PATH_INFO] 1 end] $request $server
}

# --- What runs in place of serving a handler ----------------------------------

namespace eval pulling {
    proc swap {server} {
        holding $server {request {string cat swap}}
    }

    proc hold {server} {
        holding $server {request {string cat hold}}
    }

    proc spec {server} {
        holding $server {request {spec_name $request}}
    }

    proc pull {server} {
        set idle 0
        while {![$server stopped]} {
            set request [$server accept 0.02]
            if {$request ne ""} {
                if {[$request param PATH_INFO] eq "/stop"} {
                    $server stop
                }
                text $request [expr {$idle ? "after a pause" : "at once"}]
            }
            set idle [expr {$request eq ""}]
        }
    }

    proc scenario {server} {
        $server serve [list route $server]
    }

    # The error of a handler leaves the loop as it is; the loop goes on.
    proc raising {server} {
        try {
            $server run {apply {request {
                return -code error -errorcode {MINE 7} -level 0 "through the loop"
            }}} raise
        } trap {MINE 7} {message options} {
            set trace [dict get $options -errorinfo]
        }
        set same [expr {$message eq "through the loop" && [string match *apply* $trace]}]
        $server run [list apply {{server answer request} {
            text $request $answer
            $server stop
        }} $server [expr {$same ? "same" : "changed"}]]
    }
}

set options [lassign $argv name address]
set server [fastcgi::Server]
$server set_text drain_silence 0.2
$server set stream [expr {$name in {early spec}}]
foreach option $options {
    $server set_text {*}[split $option =]
}
$server listen $address
if {[info commands pulling::$name] ne ""} {
    pulling::$name $server
} else {
    $server serve answering::$name
}
