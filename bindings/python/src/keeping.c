/* SPDX-License-Identifier: MIT */
/* The steps of a resource, with Python's functions. */
#include "loop.h"
#include "resource.h"
#include <stdlib.h>
#include <time.h>

/* What was raised, as one object; nothing is raised any more. */
static PyObject *take_exception(void) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (value != NULL && traceback != NULL)
    PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return value;
}

/* What no further attempt mends: a fault of the program, which is raised as it
   is. */
static int is_final(core_state *state, PyObject *error) {
  PyObject *const faults[] = {PyExc_TypeError,      PyExc_NameError,
                              PyExc_AttributeError, PyExc_ImportError,
                              PyExc_LookupError,    PyExc_SyntaxError,
                              PyExc_AssertionError, state->errors[ERROR_STATE]};
  if (!PyErr_GivenExceptionMatches(error, PyExc_Exception))
    return 1;
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
    if (PyErr_GivenExceptionMatches(error, faults[i]))
      return 1;
  return 0;
}

static void explain(fcgi_handle *handle, PyObject *error) {
  PyObject *text =
      PyUnicode_FromFormat("%s: %S", Py_TYPE(error)->tp_name, error);
  const char *why = text == NULL ? NULL : PyUnicode_AsUTF8(text);
  char line[FCGI_RESOURCE_WHY];
  size_t len = why == NULL ? 0 : strcspn(why, "\n");
  if (len >= sizeof line)
    len = sizeof line - 1;
  memcpy(line, why == NULL ? "" : why, len);
  line[len] = '\0';
  PyErr_Clear();
  Py_XDECREF(text);
  fcgi_handle_explain(handle, line);
}

/* -1 with an exception. */
static int prepare(resource_object *self, PyObject *value) {
  PyObject *done;
  if (value == Py_None) {
    PyErr_Format(PyExc_TypeError, "open of resource '%s' has returned None",
                 fcgi_resource_name(self->core));
    return -1;
  }
  done = PyObject_CallMethod((PyObject *)self, "_opened", "O", value);
  Py_XDECREF(done);
  return done == NULL ? -1 : 0;
}

static void close_value(resource_object *self, PyObject *value) {
  PyObject *done =
      PyObject_CallMethod((PyObject *)self, "_closing", "O", value);
  PyErr_Clear(); /* It may be broken, and is let go of in any case. */
  Py_XDECREF(done);
  Py_DECREF(value);
}

/* What the core is told of it. */
static int code_of(core_state *state, PyObject *error) {
  if (error == NULL)
    return FCGI_ERR_INVALID;
  if (PyErr_GivenExceptionMatches(error, state->unavailable))
    return FCGI_ERR_TIMEOUT;
  return is_final(state, error) ? FCGI_ERR_INVALID : FCGI_ERR_CLOSED;
}

static void set_error(resource_object *self, PyObject *error) {
  Py_BEGIN_CRITICAL_SECTION(self);
  Py_XSETREF(self->error, error);
  Py_END_CRITICAL_SECTION();
}

/* Unavailable is raised anew with what was the cause of this one. */
static int open_failed(resource_object *self, fcgi_handle *handle,
                       PyObject **raised) {
  PyObject *error = take_exception();
  int code = code_of(self->state, error);
  PyObject *cause =
      code == FCGI_ERR_TIMEOUT ? PyException_GetCause(error) : NULL;
  if (cause != NULL)
    Py_SETREF(error, cause);
  if (error != NULL)
    explain(handle, error);
  if (code == FCGI_ERR_INVALID && *raised == NULL)
    *raised = Py_XNewRef(error);
  set_error(self, error);
  return code;
}

static int open_value(resource_object *self, fcgi_handle *handle,
                      PyObject **raised) {
  PyObject *value = PyObject_CallNoArgs(self->open);
  if (value != NULL && prepare(self, value) < 0) {
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    close_value(self, value);
    PyErr_Restore(type, error, traceback);
    value = NULL;
  }
  fcgi_handle_set_value(handle, value);
  if (value == NULL)
    return open_failed(self, handle, raised);
  if (self->error != NULL)
    set_error(self, NULL);
  return 0;
}

/* 0 if the function, where there is one, neither raises nor returns False. What
   is no failure of the value, such as KeyboardInterrupt, is raised later. */
static int ask(PyObject *function, PyObject *value, PyObject **raised) {
  PyObject *answer;
  if (function == NULL || function == Py_None)
    return 0;
  answer = PyObject_CallOneArg(function, value);
  if (answer == NULL) {
    PyObject *error = take_exception();
    if (error != NULL && *raised == NULL &&
        !PyErr_GivenExceptionMatches(error, PyExc_Exception))
      *raised = Py_NewRef(error);
    Py_XDECREF(error);
    return FCGI_ERR_CLOSED;
  }
  Py_DECREF(answer);
  return answer == Py_False ? FCGI_ERR_CLOSED : 0;
}

/* A place that says nothing is the resource itself, with the lowest bit set. */
static void *bare_place(resource_object *self) {
  return (void *)((uintptr_t)self | 1);
}

