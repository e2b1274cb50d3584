# SPDX-License-Identifier: MIT
"""A plain Flask application; nothing in it knows of FastCGI."""

import hashlib
from collections.abc import Iterator

from flask import Flask, Response, redirect, request, url_for

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return "index"


@app.get("/hello/<name>")
def hello(name: str) -> str:
    return f"hello {name}, {request.args.get('greeting', '')}"


@app.post("/form")
def form() -> Response:
    return redirect(url_for("hello", name=request.form["name"]), 303)


@app.post("/upload")
def upload() -> dict:
    file = request.files["file"]
    data = file.read()
    return {"name": file.filename, "length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@app.get("/stream")
def stream() -> Response:
    def lines() -> Iterator[str]:
        for number in range(1000):
            yield f"line {number}\n"

    return Response(lines(), mimetype="text/plain")


@app.get("/boom")
def boom() -> str:
    raise RuntimeError("the application broke")
