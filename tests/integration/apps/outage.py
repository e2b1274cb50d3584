# SPDX-License-Identifier: MIT
"""One query of a kept connection, as each kind of application makes it."""

import os

import fastcgi
import psycopg
import redis

RETRY = os.environ.get("OUTAGE_RETRY", "never")
WAIT = float(os.environ.get("OUTAGE_WAIT", "60"))
DATABASE = os.environ.get("OUTAGE_DATABASE", "")

db = fastcgi.resource(
    lambda: psycopg.connect(DATABASE), acquire_timeout=WAIT, retry=RETRY, name="db"
)
store = fastcgi.resource(
    lambda: redis.Redis(unix_socket_path=DATABASE), acquire_timeout=WAIT, retry=RETRY, name="store"
)


def seven() -> str:
    with db as connection:
        return str(connection.execute("SELECT 7 FROM pg_sleep(0.002)").fetchone()[0])


def native(request):
    return 200, {"Content-Type": "text/plain"}, seven()


def wsgi(environ, start_response):
    body = seven().encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]


def visits(request):
    with store as client:
        client.incr("visits")
        return 200, {"Content-Type": "text/plain"}, "7"


def make_flask():
    from flask import Flask

    app = Flask(__name__)
    app.add_url_rule("/", view_func=seven)
    return app


def make_django():
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import re_path

    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=(re_path("", lambda request: HttpResponse(seven())),),
        LOGGING_CONFIG=None,
        SECRET_KEY="of a test",
    )
    django.setup()
    return WSGIHandler()
