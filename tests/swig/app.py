# SPDX-License-Identifier: MIT
"""Handlers over the SWIG module: python app.py HANDLER ADDRESS [OPTION=NUMBER...]

README.md says what each does. The same program exists in every language.
"""

import contextlib
import sys
import traceback

import fastcgi_swig

HEAD = b"Content-Type: text/plain\r\n\r\n"
PAGE_HEAD, PAGE_BODY = b"Content-type: text/html\r\n\r\n", b"<html>\n<head> ... "


def text(request, body):
    request.reply(200, "text/plain", body)


# --- The handlers of the conformance cases ------------------------------------


def refuse(request, status, reason):
    request.reply(status, "text/plain", f"{status} {reason}\n")


def answer_read(request, read):
    try:
        body = read()
    except fastcgi_swig.Error as error:
        if error.code != "TRUNCATED":
            raise
        refuse(request, 400, "Bad Request")
    else:
        request.write(HEAD)
        request.write(body)


def echo(request):
    answer_read(request, request.read)


def data(request):
    answer_read(request, lambda: request.read() + b"|" + request.read_data())


def params(request):
    lines = "".join(f"{name}={value}\n" for name, value in request.params().items())
    request.write(HEAD + lines.encode("latin-1"))


def early(request):
    request.write(HEAD + b"early\n")


def page(request):
    request.write(PAGE_HEAD + PAGE_BODY)


def fault(request):
    request.write(PAGE_HEAD + b"<ht")
    request.log("config error: missing SI_UID")
    request.write(b"ml>\n<head> ... ")
    request.end(938)


def big(request):
    request.write(HEAD)
    for _ in range(10000):
        request.write(b"x" * 20)


def authorize(request):
    if request.param("PASS") == "yes":
        request.write(b"Variable-AUTH: yes\r\n\r\n")
    else:
        refuse(request, 403, "Forbidden")


# --- Those that hold requests, with the pull API ------------------------------


class Holder:
    """The requests that wait."""

    def __init__(self):
        self.held = []  # For an abort.
        self.first = None  # For another request.
        self.reading = []  # For their bodies, with what has come of them.

    def take(self, name, request):
        if name == "hold":
            self.held.append(request)
        elif name == "swap":
            self.swap(request)
        elif name == "echo":
            request.set_timeout(0)
            self.reading.append((request, bytearray()))
        else:
            ANSWERING.get(name, unknown)(request)
            end(request)

    def swap(self, request):
        if self.first is None:
            self.first = request
            request.write(PAGE_HEAD)
            request.flush()
            return
        page(request)
        request.end()
        self.first.write(PAGE_BODY)
        self.first.end()
        self.first = None

    def read_on(self, request, body):
        """Read what has come, without waiting; True when the request is over."""
        try:
            while part := request.read_some():
                body += part
            request.write(HEAD + body)
        except fastcgi_swig.Error as error:
            if error.code == "AGAIN":
                return False
            if error.code == "TRUNCATED":
                refuse(request, 400, "Bad Request")
        end(request)
        return True

    def turn(self):
        self.held = [request for request in self.held if not self.let_go(request)]
        self.reading = [entry for entry in self.reading if not self.read_on(*entry)]

    def let_go(self, request):
        if request.aborted() is None:
            return False
        with contextlib.suppress(fastcgi_swig.Error):  # Nobody may be left to read it.
            request.write(HEAD + b"aborted\n")
        end(request)
        return True


def unknown(request):
    refuse(request, 501, "Not Implemented")


def end(request):
    if not request.ended():
        request.end()


def holding(server, name_of):
    holder = Holder()
    while not server.stopped():
        request = server.accept(0.005)
        try:
            if request is not None:
                holder.take(name_of(request), request)
        except fastcgi_swig.Error:
            if not request.ended():
                request.fail()
        holder.turn()


def swap(server):
    holding(server, lambda request: "swap")


def hold(server):
    holding(server, lambda request: "hold")


def spec(server):
    holding(server, lambda request: request.param("SPEC_HANDLER") or "echo")


def pull(server):
    idle = False
    while not server.stopped():
        request = server.accept(0.02)
        if request is None:
            idle = True
            continue
        if request.param("PATH_INFO") == "/stop":
            server.stop()
        text(request, "after a pause" if idle else "at once")
        idle = False


# --- The scenario: one server, a handler for each path ------------------------

kept = {"requests": 0, "saved": None}


