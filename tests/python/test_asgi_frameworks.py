# SPDX-License-Identifier: MIT
"""ASGI applications of frameworks, unchanged."""

import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import threading
import time

import fastcgi
import pytest
from fastcgi.testing import Client, request_bytes
from support.fcgi_client import wait_until

BOUNDARY = "part"


def multipart(**files: bytes) -> tuple[bytes, dict[str, str]]:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.bin"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, data in files.items()
    ]
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode(), headers


@pytest.fixture
def seen():
    return []


@pytest.fixture
def starlette(seen, tmp_path):
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import (
        FileResponse,
        JSONResponse,
        PlainTextResponse,
        RedirectResponse,
        StreamingResponse,
    )
    from starlette.routing import Mount, Route

    @contextlib.asynccontextmanager
    async def lifespan(app):
        seen.append("start")
        yield {"answer": 42}
        seen.append("stop")

    async def hello(request):
        return PlainTextResponse(f"hello {request.query_params.get('name', '')}")

    async def about(request):
        return JSONResponse(
            {
                "url": str(request.url),
                "path": request.url.path,
                "client": request.client.host,
                "state": request.state.answer,
                "cookies": request.cookies,
            }
        )

    async def stream(request):
        async def lines():
            for number in range(1000):
                yield f"line {number}\n"
                if number % 100 == 0:
                    await asyncio.sleep(0.001)

        return StreamingResponse(lines(), media_type="text/plain")

    async def endless(request):
        async def ticks():
            try:
                while True:
                    seen.append("tick")
                    yield "tick\n"
                    await asyncio.sleep(0.01)
            finally:
                seen.append("left")

        return StreamingResponse(ticks())

    async def background(request):
        def later():
            time.sleep(0.2)
            seen.append("later")

        return PlainTextResponse("now", background=BackgroundTask(later))

    async def upload(request):
        form = await request.form()
        return JSONResponse({name: len(await file.read()) for name, file in form.items()})

    def in_a_thread(request):
        return PlainTextResponse(threading.current_thread().name)

    async def boom(request):
        raise RuntimeError("the application broke")

    async def redirect(request):
        return RedirectResponse(request.url_for("about"))

    async def file(request):
        path = tmp_path / "file"
        path.write_bytes(b"0123456789" * 100_000)
        return FileResponse(path)

    async def disconnected(request):
        while not await request.is_disconnected():
            seen.append("connected")
            await asyncio.sleep(0.01)
        seen.append("disconnected")
        return PlainTextResponse("to nobody")

    class Middle(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            answer = await call_next(request)
            answer.headers["X-Middle"] = "1"
            return answer

    endpoints = [hello, about, stream, background, endless, in_a_thread, boom, redirect, file,
                 disconnected]  # fmt: skip
    routes = [Route(f"/{one.__name__}", one, name=one.__name__) for one in endpoints]
    routes.append(Route("/upload", upload, methods=["POST"]))
    middle = Starlette(routes=routes, middleware=[Middleware(Middle)])
    return Starlette(routes=[*routes, Mount("/middle", middle)], lifespan=lifespan)


@pytest.fixture(params=["asyncio", "uvloop"])
def client(starlette, request):
    assert fastcgi.detect_interface(starlette) == "asgi"
    with Client(starlette, loop=request.param, lifespan="on") as running:
        yield running


def test_starlette_answers(client, capfd):
    assert client.get("/hello?name=J%C3%BCrgen").text == "hello Jürgen"
    assert client.get("/nowhere").status == 404
    assert client.post("/hello", b"").status == 405
    about = json.loads(client.get("/about?x=1", headers={"Cookie": "a=b"}).text)
    assert about == {
        "url": "http://localhost/about?x=1",
        "path": "/about",
        "client": "127.0.0.1",
        "state": 42,
        "cookies": {"a": "b"},
    }
    answer = client.get("/redirect")
    assert (answer.status, answer.header("location")) == (307, "http://localhost/about")
    assert client.get("/stream").text == "".join(f"line {number}\n" for number in range(1000))
    assert "worker thread" in client.get("/in_a_thread").text
    assert client.get("/file").body == b"0123456789" * 100_000
    assert client.head("/file").header("content-length") == "1000000"
    assert capfd.readouterr().err == ""


def test_starlette_is_mounted_where_the_web_server_says(client):
    params = {"SCRIPT_NAME": "/app", "PATH_INFO": "/about", "REQUEST_URI": "/app/about"}
    about = json.loads(client.request("GET", "/about", params=params).text)
    assert (about["url"], about["path"]) == ("http://localhost/app/about", "/app/about")


def test_starlette_receives_uploads(client):
    content, headers = multipart(small=b"x" * 10, large=bytes(5_000_000))
    answer = client.post("/upload", content, headers=headers)
    assert json.loads(answer.text) == {"small": 10, "large": 5_000_000}


def test_starlette_middleware_passes_all_of_it(client):
    for path in ("/middle/hello", "/middle/stream"):
        answer = client.get(path)
        assert answer.status == 200
        assert answer.header("x-middle") == "1"


def test_starlette_tasks_follow_their_answers(client, seen):
    began = time.monotonic()
    assert client.get("/background").text == "now"
    assert "later" not in seen
    assert time.monotonic() - began < 10
    wait_until(lambda: "later" in seen, 20, "the task")


@pytest.mark.parametrize("path", ["/endless", "/middle/endless"])
def test_starlette_streams_end_with_their_clients(client, seen, capfd, path):
    with client.connect() as connection:
        connection.send(request_bytes("GET", path))
        wait_until(lambda: "tick" in seen, 20, "the stream")
    # A generator that is not in its own code when its task is cancelled ends as garbage.
    wait_until(lambda: gc.collect() >= 0 and "left" in seen, 20, "the end of the stream")
    assert client.get("/hello").status == 200
    assert "Traceback" not in capfd.readouterr().err


def test_starlette_asks_whether_the_client_is_there(client, seen):
    with client.connect() as connection:
        connection.send(request_bytes("GET", "/disconnected"))
        wait_until(lambda: seen.count("connected") > 3, 20, "a few looks")
    wait_until(lambda: "disconnected" in seen, 20, "the end")


def test_starlette_failures_are_logged_once(starlette, tmp_path):
    log = tmp_path / "error.log"
    with Client(starlette, error_logfile=str(log)) as client:
        answer = client.get("/boom")
        assert (answer.status, answer.text) == (500, "Internal Server Error")
    text = log.read_text()
    assert text.count("Traceback") == text.count("RuntimeError: the application broke") == 1
    assert "'GET' '/boom': the application failed" in text


def test_starlette_has_its_lifespan(starlette, seen):
    with Client(starlette) as client:
        assert client.get("/hello").status == 200
        assert seen == ["start"]
    assert seen == ["start", "stop"]


def test_a_starlette_lifespan_that_fails_ends_the_start():
    from starlette.applications import Starlette

    @contextlib.asynccontextmanager
    async def lifespan(app):
        raise OSError("no database")
        yield

    client = Client(Starlette(lifespan=lifespan))
    with pytest.raises(fastcgi.Error, match="startup has failed: OSError: no database"):
        client.close()


def test_fastapi():
    from fastapi import BackgroundTasks, Depends, FastAPI, File, Form, UploadFile
    from fastapi.responses import StreamingResponse
    from pydantic import BaseModel

    seen = []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        seen.append("start")
        yield
        seen.append("stop")

    app = FastAPI(lifespan=lifespan)

    class Item(BaseModel):
        name: str
        price: float = 1.0

    async def session():
        seen.append("opened")
        yield "session"
        seen.append("closed")

    @app.post("/items/{number}")
    async def create(number: int, item: Item, db=Depends(session)):  # noqa: B008
        return {"number": number, "item": item, "db": db}

    @app.post("/upload")
    async def upload(note: str = Form(), file: UploadFile = File()):  # noqa: B008
        return {"note": note, "name": file.filename, "size": len(await file.read())}

    @app.get("/numbers")
    async def numbers():
        async def some():
            for number in range(10):
                yield f"{number}\n"
                await asyncio.sleep(0.001)

        return StreamingResponse(some())

    @app.get("/task")
    def task(tasks: BackgroundTasks):
        tasks.add_task(seen.append, "task")
        return "ok"

    assert fastcgi.detect_interface(app) == "asgi"
    with Client(app) as client:
        made = client.post(
            "/items/7", b'{"name": "x"}', headers={"Content-Type": "application/json"}
        )
        assert json.loads(made.text) == {
            "number": 7,
            "item": {"name": "x", "price": 1.0},
            "db": "session",
        }
        wrong = client.post("/items/x", b"{}", headers={"Content-Type": "application/json"})
        assert wrong.status == 422
        content, headers = multipart(file=b"y" * 300_000)
        note = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="note"\r\n\r\nhi\r\n'
        ).encode()
        sent = client.post("/upload", note + content, headers=headers)
        assert json.loads(sent.text) == {"note": "hi", "name": "file.bin", "size": 300_000}
        assert client.get("/numbers").text == "".join(f"{number}\n" for number in range(10))
        assert client.get("/task").text == '"ok"'
        wait_until(lambda: "task" in seen, 20, "the task")
        assert json.loads(client.get("/openapi.json").text)["info"]["title"] == "FastAPI"
        assert client.get("/docs").status == 200
    assert seen == ["start", "opened", "closed", "opened", "task", "stop"]


