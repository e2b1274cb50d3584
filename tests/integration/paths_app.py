# SPDX-License-Identifier: MIT
"""A Flask application that tells which path it was asked for."""

from flask import Flask, abort, jsonify, request, url_for

app = Flask(__name__)
app.url_map.merge_slashes = False


@app.before_request
def tell():
    """What a routing by path would see; /auth and /fail are guarded and failing pages."""
    environ = request.environ
    native = environ["fastcgi.request"]
    if environ["PATH_INFO"] == "/auth" and "token" not in request.headers:
        abort(401)
    answer = jsonify(
        script=environ["SCRIPT_NAME"],
        info=environ["PATH_INFO"],
        path=native.path,
        raw=native.raw_path,
        file=environ.get("SCRIPT_FILENAME"),
        native_file=native.script_filename,
        link=url_for("index"),
    )
    answer.status_code = 500 if environ["PATH_INFO"] == "/fail" else 200
    return answer


@app.get("/")
def index():
    return ""