class Failure(Exception):
    pass


def problem(call):
    """The code of the error that a call raises."""
    try:
        call()
    except fastcgi_swig.Error as error:
        return error.code
    return "none"


def bytes_(request, server):
    """A body, a header and a parameter of any bytes."""
    body = request.read(3) + request.read_some(2) + request.read()
    request.header("X-Length", str(len(body)))
    text(request, body + b"|" + request.param("ODD").encode("latin-1"))


def nothing(request, server):
    value = request.param("ABSENT")
    text(request, "nothing" if value is None else "something")


def silent(request, server):
    """Write nothing."""


def promise(request, server):
    request.header("Transfer-Encoding", "chunked")
    request.header("Content-Length", request.param("LENGTH"))
    text(request, "abc")


def number(request, server):
    lines = [request.content_length(), request.data_length(), request.data_modified()]
    text(request, "".join(f"{line}\n" for line in lines))


def large(request, server):
    """A number above 2^53 into the library, which names it in its refusal."""
    try:
        fastcgi_swig.Server().set("socket_mode", 9007199254740993)
    except fastcgi_swig.Error as error:
        text(request, f"{error.code} {error}")


def die(request, server):
    raise Failure("as it was told to")


def die_late(request, server):
    request.write(HEAD + b"some of it")
    request.flush()
    raise Failure("after output")


class Odd(Exception):
    """One that cannot even be shown."""

    def __str__(self):
        raise ValueError("not shown")


def odd(request, server):
    raise Odd


def leave(request, server):
    """What would leave a loop of the language's own."""
    raise StopIteration


def close(request, server):
    server.close()


def save(request, server):
    kept["saved"] = request


def saved(request, server):
    old = kept["saved"]
    codes = [problem(call) for call in (old.read, old.params, old.end, lambda: old.write(b"x"))]
    text(request, " ".join([*codes, "ended" if old.ended() else "open"]))


def no_handle(request, server):
    calls = (
        lambda: fastcgi_swig.Request.read(None),
        lambda: fastcgi_swig.Server.accept(None),
    )
    text(request, " ".join(problem(call) for call in calls))


def wrong(request, server):
    calls = (
        lambda: request.header("X", "a\nb") or request.start(200),
        lambda: server.set("no_such_option", 1),
        lambda: server.listen("nonsense"),
        lambda: request.send_file("/no/such/file"),
    )
    codes = [problem(call) for call in calls]
    request.fail()
    print(" ".join(codes), flush=True)


def stop(request, server):
    server.stop()
    text(request, "stopping\n")


def nested(request, server):
    inner = fastcgi_swig.Server()
    inner.listen(request.param("INNER"))

    def answer(inside):
        text(inside, b"inner\n")
        inner.stop()

    inner.run(answer)
    text(request, "outer\n")


def file(request, server):
    request.header("Content-Type", "text/plain")
    request.start()
    request.send_file(request.param("FILE"), 1, 5)


def count(request, server):
    kept["requests"] += 1
    text(request, str(kept["requests"]))


PATHS = {
    "/" + function.__name__.strip("_"): function
    for function in (
        *(bytes_, nothing, number, large, die, die_late, save, saved, no_handle, wrong),
        *(stop, nested, file, count, odd, leave, close, silent, promise),
    )
}


def scenario(server):
    server.serve(lambda request: PATHS[request.param("PATH_INFO")](request, server))


def raising(server):
    """The error of a handler leaves the loop as it is; the loop goes on."""
    thrown = []

    def fails(request):
        thrown.append(Failure("through the loop"))
        raise thrown[-1]

    try:
        server.run(fails, "raise")
    except Failure as error:
        same = error is thrown[0] and "in fails" in traceback.format_exc()
    server.run(lambda request: text(request, "same" if same else "changed") or server.stop())


PULLING = {f.__name__: f for f in (swap, hold, spec, pull, scenario, raising)}
ANSWERING = {f.__name__: f for f in (echo, data, params, early, page, fault, big, authorize)}


def main(name, address, *options):
    server = fastcgi_swig.Server()
    server.set_text("drain_silence", "0.2")
    server.set("stream", int(name in ("early", "spec")))
    for option in options:
        key, _, value = option.partition("=")
        server.set_text(key, value)
    server.listen(address)
    if name in PULLING:
        PULLING[name](server)
    else:
        server.serve(ANSWERING[name])


if __name__ == "__main__":
    main(*sys.argv[1:])
