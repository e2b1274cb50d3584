/* SPDX-License-Identifier: MIT */
/* What an event loop of Python's, which serves ASGI, needs of a server. */
#include "request.h"

enum { TAKEN_AT_ONCE = 64 }; /* Those taken run only after that. */

/* A body that is collected is whole before its request is given out. */
static unsigned events_of(const server_object *self, int withheld) {
  unsigned events = 1u << FCGI_EVENT_WRITABLE | 1u << FCGI_EVENT_ABORT;
  if (!self->collects)
    events |= 1u << FCGI_EVENT_STDIN | 1u << FCGI_EVENT_STDIN_END;
  return withheld ? events : events | 1u << FCGI_EVENT_REQUEST;
}

PyObject *asgi_method_open(PyObject *object, PyObject *unused) {
  server_object *self = (server_object *)object;
  (void)unused;
  if (!server_enter(self))
    return NULL;
  fcgi_server_set_events(self->core, events_of(self, 0));
  if (self->headers == NULL)
    self->headers = PyMem_Calloc(FCGI_PARAMS_KNOWN, sizeof(PyObject *));
  server_drop(self);
  if (self->headers == NULL)
    return PyErr_NoMemory();
  Py_RETURN_NONE;
}

void asgi_forget_headers(server_object *self) {
  for (size_t i = 0; self->headers != NULL && i < FCGI_PARAMS_KNOWN; i++)
    Py_XDECREF(self->headers[i]);
  PyMem_Free(self->headers);
  self->headers = NULL;
}

PyObject *asgi_method_withhold(PyObject *object, PyObject *flag) {
  server_object *self = (server_object *)object;
  if (!server_enter(self))
    return NULL;
  fcgi_server_set_events(self->core, events_of(self, flag == Py_True));
  server_drop(self);
  Py_RETURN_NONE;
}

/* A request that there is no memory for has failed. */
static int begin_one(server_object *self, fcgi_request *handle,
                     PyObject *begin) {
  request_object *request = request_new(self, handle);
  if (request == NULL) {
    PyErr_Clear();
    return 0;
  }
  request->looped = 1;
  fcgi_request_set_timeout(handle, FCGI_WAIT_NEVER);
  fcgi_request_set_user_data(handle, request);
  PyObject *exchange = PyObject_CallOneArg(begin, (PyObject *)request);
  if (exchange != NULL && exchange != Py_None && request_open(request))
    Py_XSETREF(request->exchange, Py_NewRef(exchange));
  Py_XDECREF(exchange);
  Py_DECREF(request);
  return exchange == NULL ? -1 : 0;
}

/* A request whose handle still refers to its object has not ended, and who
   runs it holds the object. */
static int stir_one(server_object *self, const fcgi_server_event *event) {
  request_object *request = event->user_data;
  PyObject *exchange = request == NULL ? NULL : request->exchange;
  PyObject *name =
      event->type == FCGI_EVENT_ABORT ? self->state->abort : self->state->stir;
  if (exchange == NULL)
    return 0;
  Py_INCREF(exchange);
  PyObject *done = PyObject_CallMethodNoArgs(exchange, name);
  Py_DECREF(exchange);
  Py_XDECREF(done);
  return done == NULL ? -1 : 0;
}

static int give(server_object *self, const fcgi_server_event *event,
                PyObject *begin) {
  return event->type == FCGI_EVENT_REQUEST
             ? begin_one(self, event->request, begin)
             : stir_one(self, event);
}

/* What the core's call gave: 1 to go on, or a result for Python. */
static int take_one(server_object *self, PyObject *begin, PyObject **result) {
  fcgi_server_event event = {.size = sizeof event};
  int code;
  Py_BEGIN_ALLOW_THREADS
  code = fcgi_server_next(self->core, &event, 0);
  Py_END_ALLOW_THREADS
  *result = NULL;
  if (code == 1)
    return give(self, &event, begin) == 0;
  if (code == FCGI_ERR_CLOSED) {
    atomic_store(&self->stopped, 1);
    *result = Py_NewRef(Py_False);
  } else if (code < 0) {
    error_set(self->state, code, fcgi_server_message(self->core));
  } else {
    int ms = fcgi_server_wait_ms(self->core);
    *result = ms < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble(ms / 1000.0);
  }
  return 0;
}

PyObject *asgi_method_turn(PyObject *object, PyObject *begin) {
  server_object *self = (server_object *)object;
  PyObject *result = NULL;
  int count = 0;
  if (!server_enter(self))
    return NULL;
  while (count < TAKEN_AT_ONCE && take_one(self, begin, &result))
    count++;
  if (count == TAKEN_AT_ONCE)
    result = PyFloat_FromDouble(0.0);
  server_drop(self);
  return result;
}
