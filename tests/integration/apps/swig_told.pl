# SPDX-License-Identifier: MIT
# A program over the SWIG module that does as told.c says.
use strict;
use warnings;
use FastCGI::Swig;

my $server = FastCGI::Swig::Server->new;
@ARGV ? $server->listen($ARGV[0]) : $server->listen_inherited;
$server->serve(sub {
    my ($request) = @_;
    my $told = $request->param('QUERY_STRING') // '';
    die 'x' x 500 if $told eq 'fail';
    if ($told ne '') {
        open my $mark, '>', $ENV{MARK} or die $!;
        close $mark;
    }
    1 while $told eq 'loop';
    sleep 1000 while $told eq 'call'; # A signal ends one.
    ('a' x 10000) =~ /a*a*a*a*a*a*[bc]/ if $told eq 'code'; # A call in C.
    $request->reply(200, 'text/plain', "fine\n");
});
