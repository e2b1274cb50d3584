/* SPDX-License-Identifier: MIT */
#include "server.h"
#include "options.h"
#include "request.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int server_hold(server_object *self) {
  int holds = atomic_load_explicit(&self->holds, memory_order_relaxed);
  while (holds > 0)
    if (atomic_compare_exchange_weak(&self->holds, &holds, holds + 1))
      return 1;
  return 0;
}

void server_drop(server_object *self) {
  if (atomic_fetch_sub(&self->holds, 1) == 1)
    trace_free_server(self->core);
}

int server_enter(server_object *self) {
  if (!atomic_load(&self->closed) && server_hold(self))
    return 1;
  PyErr_SetString(self->state->errors[ERROR_CLOSED], "the server is closed");
  return 0;
}

static PyObject *server_new(PyTypeObject *type, PyObject *args,
                            PyObject *kwargs) {
  (void)args;
  (void)kwargs;
  core_state *state = state_of_type(type);
  server_object *self =
      state == NULL ? NULL : (server_object *)type->tp_alloc(type, 0);
  if (self != NULL)
    self->state = state;
  return (PyObject *)self;
}

static int server_init(PyObject *object, PyObject *args, PyObject *kwargs) {
  server_object *self = (server_object *)object;
  fcgi_server_config config = {.size = sizeof config};
  if (!PyArg_ParseTuple(args, ":Server"))
    return -1;
  if (atomic_load(&self->holds) != 0 || atomic_load(&self->closed)) {
    PyErr_SetString(self->state->errors[ERROR_STATE],
                    "the server is initialised already");
    return -1;
  }
  config.log_levels = (2u << FCGI_LOG_INFO) - 1;
  fcgi_options *options = options_new();
  int parsed = options == NULL ? -1 : options_give_server(options, kwargs);
  if (parsed == 0)
    fcgi_options_server(options, &config);
  self->collects = config.body == FCGI_BODY_COLLECT;
  char why[256];
  int code =
      parsed < 0 ? 0 : fcgi_server_new(&self->core, &config, why, sizeof why);
  fcgi_options_free(options);
  if (parsed < 0)
    return -1;
  if (code < 0) {
    error_set(self->state, code, why);
    return -1;
  }
  trace_init(self);
  atomic_store(&self->holds, 1);
  return 0;
}

static PyObject *server_close(PyObject *object, PyObject *unused) {
  server_object *self = (server_object *)object;
  (void)unused;
  if (server_hold(self)) {
    atomic_store(&self->hurried, 1);
    fcgi_server_stop(self->core, FCGI_STOP_NOW);
    if (atomic_exchange(&self->closed, 1) == 0)
      server_drop(self);
    server_drop(self);
  }
  Py_RETURN_NONE;
}

static int server_traverse(PyObject *object, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(((server_object *)object)->roles);
  return 0;
}

/* Requests and running calls own a reference, so here only the object's own
   hold can be left. */
static void server_dealloc(PyObject *object) {
  server_object *self = (server_object *)object;
  PyTypeObject *type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  if (atomic_load(&self->holds) > 0)
    server_drop(self);
  Py_CLEAR(self->roles);
  asgi_forget_headers(self);
  type->tp_free(object);
  Py_DECREF(type);
}

/* The text of an address, NULL for None; -1 with an exception. */
static int address_text(PyObject *address, const char **text) {
  Py_ssize_t len = 0;
  *text = NULL;
  if (address == Py_None)
    return 0;
  if (!PyUnicode_Check(address)) {
    PyErr_Format(PyExc_TypeError, "an address must be str or None, not %.100s",
                 Py_TYPE(address)->tp_name);
    return -1;
  }
  *text = PyUnicode_AsUTF8AndSize(address, &len);
  if (*text != NULL && strlen(*text) != (size_t)len) {
    PyErr_SetString(PyExc_ValueError, "an address has no NUL");
    return -1;
  }
  return *text == NULL ? -1 : 0;
}

static PyObject *server_listen(PyObject *object, PyObject *address) {
  server_object *self = (server_object *)object;
  const char *text;
  if (address_text(address, &text) < 0)
    return NULL;
  if (!server_enter(self))
    return NULL;
  int code = fcgi_server_listen(self->core, text);
  if (text == NULL || strncmp(text, "fd:", 3) == 0)
    self->inherits = 1;
  if (code < 0)
    error_set(self->state, code, fcgi_server_message(self->core));
  server_drop(self);
  if (code < 0)
    return NULL;
  Py_RETURN_NONE;
}

