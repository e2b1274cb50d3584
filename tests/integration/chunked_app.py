# SPDX-License-Identifier: MIT
"""Forms and bodies in plain WSGI, Flask and Django, by the first segment of the path."""

import hashlib
import json

import flask
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import JsonResponse
from django.urls import path

in_flask = flask.Flask(__name__)


@in_flask.post("/flask")
def flask_form():
    files = {name: len(file.read()) for name, file in flask.request.files.items()}
    return flask.jsonify(form=flask.request.form, files=files)


def django_form(request):
    files = {name: file.size for name, file in request.FILES.items()}
    return JsonResponse({"form": request.POST.dict(), "files": files})


settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
urlpatterns = [path("django", django_form)]
in_django = WSGIHandler()


def in_wsgi(environ, start_response):
    """What a plain application finds that reads to the end."""
    body = environ["wsgi.input"].read()
    answer = json.dumps({
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "content_length": environ.get("CONTENT_LENGTH"),
        "terminated": environ.get("wsgi.input_terminated"),
        "sent": environ["fastcgi.request"].params.get("CONTENT_LENGTH"),
    })  # fmt: skip
    start_response("200 OK", [("Content-Type", "application/json")])
    return [answer.encode()]


def app(environ, start_response):
    apps = {"/flask": in_flask, "/django": in_django}
    return apps.get(environ["PATH_INFO"], in_wsgi)(environ, start_response)
