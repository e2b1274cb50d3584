/* SPDX-License-Identifier: MIT */
#include "loop.h"
#include "report.h"
#include "resource.h"
#include "retry.h"

/* Whether one call of the core sends the answer and the length that
   reply_add_length would add. */
static int is_simple(serve_loop *loop) {
  return !loop->request->begun && loop->answer.parts <= 1 &&
         loop->answer.status != 304 && reply_length_fits(&loop->answer) &&
         reply_is_good(&loop->answer, &loop->good);
}

int loop_answer(serve_loop *loop) {
  return retry_holds(loop, loop->answer.status) ? LOOP_HELD
                                                : loop_answer_now(loop);
}

int loop_answer_now(serve_loop *loop) {
  request_object *request = loop->request;
  size_t len = reply_body_len(&loop->answer);
  int head = len == 0 ? reply_is_head(request) : 0;
  loop->simple = (char)(head == 0 && is_simple(loop));
  if (!loop->simple &&
      (head < 0 || reply_add_length(&loop->answer, len, head) < 0 ||
       reply_start(&loop->answer, request, (int64_t)len) < 0))
    return -1;
  /* A child that the handler has forked and that returns is not answered. */
  loop->pending =
      request_claim(request, fcgi_server_forked(loop->server->core));
  return loop->pending == NULL ? -1 : 1;
}

int loop_close(serve_loop *loop, PyObject *body) {
  PyObject *type, *value, *traceback;
  if (PyList_CheckExact(body) || PyTuple_CheckExact(body))
    return 0;
  PyErr_Fetch(&type, &value, &traceback);
  PyObject *close = PyObject_GetAttr(body, loop->state->close);
  if (close == NULL)
    PyErr_Clear();
  PyObject *closed = close == NULL ? NULL : PyObject_CallNoArgs(close);
  int failed = close != NULL && closed == NULL;
  Py_XDECREF(closed);
  Py_XDECREF(close);
  if (type != NULL)
    PyErr_Restore(type, value, traceback);
  return failed ? -1 : 0;
}

/* Needs no GIL. Whatever is wrong with the connection is no affair of the
   application, which has done its part. */
static void send_pending(serve_loop *loop) {
  fcgi_request_gather(loop->pending);
  if (loop->simple)
    reply_respond(&loop->answer, loop->pending);
  else if (reply_write(&loop->answer, loop->pending) < 0)
    fcgi_request_fail(loop->pending);
  else
    fcgi_request_end(loop->pending, 0);
  loop->pending = NULL;
  request_closed(loop->request);
}

/* Whether a handler of a signal has raised it, inside the application: that is
   for the program. A signal that comes while this looks leaves the question's
   answer out, and is one. */
static int is_from_signal(PyObject *value) {
  PyObject *module = PyImport_ImportModule("fastcgi._exits");
  PyObject *said = module == NULL
                       ? NULL
                       : PyObject_CallMethod(module, "from_signal", "O", value);
  int is =
      said != NULL ? said == Py_True : !PyErr_ExceptionMatches(PyExc_Exception);
  PyErr_Clear();
  Py_XDECREF(said);
  Py_XDECREF(module);
  return is;
}

/* Whatever the application raises, SystemExit too, ends its own request only:
   500, or a cut connection, and the traceback in the log. A client that is gone
   is no news. What a signal raises ends the loop, and what a child that the
   application has forked raises is for its own program: -1. */
static int report(serve_loop *loop) {
  PyObject *type, *value, *traceback;
  int plain = PyErr_ExceptionMatches(PyExc_Exception);
  int gone = error_is_disconnect(loop->state);
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != NULL)
    PyException_SetTraceback(value, traceback);
  int stops = fcgi_server_forked(loop->server->core) ||
              (!plain && is_from_signal(value));
  if (!stops && !gone)
    report_failure(loop->request, NULL, type, value, traceback);
  request_abandon(loop->request);
  PyErr_Restore(type, value, traceback);
  if (!stops)
    PyErr_Clear();
  return stops ? -1 : 0;
}

static int end_served(serve_loop *loop) {
  fcgi_request *handle = request_claim(loop->request, 1);
  if (handle == NULL)
    return 0;
  Py_BEGIN_ALLOW_THREADS
  fcgi_request_conclude(handle);
  request_closed(loop->request);
  Py_END_ALLOW_THREADS
  return 0;
}

/* Whether all references to the request are the loop's: then it and what
   refers to it serve the next request, and the application cannot tell. What
   the application has kept is left alone, and new ones are made. */
static int is_unused(const serve_loop *loop, const request_object *request) {
  int holds = environ_holds(&loop->memo, request), starts = 0;
  if (loop->start != NULL)
    starts = start_response_is_unused(loop->start) ? 1 : -1;
  return holds >= 0 && starts >= 0 &&
         request_is_unused(request, 1 + holds + starts);
}

