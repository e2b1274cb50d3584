# SPDX-License-Identifier: MIT
"""Who may connect."""

from __future__ import annotations

import os
import pwd

import fastcgi
import pytest
from support.fcgi_client import Client, fetch


def hello(request):
    return 200, {}, b"hi"


def is_served(address):
    try:
        return fetch(address).ended
    except ConnectionError:
        return False


@pytest.fixture
def tcp(serve):
    """tcp(**options): a server on TCP behind serve's own unix one."""

    def start(address="127.0.0.1:0", **options):
        serving = serve(hello, **options)
        serving.server.listen(address)
        return serving.server.addresses[1]

    return start


@pytest.mark.parametrize("allow", ["127.0.0.1", "10.0.0.0/8, 127.0.0.0/8", ["::1", "127.0.0.1"]])
def test_who_is_listed_is_served(tcp, allow):
    assert is_served(tcp(allow_from=allow))


@pytest.mark.parametrize("allow", ["127.0.0.2", "10.0.0.0/8,::1", ["::/0"]])
def test_who_is_not_listed_is_not_served(tcp, capfd, allow):
    assert not is_served(tcp(allow_from=allow))
    assert "refused a connection from 127.0.0.1: not in the allow list" in capfd.readouterr().err


def test_the_network_needs_a_list(tcp):
    with pytest.raises(ValueError, match=r"0\.0\.0\.0:0: other machines could connect.*allow"):
        tcp("0.0.0.0:0")
    port = tcp("0.0.0.0:0", allow_from="127.0.0.1").rpartition(":")[2]
    assert is_served(f"127.0.0.1:{port}")


@pytest.mark.parametrize("allow", ["", [], "nonsense", "127.0.0.1,", "127.0.0.1/33"])
def test_a_list_with_a_mistake_is_refused(allow):
    with pytest.raises(ValueError, match=r"cannot listen: allow list|allow_from='': must be a str"):
        fastcgi.Server("127.0.0.1:0", allow_from=allow)


def test_a_list_is_text():
    with pytest.raises(TypeError):
        fastcgi.Server("127.0.0.1:0", allow_from=5)


def test_the_environment_has_a_list_too(tcp, capfd, monkeypatch):
    monkeypatch.setenv("FCGI_WEB_SERVER_ADDRS", "127.0.0.2,127.0.0.3")
    assert not is_served(tcp(allow_from="127.0.0.1,127.0.0.3"))
    assert "not in FCGI_WEB_SERVER_ADDRS" in capfd.readouterr().err


def test_lists_are_not_for_unix_sockets(serve, monkeypatch):
    monkeypatch.setenv("FCGI_WEB_SERVER_ADDRS", "10.0.0.1")
    assert is_served(serve(hello, allow_from="10.0.0.1").address)


@pytest.mark.parametrize("own", [os.getuid(), pwd.getpwuid(os.getuid()).pw_name])
def test_users_may_be_named(serve, own):
    assert is_served(serve(hello, peer_users=[54321, own]).address)


def test_other_users_are_refused(serve, capfd):
    assert not is_served(serve(hello, peer_users=[os.getuid() + 1]).address)
    assert f"from user {os.getuid()}: not among the users" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("users", "text"),
    [
        ([], "peer_users='': must be users of this machine"),
        (["no-such-user"], "peer_users='no-such-user': must be users of this machine"),
        ([2**40], "peer_users='1099511627776': must be users of this machine"),
    ],
)
def test_users_that_are_none_are_refused(users, text):
    with pytest.raises(ValueError, match=text):
        fastcgi.Server("unix:@fastcgi-no-users", peer_users=users)


def test_the_command_takes_both(command, tmp_path):
    (tmp_path / "app.py").write_text("def hello(request):\n    return 200, {}, b'hi'\n")
    started = command(
        *("-m", "fastcgi", "app:hello", "--bind", "0.0.0.0:0", "--bind", "unix:s.sock"),
        *("--allow-from", "127.0.0.1, ::1", "--peer-users", f"{os.getuid()},root"),
    )
    text = started.wait_for("serving")
    port = text.partition("0.0.0.0:")[2].partition(",")[0]
    with Client(f"127.0.0.1:{port}") as client:
        assert client.request().body == b"hi"
    assert is_served(f"unix:{tmp_path}/s.sock")


def test_the_command_says_what_to_do(command, tmp_path):
    (tmp_path / "app.py").write_text("def hello(request):\n    return 200, {}, b'hi'\n")
    started = command("-m", "fastcgi", "app:hello", "--bind", "0.0.0.0:0")
    status, text = started.finish()
    assert status == 1
    assert text.count("\n") == 1
    assert "--allow-from" in text
