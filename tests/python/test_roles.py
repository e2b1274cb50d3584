# SPDX-License-Identifier: MIT
"""Authorizers, filters and custom roles."""

from __future__ import annotations

import threading

import fastcgi
import pytest
from support.fcgi_client import AUTHORIZER, DATA, FILTER, Client, nginx_params, stream

TEXT = {"Content-Type": "text/plain"}


def hello(request):
    return 200, TEXT, request.role


def ask(serving, role, body=None, data=None, **params):
    """One request of a role; `body` and `data` None leave the stream out."""
    with Client(serving.address) as client:
        client.begin(role=role)
        client.params({**nginx_params(), **params})
        if body is not None:
            client.stdin(body)
        if data is not None:
            client.send(stream(DATA, 1, data))
        return client.collect()


def test_an_authorizer_allows_with_variables(serve):
    def authorize(request):
        assert request.role == "authorizer"
        assert request.read() == b""
        request.allow({"AUTH_USER": "ann", "GROUP": ["a", "b"]})

    answer = ask(serve(hello, roles={"authorizer": authorize}), AUTHORIZER)
    assert (answer.status, answer.body, answer.protocol_status) == (200, b"", 0)
    assert answer.all("variable-auth_user") == ["ann"]
    assert answer.all("variable-group") == ["a", "b"]


def test_an_authorizer_allows_without_variables(serve):
    answer = ask(serve(roles={"authorizer": lambda r: r.allow()}, app=None), AUTHORIZER)
    assert answer.stdout == b"Status: 200 OK\r\n\r\n"


def test_an_authorizer_denies_with_an_ordinary_answer(serve):
    def deny(request):
        return 401, {**TEXT, "WWW-Authenticate": "Basic"}, "who are you?"

    answer = ask(serve(hello, roles={"authorizer": deny}), AUTHORIZER)
    assert (answer.status, answer.body) == (401, b"who are you?")


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"A": "x\r\nVariable-ADMIN: yes"}, ValueError),
        ({"A B": "x"}, ValueError),
        ({"": "x"}, ValueError),
        ({"A": "\u20ac"}, ValueError),
        ({"A": 1}, TypeError),
    ],
)
def test_a_variable_that_cannot_be_sent_denies(serve, capfd, variables, error):
    raised = threading.Event()

    def authorize(request):
        with pytest.raises(error) as info:
            request.allow(variables)
        raised.set()
        raise info.value

    assert ask(serve(hello, roles={"authorizer": authorize}), AUTHORIZER).status == 500
    assert raised.wait(60)


def test_a_failing_authorizer_denies(serve, capfd):
    answer = ask(serve(hello, roles={"authorizer": lambda r: 1 / 0}), AUTHORIZER)
    assert answer.status == 500
    assert "ZeroDivisionError" in capfd.readouterr().err


def shout(request):
    return 200, TEXT, request.read() + b"|" + request.read_data().upper()


@pytest.mark.parametrize("streaming", [False, True])
def test_a_filter_reads_both_streams(serve, streaming):
    serving = serve(hello, roles={"filter": shout}, stream=streaming)
    data = b"the file " * 20_000
    answer = ask(serving, FILTER, b"form", data, FCGI_DATA_LENGTH=str(len(data)))
    assert answer.body == b"form|" + data.upper()


def test_a_filter_reads_data_in_pieces(serve):
    def pieces(request):
        parts = [request.read_data(3), request.read_data(0), request.read_data(4)]
        return 200, TEXT, b",".join([*parts, request.read_data(), request.read_data()])

    answer = ask(serve(hello, roles={"filter": pieces}), FILTER, b"", b"abcdefghi")
    assert answer.body == b"abc,,defg,hi,"


def test_a_filter_knows_its_file(serve):
    def tell(request):
        return 200, TEXT, f"{request.data_length} {request.data_modified}"

    serving = serve(hello, roles={"filter": tell})
    known = {"FCGI_DATA_LENGTH": "2", "FCGI_DATA_LAST_MOD": "1700000000"}
    assert ask(serving, FILTER, b"", b"ab", **known).body == b"2 1700000000"
    broken = {"FCGI_DATA_LENGTH": "two", "FCGI_DATA_LAST_MOD": "-5"}
    assert ask(serving, FILTER, b"", b"ab", **broken).body == b"None None"
    assert ask(serving, FILTER, b"", b"ab").body == b"None None"


def test_a_file_cut_short_is_no_whole_one(serve, capfd):
    answer = ask(serve(roles={"filter": shout}, app=None), FILTER, b"", b"ab", FCGI_DATA_LENGTH="3")
    assert answer.status == 500
    assert "Truncated" in capfd.readouterr().err


