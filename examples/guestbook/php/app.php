<?php
// SPDX-License-Identifier: MIT
// A guestbook that keeps its database connection open.
//
//   php -d extension=/path/to/fastcgi_swig.so app.php unix:guestbook.sock
//
// It opens SQLite at its first request and keeps it as a resource. Needs the SWIG
// module fastcgi_swig and PDO's SQLite; without an address it serves the listener
// that it inherits.

define('DATABASE', getenv('GUESTBOOK_DB') ?: 'guestbook.db');
define('PAGE', file_get_contents(__DIR__ . '/../page.html'));
define('CSS', file_get_contents(__DIR__ . '/../page.css'));
const LONGEST = ['name' => 80, 'message' => 2000];
const LONGEST_FORM = 64 * 1024;
const SHOWN = 50;
const HTML = 'text/html; charset=utf-8';

/** Something the visitor can put right; the code is the status to answer. */
class Mistake extends Exception
{
    public function __construct($text, $status = 400)
    {
        parent::__construct($text, $status);
    }
}

/** A connection, and what the page tells about it. */
class Connection
{
    public $requests = 0;
    public readonly string $id;
    public readonly PDO $database;
    private readonly float $opened;

    public function __construct()
    {
        $this->database = new PDO('sqlite:' . DATABASE, options: [PDO::ATTR_TIMEOUT => 2]);
        $this->prepare();
        $this->id = bin2hex(random_bytes(4));
        $this->opened = hrtime(true) / 1e9;
    }

    public function age()
    {
        return hrtime(true) / 1e9 - $this->opened;
    }

    public function add($name, $message)
    {
        $this->database->prepare('INSERT INTO entries (at, name, message) VALUES (?, ?, ?)')
            ->execute([time(), $name, $message]);
    }

    public function count()
    {
        return $this->database->query('SELECT count(*) FROM entries')->fetchColumn();
    }

    public function newest()
    {
        return $this->database->query(
            'SELECT at, name, message FROM entries ORDER BY id DESC LIMIT ' . SHOWN
        )->fetchAll(PDO::FETCH_NUM);
    }

    private function prepare()
    {
        try {
            $this->database->exec('PRAGMA journal_mode = WAL');
        } catch (PDOException) {
            // Of several processes that open a new file at once, one sets its mode
            // and the others are told that it is locked, whatever the timeout.
        }
        $this->database->exec('CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, '
            . 'at INTEGER NOT NULL, name TEXT NOT NULL, message TEXT NOT NULL)');
    }
}

/** What SQLite says is wrong. */
function reason($error)
{
    return $error->errorInfo[2] ?? $error->getMessage();
}

// --- The page ----------------------------------------------------------------

function escape($text)
{
    $escapes = ['&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#x27;'];
    return strtr($text, $escapes);
}

/** 8 s, 3 min 12 s, 2 h 5 min. */
function age_text($seconds)
{
    $minutes = intdiv($seconds, 60);
    if ($minutes === 0) {
        return "$seconds s";
    }
    if ($minutes < 60) {
        return "$minutes min " . $seconds % 60 . ' s';
    }
    return intdiv($minutes, 60) . ' h ' . $minutes % 60 . ' min';
}

function entry_html($at, $name, $message)
{
    return sprintf(
        "<article class=\"entry\"><header><h3>%s</h3>\n"
            . "<time datetime=\"%s\">%s</time></header>\n<p>%s</p></article>",
        escape($name),
        gmdate('Y-m-d\TH:i:s\Z', $at),
        gmdate('j F Y, H:i \U\T\C', $at),
        escape($message)
    );
}

function entries_html($entries)
{
    if (!$entries) {
        return '<p class="empty">Be the first to sign.</p>';
    }
    return implode("\n", array_map(fn($entry) => entry_html(...$entry), $entries));
}

function count_text($count)
{
    return match ($count) {
        0 => 'No entries yet',
        1 => '1 entry',
        default => "$count entries",
    };
}

/** Without a connection the page still shows what is wrong. */
const NO_FACTS = ['connection_id' => 'none', 'connection_age_s' => 0,
    'connection_age' => 'not open', 'requests' => 0, 'worker' => 'nobody',
    'count' => 'The entries cannot be shown', 'entries' => ''];

function facts($connection)
{
    return [
        'connection_id' => $connection->id,
        'connection_age_s' => sprintf('%.1f', $connection->age()),
        'connection_age' => age_text((int)$connection->age()),
        'requests' => $connection->requests,
        'worker' => 'process ' . getmypid(),
        'count' => count_text($connection->count()),
        'entries' => entries_html($connection->newest()),
    ];
}

