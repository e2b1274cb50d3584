# SPDX-License-Identifier: MIT
"""What is wrong is refused, by whoever reads it, in one line that is the same everywhere."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import wait_until
from support.options import Option, read_map
from support.paths import BUILD, CC, EXAMPLES
from support.process import Process

OPTIONS = read_map()
# What a server itself reads, and that not every text can be.
READ = [one for one in OPTIONS if one.scope == "server" and one.kind != "text"]


def without_ours() -> dict[str, str]:
    """The environment without what a launcher or a server reads."""
    names = {f"FASTCGI_{one.name.upper()}" for one in OPTIONS} | {"WEB_CONCURRENCY"}
    return {name: text for name, text in os.environ.items() if name not in names}


def run(command: list, directory: Path, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command,
        cwd=directory,
        env=without_ours() | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def variable(option: Option) -> str:
    return f"FASTCGI_{option.name.upper()}"


def wrong(option: Option) -> str:
    return "root,no-such-user" if option.kind == "users" else "x"


# Each sets one variable after the other, and says what making a server says.
PYTHON = """
import os, sys
from {module} import Server
for word in sys.argv[2:]:
    name, _, text = word.partition("=")
    os.environ[name] = text
    try:
        Server(){listen}
        print("-")
    except Exception as error:
        print(error)
    del os.environ[name]
"""
LUA = """
local fcgi, setenv = require "fcgi", require "fcgi.supervisor".setenv
for i = 2, #arg do
  local name, text = arg[i]:match "^([^=]*)=(.*)$"
  setenv(name, text)
  local server, message = fcgi.server {}
  print(server and "-" or message)
  setenv(name, "")
end
"""
SWIG = {"module": "fastcgi_swig", "listen": ".listen(sys.argv[1])"}
ASKED = {
    "python": (PYTHON.format(module="fastcgi", listen=""), [sys.executable]),
    "lua": (LUA, ["lua5.4"]),
    "swig": (
        PYTHON.format(**SWIG),
        ["env", f"PYTHONPATH={BUILD}/swig/python", sys.executable],
    ),
}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What fcgi run says of each option of READ, behind its own name."""
    said = []
    for one in READ:
        given = {variable(one): wrong(one)}
        command = [BUILD / "tools" / "fcgi", "run", "--print-config"]
        done = run(command, tmp_path_factory.mktemp("run"), **given)
        assert done.returncode == 2, one.name
        assert done.stderr.startswith(f"fcgi: run: {variable(one)}={wrong(one)}: must be ")
        said.append(done.stderr.removeprefix("fcgi: run: ").removesuffix("\n"))
    return said


def test_a_program_in_c_refuses_each_variable(directory: Path, lines: list[str]):
    """Above all who may connect."""
    assert "peer_users" in [one.name for one in READ]
    for one, line in zip(READ, lines, strict=True):
        given = {variable(one): wrong(one)}
        done = run([EXAMPLES / "hello", f"unix:{directory}/x"], directory, **given)
        assert done.returncode == 1, one.name
        assert done.stderr.count("\n") == 1
        assert line in done.stderr
    assert not (directory / "x").exists()


# What each launcher's line begins with, and the words that it is started with.
LAUNCHERS = {
    "python": ("fastcgi: ", [sys.executable, "-m", "fastcgi"]),
    "lua": ("fcgi-lua: ", [BUILD / "lua" / "bin" / "fcgi-lua"]),
    "run": ("fcgi: run: ", [BUILD / "tools" / "fcgi", "run"]),
}


def said_by_launchers(
    directory: Path, *words: str, status: int = 2, **variables: str
) -> dict[str, str]:
    """The line of each launcher without its name."""
    said = {}
    for one, (name, command) in LAUNCHERS.items():
        done = run([*command, *words], directory, **variables)
        assert (done.returncode, done.stdout) == (status, ""), (one, words, done.stderr)
        assert done.stderr.startswith(name), (one, done.stderr)
        assert done.stderr.count("\n") == 1, (one, done.stderr)
        said[one] = done.stderr.removeprefix(name).removesuffix("\n")
    return said


def of_all(option: Option) -> bool:
    return len(option.launchers) == len(LAUNCHERS) and option.scope != "command"


