/* SPDX-License-Identifier: MIT */
#include "request.h"
#include "params.h"
#include <sched.h>
#include <stddef.h>
#include <structmember.h>

request_object *request_new(server_object *server, fcgi_request *handle) {
  core_state *state = server->state;
  request_object *self = PyObject_GC_New(request_object, state->request_type);
  if (self == NULL) {
    fcgi_request_fail(handle);
    return NULL;
  }
  memset((char *)self + offsetof(request_object, state), 0,
         sizeof *self - offsetof(request_object, state));
  self->state = state;
  self->server = (server_object *)Py_NewRef((PyObject *)server);
  atomic_init(&self->looks, 0);
  atomic_flag_clear_explicit(&self->reading, memory_order_relaxed);
  request_renew(self, handle);
  PyObject_GC_Track(self);
  return self;
}

void request_renew(request_object *self, fcgi_request *handle) {
  server_hold(self->server); /* The caller holds it too: it cannot be gone. */
  self->handle = handle;
  self->length = fcgi_request_content_length(handle);
  self->role = fcgi_request_role(handle);
  self->id = fcgi_request_id(handle);
  self->begun = 0;
  self->exhausted = 0;
  self->looped = 0;
  self->taken = 0;
  atomic_store_explicit(&self->uses, 0, memory_order_relaxed);
}

/* Without the GIL a count says nothing: it may change any time. */
int request_is_unused(const request_object *self, Py_ssize_t refs) {
#ifdef Py_GIL_DISABLED
  (void)self;
  (void)refs;
  return 0;
#else
  return Py_REFCNT(self) == refs && atomic_load(&self->uses) == REQUEST_ENDED;
#endif
}

void request_empty(request_object *self) {
  Py_CLEAR(self->params);
  Py_CLEAR(self->exchange);
  asgi_drop_head(self);
  PyMem_Free(self->ahead);
  self->ahead = NULL;
  self->ahead_at = self->ahead_len = 0;
}

/* 1 with an exception in a child that the application has forked. */
static int refuse_fork(request_object *self) {
  if (!fcgi_server_forked(self->server->core))
    return 0;
  PyErr_SetString(self->state->errors[ERROR_STATE],
                  "this process is a fork of the server's, to which the "
                  "request belongs");
  return 1;
}

fcgi_request *request_enter(request_object *self) {
  int uses = atomic_load_explicit(&self->uses, memory_order_relaxed);
  while (uses != REQUEST_ENDED)
    if (atomic_compare_exchange_weak(&self->uses, &uses, uses + 1))
      return self->handle;
  PyErr_SetString(self->state->errors[ERROR_STATE], "the request has ended");
  return NULL;
}

fcgi_request *request_use(request_object *self) {
  fcgi_request *handle = request_enter(self);
  if (handle == NULL || !refuse_fork(self))
    return handle;
  request_leave(self);
  return NULL;
}

void request_leave(request_object *self) {
  atomic_fetch_sub(&self->uses, 1);
}

int request_open(request_object *self) {
  return atomic_load(&self->uses) != REQUEST_ENDED;
}

fcgi_request *request_look(request_object *self) {
  atomic_fetch_add(&self->looks, 1);
  if (request_open(self))
    return self->handle;
  atomic_fetch_sub(&self->looks, 1);
  PyErr_SetString(self->state->errors[ERROR_STATE], "the request has ended");
  return NULL;
}

void request_look_away(request_object *self) {
  atomic_fetch_sub(&self->looks, 1);
}

void request_set_unavailable(request_object *self, const char *why) {
  fcgi_request *handle = request_look(self);
  if (handle == NULL) {
    PyErr_Clear();
    return;
  }
  fcgi_request_set_unavailable(handle, why);
  request_look_away(self);
}

fcgi_request *request_claim(request_object *self, int quiet) {
  int uses = 0;
  if (!quiet && request_open(self) && refuse_fork(self))
    return NULL;
  if (atomic_compare_exchange_strong(&self->uses, &uses, REQUEST_ENDED)) {
    while (atomic_load(&self->looks) > 0 &&
           !fcgi_server_forked(self->server->core)) /* Who looks is not here. */
      sched_yield();
    if (self->looped)
      fcgi_request_set_user_data(self->handle, NULL);
    return self->handle;
  }
  if (!quiet)
    PyErr_SetString(self->state->errors[ERROR_STATE],
                    uses == REQUEST_ENDED
                        ? "the request has ended"
                        : "another thread is using the request");
  return NULL;
}

void request_unclaim(request_object *self) {
  atomic_store(&self->uses, 0);
}

void request_closed(request_object *self) {
  server_drop(self->server);
}