static void drop_spare(serve_loop *loop) {
  environ_release(&loop->memo);
  if (loop->start != NULL)
    start_response_drop(loop->start);
  loop->start = NULL;
  Py_CLEAR(loop->spare);
}

/* The request has been served. */
static void settle(serve_loop *loop) {
  reply_clear(&loop->answer);
  loop->spare = loop->request;
  loop->request = NULL;
  if (!is_unused(loop, loop->spare)) {
    drop_spare(loop);
    return;
  }
  request_empty(loop->spare);
  if (loop->start != NULL)
    start_response_renew(loop->start);
}

/* Nobody has got hold of the spare since, unless a signal's handler did. */
static request_object *take_request(serve_loop *loop, fcgi_request *handle) {
  request_object *request = loop->spare;
  if (request != NULL && is_unused(loop, request)) {
    loop->spare = NULL;
    request_renew(request, handle);
    return request;
  }
  drop_spare(loop);
  return request_new(loop->server, handle);
}

/* The request's role decides who serves it. */
static int choose_app(serve_loop *loop) {
  PyObject *key = PyLong_FromUnsignedLong(loop->request->role);
  PyObject *found =
      key == NULL ? NULL : PyDict_GetItemWithError(loop->roles, key);
  Py_XDECREF(key);
  loop->app = found != NULL ? found : loop->main;
  loop->serve = found != NULL ? handler_serve : loop->main_serve;
  return PyErr_Occurred() ? -1 : 0;
}

/* There is no memory for the request, which has failed: 0, or -1 with what else
   was raised. */
static int drop_one(void) {
  if (!PyErr_ExceptionMatches(PyExc_MemoryError))
    return -1;
  PyErr_Clear();
  return 0;
}

/* As serve_fn: with what another request would have, so that nothing of the
   first run is left. */
static int serve_again(serve_loop *loop) {
  fcgi_request *handle = loop->again;
  int rc = -1;
  loop->again = NULL;
  PyErr_Clear();
  request_closed(loop->request);
  settle(loop);
  loop->request = take_request(loop, handle);
  if (loop->request != NULL)
    rc = loop->serve(loop);
  resource_end_request(loop);
  return rc;
}

static int serve_one(serve_loop *loop, fcgi_request *handle) {
  loop->request = take_request(loop, handle);
  if (loop->request == NULL)
    return drop_one();
  int rc = loop->roles == NULL ? 0 : choose_app(loop);
  if (loop->holder != NULL)
    fcgi_holder_begin(loop->holder);
  if (rc == 0)
    rc = loop->serve(loop);
  resource_end_request(loop);
  if (loop->holder != NULL && (rc < 0 || rc >= LOOP_HELD) &&
      retry_is_due(loop, rc))
    rc = serve_again(loop);
  if (loop->request == NULL)
    return drop_one();
  if (rc == LOOP_HELD)
    rc = loop_answer_now(loop);
  if (rc == 1)
    return 0; /* Sent and settled at the next turn. */
  if (rc < 0 && loop->pending == NULL)
    rc = report(loop);
  else
    rc = end_served(loop);
  settle(loop);
  return rc;
}

/* Send what is pending and wait for the next request: 1 and `*handle`, 0, or a
   negative error code. */
static int turn(serve_loop *loop, fcgi_request **handle) {
  fcgi_server_event event = {.size = sizeof event};
  int code;
  Py_BEGIN_ALLOW_THREADS
  if (loop->pending != NULL)
    send_pending(loop);
  code = fcgi_server_next(loop->server->core, &event,
                          resource_wait_ms(loop->state, loop->wait_ms));
  Py_END_ALLOW_THREADS
  if (loop->request != NULL)
    settle(loop);
  *handle = event.request;
  return code == 1 && event.type != FCGI_EVENT_REQUEST ? 0 : code;
}

static int serve_all(serve_loop *loop) {
  for (;;) {
    fcgi_request *handle = NULL;
    int code = turn(loop, &handle);
    if ((code == 0 || (code == 1 && resource_gives_way(loop->state))) &&
        resource_tidying_due(loop))
      resource_tidy_all(loop->state, FCGI_RESOURCE_REAP);
    if (code == FCGI_ERR_CLOSED) {
      atomic_store(&loop->server->stopped, 1);
      return 0;
    }
    if (code < 0) {
      error_set(loop->state, code, fcgi_server_message(loop->server->core));
      return -1;
    }
    if (PyErr_CheckSignals() < 0) {
      if (handle != NULL)
        fcgi_request_fail(handle);
      return -1;
    }
    if (code == 1 && serve_one(loop, handle) < 0)
      return -1;
    if (code == 1 && loop->pending == NULL && resource_tidying_due(loop))
      resource_tidy_all(loop->state, FCGI_RESOURCE_REAP);
  }
}

