# SPDX-License-Identifier: MIT
"""Server: addresses, options, taking requests by hand, stopping."""

from __future__ import annotations

import os
import select
import socket
import stat
import threading
import time

import fastcgi
import pytest
from support.fcgi_client import Client, fetch, wait_for_server

TEXT = {"Content-Type": "text/plain"}


def hello(request):
    return 200, TEXT, b"hello"


def background(target, *args):
    thread = threading.Thread(target=target, args=args)
    thread.start()
    return thread


def test_listens_on_several_addresses(tmp_path):
    binds = [f"unix:{tmp_path}/a", "127.0.0.1:0", "[::1]:0", f"unix:@fastcgi-{os.getpid()}"]
    with fastcgi.Server(binds) as server:
        assert server.address == server.addresses[0] == binds[0]
        assert server.addresses[3] == binds[3]
        assert not any(address.endswith(":0") for address in server.addresses)
        thread = background(server.serve, hello)
        for address in server.addresses:
            assert fetch(address).body == b"hello"
        server.stop()
        thread.join()
        assert server.stopped
    assert not (tmp_path / "a").exists()


def test_inherited_descriptor():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with fastcgi.Server(f"fd:{listener.fileno()}") as server:
            thread = background(server.serve, hello)
            assert fetch(f"127.0.0.1:{port}").body == b"hello"
            server.stop()
            thread.join()


def test_socket_mode(tmp_path):
    with fastcgi.Server(f"unix:{tmp_path}/default"):
        assert stat.S_IMODE((tmp_path / "default").stat().st_mode) == 0o660
    with fastcgi.Server(f"unix:{tmp_path}/open", socket_mode=0o666):
        assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o666


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with fastcgi.Server(f"unix:{path}") as server:
        with pytest.raises(OSError, match=str(path)):
            fastcgi.Server(f"unix:{path}")
        thread = background(server.serve, hello)
        assert fetch(server.address).body == b"hello"
        server.stop()
        thread.join()


@pytest.mark.parametrize(
    "address", ["", "nonsense", "unix:", "host:port", "1.2.3.4:99999", "fd:-1", "fd:x", "[::1"]
)
def test_a_bad_address_says_which(address):
    with pytest.raises((ValueError, OSError)) as caught:
        fastcgi.Server(address)
    assert repr(address)[1:-1] in str(caught.value)


@pytest.mark.parametrize(
    ("bind", "exception", "complaint"),
    [
        (b"unix:x", TypeError, "bind must be an address or several, not bytes"),
        (9000, TypeError, "bind must be an address or several, not int"),
        ([9000], TypeError, "an address must be str or None, not int"),
        ("unix:x\0y", ValueError, "an address has no NUL"),
    ],
)
def test_what_is_no_address_is_told_so(tmp_path, monkeypatch, bind, exception, complaint):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(exception, match=complaint):
        fastcgi.Server(bind)
    assert not list(tmp_path.iterdir())


def test_serving_once_stopped_returns(tmp_path):
    with fastcgi.Server(f"unix:{tmp_path}/s") as server:
        server.stop()
        server.serve(hello)
        assert server.stopped
        server.serve(hello)


def test_run_refuses_what_cannot_be_called(tmp_path):
    with fastcgi.Server(f"unix:{tmp_path}/s") as server:
        server.stop()
        with pytest.raises(TypeError, match="the application must be callable, not int"):
            server.run(4)