static int is_bare(const void *place) {
  return ((uintptr_t)place & 1) != 0;
}

void resource_drop_place(void *where) {
  resource_place *place = where;
  if (where == NULL)
    return;
  if (is_bare(where)) {
    Py_DECREF((PyObject *)((uintptr_t)where & ~(uintptr_t)1));
    return;
  }
  Py_XDECREF(place->code);
  Py_DECREF(place->resource);
  PyMem_Free(place);
}

static int carry_out(resource_object *self, fcgi_handle *handle, int step,
                     PyObject **raised) {
  PyObject *value = fcgi_handle_value(handle);
  switch (step) {
  case FCGI_RESOURCE_OPEN:
    return open_value(self, handle, raised);
  case FCGI_RESOURCE_CHECK:
    return ask(self->check, value, raised);
  case FCGI_RESOURCE_RESET:
    return ask(self->reset, value, raised);
  default: /* A thread may have ended while it held it. */
    resource_drop_place(fcgi_handle_place(handle));
    fcgi_handle_set_place(handle, NULL);
    close_value(self, value);
    return 0;
  }
}

/* What open has returned twice is not ours a second time. */
static int done(fcgi_handle *handle, int step, int outcome) {
  PyObject *value = fcgi_handle_value(handle);
  int next = fcgi_handle_done(handle, outcome);
  if (step == FCGI_RESOURCE_OPEN && outcome == 0 && next == FCGI_ERR_INVALID)
    Py_XDECREF(value);
  return next;
}

int resource_finish(fcgi_handle *handle, int step, PyObject **raised) {
  PyObject *self;
  if (step <= 0)
    return step;
  self = fcgi_resource_user_data(fcgi_handle_resource(handle));
  Py_INCREF(self);
  while (step > 0)
    step = done(handle, step,
                carry_out((resource_object *)self, handle, step, raised));
  Py_DECREF(self);
  return step;
}

/* To find the place makes an object of the frame, which costs as much as all
   the rest. So it is noted for the first takes, and once one was not given
   back. */
void resource_note_place(resource_object *self, fcgi_handle *handle) {
  enum { FIRST = 100 };
  resource_place *place = NULL;
  Py_INCREF(self);
  if (atomic_load_explicit(&self->noted, memory_order_relaxed) < FIRST ||
      atomic_load_explicit(&self->unended, memory_order_relaxed)) {
    atomic_fetch_add_explicit(&self->noted, 1, memory_order_relaxed);
    place = PyMem_Malloc(sizeof *place);
  }
  if (place == NULL) {
    fcgi_handle_set_place(handle, bare_place(self));
    return;
  }
  PyFrameObject *frame = PyEval_GetFrame();
  place->resource = self;
  place->code = frame == NULL ? NULL : (PyObject *)PyFrame_GetCode(frame);
  place->instruction = -1;
#if PY_VERSION_HEX >= 0x030b0000
  if (frame != NULL)
    place->instruction = PyFrame_GetLasti(frame);
#endif
  fcgi_handle_set_place(handle, place);
}

PyObject *resource_place_text(const void *where) {
  const resource_place *place = where;
  if (where == NULL || is_bare(where) || place->code == NULL)
    return PyUnicode_FromString("a place that the next such line names");
  PyCodeObject *code = (PyCodeObject *)place->code;
  int line = place->instruction < 0
                 ? code->co_firstlineno
                 : PyCode_Addr2Line(code, place->instruction);
  return PyUnicode_FromFormat("%U:%d in %U", code->co_filename, line,
                              code->co_name);
}

serve_loop *resource_loop(core_state *state) {
  serve_loop *loop = PyThread_tss_get(&state->serving);
  return loop == NULL || loop->request == NULL ? NULL : loop;
}

fcgi_holder *resource_holder(core_state *state) {
  serve_loop *loop = resource_loop(state);
  if (loop == NULL)
    return NULL;
  if (loop->holder == NULL && fcgi_holder_new(&loop->holder, NULL) < 0)
    return NULL;
  return loop->holder;
}

void resource_show(resource_object *self) {
  const serve_loop *loop = PyThread_tss_get(&self->state->serving);
  if (loop == NULL ||
      atomic_load_explicit(&self->shown, memory_order_relaxed) ==
          loop->server->core)
    return;
  fcgi_server_count_resource(loop->server->core, self->core);
  atomic_store(&self->shown, loop->server->core);
}

/* Before the handle is let go of. */
static void tell_unended(serve_loop *loop, const fcgi_handle *handle,
                         const void *from) {
  resource_object *self = fcgi_resource_user_data(fcgi_handle_resource(handle));
  PyObject *place = resource_place_text(from);
  atomic_store(&self->unended, 1);
  PyObject *text =
      place == NULL
          ? NULL
          : PyUnicode_FromFormat(
                "resource '%s' is kept past its request: it was entered at %U "
                "and not left; it is taken back and closed\n",
                fcgi_resource_name(fcgi_handle_resource(handle)), place);
  server_log(loop->server, FCGI_LOG_WARNING, text);
  Py_XDECREF(text);
  Py_XDECREF(place);
}

/* The handler may have ended with an exception that says the value is broken.
 */