def test_a_filter_may_leave_its_file_unread(serve):
    serving = serve(hello, roles={"filter": lambda r: (304, {}, b"")})
    assert ask(serving, FILTER, b"", b"x" * 300_000).status == 304


def test_custom_roles(serve):
    roles = {
        "oracle": fastcgi.Role(lambda r: (200, TEXT, r.role), 100, "none"),
        "thumbnailer": fastcgi.Role(lambda r: (200, TEXT, r.read()[::-1]), 101),
        "merger": fastcgi.Role(shout, 65535, "stdin+data"),
    }
    serving = serve(hello, roles=roles, threads=2)
    assert ask(serving, 100).body == b"oracle"
    assert ask(serving, 101, b"abc").body == b"cba"
    assert ask(serving, 65535, b"a", b"b").body == b"a|B"
    assert ask(serving, 1, b"").body == b"responder"


@pytest.mark.parametrize("role", [FILTER, 102, 0])
def test_a_role_without_a_handler_is_unknown(serve, role):
    serving = serve(hello, roles={"oracle": fastcgi.Role(hello, 100)})
    answer = ask(serving, role, b"", b"")
    assert (answer.stdout, answer.protocol_status) == (b"", 3)


def test_an_authorizer_without_a_handler_is_a_no_too(serve):
    answer = ask(serve(hello, roles={"filter": shout}), AUTHORIZER)
    assert (answer.status, answer.protocol_status) == (503, 3)


def test_without_an_application_responders_are_refused(serve):
    serving = serve(None, roles={"authorizer": lambda r: r.allow()})
    assert ask(serving, 1, b"").protocol_status == 3
    assert ask(serving, AUTHORIZER).status == 200


def test_without_roles_the_application_gets_all_three(serve):
    serving = serve(hello)
    assert ask(serving, AUTHORIZER).body == b"authorizer"
    assert ask(serving, FILTER, b"", b"").body == b"filter"
    assert ask(serving, 100, b"").protocol_status == 3


def test_roles_stand_beside_a_wsgi_application(serve):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"wsgi"]

    serving = serve(app, roles={"authorizer": lambda r: r.allow({"A": "b"})})
    for _ in range(3):
        assert ask(serving, 1, b"").body == b"wsgi"
        assert ask(serving, AUTHORIZER).headers["variable-a"] == "b"


def test_the_decorator_adds_a_handler(tmp_path):
    with fastcgi.Server(f"unix:{tmp_path}/s.sock") as server:

        @server.role("oracle", number=100, streams="none")
        def oracle(request):
            server.stop()
            return 200, TEXT, b"yes"

        assert oracle.__name__ == "oracle"
        with Client(server.addresses[0]) as client:
            client.begin(role=100)
            client.params({})
            server.serve(hello)
            assert client.collect().body == b"yes"
            with pytest.raises(fastcgi.StateError, match="before the first connection"):
                server.role("authorizer")(oracle)


def test_accept_gives_requests_of_custom_roles(tmp_path):
    with (
        fastcgi.Server(
            f"unix:{tmp_path}/s.sock", roles={"oracle": fastcgi.Role(hello, 100, "none")}
        ) as server,
        Client(server.addresses[0]) as client,
    ):
        client.begin(role=100)
        client.params({})
        request = server.accept(10)
        assert request.role == "oracle"
        request.end()
        assert request.role == "oracle"


Role = fastcgi.Role


@pytest.mark.parametrize(
    ("roles", "error", "text"),
    [
        ({"oracle": hello}, ValueError, "give its number"),
        ({"authorizer": None}, TypeError, "not callable"),
        ({"oracle": Role(hello, 0)}, ValueError, "1 to 65535"),
        ({"oracle": Role(hello, 65536)}, ValueError, "1 to 65535"),
        ({"oracle": Role(hello, 100, "all")}, ValueError, "streams"),
        ({"oracle": Role(hello, 2, "none")}, ValueError, "standard"),
        ({"authorizer": Role(hello, 2, "stdin")}, ValueError, "standard"),
        ({"a": Role(hello, 100), "b": Role(hello, 100)}, ValueError, "already"),
        ({"": Role(hello, 100)}, ValueError, "name"),
    ],
)
def test_wrong_roles_are_refused(roles, error, text):
    with pytest.raises(error, match=text):
        fastcgi.Server(roles=roles)


def test_two_responders_are_refused(tmp_path):
    server = fastcgi.Server(f"unix:{tmp_path}/s.sock", roles={"responder": hello})
    with server, pytest.raises(ValueError, match="not both"):
        server.serve(hello)


def test_a_responder_may_be_a_role(serve):
    assert ask(serve(None, roles={"responder": hello}), 1, b"").body == b"responder"