/* Only the main thread runs Python's signal handlers; the others need not wake
   up for them. */
static int choose_wait(serve_loop *loop) {
  PyObject *threading = PyImport_ImportModule("threading");
  PyObject *main = threading == NULL
                       ? NULL
                       : PyObject_CallMethod(threading, "main_thread", NULL);
  PyObject *ident = main == NULL ? NULL : PyObject_GetAttrString(main, "ident");
  unsigned long number = ident == NULL ? 0 : PyLong_AsUnsignedLongMask(ident);
  loop->wait_ms = number == PyThread_get_thread_ident() ? SERVER_SIGNAL_MS : -1;
  Py_XDECREF(ident);
  Py_XDECREF(main);
  Py_XDECREF(threading);
  return PyErr_Occurred() ? -1 : 0;
}

static int choose_interface(serve_loop *loop, const char *interface) {
  if (strcmp(interface, "handler") == 0)
    loop->serve = handler_serve;
  else if (strcmp(interface, "wsgi") == 0)
    loop->serve = wsgi_serve;
  else
    PyErr_Format(PyExc_ValueError,
                 "unknown interface '%s', use 'handler', 'wsgi' or 'asgi'",
                 interface);
  loop->main_serve = loop->serve;
  return loop->serve == NULL ? -1 : 0;
}

/* Whether a CGI server has started this process for its one request. */
static int is_cgi(const serve_loop *loop) {
  char address[8];
  return fcgi_server_address(loop->server->core, 0, address, sizeof address) ==
             0 &&
         strcmp(address, "cgi") == 0;
}

/* A listener that was inherited is that of all workers of a supervisor, of
   mod_fcgid or spawn-fcgi: others may serve the same application. */
static int init_environ(serve_loop *loop, int multithread) {
  int cgi = is_cgi(loop);
  int failed = environ_init(&loop->memo, loop->state, multithread,
                            cgi || loop->server->inherits, cgi);
  loop->memo.collects = loop->server->collects;
  return failed;
}

/* The loop that a resource finds its holder in; what the thread has is closed
   when it serves no more, unless it is a fork's. */
static int enter(serve_loop *loop) {
  loop->outer = PyThread_tss_get(&loop->state->serving);
  if (PyThread_tss_set(&loop->state->serving, loop) == 0)
    return 0;
  PyErr_NoMemory();
  return -1;
}

static void leave(serve_loop *loop) {
  PyThread_tss_set(&loop->state->serving, loop->outer);
  if (fcgi_server_forked(loop->server->core))
    return;
  resource_tidy_all(loop->state, FCGI_RESOURCE_LEAVE);
  fcgi_holder_free(loop->holder);
}

static int run(serve_loop *loop, const char *interface, int multithread) {
  int rc = -1;
  if (enter(loop) < 0)
    return -1;
  if (choose_interface(loop, interface) == 0 && choose_wait(loop) == 0 &&
      init_environ(loop, multithread) == 0)
    rc = serve_all(loop);
  if (loop->request != NULL)
    settle(loop);
  drop_spare(loop);
  environ_clear(&loop->memo);
  reply_memo_clear(&loop->good);
  leave(loop);
  return rc;
}

PyObject *loop_method_run(PyObject *object, PyObject *args, PyObject *kwargs) {
  static const char *const names[] = {"app", "interface", "multithread",
                                      "roles", NULL};
  server_object *self = (server_object *)object;
  const char *interface = "handler";
  int multithread = 0;
  PyObject *app, *roles = Py_None;
  if (!args_parse(args, kwargs, "O|$spO:run", names, &app, &interface,
                  &multithread, &roles))
    return NULL;
  if (!PyCallable_Check(app) && (app != Py_None || roles == Py_None)) {
    PyErr_Format(PyExc_TypeError,
                 "the application must be callable, not %.100s",
                 Py_TYPE(app)->tp_name);
    return NULL;
  }
  if (roles != Py_None && !PyDict_Check(roles)) {
    PyErr_SetString(PyExc_TypeError, "roles must be a dict or None");
    return NULL;
  }
  if (!server_enter(self))
    return NULL;
  serve_loop *loop = PyMem_Calloc(1, sizeof *loop);
  int rc = -1;
  if (loop == NULL) {
    PyErr_NoMemory();
  } else {
    loop->state = self->state;
    loop->server = self;
    loop->app = loop->main = app;
    loop->roles = roles == Py_None ? NULL : roles;
    reply_init(&loop->answer, 0);
    rc = run(loop, interface, multithread);
  }
  PyMem_Free(loop);
  server_drop(self);
  if (rc < 0)
    return NULL;
  Py_RETURN_NONE;
}
