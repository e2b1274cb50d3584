<?php
// SPDX-License-Identifier: MIT
// Keeps a connection to SQLite: kept.php ADDRESS BUILD; README.md says what each path does.
define('DATABASE', substr($argv[1], 5) . '.db');
$opened = $runs = 0;
$sick = false;

class Connection {
    public ?PDO $pdo;
    function __construct() {
        if (file_exists(DATABASE . '.away')) throw new RuntimeException('it is away');
        $GLOBALS['opened']++;
        $this->pdo = new PDO('sqlite:' . DATABASE);
    }
}
$db = new FastCGIResource(fn() => new Connection());
$db->on('configure', fn($c) => $c->pdo->exec('create table if not exists rows (text)'));
$db->on('check', function ($c) {
    global $sick;
    [$was, $sick] = [$sick, false];
    return !$was;
});
$db->on('reset', function ($c) { if ($c->pdo->inTransaction()) $c->pdo->rollBack(); });
$db->on('close', function ($c) {
    file_put_contents(DATABASE . '.closed', 'x', FILE_APPEND);
    $c->pdo = null;
});
$db->set_text('name', 'db');
$db->set_text('retry', 'safe');
$db->set('acquire_timeout', 0.3);
$db->set('check_after', 0);
$db->set('eager', 1);

function code($call) {
    try {
        $call();
    } catch (FastCGIError $error) {
        return $error->getCode();
    }
    return 'none';
}
function leave($r) {
    $c = $GLOBALS['db']->get($r);
    $c->pdo->beginTransaction();
    $c->pdo->exec("insert into rows values ('left')");
}
$pages = [
    '/same' => function ($r) use ($db) {
        $alone = $db->take();
        $db->give();
        [$taken, $got, $again] = [$db->take($r), $db->get($r), $db->take($r)];
        $db->give($r);
        $db->give($r);
        return ($alone === $taken && $taken === $got && $got === $again ? 'True ' : 'False ') . $GLOBALS['opened'];
    },
    '/leave' => 'leave',
    '/fail' => function ($r) {
        leave($r);
        throw new RuntimeException('after an insert');
    },
    '/retry' => function ($r) use ($db) {
        $db->get($r);
        if (++$GLOBALS['runs'] > 1) return "run $GLOBALS[runs]";
        $db->invalidate($r);
        throw new RuntimeException('it is gone');
    },
    '/many' => function ($r) use ($db) {
        for ($i = 0; $i < 10000; $i++) {
            $db->take($r);
            $db->give($r);
        }
    },
    '/fork' => function ($r) use ($db) {
        $db->get($r);
        $child = pcntl_fork();
        if ($child === 0) exit(code(fn() => $db->get($r)) === 'STATE' ? 3 : 1);
        pcntl_waitpid($child, $status);
        return 'status ' . pcntl_wexitstatus($status);
    },
    '/wrong' => fn($r) => implode(' ', array_map('code', [
        fn() => $db->give($r), fn() => $db->get(null), fn() => $db->set('max_age', 1),
        fn() => $db->on('other', 'leave'), fn() => $db->count('other'), fn() => $db->invalidate($r)])),
    '/rows' => fn($r) => $db->get($r)->pdo->query('select count(*) from rows')->fetchColumn(),
    '/add' => function ($r) use ($db) { $db->get($r)->pdo->exec("insert into rows values ('added')"); },
    '/break' => function ($r) use ($db) { $db->get($r); $db->invalidate($r); },
    '/sick' => function ($r) { $GLOBALS['sick'] = true; },
    '/spoil' => function ($r) use ($db) { $db->get($r)->pdo = null; },
    '/keep' => function ($r) use ($db) { $db->take($r); },
    '/drain' => function ($r) use ($db) { $db->drain(); },
    '/caught' => fn($r) => code(fn() => $db->get($r)),
    '/counts' => fn($r) => implode(' ', array_map(fn($name) => $db->count($name),
        ['open', 'in_use', 'opened', 'unended', 'closed_invalidated', 'closed_check', 'closed_reset'])),
];
$server = new FastCGIServer();
$server->set_text('status_path', '/status');
$server->listen($argv[1]);
$server->keep($db);
$server->serve(fn($r) => $r->reply(200, 'text/plain', (string)($pages[$r->path()]($r) ?? 'None')));
