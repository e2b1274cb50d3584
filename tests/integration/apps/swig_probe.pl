# SPDX-License-Identifier: MIT
# The probe over the SWIG module: swig_probe.pl [ADDRESS [OPTION=VALUE...]].
use strict;
use warnings;
use FastCGI::Swig;

my $type = 'text/plain';
my $block = 'x' x 100000;

sub tell_line { syswrite STDERR, "probe: $_[0]\n" }

sub begin {
    my ($request, $status) = @_;
    $request->header('Content-Type', $type);
    $request->start($status // 200);
}

sub by_exec {
    my $child = fork;
    exec '/bin/sh', '-c', $_[0] if $child == 0;
    waitpid $child, 0;
}

my %ways = (popen => sub { my $read = `$_[0]` }, system => sub { system $_[0] }, exec => \&by_exec);
my %paths = (
    gate => sub {
        my ($request) = @_;
        my $query = $request->param('QUERY_STRING');
        tell_line("$query began");
        select undef, undef, undef, 0.01 while !-e $ENV{GATE};
        $request->reply(200, $type, "$query\n");
    },
    write => sub {
        my ($request) = @_;
        begin($request);
        eval { $request->write($block) while 1 };
        tell_line('write ended');
        die $@;
    },
    fault => sub {
        my ($request) = @_;
        begin($request);
        eval { $request->write($block) while 1 };
        die 'a fault of its own';
    },
    complain => sub {
        my ($request) = @_;
        my $count = $request->param('QUERY_STRING');
        $request->log(sprintf 'complaint %029d', $_) for 0 .. $count - 1;
        $request->reply(200, $type, "$count\n");
    },
    reply => sub { $_[0]->reply(0 + $_[0]->param('QUERY_STRING'), $type, 'abc') },
    start => sub {
        my ($request) = @_;
        begin($request, 0 + $request->param('QUERY_STRING'));
        $request->write('abc');
    },
    promise => sub {
        my ($request) = @_;
        $request->header('Content-Length', $request->param('QUERY_STRING'));
        begin($request);
        $request->write('a');
        $request->flush;
        $request->write('bc');
    },
    length => sub {
        my ($request) = @_;
        $request->reply(200, $type, $request->content_length . ' ' . length $request->read);
    },
    file => sub {
        my ($request) = @_;
        my $length = $request->param('LENGTH');
        $request->header('Content-Length', $length) if defined $length;
        begin($request);
        $request->send_file($request->param('FILE'));
    },
    run => sub {
        my ($request) = @_;
        $ways{$request->param('WAY')}->($request->param('COMMAND'));
        $request->reply(200, $type, "done\n");
    },
);

sub free {
    my ($request) = @_;
    $request->reply(200, $type, 'QUERY_STRING=' . $request->param('QUERY_STRING') . "\n");
}

my ($address, @options) = @ARGV;
my $server = FastCGI::Swig::Server->new;
$server->set_text(split /=/, $_, 2) for @options;
defined $address ? $server->listen($address) : $server->listen_inherited;
$server->serve(sub {
    my ($request) = @_;
    my ($name) = $request->path =~ m{([^/]*)$};
    ($paths{$name} // \&free)->($request);
});
