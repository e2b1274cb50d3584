<?php
// SPDX-License-Identifier: MIT
// Handlers over the SWIG module: php app.php HANDLER ADDRESS [OPTION=NUMBER...]
// README.md says what each does. The same program exists in every language.

const HEAD = "Content-Type: text/plain\r\n\r\n";
const PAGE_HEAD = "Content-type: text/html\r\n\r\n";
const PAGE_BODY = "<html>\n<head> ... ";

function text($request, $body)
{
    $request->reply(200, 'text/plain', $body);
}

// --- The handlers of the conformance cases -----------------------------------

function refuse($request, $status, $reason)
{
    $request->reply($status, 'text/plain', "$status $reason\n");
}

function answer_read($request, $read)
{
    try {
        $body = $read();
    } catch (FastCGIError $error) {
        if ($error->getCode() !== 'TRUNCATED') {
            throw $error;
        }
        refuse($request, 400, 'Bad Request');
        return;
    }
    $request->write(HEAD);
    $request->write($body);
}

function list_params($request)
{
    $lines = '';
    foreach ($request->params() as $name => $value) {
        $lines .= "$name=$value\n";
    }
    $request->write(HEAD . $lines);
}

function page($request)
{
    $request->write(PAGE_HEAD . PAGE_BODY);
}

function fault($request)
{
    $request->write(PAGE_HEAD . '<ht');
    $request->log('config error: missing SI_UID');
    $request->write("ml>\n<head> ... ");
    $request->end(938);
}

function big($request)
{
    $request->write(HEAD);
    for ($i = 0; $i < 10000; $i++) {
        $request->write(str_repeat('x', 20));
    }
}

function authorize($request)
{
    if ($request->param('PASS') === 'yes') {
        $request->write("Variable-AUTH: yes\r\n\r\n");
    } else {
        refuse($request, 403, 'Forbidden');
    }
}

$answering = [
    'echo' => fn($request) => answer_read($request, fn() => $request->read()),
    'data' => fn($request) => answer_read(
        $request,
        fn() => $request->read() . '|' . $request->read_data()
    ),
    'params' => 'list_params',
    'early' => fn($request) => $request->write(HEAD . "early\n"),
    'page' => 'page',
    'fault' => 'fault',
    'big' => 'big',
    'authorize' => 'authorize',
];

// --- Those that hold requests, with the pull API -----------------------------

function finish($request)
{
    if (!$request->ended()) {
        $request->end();
    }
}

/** The requests that wait. */
class Holder
{
    private $held = []; // For an abort.
    private $first = null; // For another request.
    private $reading = []; // For their bodies, with what has come of them.

    public function __construct(private $answering)
    {
    }

    public function take($name, $request)
    {
        if ($name === 'hold') {
            $this->held[] = $request;
        } elseif ($name === 'swap') {
            $this->swap($request);
        } elseif ($name === 'echo') {
            $request->set_timeout(0);
            $this->reading[] = (object)['request' => $request, 'body' => ''];
        } else {
            $unknown = fn($request) => refuse($request, 501, 'Not Implemented');
            ($this->answering[$name] ?? $unknown)($request);
            finish($request);
        }
    }

    public function turn()
    {
        $this->held = array_filter($this->held, fn($request) => !$this->let_go($request));
        $this->reading = array_filter($this->reading, fn($entry) => !$this->read_on($entry));
    }

    private function swap($request)
    {
        if (!$this->first) {
            $this->first = $request;
            $request->write(PAGE_HEAD);
            $request->flush();
            return;
        }
        page($request);
        $request->end();
        $this->first->write(PAGE_BODY);
        $this->first->end();
        $this->first = null;
    }

    /** Read what has come, without waiting; true when the request is over. */
    private function read_on($entry)
    {
        try {
            while (($part = $entry->request->read_some()) !== '') {
                $entry->body .= $part;
            }
            $entry->request->write(HEAD . $entry->body);
        } catch (FastCGIError $error) {
            if ($error->getCode() === 'AGAIN') {
                return false;
            }
            if ($error->getCode() === 'TRUNCATED') {
                refuse($entry->request, 400, 'Bad Request');
            }
        }
        finish($entry->request);
        return true;
    }

    private function let_go($request)
    {
        if ($request->aborted() === null) {
            return false;
        }
        try {
            $request->write(HEAD . "aborted\n");
        } catch (FastCGIError) {
            // Nobody may be left to read it.
        }
        finish($request);
        return true;
    }
}

function holding($server, $name_of)
{
    global $answering;
    $holder = new Holder($answering);
    while (!$server->stopped()) {
        $request = $server->accept(0.005);
        try {
            if ($request) {
                $holder->take($name_of($request), $request);
            }
        } catch (FastCGIError) {
            if (!$request->ended()) {
                $request->fail();
            }
        }
        $holder->turn();
    }
}

function pull($server)
{
    $idle = false;
    while (!$server->stopped()) {
        $request = $server->accept(0.02);
        if ($request) {
            if ($request->param('PATH_INFO') === '/stop') {
                $server->stop();
            }
            text($request, $idle ? 'after a pause' : 'at once');
        }
        $idle = !$request;
    }
}

// --- The scenario: one server, a handler for each path -----------------------

class Failure extends Exception
{
}