static PyObject *get_addresses(PyObject *object, void *unused) {
  server_object *self = (server_object *)object;
  char text[512];
  (void)unused;
  if (!server_enter(self))
    return NULL;
  PyObject *all = PyList_New(0);
  for (size_t i = 0; all != NULL; i++) {
    if (fcgi_server_address(self->core, i, text, sizeof text) < 0)
      break;
    PyObject *one = PyUnicode_DecodeFSDefault(text);
    if (one == NULL || PyList_Append(all, one) < 0)
      Py_CLEAR(all);
    Py_XDECREF(one);
  }
  server_drop(self);
  return all;
}

static PyObject *get_address(PyObject *object, void *unused) {
  PyObject *all = get_addresses(object, unused);
  if (all == NULL)
    return NULL;
  PyObject *first =
      PyList_GET_SIZE(all) > 0 ? PyList_GET_ITEM(all, 0) : Py_None;
  Py_INCREF(first);
  Py_DECREF(all);
  return first;
}

static PyObject *get_stopped(PyObject *object, void *unused) {
  server_object *self = (server_object *)object;
  (void)unused;
  return PyBool_FromLong(atomic_load(&self->stopped) ||
                         atomic_load(&self->closed));
}

/* A server that is closed already is nobody's. */
static PyObject *get_forked(PyObject *object, void *unused) {
  server_object *self = (server_object *)object;
  (void)unused;
  int forked = 0;
  if (server_hold(self)) {
    forked = fcgi_server_forked(self->core);
    server_drop(self);
  }
  return PyBool_FromLong(forked);
}

static PyObject *get_stopping(PyObject *object, void *unused) {
  server_object *self = (server_object *)object;
  (void)unused;
  int stopping = 1;
  if (server_hold(self)) {
    stopping = fcgi_server_stopping(self->core);
    server_drop(self);
  }
  return PyBool_FromLong(stopping);
}

static PyObject *get_hurried(PyObject *object, void *unused) {
  (void)unused;
  return PyBool_FromLong(atomic_load(&((server_object *)object)->hurried));
}

static PyObject *server_fileno(PyObject *object, PyObject *unused) {
  server_object *self = (server_object *)object;
  (void)unused;
  if (!server_enter(self))
    return NULL;
  int fd = fcgi_server_fd(self->core);
  server_drop(self);
  return fd < 0 ? error_set(self->state, fd, NULL) : PyLong_FromLong(fd);
}

static PyObject *server_wait(PyObject *object, PyObject *unused) {
  server_object *self = (server_object *)object;
  (void)unused;
  if (!server_enter(self))
    return NULL;
  int ms = fcgi_server_wait_ms(self->core);
  server_drop(self);
  if (ms < 0)
    Py_RETURN_NONE;
  return PyFloat_FromDouble(ms / 1000.0);
}

static PyObject *server_stop(PyObject *object, PyObject *args,
                             PyObject *kwargs) {
  server_object *self = (server_object *)object;
  static const char *const names[] = {"graceful", NULL};
  int graceful = 1;
  if (!args_parse(args, kwargs, "|p:stop", names, &graceful))
    return NULL;
  if (!graceful)
    atomic_store(&self->hurried, 1);
  if (server_hold(self)) {
    fcgi_server_stop(self->core, graceful ? FCGI_STOP_GRACEFUL : FCGI_STOP_NOW);
    server_drop(self);
  }
  Py_RETURN_NONE;
}

void server_log(server_object *self, fcgi_log_level level, PyObject *text) {
  static const char lost[] = "fastcgi: what is to be said cannot be\n";
  PyObject *bytes =
      text == NULL
          ? NULL
          : PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
  if (bytes == NULL)
    fcgi_server_log(self->core, level, lost, sizeof lost - 1);
  else
    fcgi_server_log(self->core, level, PyBytes_AS_STRING(bytes),
                    (size_t)PyBytes_GET_SIZE(bytes));
  Py_XDECREF(bytes);
  PyErr_Clear();
}

static PyObject *server_tell(PyObject *object, PyObject *args) {
  server_object *self = (server_object *)object;
  PyObject *text;
  int is_error;
  if (!PyArg_ParseTuple(args, "Up:_tell", &text, &is_error) ||
      !server_enter(self))
    return NULL;
  server_log(self, is_error ? FCGI_LOG_ERROR : FCGI_LOG_INFO, text);
  server_drop(self);
  Py_RETURN_NONE;
}

