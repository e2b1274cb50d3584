# SPDX-License-Identifier: MIT
# Keeps a connection to SQLite: kept.pl ADDRESS BUILD; README.md says what each path does.
use strict; use warnings; use DBI; use FastCGI::Swig; use POSIX (); use Scalar::Util qw(refaddr);
my $database = substr($ARGV[0], 5) . '.db';
my ($opened, $sick, $runs) = (0, 0, 0);

my $db = FastCGI::Swig::Resource->new(sub {
    die "it is away\n" if -e "$database.away";
    $opened++;
    return DBI->connect("dbi:SQLite:dbname=$database", '', '', {RaiseError => 1, PrintError => 0});
});
$db->on('configure', sub { $_[0]->do('create table if not exists rows (text)') });
$db->on('check', sub { my $was = $sick; $sick = 0; !$was });
$db->on('reset', sub {
    my ($c) = @_;
    die "it is closed\n" unless $c->{Active};
    $c->rollback unless $c->{AutoCommit};
});
$db->on('close', sub {
    open my $file, '>>', "$database.closed" or die;
    print $file 'x';
    $_[0]->disconnect;
});
$db->set_text('name', 'db');
$db->set_text('retry', 'safe');
$db->set('acquire_timeout', 0.3);
$db->set('check_after', 0);
$db->set('eager', 1);

sub code {
    my ($method, @arguments) = @_;
    return eval { $db->$method(@arguments); 1 } ? 'none' : $@->code;
}

sub leave {
    my $c = $db->get($_[0]);
    $c->begin_work;
    $c->do("insert into rows values ('left')");
    return;
}

sub same {
    my ($r) = @_;
    my $alone = $db->take;
    $db->give;
    my @others = grep { refaddr $_ != refaddr $alone } $db->take($r), $db->get($r), $db->take($r);
    $db->give($r) for 1, 2;
    return (@others ? 'False' : 'True') . " $opened";
}

sub retry {
    my ($r) = @_;
    $db->get($r);
    return "run $runs" if ++$runs > 1;
    $db->invalidate($r);
    die 'it is gone';
}

sub forks {
    my ($r) = @_;
    $db->get($r);
    my $child = fork;
    POSIX::_exit(code('get', $r) eq 'STATE' ? 3 : 1) if $child == 0;
    waitpid $child, 0;
    return 'status ' . ($? >> 8);
}

my %pages = (
    '/same' => \&same, '/leave' => \&leave, '/retry' => \&retry, '/fork' => \&forks,
    '/fail' => sub { leave(@_); die 'after an insert' },
    '/many' => sub { my ($r) = @_; for (1 .. 10000) { $db->take($r); $db->give($r) } undef },
    '/wrong' => sub {
        my ($r) = @_;
        join ' ', code('give', $r), code('get', undef), code('set', 'max_age', 1),
            code('on', 'other', \&same), code('count', 'other'), code('invalidate', $r);
    },
    '/rows' => sub { ($db->get($_[0])->selectrow_array('select count(*) from rows'))[0] },
    '/add' => sub { $db->get($_[0])->do("insert into rows values ('added')"); undef },
    '/break' => sub { $db->get($_[0]); $db->invalidate($_[0]); undef },
    '/sick' => sub { $sick = 1; undef },
    '/spoil' => sub { $db->get($_[0])->disconnect; undef },
    '/keep' => sub { $db->take($_[0]); undef },
    '/drain' => sub { $db->drain; undef },
    '/caught' => sub { code('get', $_[0]) },
    '/counts' => sub { join ' ', map { $db->count($_) } qw(open in_use opened unended closed_invalidated closed_check closed_reset) },
);
my $server = FastCGI::Swig::Server->new;
$server->set_text('status_path', '/status');
$server->listen($ARGV[0]);
$server->keep($db);
$server->serve(sub { $_[0]->reply(200, 'text/plain', $pages{$_[0]->path}->($_[0]) // 'None') });