/** One that cannot even be shown. */
class Odd extends Exception
{
    public function __toString(): string
    {
        throw new Failure('not shown');
    }
}

/** The code of the error that a call raises. */
function problem($call)
{
    try {
        $call();
    } catch (FastCGIError $error) {
        return $error->getCode();
    }
    return 'none';
}

/** A handler for each path, over what they share. */
class Scenario
{
    private $requests = 0;
    private $kept = null;

    public function __construct(private $server)
    {
    }

    public function __invoke($request)
    {
        [$this, substr($request->param('PATH_INFO'), 1)]($request);
    }

    private function bytes($request)
    {
        $body = $request->read(3) . $request->read_some(2) . $request->read();
        $request->header('X-Length', (string)strlen($body));
        text($request, $body . '|' . $request->param('ODD'));
    }

    private function nothing($request)
    {
        text($request, $request->param('ABSENT') === null ? 'nothing' : 'something');
    }

    private function silent($request)
    {
        // Write nothing.
    }

    private function promise($request)
    {
        $request->header('Transfer-Encoding', 'chunked');
        $request->header('Content-Length', $request->param('LENGTH'));
        text($request, 'abc');
    }

    private function number($request)
    {
        $numbers = [$request->content_length(), $request->data_length(), $request->data_modified()];
        text($request, implode('', array_map(fn($number) => "$number\n", $numbers)));
    }

    private function large($request)
    {
        try {
            (new FastCGIServer())->set('socket_mode', 9007199254740993);
        } catch (FastCGIError $error) {
            text($request, $error->getCode() . ' ' . $error->getMessage());
        }
    }

    private function die($request)
    {
        throw new Failure('as it was told to');
    }

    private function die_late($request)
    {
        $request->write(HEAD . 'some of it');
        $request->flush();
        throw new Failure('after output');
    }

    private function odd($request)
    {
        throw new Odd();
    }

    /** What no catch of Exception sees. */
    private function leave($request)
    {
        return intdiv(1, 0);
    }

    private function close($request)
    {
        $this->server->close();
    }

    private function save($request)
    {
        $this->kept = $request;
    }

    private function saved($request)
    {
        $kept = $this->kept;
        $calls = [
            fn() => $kept->read(),
            fn() => $kept->params(),
            fn() => $kept->end(),
            fn() => $kept->write('x'),
        ];
        $codes = array_map('problem', $calls);
        text($request, implode(' ', [...$codes, $kept->ended() ? 'ended' : 'open']));
    }

    /** Objects whose constructors never ran. */
    private function no_handle($request)
    {
        $server = (new ReflectionClass('FastCGIServer'))->newInstanceWithoutConstructor();
        $nothing = new FastCGIRequest();
        $codes = [problem(fn() => $nothing->read()), problem(fn() => $nothing->ended())];
        text($request, implode(' ', array_unique($codes)) . ' ' . problem(fn() => $server->accept()));
    }

    private function wrong($request)
    {
        $calls = [
            function () use ($request) {
                $request->header('X', "a\nb");
                $request->start(200);
            },
            fn() => $this->server->set('no_such_option', 1),
            fn() => $this->server->listen('nonsense'),
            fn() => $request->send_file('/no/such/file'),
        ];
        $codes = array_map('problem', $calls);
        $request->fail();
        fwrite(STDOUT, implode(' ', $codes) . "\n");
    }

    private function stop($request)
    {
        $this->server->stop();
        text($request, "stopping\n");
    }

    private function nested($request)
    {
        $inner = new FastCGIServer();
        $inner->listen($request->param('INNER'));
        $inner->run(function ($inside) use ($inner) {
            text($inside, "inner\n");
            $inner->stop();
        });
        text($request, "outer\n");
    }

    private function file($request)
    {
        $request->header('Content-Type', 'text/plain');
        $request->start();
        $request->send_file($request->param('FILE'), 1, 5);
    }

    private function count($request)
    {
        text($request, (string)++$this->requests);
    }
}

/** The error of a handler leaves the loop as it is; the loop goes on. */
function raising($server)
{
    $thrown = new Failure('through the loop');
    try {
        $server->run(function () use ($thrown) {
            throw $thrown;
        }, 'raise');
    } catch (Failure $error) {
        $same = $error === $thrown && str_contains($error->getTraceAsString(), 'raising');
    }
    $server->run(function ($request) use ($server, $same) {
        text($request, $same ? 'same' : 'changed');
        $server->stop();
    });
}

$pulling = [
    'swap' => fn($server) => holding($server, fn() => 'swap'),
    'hold' => fn($server) => holding($server, fn() => 'hold'),
    'spec' => fn($server) => holding($server, fn($request) => $request->param('SPEC_HANDLER') ?? 'echo'),
    'pull' => 'pull',
    'scenario' => fn($server) => $server->serve(new Scenario($server)),
    'raising' => 'raising',
];

[, $name, $address] = $argv;
$server = new FastCGIServer();
$server->set_text('drain_silence', '0.2');
$server->set('stream', (int)in_array($name, ['early', 'spec']));
foreach (array_slice($argv, 3) as $option) {
    [$key, $value] = explode('=', $option);
    $server->set_text($key, $value);
}
$server->listen($address);
if (isset($pulling[$name])) {
    $pulling[$name]($server);
} else {
    $server->serve($answering[$name]);
}