/* The hold keeps what the thread stops, though the application closes it. */
static PyObject *server_heed(PyObject *object, PyObject *args) {
  server_object *self = (server_object *)object;
  int fd, code = FCGI_ERR_STATE;
  if (!PyArg_ParseTuple(args, "i:_heed", &fd) || !server_enter(self))
    return NULL;
  if (self->stopper == NULL)
    code = fcgi_stopper_new(&self->stopper, self->core, fd, 0);
  if (code == 0)
    Py_RETURN_NONE;
  error_set(self->state, code, "the signals' thread cannot be started");
  server_drop(self);
  return NULL;
}

static PyObject *server_heed_no_more(PyObject *object, PyObject *unused) {
  server_object *self = (server_object *)object;
  fcgi_stopper *stopper = self->stopper;
  (void)unused;
  self->stopper = NULL;
  if (stopper != NULL) {
    Py_BEGIN_ALLOW_THREADS
    fcgi_stopper_free(stopper);
    server_drop(self);
    Py_END_ALLOW_THREADS
  }
  Py_RETURN_NONE;
}

static PyObject *server_reopen_logs(PyObject *object, PyObject *unused) {
  server_object *self = (server_object *)object;
  (void)unused;
  if (server_hold(self)) {
    fcgi_server_reopen_logs(self->core);
    server_drop(self);
  }
  Py_RETURN_NONE;
}