void request_abandon(request_object *self) {
  fcgi_request *handle = request_claim(self, 1);
  if (handle == NULL)
    return;
  Py_BEGIN_ALLOW_THREADS
  fcgi_request_fail(handle);
  Py_END_ALLOW_THREADS
  request_closed(self);
}

/* A request that nobody can end any more is an application's mistake: its
   client gets 500, its author a ResourceWarning. */
static void request_finalize(PyObject *object) {
  request_object *self = (request_object *)object;
  if (!request_open(self))
    return;
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  if (PyErr_ResourceWarning(object, 1, "%R was dropped without end()", object))
    PyErr_WriteUnraisable(object);
  request_abandon(self);
  PyErr_Restore(type, value, traceback);
}

static int request_traverse(PyObject *object, visitproc visit, void *arg) {
  request_object *self = (request_object *)object;
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->server);
  Py_VISIT(self->params);
  Py_VISIT(self->exchange);
  return 0;
}

static int request_clear(PyObject *object) {
  Py_CLEAR(((request_object *)object)->params);
  Py_CLEAR(((request_object *)object)->exchange);
  return 0;
}

static void request_dealloc(PyObject *object) {
  request_object *self = (request_object *)object;
  if (request_open(self) && PyObject_CallFinalizerFromDealloc(object) < 0)
    return;
  PyTypeObject *type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  request_empty(self);
  Py_CLEAR(self->server);
  PyObject_GC_Del(object);
  Py_DECREF(type);
}

static PyObject *request_repr(PyObject *object) {
  request_object *self = (request_object *)object;
  return PyUnicode_FromFormat("<fastcgi.Request id %d, %s>", (int)self->id,
                              request_open(self) ? "open" : "ended");
}

static PyObject *get_params(PyObject *object, void *unused) {
  request_object *self = (request_object *)object;
  (void)unused;
  PyObject *params = NULL;
  Py_BEGIN_CRITICAL_SECTION(object);
  params = Py_XNewRef(self->params);
  fcgi_request *handle = params == NULL ? request_enter(self) : NULL;
  if (handle != NULL) {
    params = PyDict_New();
    if (params != NULL &&
        params_fill(self->state, params, fcgi_request_params(handle)) < 0)
      Py_CLEAR(params);
    request_leave(self);
    self->params = Py_XNewRef(params);
  }
  Py_END_CRITICAL_SECTION();
  return params;
}

/* The value of a parameter, "" when it is absent. */
static PyObject *get_param(PyObject *object, void *name) {
  request_object *self = (request_object *)object;
  fcgi_request *handle = request_enter(self);
  if (handle == NULL)
    return NULL;
  size_t len = 0;
  const char *key = name;
  const char *value =
      fcgi_params_get(fcgi_request_params(handle), key, strlen(key), &len);
  PyObject *made = params_value(value == NULL ? "" : value, len);
  request_leave(self);
  return made;
}

typedef struct path_field {
  size_t text; /* Where in fcgi_path the text is. */
  size_t len;  /* Where its length is. */
} path_field;

