# SPDX-License-Identifier: MIT
# Keeps a connection to SQLite: kept.tcl ADDRESS BUILD; README.md says what each path does.
package require fastcgi_swig
package require sqlite3
package require Tclx
set database [string range [lindex $argv 0] 5 end].db
set opened 0
set sick 0
set runs 0

proc open_one {} {
    if {[file exists $::database.away]} {error "it is away"}
    sqlite3 c[incr ::opened] $::database
    return c$::opened
}
proc check {c} {
    set was $::sick
    set ::sick 0
    return [expr {!$was}]
}
proc reset {c} {
    if {[catch {$c eval rollback} why] && ![string match "*no transaction is active*" $why]} {error $why}
}
proc close_one {c} {
    set file [open $::database.closed a]
    puts -nonewline $file x
    close $file
    $c close
}
fastcgi::Resource db open_one
db on configure {apply {{c} {$c eval {create table if not exists rows (text)}}}}
db on check check
db on reset reset
db on close close_one
db set_text name db
db set_text retry safe
db set acquire_timeout 0.3
db set check_after 0
db set eager 1

proc code {args} {
    if {![catch {uplevel 1 $args} text options]} {return none}
    return [lindex [dict get $options -errorcode] 1]
}
proc /same {r} {
    set values [db take]
    db give
    lappend values [db take $r] [db get $r] [db take $r]
    db give $r
    db give $r
    return "[expr {[llength [lsort -unique $values]] == 1 ? "True" : "False"}] $::opened"
}
proc /leave {r} {
    set c [db get $r]
    $c eval begin
    $c eval {insert into rows values ('left')}
}
proc /fail {r} {
    /leave $r
    error "after an insert"
}
proc /retry {r} {
    db get $r
    if {[incr ::runs] > 1} {return "run $::runs"}
    db invalidate $r
    error "it is gone"
}
proc /many {r} {
    for {set i 0} {$i < 10000} {incr i} {
        db take $r
        db give $r
    }
}
proc /fork {r} {
    db get $r
    set child [fork]
    if {$child == 0} {exit [expr {[code db get $r] eq "STATE" ? 3 : 1}]}
    return "status [lindex [wait $child] 2]"
}
proc /wrong {r} {
    return "[code db give $r] [code db get ""] [code db set max_age 1] [code db on other check]\
        [code db count other] [code db invalidate $r]"
}
proc /rows {r} {[db get $r] eval {select count(*) from rows}}
proc /add {r} {[db get $r] eval {insert into rows values ('added')}}
proc /break {r} {
    db get $r
    db invalidate $r
}
proc /sick {r} {
    set ::sick 1
    return
}
proc /spoil {r} {[db get $r] close}
proc /keep {r} {
    db take $r
    return
}
proc /drain {r} {db drain}
proc /caught {r} {code db get $r}
proc /counts {r} {
    lmap name {open in_use opened unended closed_invalidated closed_check closed_reset} {db count $name}
}
proc handler {r} {
    set answer [[$r path] $r]
    $r reply 200 text/plain [expr {$answer eq "" ? "None" : $answer}]
}
set server [fastcgi::Server]
$server set_text status_path /status
$server listen [lindex $argv 0]
$server keep db
$server serve handler
