# SPDX-License-Identifier: MIT
# Handlers over the SWIG module: perl app.pl HANDLER ADDRESS [OPTION=NUMBER...]
# README.md says what each does. The same program exists in every language.
use strict;
use warnings;
use FastCGI::Swig;
use Scalar::Util qw(blessed refaddr);

my $HEAD = "Content-Type: text/plain\r\n\r\n";
my ($PAGE_HEAD, $PAGE_BODY) = ("Content-type: text/html\r\n\r\n", "<html>\n<head> ... ");

sub text {
    my ($request, $body) = @_;
    $request->reply(200, 'text/plain', $body);
}

# The code of an error, '' for one that is not the library's.
sub code_of {
    my ($error) = @_;
    return blessed($error) && $error->isa('FastCGI::Swig::Error') ? $error->code : '';
}

# --- The handlers of the conformance cases -------------------------------------

sub refuse {
    my ($request, $status, $reason) = @_;
    $request->reply($status, 'text/plain', "$status $reason\n");
}

sub answer_read {
    my ($request, $read) = @_;
    my $body = eval { $read->() };
    if (defined $body) {
        $request->write($HEAD);
        $request->write($body);
    } elsif (code_of($@) eq 'TRUNCATED') {
        refuse($request, 400, 'Bad Request');
    } else {
        die $@;
    }
}

sub list_params {
    my ($request) = @_;
    my $params = $request->params;
    my ($lines, $index) = ('', 0);
    while (defined(my $name = $request->param_name($index++))) {
        my $value = delete $params->{$name} // next;
        $lines .= "$name=$value\n";
    }
    $request->write($HEAD . $lines);
}

sub fault {
    my ($request) = @_;
    $request->write("$PAGE_HEAD<ht");
    $request->log('config error: missing SI_UID');
    $request->write("ml>\n<head> ... ");
    $request->end(938);
}

sub big {
    my ($request) = @_;
    $request->write($HEAD);
    $request->write('x' x 20) for 1 .. 10_000;
}

