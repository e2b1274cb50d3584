# SPDX-License-Identifier: MIT
# A guestbook that keeps its database connection open.
#
#   perl app.pl unix:guestbook.sock
#
# It opens SQLite at its first request and keeps it as a resource. Needs the SWIG
# module FastCGI::Swig and DBD::SQLite; without an address it serves the listener
# that it inherits.
use strict;
use warnings;
use DBI;
use Encode ();
use FastCGI::Swig;
use FindBin;
use POSIX ();

my $DATABASE = $ENV{GUESTBOOK_DB} || 'guestbook.db';
my %LONGEST = (name => 80, message => 2000);
my $LONGEST_FORM = 64 * 1024;
my $SHOWN = 50;
my $HTML = 'text/html; charset=utf-8';

my ($PAGE, $CSS) = map { read_whole("$FindBin::Bin/../page.$_") } qw(html css);

sub read_whole {
    my ($path) = @_;
    open my $file, '<:encoding(UTF-8)', $path or die "$path: $!\n";
    local $/;
    return scalar <$file>;
}

# --- The connection -------------------------------------------------------------

# What is kept: a connection, and what the page tells about it.
sub open_connection {
    my %fresh = (opened => time, requests => 0, id => sprintf '%08x', int rand 2**32);
    $fresh{database} = DBI->connect("dbi:SQLite:dbname=$DATABASE", '', '',
        {RaiseError => 1, PrintError => 0, sqlite_unicode => 1});
    $fresh{database}->sqlite_busy_timeout(2000);
    # Of several processes that open a new file at once, one sets its mode and the
    # others are told that it is locked, whatever the timeout.
    eval { $fresh{database}->do('PRAGMA journal_mode = WAL') };
    $fresh{database}->do('CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, '
            . 'at INTEGER NOT NULL, name TEXT NOT NULL, message TEXT NOT NULL)');
    return \%fresh;
}

sub undo {
    my ($conn) = @_;
    $conn->{database}->rollback unless $conn->{database}{AutoCommit};
}

# Replacing a connection to a local file gains nothing: it stays open as long as the process.
my $guestbook = FastCGI::Swig::Resource->new(\&open_connection);
$guestbook->on('reset', \&undo);
$guestbook->on('close', sub { $_[0]{database}->disconnect });
$guestbook->set_text('name', 'guestbook');
$guestbook->set('acquire_timeout', 2);
$guestbook->set($_, -1) for qw(max_age max_idle);

sub connection {
    my ($request) = @_;
    my $conn = eval { $guestbook->get($request) } // die {away => "$@"};
    $conn->{requests}++;
    return $conn;
}

# --- The page -------------------------------------------------------------------

my %ESCAPES = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#x27;');