int server_take(server_object *self, fcgi_request **out, int timeout_ms) {
  fcgi_server_event event = {.size = sizeof event};
  int code;
  Py_BEGIN_ALLOW_THREADS
  code = fcgi_server_next(self->core, &event, timeout_ms);
  Py_END_ALLOW_THREADS
  if (code == FCGI_ERR_CLOSED) {
    atomic_store(&self->stopped, 1);
    return -2;
  }
  if (code < 0) {
    error_set(self->state, code, fcgi_server_message(self->core));
    return -1;
  }
  *out = event.request;
  if (code == 1 && event.type == FCGI_EVENT_REQUEST)
    return 1;
  return PyErr_CheckSignals() < 0 ? -1 : 0;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Milliseconds of the next wait: what is left of `until`, rounded up, and not
   so long that a signal waits. */
static int wait_ms(double until) {
  double left = (until - now()) * 1000.0 + 0.999;
  if (until < 0 || left > SERVER_SIGNAL_MS)
    return SERVER_SIGNAL_MS;
  return left > 0 ? (int)left : 0;
}

/* Wait for a request until a time, or for ever when that is negative. */
static PyObject *accept_until(server_object *self, double until) {
  fcgi_request *handle = NULL;
  PyObject *request = NULL;
  if (!server_enter(self))
    return NULL;
  for (;;) {
    int ms = wait_ms(until);
    int taken = server_take(self, &handle, ms);
    if (taken == 1)
      request = (PyObject *)request_new(self, handle);
    if (taken != 0 || ms == 0)
      break;
  }
  server_drop(self);
  return request;
}

static PyObject *server_accept(PyObject *object, PyObject *args,
                               PyObject *kwargs) {
  static const char *const names[] = {"timeout", NULL};
  PyObject *timeout = Py_None;
  double until = -1;
  if (!args_parse(args, kwargs, "|O:accept", names, &timeout))
    return NULL;
  if (timeout != Py_None) {
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
      return NULL;
    until = now() + (seconds > 0 ? seconds : 0);
  }
  PyObject *request = accept_until((server_object *)object, until);
  if (request == NULL && !PyErr_Occurred())
    Py_RETURN_NONE;
  return request;
}

static PyObject *server_next_request(PyObject *object) {
  return accept_until((server_object *)object, -1);
}

static PyObject *server_enter_with(PyObject *object, PyObject *unused) {
  (void)unused;
  return Py_NewRef(object);
}

static PyObject *server_exit_with(PyObject *object, PyObject *args) {
  (void)args;
  return server_close(object, NULL);
}

static PyGetSetDef server_getset[] = {
    {"address", get_address, NULL,
     "The first address listened on, with its real port; None without one.",
     NULL},
    {"addresses", get_addresses, NULL, "Every address listened on.", NULL},
    {"stopped", get_stopped, NULL,
     "True once stopped with every request finished.", NULL},
    {"forked", get_forked, NULL,
     "True in a process that was forked from the server's, to which it and "
     "its\nrequests belong.",
     NULL},
    {"_stopping", get_stopping, NULL, "True once it was told to stop.", NULL},
    {"_hurried", get_hurried, NULL, "True once that was to be at once.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define FAST(name) ((PyCFunction)(void (*)(void))(name))

static PyMethodDef server_methods[] = {
    {"listen", server_listen, METH_O,
     "listen($self, address, /)\n--\n\n"
     "Listen on 'unix:/path', 'unix:@name', 'host:port', '[::1]:port', "
     "'fd:N',\nor None for the inherited listener. May be called again."},
    {"accept", FAST(server_accept), METH_VARARGS | METH_KEYWORDS,
     "accept($self, timeout=None)\n--\n\n"
     "Wait for a request; None after timeout seconds or when stopped."},
    {"run", FAST(loop_method_run), METH_VARARGS | METH_KEYWORDS,
     "run($self, app, *, interface='handler', multithread=False, roles=None)\n"
     "--\n\n"
     "Serve app on the calling thread until stopped. Other threads may call "
     "it too.\nroles has the handlers of other roles, by number."},
    {"set_roles", roles_method_set, METH_O,
     "set_roles($self, roles, /)\n--\n\n"
     "Serve these roles only: a list of (number, streams, name); streams is 0 "
     "for\nnone, 1 for STDIN, 2 for STDIN and DATA. Not once a peer has come."},
    {"stop", FAST(server_stop), METH_VARARGS | METH_KEYWORDS,
     "stop($self, graceful=True)\n--\n\n"
     "Accept nothing more and finish what runs, or abort it."},
    {"reopen_logs", server_reopen_logs, METH_NOARGS,
     "reopen_logs($self)\n--\n\n"
     "Open access log and error log anew, once they were renamed."},
    {"_open_loop", asgi_method_open, METH_NOARGS,
     "_open_loop($self)\n--\n\n"
     "Take requests by _turn from now on, from this thread."},
    {"_withhold", asgi_method_withhold, METH_O,
     "_withhold($self, flag, /)\n--\n\n"
     "Take no further requests, only what happens to those that run; or do "
     "again."},
    {"_turn", asgi_method_turn, METH_O,
     "_turn($self, begin, /)\n--\n\n"
     "Give what is there: requests to begin(), which returns whose stir() and "
     "abort()\nare called for the rest. Returns the seconds until the next "
     "call is due, None\nfor none, and False once all is over."},
    {"_heed", server_heed, METH_VARARGS,
     "_heed($self, signals, /)\n--\n\n"
     "Stop by the numbers of signals that come as bytes from a descriptor, "
     "whatever the\ninterpreter does."},
    {"_heed_no_more", server_heed_no_more, METH_NOARGS,
     "_heed_no_more($self)\n--\n\nEnd that."},
    {"_tell", server_tell, METH_VARARGS,
     "_tell($self, text, is_error, /)\n--\n\n"
     "Write text to the log as it is, without waiting for whoever reads that."},
    {"close", server_close, METH_NOARGS,
     "close($self)\n--\n\nStop at once and give every resource back."},
    {"fileno", server_fileno, METH_NOARGS,
     "fileno($self)\n--\n\n"
     "A descriptor that is readable when accept(0) has work: call that until "
     "it\nreturns None."},
    {"wait", server_wait, METH_NOARGS,
     "wait($self)\n--\n\n"
     "Seconds until accept(0) has a timeout to see to; None for none."},
    {"__enter__", server_enter_with, METH_NOARGS,
     "__enter__($self)\n--\n\nReturn the server."},
    {"__exit__", server_exit_with, METH_VARARGS,
     "__exit__($self, *exc_info)\n--\n\nClose the server."},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(server_doc,
             "Server(**options)\n--\n\n"
             "A FastCGI server. Any number of threads may use it at once.\n"
             "Iterating over it gives its requests.");

static PyType_Slot server_slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)server_doc},
    {Py_tp_new, server_new},
    {Py_tp_init, server_init},
    {Py_tp_dealloc, server_dealloc},
    {Py_tp_traverse, server_traverse},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, server_next_request},
    {Py_tp_getset, server_getset},
    {Py_tp_methods, server_methods},
    {0, NULL},
};

PyType_Spec server_spec = {
    .name = "fastcgi._core.Server",
    .basicsize = sizeof(server_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = server_slots,
};