# Of which any other text than these is wrong.
PARSED = [one for one in OPTIONS if of_all(one) and one.kind not in ("text", "flag")]


def test_launchers_refuse_a_value_alike(directory: Path):
    """On the command line, in the environment and in a file."""
    for one in PARSED:
        text = wrong(one)
        (directory / "f.toml").write_text(f'{one.name} = "{text}"\n')
        for begin, words, given in (
            (f"{one.flag}={text}: must be ", [one.flag, text], {}),
            (f"{variable(one)}={text}: must be ", [], {variable(one): text}),
            (f"f.toml: {one.name}={text}: must be ", ["--config", "f.toml"], {}),
        ):
            said = said_by_launchers(directory, *words, **given)
            if one.name == "workers":
                said["run"] = said["run"].replace("from 1 to", "from 0 to")
            assert len(set(said.values())) == 1, said
            assert said["run"].startswith(begin)


# More than any option of the kind may be.
BEYOND = {
    "count": "99999999999999999999",
    "processes": "99999999999999999999",
    "seconds": "9999999999999999",
    "bytes": "99999999999999G",
    "mode": "10000",
}


def test_launchers_refuse_what_is_beyond_a_range_alike(directory: Path):
    """A number is not cut to the bits that there are for it."""
    asked = [(one.flag, BEYOND[one.kind]) for one in PARSED if one.kind in BEYOND]
    assert len(asked) > 25
    for flag, text in asked:
        said = said_by_launchers(directory, flag, text)
        if flag == "--workers":
            said["run"] = said["run"].replace("from 1 to", "from 0 to")
        assert len(set(said.values())) == 1, said
        assert said["run"].startswith(f"{flag}={text}: must be ")


@pytest.mark.parametrize("flag", ["--user", "--group", "--socket-user", "--socket-group"])
def test_launchers_take_no_owner_for_another(directory: Path, flag: str):
    """4294967296 is 0 in 32 bits, and 4294967295 means nobody in particular."""
    words = ["--bind", f"unix:{directory}/owners.sock", "--workers", "1", *ALLOW_ROOT, flag]
    for text in ("4294967295", "4294967296", "18446744073709551616", "-1", "0x0"):
        for name, command in LAUNCHERS.values():
            behind = ["--", "true"] if name == "fcgi: run: " else ["app"]
            done = run([*command, *words, text, *behind], directory)
            assert done.returncode == 1, (name, text, done.stderr)
            assert f"{flag.rpartition('-')[2]} {text}: " in done.stderr
            assert done.stderr.count("\n") == 1, done.stderr
    assert not (directory / "owners.sock").exists()


@pytest.mark.parametrize(
    ("words", "toml"),
    [
        (["--backlgo", "1"], ""),
        (["--worker-class", "x"], ""),
        (["--max_requests", "1"], ""),
        (["--backlog"], ""),
        (["--access-logfile", "--check-config"], ""),
        (["--pid", "--check-config"], ""),
        (["--pid", "-b", "unix:x"], ""),
        (["--pid", "--"], ""),
        (["-b", "--check-config"], ""),
        (["-b", "-b"], ""),
        (["--backlog", "-1"], ""),
        (["--pid=--x", "--backlgo"], ""),
        (["--no-multiplex=1"], ""),
        (["-Z"], ""),
        (["--config", "none.toml"], ""),
        (["--config", "."], ""),
        ([], "backlog = [1]"),
        ([], "backlgo = 1"),
        ([], "no_multiplex = 1"),
        ([], "socket_mode = 660"),
        ([], "config = 'x'"),
        ([], "backlog = "),
    ],
)
def test_launchers_refuse_a_mistake_alike(directory: Path, words: list[str], toml: str):
    (directory / "f.toml").write_text(toml + "\n")
    said = said_by_launchers(directory, *(words or ["--config", "f.toml"]))
    assert len(set(said.values())) == 1, said