DJANGO = """
import asyncio, json, os, sys
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", DEBUG=False)
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

async def hello(request):
    await asyncio.sleep(0)
    return HttpResponse(f"hello {request.GET.get('name')}")

def plain(request):
    return JsonResponse({"path": request.path, "script": request.META["SCRIPT_NAME"],
                         "addr": request.META["REMOTE_ADDR"]})

async def upload(request):
    return JsonResponse({name: file.size for name, file in request.FILES.items()})

async def stream(request):
    async def parts():
        for number in range(100):
            yield f"{number}\\n"
    return StreamingHttpResponse(parts())

def csrf_free(view):
    view.csrf_exempt = True
    return view

urlpatterns = [path("hello", hello), path("plain", plain), path("upload", csrf_free(upload)),
               path("stream", stream)]
app = get_asgi_application()
"""


def test_django(tmp_path):
    """In a process of its own, as it has its settings once."""
    (tmp_path / "mysite.py").write_text(DJANGO)
    (tmp_path / "check.py").write_text(
        """
import json
import fastcgi
import mysite
from fastcgi.testing import Client
assert fastcgi.detect_interface(mysite.app) == "asgi"
with Client(mysite.app) as client:
    assert client.get("/hello?name=x").text == "hello x"
    params = {"SCRIPT_NAME": "/app", "PATH_INFO": "/plain", "REQUEST_URI": "/app/plain"}
    said = json.loads(client.request("GET", "/x", params=params).text)
    assert said == {"path": "/app/plain", "script": "/app", "addr": "127.0.0.1"}, said
    part = b'--b\\r\\nContent-Disposition: form-data; name="f"; filename="f"\\r\\n\\r\\n'
    body = part + bytes(3_000_000) + b"\\r\\n--b--\\r\\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    assert json.loads(client.post("/upload", body, headers=kind).text) == {"f": 3_000_000}
    assert client.get("/stream").text.split() == [str(number) for number in range(100)]
    assert client.get("/nowhere").status == 404
print("fine")
"""
    )
    done = subprocess.run(
        [sys.executable, "check.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "fine\n", done.stderr