sub escape {
    my ($text) = @_;
    $text =~ s/([&<>"'])/$ESCAPES{$1}/g;
    return $text;
}

# 8 s, 3 min 12 s, 2 h 5 min.
sub age_text {
    my ($seconds) = @_;
    my $minutes = int $seconds / 60;
    return "$seconds s" if $minutes == 0;
    return sprintf '%d min %d s', $minutes, $seconds % 60 if $minutes < 60;
    return sprintf '%d h %d min', $minutes / 60, $minutes % 60;
}

sub entry_html {
    my ($at, $name, $message) = @_;
    my @time = gmtime $at;
    my $shown = POSIX::strftime('%d %B %Y, %H:%M UTC', @time) =~ s/^0//r;
    return sprintf qq{<article class="entry"><header><h3>%s</h3>\n}
        . qq{<time datetime="%s">%s</time></header>\n<p>%s</p></article>},
        escape($name), POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', @time), $shown, escape($message);
}

sub entries_html {
    my ($database) = @_;
    my $rows = $database->selectall_arrayref(
        'SELECT at, name, message FROM entries ORDER BY id DESC LIMIT ?', undef, $SHOWN);
    return '<p class="empty">Be the first to sign.</p>' unless @$rows;
    return join "\n", map { entry_html(@$_) } @$rows;
}

sub count_text {
    my ($database) = @_;
    my ($count) = $database->selectrow_array('SELECT count(*) FROM entries');
    return $count == 0 ? 'No entries yet' : $count == 1 ? '1 entry' : "$count entries";
}

# What the page tells about a connection; without one it still shows what is
# wrong.
sub facts {
    my ($conn) = @_;
    return (connection_id => 'none', connection_age_s => 0, connection_age => 'not open',
        requests => 0, worker => 'nobody', count => 'The entries cannot be shown', entries => '')
        unless $conn;
    my $age = time - $conn->{opened};
    return (connection_id => $conn->{id}, connection_age_s => $age,
        connection_age => age_text($age), requests => $conn->{requests},
        worker => "process $$", count => count_text($conn->{database}),
        entries => entries_html($conn->{database}));
}

sub page {
    my ($conn, $path, $notice, $form) = @_;
    my %words = (facts($conn), title => 'Guestbook in Perl', language => 'Perl', css => $CSS);
    $words{notice} = $notice ? '<p class="notice" role="alert">' . escape($notice) . '</p>' : '';
    $words{action} = escape($path);
    $words{$_} = escape($form->{$_} // '') for keys %LONGEST;
    $words{status_url} = escape($path =~ s{[^/]*\z}{status}r);
    return $PAGE =~ s/\$([a-z_]+)/$words{$1} \/\/ "\$$1"/ger;
}

# --- The form -------------------------------------------------------------------

# Something the visitor can put right.
sub mistake {
    my ($text, $status) = @_;
    die {mistake => $text, status => $status // 400};
}

sub decode {
    my ($text) = @_;
    $text =~ tr/+/ /;
    $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    return Encode::decode('UTF-8', $text, Encode::FB_DEFAULT);
}

# Without NUL and surrounding white space.
sub clean {
    my ($text) = @_;
    $text =~ tr/\0//d;
    return $text =~ s/\r\n/\n/gr =~ s/\A\s+|\s+\z//gr;
}

sub read_form {
    my ($request) = @_;
    my $body = eval { $request->read($LONGEST_FORM + 1) } // mistake('The form did not arrive whole.');
    mistake('The form is too large.', 413) if length $body > $LONGEST_FORM;
    my %form;
    for my $field (split /&/, $body) {
        my ($name, $value) = map { decode($_) } split(/=/, $field, 2), '';
        $form{$name} //= clean($value) if exists $LONGEST{$name};
    }
    return \%form;
}

sub check_form {
    my ($form) = @_;
    for my $name (qw(name message)) {
        my ($text, $longest) = ($form->{$name} // '', $LONGEST{$name});
        mistake("Please write your $name.") if $text eq '';
        my $shown = $longest =~ s/(\d)(\d{3})\z/$1,$2/r;
        mistake("Your $name is longer than $shown characters.") if length $text > $longest;
    }
}

# --- Answers --------------------------------------------------------------------

sub answer {
    my ($request, $status, $type, $body) = @_;
    $request->header('Cache-Control', 'no-store');
    $request->reply($status, $type, Encode::encode('UTF-8', $body));
}

# The path of this page, which the web server has judged, as a link has it.
sub own_path {
    my ($request) = @_;
    my $path = $request->path =~ s{\A/*}{/}r;
    return $path =~ s{([^A-Za-z0-9/._~-])}{sprintf '%%%02X', ord $1}ger;
}

sub status {
    my ($request, $conn) = @_;
    answer($request, 200, 'application/json',
        sprintf '{"connection_id": "%s", "connection_age_s": %d, "requests": %d}',
        $conn->{id}, time - $conn->{opened}, $conn->{requests});
}

# Why an entry was not taken, as the status and the text to show.
sub refusal {
    my ($error) = @_;
    return @$error{qw(status mistake)} if ref $error eq 'HASH';
    return (503, "Your entry could not be saved, please try again: $DBI::errstr.") if $DBI::err;
    die $error;
}

sub sign {
    my ($request, $conn, $path) = @_;
    my $form = {};
    my $fine = eval {
        $form = read_form($request);
        check_form($form);
        $conn->{database}->do('INSERT INTO entries (at, name, message) VALUES (?, ?, ?)',
            undef, time, @$form{qw(name message)});
        1;
    };
    if ($fine) {
        $request->header('Location', $path);
        return answer($request, 303, $HTML, '');
    }
    my ($status, $notice) = refusal($@);
    answer($request, $status, $HTML, page($conn, $path, $notice, $form));
}

sub serve {
    my ($request, $path) = @_;
    my ($conn, $method) = (connection($request), $request->param('REQUEST_METHOD') // '');
    return status($request, $conn) if $path =~ m{/status\z};
    return answer($request, 200, $HTML, page($conn, $path)) if $method =~ /\A(?:GET|HEAD)\z/;
    return sign($request, $conn, $path) if $method eq 'POST';
    $request->header('Allow', 'GET, HEAD, POST');
    answer($request, 405, $HTML,
        page($conn, $path, 'This page can be read and signed, nothing else.'));
}

sub handle {
    my ($request) = @_;
    my $path = own_path($request);
    return if eval { serve($request, $path); 1 };
    my $error = $@;
    my $why = ref $error eq 'HASH' ? $error->{away} : $DBI::err ? $DBI::errstr : undef;
    die $error if !defined $why || $request->ended;
    $request->log("guestbook: $DATABASE: $why");
    answer($request, 503, $HTML, page(undef, $path, "The database cannot be used now: $why."));
}

my $server = FastCGI::Swig::Server->new;
@ARGV ? $server->listen($ARGV[0]) : $server->listen_inherited;
$server->serve(\&handle);
