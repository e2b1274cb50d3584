# SPDX-License-Identifier: MIT
# The smallest application: tclsh hello.tcl ?address?. Without an address it
# serves the listener that it inherits.
package require fastcgi_swig

proc hello {request} {
    $request reply 200 text/plain "Hello\n"
}

set server [fastcgi::Server]
if {[llength $argv]} {
    $server listen [lindex $argv 0]
} else {
    $server listen_inherited
}
$server serve hello
