# SPDX-License-Identifier: MIT
# A guestbook that keeps its database connection open.
#
#   tclsh app.tcl unix:guestbook.sock
#
# It opens SQLite at its first request and keeps it as a resource. Needs the SWIG
# module fastcgi_swig and the package sqlite3; without an address it serves the
# listener that it inherits.
package require fastcgi_swig
package require sqlite3

proc read_whole {name} {
    set file [open [file join [file dirname [info script]] .. $name]]
    chan configure $file -encoding utf-8
    try {
        return [read $file]
    } finally {
        close $file
    }
}

set database [expr {[info exists env(GUESTBOOK_DB)] ? $env(GUESTBOOK_DB) : "guestbook.db"}]
set longest {name 80 message 2000}
set longest_form [expr {64 * 1024}]
set shown 50
set html "text/html; charset=utf-8"
set page_html [read_whole page.html]
set page_css [read_whole page.css]

# --- The connection -----------------------------------------------------------

# What the page tells about it, once it is open; its command is `book`.
set connection ""

# An SQL statement with the caller's variables. SQLite's errors have no code of
# their own.
proc sql {statement} {
    try {
        return [uplevel 1 [list book eval $statement]]
    } on error {message} {
        throw {GUESTBOOK DATABASE} $message
    }
}

proc open_connection {} {
    try {
        sqlite3 book $::database
    } on error {message} {
        throw {GUESTBOOK DATABASE} $message
    }
    book timeout 2000
    # Of several processes that open a new file at once, one sets its mode and the
    # others are told that it is locked, whatever the timeout.
    catch {book eval {PRAGMA journal_mode = WAL}}
    try {
        sql {CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY,
            at INTEGER NOT NULL, name TEXT NOT NULL, message TEXT NOT NULL)}
    } on error {message options} {
        book close
        return -options $options $message
    }
    set ::connection [dict create id [format %08x [expr {int(rand() * 2**32)}]] \
        opened [clock milliseconds] requests 0]
    return book
}

# SQLite tells nobody here whether a transaction is open.
proc undo {book} {
    catch {$book eval ROLLBACK}
}

# Replacing a connection to a local file gains nothing: it stays open as long as
# the process.
fastcgi::Resource guestbook open_connection
guestbook on reset undo
guestbook on close {apply {{book} {$book close}}}
guestbook set_text name guestbook
guestbook set acquire_timeout 2
guestbook set max_age -1
guestbook set max_idle -1

proc use_connection {request} {
    try {
        guestbook get $request
    } trap FCGI {message} {
        throw {GUESTBOOK DATABASE} $message
    }
    dict incr ::connection requests
}

proc age {} {
    return [expr {([clock milliseconds] - [dict get $::connection opened]) / 1000.0}]
}

# --- The page -----------------------------------------------------------------