def test_what_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(OSError, match=str(path)):
        fastcgi.Server(f"unix:{path}")
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "exception", "complaint"),
    [
        ({"bogus": 1}, TypeError, "Server(): there is no option 'bogus'"),
        ({"backlgo": 1}, TypeError, "there is no option 'backlgo'; did you mean 'backlog'?"),
        ({"ready_after": 1}, TypeError, "there is no option 'ready_after'; fcgi run has it"),
        ({"backlog": 0}, ValueError, "backlog=0: must be an int from 1 to 2147483647"),
        ({"backlog": "9"}, TypeError, "backlog must be an int from 1 to 2147483647, not str"),
        ({"limit_params": 1 << 70}, ValueError, "limit_params=1180591620717411303424: must be an"),
        ({"socket_group": "x"}, TypeError, "Server(): option 'socket_group' is for serve() and"),
        ({"pythonpath": "x"}, TypeError, "option 'pythonpath' is for the command line of"),
        ({"io-timeout": 3}, TypeError, "Server(): there is no option 'io-timeout'; did"),
        ({"status_path": "x"}, ValueError, "status_path='x': must be a path that begins with /"),
        ({"io_timeout": float("nan")}, ValueError, "io_timeout=nan: must be a number of seconds"),
        ({"idle_timeout": "x"}, TypeError, "idle_timeout must be a number of seconds above 0"),
        ({"socket_mode": 0o1777}, ValueError, "socket_mode=0o1777: must be an int from 0o001 to"),
        ({"poller": "kqueue"}, ValueError, "poller='kqueue': must be one of 'best', 'epoll', "),
        ({"log_level": 3}, TypeError, "log_level must be one of 'error', 'warning', "),
        ({"root_path": "pre"}, ValueError, "root_path='pre': must be a path that begins with /"),
        ({"no_multiplex": 1}, TypeError, "no_multiplex must be True or False, not int"),
        ({"temp_dir": 3}, TypeError, "temp_dir must be a str that is not empty, not int"),
        ({"threads": 0}, ValueError, "threads=0: must be an int from 1 to 4096"),
        ({"threads": 5000}, ValueError, "threads=5000: must be an int from 1 to 4096"),
        ({"allow_from": 5}, TypeError, "allow_from must be a str that is not empty, not int"),
    ],
)
def test_wrong_options(options, exception, complaint):
    with pytest.raises(exception) as caught:
        fastcgi.Server(**options)
    assert complaint in str(caught.value)


def test_a_server_that_is_not_made_says_why():
    with pytest.raises((fastcgi.Error, ValueError), match="temp_dir must be shorter than"):
        fastcgi.Server(temp_dir="/" + "x" * 8000)


@pytest.mark.parametrize("poller", ["best", "epoll", "poll"])
@pytest.mark.parametrize("threads", [1, 3])
def test_pollers(serve, poller, threads):
    serving = serve(hello, threads=threads, poller=poller)
    with Client(serving.address) as client:
        for _ in range(3):
            assert client.request().body == b"hello"


def test_requests_are_taken_by_hand(tmp_path):
    with fastcgi.Server(f"unix:{tmp_path}/s") as server:
        assert server.accept(timeout=0) is None
        before = time.monotonic()
        assert server.accept(timeout=0.1) is None
        assert 0.1 <= time.monotonic() - before < 5
        with Client(server.address) as client:
            client.send_request(uri="/1")
            first = server.accept()
            client.send_request(uri="/2", request_id=2)
            second = server.accept(timeout=60)
            second.reply("second")
            first.reply("first")
            assert client.collect(1).body == b"first"
            assert client.collect(2).body == b"second"


def test_iteration_ends_when_stopped(tmp_path):
    with fastcgi.Server(f"unix:{tmp_path}/s") as server:

        def loop():
            for each in server:
                each.reply(each.path)

        thread = background(loop)
        assert fetch(server.address, uri="/x").body == b"/x"
        server.stop()
        thread.join(60)
        assert not thread.is_alive()
        assert server.accept() is None


def test_the_descriptor_embeds_in_a_foreign_loop(tmp_path):
    with fastcgi.Server(f"unix:{tmp_path}/s") as server:
        assert not select.select([server], [], [], 0)[0]
        with Client(server.address) as client:
            client.send_request()
            taken = None
            while taken is None:
                assert select.select([server], [], [], 10)[0]
                taken = server.accept(0)
            taken.reply("embedded")
            wait = server.wait()
            assert wait is None or wait > 0
            assert client.collect().body == b"embedded"


