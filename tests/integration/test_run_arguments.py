# SPDX-License-Identifier: MIT
"""`fcgi run` and what it cannot do: a line each, and the exit status."""

import pytest
from support.tool import fcgi


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        ([], 2, "run: no command; see fcgi run --help"),
        (["--workers", "0", "--", "x"], 2,
         "run: --workers=0: must be a whole number from 1 to 4096, or auto"),
        (["--timeout", "1w", "--", "x"], 2,
         "run: --timeout=1w: must be a time above 0 up to 2147483.647s (such as 30, 0.5s, 5m), or "
         "0 for no limit"),
        (["--socket-mode", "8", "--", "x"], 2,
         "run: --socket-mode=8: must be an octal mode from 001 to 777 (such as 660)"),
        (["--max-worker-rss", "1X", "--", "x"], 2,
         "run: --max-worker-rss=1X: must be a size from 1 up (such as 4096, 64K, 4M, 1G), or "
         "0 for no limit"),
        (["--zzz", "--", "x"], 2, "run: no option --zzz"),
        (["--wrokers", "2"], 2, "run: no option --wrokers; did you mean --workers?"),
        (["--wrokers=2"], 2, "run: no option --wrokers; did you mean --workers?"),
        (["--max-request", "2"], 2, "run: no option --max-request; did you mean --max-requests?"),
        (["--status_path", "/s"], 2, "run: no option --status_path; did you mean --status-path?"),
        (["--preload", "--", "x"], 2, "run: no option --preload: workers load the application "
         "themselves, and a reload needs no preloading"),
        (["--reload", "--", "x"], 2, "run: no option --reload: SIGHUP replaces the workers"),
        (["--threads=4", "--", "x"], 2, "run: no option --threads: it is the program's own, "
         "behind --"),
        (["--allow-root=yes", "--", "x"], 2, "run: --allow-root takes no value"),
        (["--allow-root", "-Z", "--", "x"], 2, "run: no option -Z"),
        (["--bind"], 2, "run: --bind needs a value (ADDRESS)"),
        (["--", "/nonexistent/app"], 1, "cannot run /nonexistent/app: No such file or directory"),
        (["--chdir", "/nonexistent", "--", "true"], 1, "/nonexistent: No such file or directory"),
        (["--user", "no-such-user", "--", "true"], 1, "user no-such-user: no such user; create "
         "it or name another"),
        (["--", "true"], 1, "no listener inherited: give an address such as unix:/run/app.sock or "
         "127.0.0.1:9000, or start it with systemd socket activation, spawn-fcgi or mod_fcgid"),
        (["--bind", "0.0.0.0:0", "--", "true"], 1, "cannot listen on 0.0.0.0:0: other machines "
         "could connect; name the addresses of the web servers in an allow list (allow_from, "
         "--allow-from), or listen on 127.0.0.1"),
        (["--start-timeout", "1", "--ready-after", "2", "--", "true"], 1, "a worker that tells "
         "nothing would be late before it counts as ready; make the start timeout longer than the "
         "time after which it is ready"),
    ],
)  # fmt: skip
def test_wrong_arguments(words: list, status: int, line: str):
    done = fcgi("run", "--allow-root", *words)
    assert (done.returncode, done.stderr.decode()) == (status, f"fcgi: {line}\n")
