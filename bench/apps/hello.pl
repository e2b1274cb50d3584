#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# hello.pl PATH: the same application on Perl's FCGI.
use strict;
use warnings;
use FCGI;

my $page    = 'x' x 10240;
my $socket  = FCGI::OpenSocket($ARGV[0], 1024);
my %env;
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%env, $socket);
while ($request->Accept() >= 0) {
    my $path = $env{PATH_INFO} // '';
    if ($path eq '/page') {
        print "Content-Type: text/html\r\n\r\n$page";
    } elsif ($env{CONTENT_LENGTH}) {
        my ($total, $data) = (0);
        while (my $n = read(STDIN, $data, 65536)) { $total += $n }
        print "Content-Type: text/plain\r\n\r\n$total\n";
    } else {
        print "Content-Type: text/plain\r\n\r\nHello\n";
    }
}