#define PATH_FIELD(name)                                                       \
  { offsetof(fcgi_path, name), offsetof(fcgi_path, name##_len) }
static const path_field path_field_script = PATH_FIELD(script_name);
static const path_field path_field_info = PATH_FIELD(path_info);
static const path_field path_field_whole = PATH_FIELD(path);
#undef PATH_FIELD

static PyObject *get_path(PyObject *object, void *which) {
  request_object *self = (request_object *)object;
  const path_field *field = which;
  fcgi_path path;
  PyObject *made = NULL;
  fcgi_request *handle = request_enter(self);
  if (handle == NULL)
    return NULL;
  if (fcgi_request_path(handle, &path) < 0)
    PyErr_NoMemory();
  else
    made = params_value(*(char *const *)((char *)&path + field->text),
                        *(size_t *)((char *)&path + field->len));
  request_leave(self);
  return made;
}

/* A text that not every request has. */
typedef struct known_text {
  const char *(*find)(fcgi_request *handle,
                      size_t *len); /* NULL: it has none. */
} known_text;

static const char *find_file(fcgi_request *handle, size_t *len) {
  return fcgi_request_script_filename(handle, len);
}

static const known_text known_raw_path = {fcgi_request_raw_path};
static const known_text known_file = {find_file};

static PyObject *get_known(PyObject *object, void *which) {
  request_object *self = (request_object *)object;
  const known_text *known = which;
  fcgi_request *handle = request_enter(self);
  if (handle == NULL)
    return NULL;
  size_t len;
  const char *text = known->find(handle, &len);
  PyObject *made = text != NULL ? params_value(text, len) : Py_NewRef(Py_None);
  request_leave(self);
  return made;
}

static PyObject *get_role(PyObject *object, void *unused) {
  request_object *self = (request_object *)object;
  (void)unused;
  return roles_name(self->server, self->role);
}

/* `of` is the function of the core that knows it. */
static PyObject *get_data_number(PyObject *object, void *of) {
  request_object *self = (request_object *)object;
  int64_t (*number_of)(const fcgi_request *) =
      (int64_t(*)(const fcgi_request *))(uintptr_t)of;
  fcgi_request *handle = request_enter(self);
  if (handle == NULL)
    return NULL;
  int64_t number = number_of(handle);
  request_leave(self);
  if (number < 0)
    Py_RETURN_NONE;
  return PyLong_FromLongLong(number);
}

static PyObject *get_content_length(PyObject *object, void *unused) {
  (void)unused;
  int64_t length = ((request_object *)object)->length;
  if (length < 0)
    Py_RETURN_NONE;
  return PyLong_FromLongLong(length);
}

static PyObject *get_ended(PyObject *object, void *unused) {
  (void)unused;
  return PyBool_FromLong(!request_open((request_object *)object));
}

static PyObject *get_id(PyObject *object, void *unused) {
  (void)unused;
  return PyLong_FromLong(((request_object *)object)->id);
}

static PyGetSetDef request_getset[] = {
    {"params", get_params, NULL,
     "The parameters: a dict of str to str, one character a byte (Latin-1).",
     NULL},
    {"method", get_param, NULL, "REQUEST_METHOD.",
     (void *)(uintptr_t) "REQUEST_METHOD"},
    {"query", get_param, NULL, "QUERY_STRING, not decoded.",
     (void *)(uintptr_t) "QUERY_STRING"},
    {"path", get_path, NULL,
     "The decoded path, as the web server has judged it; one character a byte.",
     (void *)(uintptr_t)&path_field_whole},
    {"script_name", get_path, NULL,
     "The part of the path at which the application is mounted, or ''.",
     (void *)(uintptr_t)&path_field_script},
    {"path_info", get_path, NULL, "The part of the path below that.",
     (void *)(uintptr_t)&path_field_info},
    {"raw_path", get_known, NULL,
     "The path as the client wrote it, not decoded; None when the web server "
     "has\nled the request to another path.",
     (void *)(uintptr_t)&known_raw_path},
    {"script_filename", get_known, NULL,
     "SCRIPT_FILENAME as the name of a file, without the 'proxy:fcgi://host' "
     "and the\nquery that Apache's mod_proxy_fcgi puts around it; None when "
     "there is none.",
     (void *)(uintptr_t)&known_file},
    {"content_length", get_content_length, NULL,
     "CONTENT_LENGTH. Where none was sent, the length of a collected body,\n"
     "None for a streamed or an empty one.",
     NULL},
    {"aborted", abort_get_reason, NULL,
     "None, or why nobody waits any more: 'record', 'connection', 'protocol', "
     "'timeout',\n'stop' or 'deadline'.",
     NULL},
    {"ended", get_ended, NULL, "True once the request has ended.", NULL},
    {"id", get_id, NULL, "The request id on its connection.", NULL},
    {"role", get_role, NULL,
     "'responder', 'authorizer', 'filter', or the name of a custom role.",
     NULL},
    {"data_length", get_data_number, NULL,
     "Bytes of a filter's file, FCGI_DATA_LENGTH, or None.",
     (void *)(uintptr_t)fcgi_request_data_length},
    {"data_modified", get_data_number, NULL,
     "When that file was modified, in seconds since 1970, or None.",
     (void *)(uintptr_t)fcgi_request_data_modified},
    {NULL, NULL, NULL, NULL, NULL},
};

#define FAST(name) ((PyCFunction)(void (*)(void))(name))

static PyMethodDef request_methods[] = {
    {"read", FAST(body_method_read), METH_FASTCALL,
     "read($self, size=-1, /)\n--\n\n"
     "Read the body: size bytes, fewer only at its end; all of it without "
     "size."},
    {"read1", FAST(body_method_read1), METH_FASTCALL,
     "read1($self, size=65536, /)\n--\n\n"
     "Read up to size bytes of the body, as soon as there are some."},
    {"readinto", body_method_readinto, METH_O,
     "readinto($self, buffer, /)\n--\n\n"
     "Read the body into a writable buffer; returns how many bytes."},
    {"readline", FAST(body_method_readline), METH_FASTCALL,
     "readline($self, size=-1, /)\n--\n\n"
     "Read one line of the body, its newline included."},
    {"readlines", FAST(body_method_readlines), METH_FASTCALL,
     "readlines($self, hint=-1, /)\n--\n\n"
     "Read the lines of the body, as many as reach hint bytes."},
    {"read_data", FAST(body_method_read_data), METH_FASTCALL,
     "read_data($self, size=-1, /)\n--\n\n"
     "Read the file that a filter is given: size bytes, fewer only at its end; "
     "all\nof it without size. With stream=True read the body first."},
    {"start", FAST(answer_method_start), METH_VARARGS | METH_KEYWORDS,
     "start($self, status=200, headers=None)\n--\n\n"
     "Begin the answer. headers is a dict or a list of (name, value)."},
    {"write", answer_method_write, METH_O,
     "write($self, data, /)\n--\n\n"
     "Write bytes of the answer's body, or raw CGI output without start()."},
    {"write_stderr", answer_method_write_stderr, METH_O,
     "write_stderr($self, text, /)\n--\n\n"
     "Write to STDERR, which the web server puts in its error log: bytes, or "
     "str as\nUTF-8. It leaves with the next bytes of the answer, or its end."},
    {"want_retry", retry_method_want, METH_NOARGS,
     "want_retry($self)\n--\n\n"
     "Run a GET or HEAD once more if it fails because a resource broke,\n"
     "whatever the resource says."},
    {"on_abort", FAST(abort_method_on), METH_VARARGS | METH_KEYWORDS,
     "on_abort($self, canceller, /, *, record=True)\n--\n\n"
     "Call canceller() once when the request is aborted, from a thread of the "
     "server's.\nWith record=False ABORT_REQUEST, after which a client may "
     "still wait, does not\ncount. Returns an object with remove(), also for "
     "with: it is not called after."},
    {"raise_on_abort", FAST(abort_method_raise), METH_VARARGS | METH_KEYWORDS,
     "raise_on_abort($self, *, record=True)\n--\n\n"
     "For with: raise Aborted inside, between two steps of Python code, when "
     "the request\nis aborted. A call into C is not interrupted."},
    {"flush", answer_method_flush, METH_NOARGS,
     "flush($self)\n--\n\nSend what has been written."},
    {"reply", FAST(answer_method_reply), METH_VARARGS | METH_KEYWORDS,
     "reply($self, body=b'', status=200, headers=None, content_type=None)\n"
     "--\n\nSend the whole answer and end the request."},
    {"allow", answer_method_allow, METH_VARARGS,
     "allow($self, variables=None, /)\n--\n\n"
     "An authorizer's yes: the web server goes on, and puts the variables, a "
     "dict of\nstr to str, in the environment of what it runs. Ends the "
     "request. Any other\nanswer is a no that the client gets."},
    {"send_file", FAST(answer_method_send_file), METH_VARARGS | METH_KEYWORDS,
     "send_file($self, file, offset=0, length=None)\n--\n\n"
     "Send a file, given as a descriptor or an object with fileno()."},
    {"_scope", FAST(asgi_method_scope), METH_FASTCALL,
     "_scope($self, template, state, /)\n--\n\n"
     "The scope of ASGI, made of copies of both; None where a WebSocket is "
     "asked for."},
    {"_receive", asgi_method_read, METH_NOARGS,
     "_receive($self)\n--\n\n"
     "The next bytes of the body and whether more may follow; None where they "
     "have not\ncome yet."},
    {"_head", FAST(asgi_method_head), METH_FASTCALL,
     "_head($self, status, headers, /)\n--\n\n"
     "Take the head of the answer, which is sent with the first bytes after "
     "it."},
    {"_send", FAST(asgi_method_send), METH_FASTCALL,
     "_send($self, data, offset, more, /)\n--\n\n"
     "Send what can be sent of data from offset on. Returns where the rest "
     "begins, or -1\nfor none; then the request has ended unless more "
     "follows."},
    {"_send_path", asgi_method_send_path, METH_O,
     "_send_path($self, path, /)\n--\n\nSend a file and end the request."},
    {"_failed", FAST(asgi_method_failed), METH_FASTCALL,
     "_failed($self, error, what, /)\n--\n\n"
     "Give the request up. An error goes to the log, below the line what."},
    {"end", FAST(answer_method_end), METH_VARARGS | METH_KEYWORDS,
     "end($self, app_status=0)\n--\n\nEnd the request."},
    {"fail", answer_method_fail, METH_NOARGS,
     "fail($self)\n--\n\n"
     "Give the request up: 500, or a cut connection after output began."},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(request_doc,
             "One request. Made by Server; iterating over it gives the lines "
             "of its body.\nEvery use after its end raises StateError.");

static PyType_Slot request_slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)request_doc},
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_finalize, request_finalize},
    {Py_tp_traverse, request_traverse},
    {Py_tp_clear, request_clear},
    {Py_tp_repr, request_repr},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, body_next_line},
    {Py_tp_getset, request_getset},
    {Py_tp_methods, request_methods},
    {0, NULL},
};

PyType_Spec request_spec = {
    .name = "fastcgi._core.Request",
    .basicsize = sizeof(request_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = request_slots,
};