def test_run_has_no_use_for_no_worker(directory: Path):
    """The others serve by themselves then, and have the number."""
    line = "=0: must be a whole number from 1 to 4096, or auto\n"
    (directory / "f.toml").write_text("workers = 0\n")
    for begin, words, given in (
        ("--workers", ["--workers", "0"], {}),
        ("FASTCGI_WORKERS", [], {"FASTCGI_WORKERS": "0"}),
        ("f.toml: workers", ["--config", "f.toml"], {}),
    ):
        done = run([*LAUNCHERS["run"][1], *words, "--", "true"], directory, **given)
        assert (done.returncode, done.stderr) == (2, f"fcgi: run: {begin}{line}")
    (directory / "f.toml").write_text("workers = true\n")
    done = run([*LAUNCHERS["run"][1], "--config", "f.toml", "--", "true"], directory)
    assert done.stderr == f"fcgi: run: f.toml: workers: {line.removeprefix('=0: ')}"


NEARLY = {
    "FASTCGI_WORKERZ": "; did you mean FASTCGI_WORKERS?",
    "FASTCGI_PEER_USER": "; did you mean FASTCGI_PEER_USERS?",
    "FASTCGI_ACCESS_LOG": "; did you mean FASTCGI_ACCESS_LOGFILE?",
    "FASTCGI_BACKLGO": "; did you mean FASTCGI_BACKLOG?",
    "FASTCGI_TREADS": "; did you mean FASTCGI_THREADS?",
    "FASTCGI_WORKER_CLASS": ": --threads says how many requests a worker serves at once",
    "FASTCGI_CHECK_CONFIG": ", but of the command line alone",
}
# A program's own, what passes between processes, and an option of others.
OWN = [
    "BUILD",
    "CC",
    "LANGUAGES",
    "THEME",
    "WORKER",
    "BASE_DIR",
    "READY_AFTER",
    "FACTORY",
    "SERVER",
    "x",
]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_variable_that_is_nearly_an_option_is_told(launcher: str, directory: Path):
    """It may be a program's own, so that is all."""
    name, command = LAUNCHERS[launcher]
    for given, says in NEARLY.items():
        done = run([*command, "--print-config"], directory, **{given: "2"})
        assert (done.returncode, done.stderr) == (0, f"{name}{given} is no option{says}\n")
    for given in OWN:
        text = "true" if given == "FACTORY" else "9s"
        done = run([*command, "--print-config"], directory, **{f"FASTCGI_{given}": text})
        assert (done.returncode, done.stderr) == (0, ""), given


@pytest.mark.parametrize("language", ASKED)
def test_a_server_of_a_language_refuses_each_variable(
    language: str, directory: Path, lines: list[str]
):
    text, command = ASKED[language]
    (directory / "asks").write_text(text)
    words = [f"{variable(one)}={wrong(one)}" for one in READ]
    done = run([*command, "asks", f"unix:{directory}/x", *words], directory)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == lines


# --- What --check-config says -----------------------------------------------------

APP_PY = "def app(request):\n    request.reply(200, 'text/plain', b'')\n"
APP_LUA = "return function() return 200, {}, '' end\n"
SERVED = {"python": ["app:app"], "lua": ["app.lua"], "run": ["--", EXAMPLES / "hello"]}
IS_ROOT = os.geteuid() == 0
ALLOW_ROOT = ["--allow-root"] if IS_ROOT else []


@pytest.fixture
def place() -> Iterator[Path]:
    """With an application for each launcher, and what no file can be made of."""
    with tempfile.TemporaryDirectory(prefix="fastcgi-test-") as name:
        made = Path(name)
        (made / "app.py").write_text(APP_PY)
        (made / "app.lua").write_text(APP_LUA)
        (made / "file").touch()
        (made / "folder").mkdir()
        os.mkfifo(made / "fifo")
        yield made