function page($connection, $path, $notice = '', $form = [])
{
    $words = ($connection ? facts($connection) : NO_FACTS) + [
        'title' => 'Guestbook in PHP',
        'language' => 'PHP',
        'css' => CSS,
        'notice' => $notice === '' ? ''
            : '<p class="notice" role="alert">' . escape($notice) . '</p>',
        'action' => escape($path),
        'name' => escape($form['name'] ?? ''),
        'message' => escape($form['message'] ?? ''),
        'status_url' => escape(preg_replace('{[^/]*\z}', 'status', $path, 1)),
    ];
    return preg_replace_callback('/\$([a-z_]+)/', fn($found) => $words[$found[1]] ?? $found[0], PAGE);
}

// --- The form ----------------------------------------------------------------

/** As text without NUL and surrounding white space; U+FFFD for what is no UTF-8. */
function clean($value)
{
    $character = '[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]'
        . '|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]'
        . '|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}';
    $text = preg_replace_callback(
        "/($character)|./s",
        fn($found) => $found[1] ?? "\u{FFFD}",
        urldecode($value)
    );
    return trim(strtr($text, ["\0" => '', "\r\n" => "\n"]));
}

function read_form($request)
{
    try {
        $body = $request->read(LONGEST_FORM + 1);
    } catch (FastCGIError) {
        throw new Mistake('The form did not arrive whole.');
    }
    if (strlen($body) > LONGEST_FORM) {
        throw new Mistake('The form is too large.', 413);
    }
    $form = [];
    foreach (explode('&', $body) as $field) {
        [$name, $value] = explode('=', $field, 2) + [1 => ''];
        if (isset(LONGEST[$name])) {
            $form[$name] ??= clean($value);
        }
    }
    return $form;
}

function check_form($form)
{
    foreach (LONGEST as $name => $longest) {
        $text = $form[$name] ?? '';
        if ($text === '') {
            throw new Mistake("Please write your $name.");
        }
        if (preg_match_all('/./su', $text) > $longest) {
            $shown = number_format($longest);
            throw new Mistake("Your $name is longer than $shown characters.");
        }
    }
}

// --- Answers -----------------------------------------------------------------

function answer($request, $status, $type, $body)
{
    $request->header('Cache-Control', 'no-store');
    $request->reply($status, $type, $body);
}

/** The path of this page, which the web server has judged, as a link has it. */
function own_path($request)
{
    return '/' . strtr(rawurlencode(ltrim($request->path(), '/')), ['%2F' => '/']);
}

function answer_status($request, $connection)
{
    answer($request, 200, 'application/json', json_encode([
        'connection_id' => $connection->id,
        'connection_age_s' => round($connection->age(), 1),
        'requests' => $connection->requests,
    ]));
}

function sign($request, $connection, $path)
{
    $form = [];
    try {
        $form = read_form($request);
        check_form($form);
        $connection->add($form['name'], $form['message']);
    } catch (Mistake $mistake) {
        $page = page($connection, $path, $mistake->getMessage(), $form);
        return answer($request, $mistake->getCode(), HTML, $page);
    } catch (PDOException $error) {
        $notice = 'Your entry could not be saved, please try again: ' . reason($error) . '.';
        return answer($request, 503, HTML, page($connection, $path, $notice, $form));
    }
    $request->header('Location', $path);
    answer($request, 303, HTML, '');
}

function refuse($request, $connection, $path)
{
    $request->header('Allow', 'GET, HEAD, POST');
    $notice = 'This page can be read and signed, nothing else.';
    answer($request, 405, HTML, page($connection, $path, $notice));
}

function serve($request, $connection, $path)
{
    if (str_ends_with($path, '/status')) {
        return answer_status($request, $connection);
    }
    match ($request->param('REQUEST_METHOD')) {
        'GET', 'HEAD' => answer($request, 200, HTML, page($connection, $path)),
        'POST' => sign($request, $connection, $path),
        default => refuse($request, $connection, $path),
    };
}

$guestbook = new FastCGIResource(fn() => new Connection());
$guestbook->on('reset', function ($connection) {
    if ($connection->database->inTransaction()) {
        $connection->database->rollBack();
    }
});
// Replacing a connection to a local file gains nothing: it stays open as long as the process.
$guestbook->set_text('name', 'guestbook');
$guestbook->set('acquire_timeout', 2);
$guestbook->set('max_age', -1);
$guestbook->set('max_idle', -1);

function connection($guestbook, $request)
{
    try {
        return $guestbook->get($request);
    } catch (FastCGIError $error) {
        throw new PDOException($error->getMessage());
    }
}

$server = new FastCGIServer();
if ($argc > 1) {
    $server->listen($argv[1]);
} else {
    $server->listen_inherited();
}
$server->serve(function ($request) use ($guestbook) {
    $path = own_path($request);
    try {
        $connection = connection($guestbook, $request);
        $connection->requests++;
        serve($request, $connection, $path);
    } catch (PDOException $error) {
        $request->log('guestbook: ' . DATABASE . ': ' . reason($error));
        $notice = 'The database cannot be used now: ' . reason($error) . '.';
        answer($request, 503, HTML, page(null, $path, $notice));
    }
});