def test_a_dropped_request_is_answered_500_and_warned_about(tmp_path):
    with fastcgi.Server(f"unix:{tmp_path}/s") as server, Client(server.address) as client:
        client.send_request()
        taken = server.accept()
        held = [taken]
        del taken
        with pytest.warns(ResourceWarning, match="dropped without end"):
            held.clear()
        assert client.collect().status == 500


def test_a_graceful_stop_finishes_what_runs(serve):
    entered, leave = threading.Event(), threading.Event()

    def handler(request):
        entered.set()
        assert leave.wait(60)
        return 200, TEXT, b"finished"

    serving = serve(handler, threads=2)
    with Client(serving.address) as client:
        client.send_request()
        assert entered.wait(60)
        serving.server.stop()
        time.sleep(0.1)
        leave.set()
        assert client.collect().body == b"finished"
    serving.join()


def test_stop_now_aborts(serve):
    reasons = []
    entered = threading.Event()

    def handler(request):
        entered.set()
        until = time.monotonic() + 60
        while not request.aborted and time.monotonic() < until:
            time.sleep(0.01)
        reasons.append(request.aborted)

    serving = serve(handler, threads=2)
    with Client(serving.address) as client:
        client.send_request()
        assert entered.wait(60)
        serving.server.stop(graceful=False)
        serving.join()
    assert reasons == ["stop"]


def test_a_closed_server_raises_and_does_not_crash(tmp_path):
    server = fastcgi.Server(f"unix:{tmp_path}/s")
    with Client(server.address) as client:
        client.send_request()
        taken = server.accept()
        server.close()
        server.close()
        server.stop()
        assert server.stopped
        for use in (server.accept, lambda: server.run(hello), lambda: server.listen("127.0.0.1:0"),
                    lambda: server.addresses, server.fileno, lambda: next(server)):  # fmt: skip
            with pytest.raises(fastcgi.Closed, match="the server is closed"):
                use()
        assert taken.aborted == "stop"
        taken.end()
    assert not (tmp_path / "s").exists()


def test_uninitialised_objects_do_not_crash():
    bare = fastcgi.Server.__new__(fastcgi.Server)
    with pytest.raises(fastcgi.Closed):
        bare.accept()
    bare.stop()
    bare.close()
    server = fastcgi.Server()
    with pytest.raises(fastcgi.StateError):
        server.__init__()
    for cls in (fastcgi.Request, type(server).__mro__[1]):
        if cls is fastcgi.Request:
            with pytest.raises(TypeError):
                cls()


def test_idle_connections_hold_no_thread(serve):
    serving = serve(hello, threads=2)
    idle = [Client(serving.address) for _ in range(200)]
    for client in idle:
        assert client.request().body == b"hello"
    before = time.monotonic()
    assert fetch(serving.address).body == b"hello"
    assert time.monotonic() - before < 20
    for client in idle:
        client.close()


def test_serve_runs_until_it_is_done_elsewhere_than_in_the_main_thread(tmp_path):
    def last(request):
        return 200, {}, "last"

    thread = background(
        lambda: fastcgi.serve(last, bind=f"unix:{tmp_path}/s", threads=2, max_requests=1)
    )
    wait_for_server(f"unix:{tmp_path}/s")
    assert fetch(f"unix:{tmp_path}/s").body == b"last"
    thread.join(60)
    assert not thread.is_alive()


def test_exceptions_fit_pythons_own():
    fits = {
        fastcgi.Aborted: ConnectionError,
        fastcgi.Truncated: ConnectionError,
        fastcgi.Timeout: TimeoutError,
        fastcgi.WouldBlock: BlockingIOError,
        fastcgi.StateError: RuntimeError,
        fastcgi.Unsupported: NotImplementedError,
    }
    for ours, pythons in fits.items():
        assert issubclass(ours, fastcgi.Error)
        assert issubclass(ours, pythons)
        assert ours.__module__ == "fastcgi"
