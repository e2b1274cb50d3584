# SPDX-License-Identifier: MIT
"""Which interface a callable has, and what is said where that is not clear."""

from __future__ import annotations

import functools
import sys
from wsgiref.validate import validator

import fastcgi
import pytest
from fastcgi.testing import Client

HOW = "--interface handler, wsgi or asgi"


def handler(request):
    return 200, {}, b"handler"


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi"]


def passes(inner):
    """A decorator that looks at nothing."""

    @functools.wraps(inner)
    def wrapper(*args, **kwargs):
        return inner(*args, **kwargs)

    return wrapper


def adapts(inner):
    """A decorator that makes WSGI of a handler, in plain sight."""

    @functools.wraps(inner)
    def wrapper(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [inner(environ)[2]]

    return wrapper


class Both:
    def __call__(self, environ, start_response):
        return wsgi(environ, start_response)

    def method(self, request):
        return handler(request)

    @classmethod
    def of_class(cls, request):
        return handler(request)

    @staticmethod
    def static(environ, start_response):
        return wsgi(environ, start_response)

    async def coroutine(self, request):
        pass


class Iterates:
    """PEP 3333: the class itself is the application."""

    def __init__(self, environ, start_response):
        self.start = start_response

    def __iter__(self):
        self.start("200 OK", [("Content-Type", "text/plain")])
        yield b"wsgi"


class Needs:
    def __init__(self, name):
        self.name = name

    def __call__(self, request):
        return handler(request)


class Named(Needs):
    def __init__(self, name, extra):
        super().__init__(name)


async def asgi(scope, receive, send):
    pass


async def awaited(request):
    pass


class Called:
    async def __call__(self, scope, receive, send):
        await answer(scope, receive, send)

    async def method(self, scope, receive, send):
        await answer(scope, receive, send)


class Awaited:
    """As Starlette's HTTPEndpoint: the class itself is the application."""

    def __init__(self, scope, receive, send):
        self.all = scope, receive, send

    def __await__(self):
        return answer(*self.all).__await__()


class Second:
    """ASGI 2."""

    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        pass


async def answer(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"asgi"})


@pytest.mark.parametrize(
    "app",
    [
        answer,
        passes(answer),
        functools.partial(lambda extra, scope, receive, send: answer(scope, receive, send), 1),
        functools.partial(answer),
        lambda scope, receive, send: answer(scope, receive, send),
        Called(),
        Called().method,
        Awaited,
    ],
)
def test_asgi_is_found_out(app):
    assert fastcgi.detect_interface(app) == "asgi"
    with Client(app) as client:
        assert client.get("/").body == b"asgi"


def test_asgi_that_is_not_found_out_can_be_named():
    with Client(lambda a, b, c: answer(a, b, c), interface="asgi") as client:
        assert client.get("/").body == b"asgi"


@pytest.mark.parametrize("interface", ["handler", "wsgi"])
def test_a_coroutine_is_served_as_nothing_else(interface):
    client = Client(answer, interface=interface)
    with pytest.raises(TypeError, match=f"is asynchronous, which {interface} is not"):
        client.close()


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (handler, "handler"),
        (wsgi, "wsgi"),
        (lambda environ, start_response: wsgi(environ, start_response), "wsgi"),
        (lambda a, b: wsgi(a, b), "wsgi"),
        (lambda request, option=1: handler(request), "handler"),
        (lambda request, *, option=1: handler(request), "handler"),
        (lambda request, **options: handler(request), "handler"),
        (lambda environ, start_response=None: wsgi(environ, start_response), "wsgi"),
        (lambda e, start_response=None: wsgi(e, start_response), "wsgi"),
        (lambda environ, *rest: wsgi(environ, *rest), "wsgi"),
        (lambda environ, start_response, extra=1: wsgi(environ, start_response), "wsgi"),
        (functools.partial(lambda db, request: handler(request), "db"), "handler"),
        (functools.partial(lambda db, e, s: wsgi(e, s), "db"), "wsgi"),
        (functools.partial(lambda request, db: handler(request), db=1), "handler"),
        (Both(), "wsgi"),
        (Both().method, "handler"),
        (Both.of_class, "handler"),
        (Both.static, "wsgi"),
        (Iterates, "wsgi"),
        (Needs("n"), "handler"),
        (adapts(handler), "wsgi"),
        (passes(wsgi), "wsgi"),
        (passes(passes(wsgi)), "wsgi"),
        (adapts(passes(handler)), "wsgi"),
        (validator(wsgi), "wsgi"),
    ],
)
def test_the_interface_is_found_out(app, interface):
    assert fastcgi.detect_interface(app) == interface
    with Client(app) as client:
        answer = client.get("/")
    assert answer.status == 200
    assert answer.body in (b"handler", b"wsgi")