proc escape {text} {
    return [string map {& &amp; < &lt; > &gt; \" &quot; ' &#x27;} $text]
}

# 8 s, 3 min 12 s, 2 h 5 min.
proc age_text {seconds} {
    set minutes [expr {$seconds / 60}]
    if {$minutes == 0} {
        return "$seconds s"
    } elseif {$minutes < 60} {
        return "$minutes min [expr {$seconds % 60}] s"
    }
    return "[expr {$minutes / 60}] h [expr {$minutes % 60}] min"
}

proc entry_html {at name message} {
    set stamp [clock format $at -gmt 1 -format %Y-%m-%dT%H:%M:%SZ]
    set time [string trimleft [clock format $at -gmt 1 -format "%d %B %Y, %H:%M UTC"] 0]
    return "<article class=\"entry\"><header><h3>[escape $name]</h3>\n<time\
        datetime=\"$stamp\">$time</time></header>\n<p>[escape $message]</p></article>"
}

proc entries_html {} {
    set entries [lmap {at name message} [sql {
        SELECT at, name, message FROM entries ORDER BY id DESC LIMIT $::shown
    }] {entry_html $at $name $message}]
    if {[llength $entries] == 0} {
        return {<p class="empty">Be the first to sign.</p>}
    }
    return [join $entries \n]
}

proc count_text {} {
    switch [set count [sql {SELECT count(*) FROM entries}]] {
        0 { return "No entries yet" }
        1 { return "1 entry" }
        default { return "$count entries" }
    }
}

# What the page tells about the connection.
proc facts {} {
    set age [age]
    return [dict create connection_id [dict get $::connection id] \
        connection_age_s [format %.1f $age] connection_age [age_text [expr {int($age)}]] \
        requests [dict get $::connection requests] worker "process [pid]" \
        count [count_text] entries [entries_html]]
}

# Without a connection the page still shows what is wrong.
set no_facts {connection_id none connection_age_s 0 connection_age "not open" requests 0
    worker nobody count "The entries cannot be shown" entries ""}

proc by_length {left right} {
    return [expr {[string length $right] - [string length $left]}]
}

# The template with its words replaced at once, so that none is looked for in
# what a visitor wrote; a longer word goes before its beginning.
proc fill {words} {
    set map {}
    foreach word [lsort -command by_length [dict keys $words]] {
        lappend map \$$word [dict get $words $word]
    }
    return [string map $map $::page_html]
}

proc page {facts path {notice ""} {form {}}} {
    set words [dict merge {name "" message ""} $form]
    set words [dict map {name text} $words {escape $text}]
    if {$notice ne ""} {
        set notice "<p class=\"notice\" role=\"alert\">[escape $notice]</p>"
    }
    set status [regsub {[^/]*$} $path status]
    return [fill [dict merge $facts $words [dict create title "Guestbook in Tcl" language Tcl \
        css $::page_css notice $notice action [escape $path] status_url [escape $status]]]]
}

# --- The form -----------------------------------------------------------------

# Something the visitor can put right.
proc mistake {text {status 400}} {
    throw [list GUESTBOOK MISTAKE $status] $text
}

# Bytes as text, with U+FFFD for what is not UTF-8.
proc decode_utf8 {bytes} {
    set text ""
    set characters {[\x00-\x7f]+|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|.}
    foreach part [regexp -all -inline -- $characters $bytes] {
        if {[string match \[\x80-\xff\] $part]} {
            append text \ufffd
        } else {
            append text [encoding convertfrom utf-8 $part]
        }
    }
    return $text
}

proc decode {field} {
    set bytes ""
    foreach part [regexp -all -inline {%[0-9A-Fa-f]{2}|[^%]+|%} [string map {+ " "} $field]] {
        append bytes [expr {[scan $part %%%2x code] == 1 ? [format %c $code] : $part}]
    }
    return [decode_utf8 $bytes]
}

# Without NUL and surrounding white space.
proc clean {text} {
    return [string trim [string map [list \x00 "" \r\n \n] $text]]
}

proc read_form {request} {
    try {
        set body [$request read [expr {$::longest_form + 1}]]
    } trap FCGI {} {
        mistake "The form did not arrive whole."
    }
    if {[string length $body] > $::longest_form} {
        mistake "The form is too large." 413
    }
    set form {name "" message ""}
    foreach field [lreverse [split $body &]] {
        regexp {^([^=]*)=?(.*)$} $field -> name value
        if {[dict exists $form $name]} {
            dict set form $name [clean [decode $value]]
        }
    }
    return $form
}

proc check_form {form} {
    dict for {name most} $::longest {
        set length [string length [dict get $form $name]]
        if {$length == 0} {
            mistake "Please write your $name."
        } elseif {$length > $most} {
            mistake "Your $name is longer than [regsub {(\d)(\d{3})$} $most {\1,\2}] characters."
        }
    }
}

# --- Answers ------------------------------------------------------------------

proc answer {request status type body} {
    $request header Cache-Control no-store
    $request reply $status $type [encoding convertto utf-8 $body]
}

# The path of this page, which the web server has judged, as a link has it.
proc own_path {request} {
    set link /
    foreach byte [split [string trimleft [$request path] /] ""] {
        if {[regexp {[A-Za-z0-9/._~-]} $byte]} {
            append link $byte
        } else {
            append link %[format %02X [scan $byte %c]]
        }
    }
    return $link
}

proc answer_status {request} {
    answer $request 200 application/json [format \
        {{"connection_id": "%s", "connection_age_s": %.1f, "requests": %d}} \
        [dict get $::connection id] [age] [dict get $::connection requests]]
}

proc sign {request path} {
    set form {}
    try {
        set form [read_form $request]
        check_form $form
        dict with form {
            set at [clock seconds]
            sql {INSERT INTO entries (at, name, message) VALUES ($at, $name, $message)}
        }
    } trap {GUESTBOOK MISTAKE} {notice options} {
        set status [lindex [dict get $options -errorcode] 2]
        answer $request $status $::html [page [facts] $path $notice $form]
    } trap {GUESTBOOK DATABASE} {message} {
        set notice "Your entry could not be saved, please try again: $message."
        answer $request 503 $::html [page [facts] $path $notice $form]
    } on ok {} {
        $request header Location $path
        answer $request 303 $::html ""
    }
}

proc refuse {request path} {
    $request header Allow "GET, HEAD, POST"
    answer $request 405 $::html \
        [page [facts] $path "This page can be read and signed, nothing else."]
}

proc serve {request path} {
    use_connection $request
    if {[string match */status $path]} {
        return [answer_status $request]
    }
    switch [$request param REQUEST_METHOD] {
        GET - HEAD { answer $request 200 $::html [page [facts] $path] }
        POST { sign $request $path }
        default { refuse $request $path }
    }
}

proc handle {request} {
    set path [own_path $request]
    try {
        serve $request $path
    } trap {GUESTBOOK DATABASE} {message} {
        $request log [encoding convertto utf-8 "guestbook: $::database: $message"]
        set notice "The database cannot be used now: $message."
        answer $request 503 $::html [page $::no_facts $path $notice]
    }
}

set server [fastcgi::Server]
if {[llength $argv]} {
    $server listen [lindex $argv 0]
} else {
    $server listen_inherited
}
$server serve handle
