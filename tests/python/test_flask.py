# SPDX-License-Identifier: MIT
"""A plain Flask application: routes, form, upload, streaming, an exception."""

from __future__ import annotations

import hashlib
import random

import pytest
from support.fcgi_client import Client

APP = """
import hashlib
from flask import Flask, Response, abort, jsonify, redirect, request, send_file, url_for
app = Flask(__name__)

@app.get("/")
def index():
    return "<h1>index</h1>"

@app.get("/user/<name>")
def user(name):
    return jsonify(name=name, query=request.args.get("q"), url=url_for("index", _external=True))

@app.post("/form")
def form():
    return redirect(url_for("user", name=request.form["name"]), 303)

@app.post("/upload")
def upload():
    file = request.files["file"]
    return f"{file.filename} {hashlib.sha256(file.read()).hexdigest()}"

@app.post("/raw")
def raw():
    return f"{request.content_length} {len(request.get_data())}"

@app.get("/stream")
def stream():
    return Response((f"line {n}\\n" for n in range(1000)), mimetype="text/plain")

@app.get("/file")
def file():
    return send_file(__file__, mimetype="text/plain")

@app.get("/fail")
def fail():
    raise LookupError("the reason")
"""


@pytest.fixture
def address(command, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    running = command("-m", "fastcgi", "app:app", "-b", "unix:x", "--threads", "4")
    running.wait_for("pid")
    yield f"unix:{tmp_path}/x", running
    running.process.terminate()
    assert running.finish()[0] == 0


def test_flask(address):
    path, running = address
    with Client(path) as client:
        assert client.request().body == b"<h1>index</h1>"
        answer = client.request(uri="/user/J%C3%B6rg?q=%E2%82%AC")
        assert '"name":"J\\u00f6rg"' in answer.body.decode()
        assert '"query":"\\u20ac"' in answer.body.decode()
        assert '"url":"http://localhost/"' in answer.body.decode()
        form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
        answer = client.request("POST", "/form", body=b"name=Ada", **form)
        assert (answer.status, answer.headers["location"]) == (303, "/user/Ada")
        content = random.Random(1).randbytes(20_000_000)
        body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n\r\n'
        body += content + b"\r\n--b--\r\n"
        multipart = {"CONTENT_TYPE": "multipart/form-data; boundary=b"}
        answer = client.request("POST", "/upload", body=body, **multipart)
        assert answer.body.decode() == f"f.bin {hashlib.sha256(content).hexdigest()}"
        lines = "".join(f"line {n}\n" for n in range(1000))
        assert client.request(uri="/stream").body.decode() == lines
        assert client.request(uri="/file").body.decode() == APP
        assert client.request(uri="/nothing").status == 404
        assert client.request("POST", "/").status == 405
        head = client.request("HEAD")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "14")
        assert client.request(uri="/fail").status == 500
    assert "LookupError: the reason" in running.wait_for("the reason")


def test_a_chunked_upload_without_a_length(address):
    with Client(address[0]) as client:
        client.begin()
        client.params({"REQUEST_METHOD": "POST", "PATH_INFO": "/raw", "HTTP_HOST": "h",
                       "SERVER_NAME": "h", "SERVER_PORT": "80"})  # fmt: skip
        client.stdin(b"x" * 100_000)
        assert client.collect().body == b"100000 100000"