class Anything:
    """It has every attribute, as a proxy or a mock has."""

    def __getattr__(self, name):
        return self

    def __call__(self, *args, **options):
        return []


def factory():
    return handler


def create_app(config=None):
    return handler


def make(global_config, **settings):
    return handler


def needy(request, *, db):
    return handler(request)


@pytest.mark.parametrize(
    ("app", "complaint"),
    [
        (lambda *args: [], f"takes any arguments, .*{HOW}"),
        (lambda request, *args: [], f"takes any arguments, .*{HOW}"),
        (passes(handler), f"handler takes any arguments, .*{HOW}"),
        (passes(passes(handler)), f"takes any arguments, .*{HOW}"),
        (factory, rf"factory takes no argument, like a factory: .*\(\), or .*{HOW}"),
        (create_app, "create_app needs no argument, like a factory"),
        (lambda a=1, b=2: [], "needs no argument, like a factory"),
        (make, "make takes 'global_config', like a factory"),
        (Both, rf"Both is a class: name an instance of it with \(\), .*{HOW}"),
        (Needs, "Needs is a class"),
        (Named, "Named is a class"),
        (needy, "needs the keyword argument 'db'"),
        (awaited, "awaited is asynchronous and takes 1 argument: an ASGI application takes"),
        (functools.partial(asgi, 1), "is asynchronous and takes 2 arguments"),
        (passes(awaited), "awaited is asynchronous"),
        (Both().coroutine, "is asynchronous"),
        (Second, "Second is an application of ASGI 2"),
        (Called, rf"Called is a class: name an instance of it with \(\), .*{HOW}"),
        (lambda a, b, c: None, f"takes 3 arguments: neither a handler nor WSGI; .*{HOW}"),
        (sys.exc_info, "takes no argument"),
        (getattr, f"does not tell which arguments it takes; .*{HOW}|takes 2"),
        (Anything(), rf"Anything does not tell which arguments it takes; .*{HOW}"),
        (3, "3 is not callable"),
        ("name", "'name' is not callable"),
    ],
)
def test_what_is_not_clear_is_refused_in_one_line(app, complaint):
    if app is getattr and sys.version_info >= (3, 13):
        pytest.skip("this Python can tell the interface of a builtin")
    with pytest.raises(TypeError, match=complaint) as caught:
        fastcgi.detect_interface(app)
    assert "\n" not in str(caught.value)


def test_a_factory_that_looks_like_a_handler_is_told_when_called(capfd):
    with Client(lambda registry: handler) as client:
        assert client.get("/").status == 500
    assert "not function; name what a factory returns with ()" in capfd.readouterr().err


def framework_apps():
    """Name, application and a path of each framework that is installed."""

    def werkzeug():
        from werkzeug.wrappers import Request, Response

        @Request.application
        def app(request):
            return Response("hello")

        return app

    def werkzeug_method():
        from werkzeug.wrappers import Request, Response

        class App:
            @Request.application
            def serve(self, request):
                return Response("hello")

        return App().serve

    def werkzeug_middleware():
        from werkzeug.middleware.proxy_fix import ProxyFix

        return ProxyFix(werkzeug())

    def flask():
        from flask import Flask

        app = Flask("test")
        app.add_url_rule("/", view_func=lambda: "hello")
        return app

    def flask_wsgi_app():
        return flask().wsgi_app

    def bottle():
        import bottle

        app = bottle.Bottle()
        app.route("/", callback=lambda: "hello")
        return app

    def falcon():
        import falcon

        class Root:
            def on_get(self, request, response):
                response.text = "hello"

        app = falcon.App()
        app.add_route("/", Root())
        return app

    def pyramid():
        from pyramid.config import Configurator
        from pyramid.response import Response

        config = Configurator()
        config.add_route("root", "/")
        config.add_view(lambda request: Response("hello"), route_name="root")
        return config.make_wsgi_app()

    def webob():
        from webob import Response

        return Response("hello")

    def webob_dec():
        from webob.dec import wsgify

        return wsgify(lambda request: "hello")

    def webtest_lint():
        from webtest import lint

        return lint.middleware(flask())

    def django():
        from django.conf import settings
        from django.core.wsgi import get_wsgi_application
        from django.http import HttpResponse
        from django.urls import path

        if not settings.configured:
            settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
        sys.modules[__name__].urlpatterns = [path("", lambda request: HttpResponse("hello"))]
        return get_wsgi_application()

    return [make for name, make in sorted(locals().items())]


@pytest.mark.parametrize("make", framework_apps(), ids=lambda make: make.__name__)
def test_applications_of_frameworks_are_found_out(make):
    app = make()
    assert fastcgi.detect_interface(app) == "wsgi"
    with Client(app) as client:
        answer = client.get("/")
    assert answer.status == 200
    assert b"hello" in answer.body
