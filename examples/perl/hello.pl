# SPDX-License-Identifier: MIT
# The smallest application: perl hello.pl [address]. Without an address it
# serves the listener that it inherits.
use strict;
use warnings;
use FastCGI::Swig;

my $server = FastCGI::Swig::Server->new;
@ARGV ? $server->listen($ARGV[0]) : $server->listen_inherited;
$server->serve(sub { $_[0]->reply(200, 'text/plain', "Hello\n") });