static void judge(resource_object *self, serve_loop *loop, PyObject *error) {
  fcgi_handle *handle = fcgi_resource_held(self->core, loop->holder);
  PyObject *answer;
  if (handle == NULL || self->broken == NULL || self->broken == Py_None)
    return;
  answer = PyObject_CallFunctionObjArgs(
      self->broken, error, (PyObject *)fcgi_handle_value(handle), NULL);
  if (answer == NULL || PyObject_IsTrue(answer) == 1)
    fcgi_resource_invalidate(self->core, loop->holder);
  PyErr_Clear();
  Py_XDECREF(answer);
}

static void end_all(serve_loop *loop, PyObject *error) {
  fcgi_handle *handle;
  PyObject *raised = NULL;
  while (fcgi_holder_is_busy(loop->holder)) {
    handle = fcgi_holder_first(loop->holder);
    resource_object *self =
        handle == NULL ? NULL
                       : fcgi_resource_user_data(fcgi_handle_resource(handle));
    if (self == NULL || fcgi_resource_forked(self->core))
      break;
    Py_INCREF(self);
    if (error != NULL)
      judge(self, loop, error);
    void *place;
    int step = fcgi_holder_begin_end(loop->holder, &place, &handle);
    if (handle != NULL && step > 0 && fcgi_handle_unended(handle))
      tell_unended(loop, handle, place);
    resource_drop_place(place);
    resource_finish(handle, step, &raised);
    Py_DECREF(self);
  }
  if (raised != NULL) {
    PyErr_SetObject((PyObject *)Py_TYPE(raised), raised);
    PyErr_WriteUnraisable(NULL);
    Py_DECREF(raised);
  }
}

void resource_end_request(serve_loop *loop) {
  PyObject *type, *value, *traceback;
  if (loop->holder == NULL || !fcgi_holder_is_busy(loop->holder))
    return;
  PyErr_Fetch(&type, &value, &traceback);
  if (type != NULL)
    PyErr_NormalizeException(&type, &value, &traceback);
  end_all(loop, value);
  PyErr_Restore(type, value, traceback);
}

int resource_wait_ms(core_state *state, int ms) {
  int tidy = atomic_load_explicit(&state->tidy_ms, memory_order_relaxed);
  return tidy > 0 && (ms < 0 || tidy < ms) ? tidy : ms;
}

long long resource_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (long long)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

int resource_tidying_due(serve_loop *loop) {
  int ms = resource_wait_ms(loop->state, -1);
  if (ms < 0)
    return 0;
  long long now = resource_now();
  int due = loop->tidy_at != 0 && now >= loop->tidy_at;
  if (due || loop->tidy_at == 0)
    loop->tidy_at = now + ms;
  return due;
}

void resource_tidy_all(core_state *state, fcgi_resource_tidying what) {
  static const char *const names[] = {"reap", "leave", "all"};
  PyObject *type, *value, *traceback, *module, *done;
  if (atomic_load_explicit(&state->tidy_ms, memory_order_relaxed) <= 0)
    return;
  PyErr_Fetch(&type, &value, &traceback);
  module = PyImport_ImportModule("fastcgi._resource");
  done = module == NULL
             ? NULL
             : PyObject_CallMethod(module, "tidy_all", "s", names[what]);
  if (done == NULL)
    PyErr_WriteUnraisable(module);
  Py_XDECREF(done);
  Py_XDECREF(module);
  PyErr_Restore(type, value, traceback);
}

/* 0, or -1 with an exception. */
static int put(PyObject *dict, const char *name, uint64_t number) {
  PyObject *value = PyLong_FromUnsignedLongLong(number);
  int failed = value == NULL ? -1 : PyDict_SetItemString(dict, name, value);
  Py_XDECREF(value);
  return failed;
}

static int put_causes(PyObject *dict, const fcgi_resource_stats *stats) {
#define CAUSE(name, key)                                                       \
  if (put(dict, "closed_" #key, stats->closed[FCGI_RESOURCE_BY_##name]) < 0)   \
    return -1;
  FCGI_RESOURCE_CAUSE_MAP(CAUSE)
#undef CAUSE
  return 0;
}

PyObject *resource_stats_dict(const fcgi_resource_stats *stats) {
  PyObject *dict = PyDict_New();
  if (dict == NULL || put(dict, "open", stats->open) < 0 ||
      put(dict, "in_use", stats->in_use) < 0 ||
      put(dict, "waiting", stats->waiting) < 0 ||
      put(dict, "away", (uint64_t)stats->away) < 0 ||
      put(dict, "taken", stats->taken) < 0 ||
      put(dict, "opened", stats->opened) < 0 ||
      put(dict, "failed", stats->failed) < 0 ||
      put(dict, "refused", stats->refused) < 0 ||
      put(dict, "unended", stats->unended) < 0 ||
      put(dict, "total", stats->total) < 0 ||
      put(dict, "limit_total", stats->limit_total) < 0 ||
      put(dict, "abandoned", stats->abandoned) < 0 ||
      put_causes(dict, stats) < 0)
    Py_CLEAR(dict);
  return dict;
}