IMPOSSIBLE = {
    "chdir": ["--chdir", "none"],
    "chdir to a file": ["--chdir", "file"],
    "pid without a directory": ["--pid", "none/pid"],
    "pid is a directory": ["--pid", "folder"],
    "pid is no file": ["--pid", "fifo"],
    "pid below a file": ["--pid", "file/pid"],
    "pid in the directory to come": ["--chdir", "folder", "--pid", "none/pid"],
    "log without a directory": ["--error-logfile", "none/x"],
    "access log without a directory": ["--access-logfile", "none/x"],
    "log is a directory": ["--error-logfile", "folder"],
    "log format": ["--access-logfile", "-", "--access-logformat", "%(zz)s"],
    "temp_dir": ["--temp-dir", "none"],
    "user": ["--user", "no-such-user"],
    "group": ["--group", "no-such-group"],
    "socket user": ["--socket-user", "no-such-user"],
    "socket group": ["--socket-group", "no-such-group"],
    "socket without a directory": ["--bind", "unix:none/x"],
    "socket is a file": ["--bind", "unix:file"],
    "second socket": ["--bind", "unix:good", "--bind", "unix:none/x"],
    "address of another machine": ["--bind", "192.0.2.1:9", "--allow-from", "10.1.1.1"],
    "socket twice": ["--bind", "unix:good", "--bind", "unix:folder/../good"],
    "address twice": ["--bind", "127.0.0.1:9", "--bind", "localhost:9"],
    "address included": ["--bind", "127.0.0.1:9", "--bind", "0.0.0.0:9", "--allow-from", "::1"],
    "descriptor": ["--bind", "fd:77"],
    "open to the network": ["--bind", "0.0.0.0:9"],
    "allow list": ["--allow-from", "web"],
    "jitter": ["--max-worker-age", "1", "--max-worker-age-jitter", "2"],
}


def contents(place: Path) -> set[str]:
    return {str(path) for path in place.rglob("*") if "__pycache__" not in str(path)}


@pytest.mark.parametrize("what", IMPOSSIBLE)
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_check_config_refuses_what_the_start_does(launcher: str, what: str, place: Path):
    """In one line, and it makes nothing."""
    words = [*IMPOSSIBLE[what], *ALLOW_ROOT, "--workers", "1"]
    if "--bind" not in words:
        words += ["--bind", "unix:good"]
    before = contents(place)
    served = [word if word != "app.lua" else place / word for word in SERVED[launcher]]
    command = [*LAUNCHERS[launcher][1], *words]
    given = {"PYTHONPATH": f"{os.environ['PYTHONPATH']}:{place}"}
    checked = run([*command, "--check-config", *served], place, **given)
    assert checked.returncode == 1, checked.stderr
    assert checked.stderr.count("\n") == 1
    assert contents(place) == before
    started = run([*command, *served], place, **given)
    assert started.returncode in (1, 3)
    # A program of `fcgi run` has a name of its own.
    line = checked.stderr.partition(": ")[2] if launcher == "run" else checked.stderr
    assert line in started.stderr