sub authorize {
    my ($request) = @_;
    if (($request->param('PASS') // '') eq 'yes') {
        $request->write("Variable-AUTH: yes\r\n\r\n");
    } else {
        refuse($request, 403, 'Forbidden');
    }
}

sub page { $_[0]->write($PAGE_HEAD . $PAGE_BODY) }

my %answering = (
    echo => sub { my ($r) = @_; answer_read($r, sub { $r->read }) },
    data => sub { my ($r) = @_; answer_read($r, sub { $r->read . '|' . $r->read_data }) },
    params => \&list_params,
    early => sub { $_[0]->write("${HEAD}early\n") },
    page => \&page,
    fault => \&fault,
    big => \&big,
    authorize => \&authorize,
);

# --- Those that hold requests, with the pull API -------------------------------

sub finish { my ($request) = @_; $request->end unless $request->ended }

# The first request waits for a second one.
sub swap {
    my ($holder, $request) = @_;
    my $first = $holder->{first};
    if (!$first) {
        $holder->{first} = $request;
        $request->write($PAGE_HEAD);
        return $request->flush;
    }
    page($request);
    $request->end;
    $first->write($PAGE_BODY);
    $first->end;
    $holder->{first} = undef;
}

sub let_go {
    my ($request) = @_;
    return 0 unless defined $request->aborted;
    eval { $request->write("${HEAD}aborted\n") };    # Nobody may be left to read it.
    finish($request);
    return 1;
}

# Read what has come, without waiting; true when the request is over.
sub read_on {
    my ($reading) = @_;
    my $request = $reading->{request};
    my $fine = eval {
        while (length(my $part = $request->read_some)) { $reading->{body} .= $part }
        $request->write($HEAD . $reading->{body});
        1;
    };
    return 0 if !$fine && code_of($@) eq 'AGAIN';
    refuse($request, 400, 'Bad Request') if !$fine && code_of($@) eq 'TRUNCATED';
    finish($request);
    return 1;
}

sub take {
    my ($holder, $name, $request) = @_;
    if ($name eq 'hold') {
        push @{$holder->{held}}, $request;
    } elsif ($name eq 'swap') {
        swap($holder, $request);
    } elsif ($name eq 'echo') {
        $request->set_timeout(0);
        push @{$holder->{reading}}, {request => $request, body => ''};
    } else {
        ($answering{$name} // sub { refuse($_[0], 501, 'Not Implemented') })->($request);
        finish($request);
    }
}

sub holding {
    my ($server, $name_of) = @_;
    my $holder = {held => [], reading => []};
    until ($server->stopped) {
        my $request = $server->accept(0.005);
        if ($request && !eval { take($holder, $name_of->($request), $request); 1 }) {
            $request->fail unless $request->ended;
        }
        @{$holder->{held}} = grep { !let_go($_) } @{$holder->{held}};
        @{$holder->{reading}} = grep { !read_on($_) } @{$holder->{reading}};
    }
}

sub pull {
    my ($server) = @_;
    my $idle = 0;
    until ($server->stopped) {
        my $request = $server->accept(0.02);
        if ($request) {
            $server->stop if $request->param('PATH_INFO') eq '/stop';
            text($request, $idle ? 'after a pause' : 'at once');
        }
        $idle = !$request;
    }
}

# --- The scenario: one server, a handler for each path -------------------------

my ($requests, $kept) = (0);

# The code of the error that a call raises.
sub problem {
    my ($call) = @_;
    return eval { $call->(); 1 } ? 'none' : code_of($@) || $@;
}

sub bytes {
    my ($request) = @_;
    my $body = $request->read(3) . $request->read_some(2) . $request->read;
    $request->header('X-Length', length $body);
    text($request, $body . '|' . $request->param('ODD'));
}

sub number {
    my ($request) = @_;
    text($request, join '', map { "$_\n" } $request->content_length, $request->data_length,
        $request->data_modified);
}

sub large {
    my ($request) = @_;
    eval { FastCGI::Swig::Server->new->set('socket_mode', 9007199254740993) };
    text($request, $@->code . " $@");
}

sub die_late {
    my ($request) = @_;
    $request->write("${HEAD}some of it");
    $request->flush;
    die "after output\n";
}

sub saved {
    my ($request) = @_;
    my @calls = (sub { $kept->read }, sub { $kept->params }, sub { $kept->end },
        sub { $kept->write('x') });
    text($request, join ' ', map({ problem($_) } @calls), $kept->ended ? 'ended' : 'open');
}

sub no_handle {
    my ($request) = @_;
    text($request, join ' ', problem(sub { FastCGI::Swig::Request::read(undef) }),
        problem(sub { FastCGI::Swig::Server::accept(undef) }));
}

sub wrong {
    my ($request, $server) = @_;
    my @calls = (
        sub { $request->header('X', "a\nb"); $request->start(200) },
        sub { $server->set('no_such_option', 1) },
        sub { $server->listen('nonsense') },
        sub { $request->send_file('/no/such/file') },
    );
    my @codes = map { problem($_) } @calls;
    $request->fail;
    print "@codes\n";
    STDOUT->flush;
}

sub nested {
    my ($request) = @_;
    my $inner = FastCGI::Swig::Server->new;
    $inner->listen($request->param('INNER'));
    $inner->run(sub { text($_[0], "inner\n"); $inner->stop });
    text($request, "outer\n");
}

sub file {
    my ($request) = @_;
    $request->header('Content-Type', 'text/plain');
    $request->start;
    $request->send_file($request->param('FILE'), 1, 5);
}

# An error that is false.
package Odd {
    use overload bool => sub { 0 }, '""' => sub { die "not shown\n" };
}

sub promise {
    my ($request) = @_;
    $request->header('Transfer-Encoding', 'chunked');
    $request->header('Content-Length', $request->param('LENGTH'));
    text($request, 'abc');
}

my %paths = (
    silent => sub { },    # Write nothing.
    promise => \&promise,
    odd => sub { die bless {}, 'Odd' },
    # What would leave a loop of the language's own.
    leave => sub { no warnings 'exiting'; last },
    close => sub { $_[1]->close },
    bytes => \&bytes,
    nothing => sub { text($_[0], defined $_[0]->param('ABSENT') ? 'something' : 'nothing') },
    number => \&number,
    large => \&large,
    die => sub { die "as it was told to" },
    die_late => \&die_late,
    save => sub { $kept = $_[0] },
    saved => \&saved,
    no_handle => \&no_handle,
    wrong => \&wrong,
    stop => sub { my ($request, $server) = @_; $server->stop; text($request, "stopping\n") },
    nested => \&nested,
    file => \&file,
    count => sub { text($_[0], ++$requests) },
);

sub scenario {
    my ($server) = @_;
    $server->serve(sub { $paths{substr $_[0]->param('PATH_INFO'), 1}->($_[0], $server) });
}

# The error of a handler leaves the loop as it is; the loop goes on.
sub raising {
    my ($server) = @_;
    my $thrown = {why => 'through the loop'};
    eval { $server->run(sub { die $thrown }, 'raise') };
    my $same = ref $@ && refaddr($@) == refaddr($thrown);
    $server->run(sub { text($_[0], $same ? 'same' : 'changed'); $server->stop });
}

my %pulling = (
    swap => sub { holding($_[0], sub { 'swap' }) },
    hold => sub { holding($_[0], sub { 'hold' }) },
    spec => sub { holding($_[0], sub { $_[0]->param('SPEC_HANDLER') // 'echo' }) },
    pull => \&pull,
    scenario => \&scenario,
    raising => \&raising,
);

my ($name, $address, @options) = @ARGV;
my $server = FastCGI::Swig::Server->new;
$server->set_text('drain_silence', '0.2');
$server->set('stream', $name =~ /^(?:early|spec)$/ ? 1 : 0);
$server->set_text(split /=/) for @options;
$server->listen($address);
$pulling{$name} ? $pulling{$name}->($server) : $server->serve($answering{$name});