AS_NOBODY = ["setpriv", "--reuid=65534", "--clear-groups", "--regid=65534"] if IS_ROOT else []
PORTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
FOREIGN = {
    "user": (["--bind", "unix:good", "--socket-user", "root"], "cannot give it to its user"),
    "group": (["--bind", "unix:good", "--socket-group", "root"], "cannot give it to its user"),
    "port": (["--bind", "127.0.0.1:80"], "ports below 1024 need privileges"),
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_check_config_knows_what_an_ordinary_user_may_not(launcher: str, what: str, place: Path):
    words, says = FOREIGN[what]
    if what == "port" and (not PORTS.exists() or int(PORTS.read_text()) <= 80):
        pytest.skip("any user may listen on port 80 here")
    place.chmod(0o777)
    command = [*AS_NOBODY, *LAUNCHERS[launcher][1], "--workers", "1", *words]
    given = {"PYTHONPATH": f"{os.environ['PYTHONPATH']}:{place}"}
    if subprocess.run([*AS_NOBODY, "test", "-x", BUILD / "tools" / "fcgi"]).returncode:
        pytest.skip("an ordinary user cannot reach the build")
    for check in (["--check-config"], []):
        done = run([*command, *check, *SERVED[launcher]], place, **given)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert says in done.stderr
    assert not (place / "good").exists()


KILLED = """
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static pid_t first;
__attribute__((constructor)) static void begin(void) { first = getpid(); }
int faccessat(int at, const char *path, int mode, int flags) {
  (void)at, (void)path, (void)flags;
  if (mode == (W_OK | X_OK) && getpid() != first) {
    if (getenv("TEST_EXITS"))
      _exit(3);
    raise(SIGKILL);
  }
  return 0;
}
"""


@pytest.mark.parametrize(("given", "ended"), [({}, "signal 9"), ({"TEST_EXITS": "1"}, "status 3")])
def test_check_config_notices_that_it_came_to_no_end(given: dict, ended: str, place: Path):
    """The process that looks as a worker would is killed, or fails."""
    (place / "killed.c").write_text(KILLED)
    library = place / "killed.so"
    subprocess.run([CC, "-shared", "-fPIC", "-o", library, place / "killed.c"], check=True)
    command = [*LAUNCHERS["run"][1], "--check-config", *ALLOW_ROOT, "--bind", "unix:good"]
    command += ["--temp-dir", place, *SERVED["run"]]
    checked = run(command, place, LD_PRELOAD=str(library), **given)
    assert (checked.returncode, checked.stderr.count("\n")) == (1, 1), checked.stderr
    assert f"ended by {'exit ' if given else ''}{ended} before" in checked.stderr


# What FCGI_WEB_SERVER_ADDRS is, and what else is given.
TCP = ["--bind", "127.0.0.1:0"]
SHUT = [("", []), ("junk", []), ("10.0.0.1", ["--allow-from", "127.0.0.1"])]


@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
@pytest.mark.parametrize(("listed", "words"), SHUT)
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_lists_that_let_nobody_in_are_for_tcp_sockets_alone(
    launcher: str, listed: str, words: list[str], workers: list[str], place: Path
):
    """The check and the start say the same, with workers and without."""
    address = f"unix:{place}/good"
    given = {"PYTHONPATH": f"{os.environ['PYTHONPATH']}:{place}", "FCGI_WEB_SERVER_ADDRS": listed}
    command = [*LAUNCHERS[launcher][1], *words, *workers, *ALLOW_ROOT]
    command += ["--chdir", str(place)] if workers else []
    refused = []
    for check in (["--check-config"], []):
        done = run([*command, *TCP, *check, *SERVED[launcher]], place, **given)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        refused.append(done.stderr.partition(": ")[2])
    assert refused[0] == refused[1]
    assert f'FCGI_WEB_SERVER_ADDRS "{listed}"' in refused[0]
    command += ["--bind", address]
    checked = run([*command, "--check-config", *SERVED[launcher]], place, **given)
    assert (checked.returncode, checked.stderr.count("\n")) == (0, 1), checked.stderr
    with Process([*command, *SERVED[launcher]], place / "said", env=given, cwd=place) as process:
        process.wait_for_address(address)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_check_config_passes_what_starts(launcher: str, place: Path):
    """While another supervisor runs with it, too: it holds the address and the pid file."""
    address = f"unix:{place}/good"
    words = [*ALLOW_ROOT, "--workers", "1", "--bind", address, "--pid", f"{place}/pid"]
    words += ["--chdir", str(place), "--error-logfile", "log", "--access-logfile", "-"]
    command = [*LAUNCHERS[launcher][1], *words]
    with Process([*command, *SERVED[launcher]], place / "said") as process:
        process.wait_for_address(address)
        wait_until((place / "log").exists, 60, "the log of a worker")
        before = contents(place)
        checked = run([*command, "--check-config", *SERVED[launcher]], place)
        assert checked.stderr.endswith(": the configuration is fine\n")
        assert (checked.returncode, checked.stderr.count("\n")) == (0, 1)
        assert contents(place) == before


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.skipif(not IS_ROOT, reason="only root becomes another user")
def test_check_config_looks_as_the_user(launcher: str, place: Path):
    """Who starts it may write where the workers may not."""
    place.chmod(0o755)
    command = [*LAUNCHERS[launcher][1], "--workers", "1", "--bind", "unix:good"]
    for words, says in (
        ([], "the workers would run as root"),
        (["--user", "nobody", "--error-logfile", str(place / "log")], "cannot open the error log"),
        (["--user", "nobody", "--temp-dir", str(place)], "no long body can be kept"),
    ):
        checked = run([*command, *words, "--check-config", *SERVED[launcher]], place)
        assert checked.returncode == 1
        assert checked.stderr.count("\n") == 1
        assert says in checked.stderr


def test_check_config_finds_the_command(place: Path):
    command = [*LAUNCHERS["run"][1], "--check-config", *ALLOW_ROOT, "--bind", "unix:good"]
    checked = run([*command, "--", "no-such-command"], place)
    line = "fcgi: cannot run no-such-command: No such file or directory\n"
    assert (checked.returncode, checked.stderr) == (1, line)
