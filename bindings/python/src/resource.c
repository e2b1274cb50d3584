/* SPDX-License-Identifier: MIT */
#include "resource.h"
#include "loop.h"
#include <structmember.h>

static PyObject *resource_new(PyTypeObject *type, PyObject *args,
                              PyObject *kwargs) {
  (void)args;
  (void)kwargs;
  core_state *state = state_of_type(type);
  resource_object *self =
      state == NULL ? NULL : (resource_object *)type->tp_alloc(type, 0);
  if (self != NULL)
    self->state = state;
  return (PyObject *)self;
}

/* -1 with an exception. */
static int scope_of(const char *name, fcgi_resource_scope *scope) {
  static const char *const names[] = {
#define SCOPE_NAME(name, key) #key,
      FCGI_RESOURCE_SCOPE_MAP(SCOPE_NAME)
#undef SCOPE_NAME
  };
  for (int i = 0; i < FCGI_RESOURCE_SCOPES; i++)
    if (strcmp(names[i], name) == 0) {
      *scope = (fcgi_resource_scope)i;
      return 0;
    }
  PyErr_Format(PyExc_ValueError,
               "unknown scope '%s', use 'thread', 'worker' or 'pool'", name);
  return -1;
}

/* Threads that serve look as often as the resource that needs it most. */
static void note_tidying(core_state *state, const fcgi_resource *core) {
  int ms = fcgi_resource_tidy_ms(core), now = atomic_load(&state->tidy_ms);
  while ((now <= 0 || ms < now) &&
         !atomic_compare_exchange_weak(&state->tidy_ms, &now, ms))
    ;
}

static int make(resource_object *self, fcgi_resource_config *config,
                PyObject *open) {
  char why[FCGI_RESOURCE_WHY] = "";
  int code = fcgi_resource_new(&self->core, config, why, sizeof why);
  if (code < 0) {
    error_set(self->state, code, why);
    return -1;
  }
  self->open = Py_NewRef(open);
  if (config->limit_total)
    atomic_store(&self->state->gives_way, 1);
  note_tidying(self->state, self->core);
  return 0;
}

static int resource_init(PyObject *object, PyObject *args, PyObject *kwargs) {
  static const char *const names[] = {
      "open",  "name",        "scope",    "size",   "minimum",
      "eager", "acquire_ms",  "check_ms", "age_ms", "idle_ms",
      "retry", "limit_total", NULL};
  resource_object *self = (resource_object *)object;
  fcgi_resource_config config = {.size = sizeof config,
                                 .steps = 1,
                                 .wanted = 1u << FCGI_RESOURCE_CHECK |
                                           1u << FCGI_RESOURCE_RESET,
                                 .user_data = self};
  const char *scope;
  int retry;
  PyObject *open;
  if (!args_parse(args, kwargs, "OssIIpiiiipI:Resource", names, &open,
                  &config.name, &scope, &config.most, &config.least,
                  &config.eager, &config.acquire_timeout_ms,
                  &config.check_after_ms, &config.max_age_ms,
                  &config.max_idle_ms, &retry, &config.limit_total))
    return -1;
  config.retry = retry ? FCGI_RETRY_SAFE : FCGI_RETRY_NEVER;
  if (self->core != NULL) {
    PyErr_SetString(self->state->errors[ERROR_STATE],
                    "the resource is initialised already");
    return -1;
  }
  return scope_of(scope, &config.scope) < 0 ? -1 : make(self, &config, open);
}

static int resource_traverse(PyObject *object, visitproc visit, void *arg) {
  resource_object *self = (resource_object *)object;
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->open);
  Py_VISIT(self->check);
  Py_VISIT(self->reset);
  Py_VISIT(self->broken);
  Py_VISIT(self->error);
  return 0;
}

/* It has been finalised: nothing is called any more. */
static int resource_clear(PyObject *object) {
  resource_object *self = (resource_object *)object;
  Py_CLEAR(self->open);
  Py_CLEAR(self->check);
  Py_CLEAR(self->reset);
  Py_CLEAR(self->broken);
  Py_CLEAR(self->error);
  return 0;
}

static void tidy(resource_object *self, fcgi_resource_tidying what) {
  PyObject *raised = NULL;
  fcgi_handle *handle;
  int step;
  while ((step = fcgi_resource_begin_tidy(self->core, what, &handle)) > 0)
    resource_finish(handle, step, &raised);
  if (raised != NULL) {
    PyErr_SetObject((PyObject *)Py_TYPE(raised), raised);
    PyErr_WriteUnraisable((PyObject *)self);
    Py_DECREF(raised);
  }
}

/* What a fork has of its parent's stays referenced for good: to let go of it
   might say goodbye on the parent's sockets. The core stays until the object is
   gone: another thread may have found it through a weak reference, and be in
   the middle of a step. */
static void end_core(resource_object *self) {
  if (self->core == NULL || fcgi_resource_forked(self->core))
    return;
  fcgi_resource_stop(self->core);
  tidy(self, FCGI_RESOURCE_ALL);
}

static void resource_finalize(PyObject *object) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  end_core((resource_object *)object);
  PyErr_Restore(type, value, traceback);
}

static void resource_dealloc(PyObject *object) {
  PyTypeObject *type = Py_TYPE(object);
  if (PyObject_CallFinalizerFromDealloc(object) < 0)
    return;
  PyObject_GC_UnTrack(object);
  resource_clear(object);
  fcgi_resource_free(((resource_object *)object)->core);
  type->tp_free(object);
  Py_DECREF(type);
}

/* 1, or 0 with an exception where __init__ was not called. */
static int is_made(resource_object *self) {
  if (self->core != NULL)
    return 1;
  PyErr_SetString(self->state->errors[ERROR_STATE],
                  "the resource is not initialised");
  return 0;
}

/* The handler's answer becomes 503 if it fails for this. */
static void note_unavailable(core_state *state, const char *why) {
  serve_loop *loop = resource_loop(state);
  if (loop != NULL)
    request_set_unavailable(loop->request, why);
}

static PyObject *raise_unavailable(resource_object *self, const char *why) {
  PyObject *error = PyObject_CallFunction(self->state->unavailable, "s", why);
  if (error == NULL)
    return NULL;
  Py_BEGIN_CRITICAL_SECTION(self);
  if (self->error != NULL)
    PyException_SetCause(error, Py_NewRef(self->error));
  Py_END_CRITICAL_SECTION();
  note_unavailable(self->state, why);
  PyErr_SetObject(self->state->unavailable, error);
  Py_DECREF(error);
  return NULL;
}

/* Raises `raised`, whose reference it takes, or what stands for the code. */
static PyObject *refuse(resource_object *self, int code, PyObject *raised) {
  char why[FCGI_RESOURCE_WHY];
  if (raised != NULL) {
    PyErr_SetObject((PyObject *)Py_TYPE(raised), raised);
    Py_DECREF(raised);
    return NULL;
  }
  fcgi_resource_message(self->core, why, sizeof why);
  return code == FCGI_ERR_TIMEOUT ? raise_unavailable(self, why)
                                  : error_set(self->state, code, why);
}

static void give(resource_object *self, fcgi_holder *holder,
                 PyObject **raised) {
  fcgi_handle *handle;
  void *place;
  int step = fcgi_resource_begin_give(self->core, holder, &place, &handle);
  resource_finish(handle, step, raised);
  resource_drop_place(place);
}

/* Waits without the GIL, and only if it has to. */
static int begin(resource_object *self, fcgi_holder *holder, unsigned flags,
                 long long *until, fcgi_handle **handle) {
  int step = fcgi_resource_begin_take(self->core, holder, flags | FCGI_TAKE_NOW,
                                      until, handle);
  if (step != FCGI_ERR_AGAIN)
    return step;
  Py_BEGIN_ALLOW_THREADS
  step = fcgi_resource_begin_take(self->core, holder, flags, until, handle);
  Py_END_ALLOW_THREADS
  return step;
}

/* `until` is 0, or when waiting ends, on the clock of resource_now. */
static PyObject *take(resource_object *self, unsigned flags, long long until) {
  fcgi_holder *holder = resource_holder(self->state);
  fcgi_handle *handle = NULL;
  PyObject *raised = NULL;
  int step;
  resource_show(self);
  do {
    step = begin(self, holder, flags, &until, &handle);
    step = resource_finish(handle, step, &raised);
  } while (step == FCGI_ERR_AGAIN && raised == NULL);
  if (step < 0)
    return refuse(self, step, raised);
  if (fcgi_handle_place(handle) == NULL)
    resource_note_place(self, handle);
  if (raised != NULL) {
    give(self, holder, &raised);
    return refuse(self, 0, raised);
  }
  return Py_NewRef((PyObject *)fcgi_handle_value(handle));
}

static PyObject *resource_enter(PyObject *object, PyObject *unused) {
  (void)unused;
  resource_object *self = (resource_object *)object;
  return is_made(self) ? take(self, 0, 0) : NULL;
}

static PyObject *resource_enter_within(PyObject *object, PyObject *args) {
  resource_object *self = (resource_object *)object;
  int ms;
  if (!PyArg_ParseTuple(args, "i:_enter_within", &ms) || !is_made(self))
    return NULL;
  return take(self, 0, resource_now() + ms);
}

static PyObject *resource_get(PyObject *object, PyObject *unused) {
  resource_object *self = (resource_object *)object;
  (void)unused;
  if (!is_made(self))
    return NULL;
  if (resource_loop(self->state) != NULL)
    return take(self, FCGI_TAKE_KEEP, 0);
  PyErr_Format(
      self->state->errors[ERROR_STATE],
      "get() is for the thread of a handler, whose end gives back; use "
      "`with` for resource '%s' here",
      fcgi_resource_name(self->core));
  return NULL;
}

/* Whether the exception that leaves the block means that the value is broken.
   An exception of the question does. */
static void judge(resource_object *self, fcgi_holder *holder, PyObject *error) {
  fcgi_handle *handle;
  PyObject *answer;
  if (self->broken == NULL || self->broken == Py_None)
    return;
  handle = fcgi_resource_held(self->core, holder);
  if (handle == NULL)
    return;
  answer = PyObject_CallFunctionObjArgs(
      self->broken, error, (PyObject *)fcgi_handle_value(handle), NULL);
  if (answer == NULL || PyObject_IsTrue(answer) == 1)
    fcgi_resource_invalidate(self->core, holder);
  PyErr_Clear();
  Py_XDECREF(answer);
}

static PyObject *resource_exit(PyObject *object, PyObject *const *args,
                               Py_ssize_t count) {
  resource_object *self = (resource_object *)object;
  PyObject *error = count > 1 && args[1] != Py_None ? args[1] : NULL;
  PyObject *raised = NULL;
  fcgi_handle *handle = NULL;
  fcgi_holder *holder;
  void *place;
  int step;
  if (!is_made(self))
    return NULL;
  holder = resource_holder(self->state);
  if (error != NULL)
    judge(self, holder, error);
  step = fcgi_resource_begin_give(self->core, holder, &place, &handle);
  if (step < 0 && error == NULL)
    return refuse(self, step, NULL);
  resource_finish(handle, step, &raised);
  resource_drop_place(place);
  if (raised != NULL)
    return refuse(self, 0, raised);
  Py_RETURN_FALSE;
}

static PyObject *resource_invalidate(PyObject *object, PyObject *unused) {
  resource_object *self = (resource_object *)object;
  (void)unused;
  if (!is_made(self))
    return NULL;
  int code = fcgi_resource_invalidate(self->core, resource_holder(self->state));
  if (code == 0)
    Py_RETURN_NONE;
  if (fcgi_resource_forked(self->core))
    return refuse(self, code, NULL);
  PyErr_Format(self->state->errors[ERROR_STATE],
               "resource '%s': this thread holds nothing that is broken",
               fcgi_resource_name(self->core));
  return NULL;
}

static PyObject *resource_drain(PyObject *object, PyObject *unused) {
  resource_object *self = (resource_object *)object;
  (void)unused;
  if (!is_made(self))
    return NULL;
  fcgi_resource_drain(self->core);
  tidy(self, FCGI_RESOURCE_REAP);
  Py_RETURN_NONE;
}

static PyObject *resource_renew(PyObject *object, PyObject *unused) {
  resource_object *self = (resource_object *)object;
  (void)unused;
  if (!is_made(self))
    return NULL;
  if (fcgi_resource_forked(self->core)) {
    fcgi_resource_renew(self->core);
    if (self->error != NULL)
      Py_CLEAR(self->error);
  }
  Py_RETURN_NONE;
}

/* Steps without a function are left out. */
static PyObject *resource_adapted(PyObject *object, PyObject *unused) {
  resource_object *self = (resource_object *)object;
  (void)unused;
  if (!is_made(self))
    return NULL;
  fcgi_resource_want(self->core,
                     (self->check == NULL || self->check == Py_None
                          ? 0
                          : 1u << FCGI_RESOURCE_CHECK) |
                         (self->reset == NULL || self->reset == Py_None
                              ? 0
                              : 1u << FCGI_RESOURCE_RESET));
  Py_RETURN_NONE;
}

static PyObject *resource_tidy(PyObject *object, PyObject *args) {
  resource_object *self = (resource_object *)object;
  const char *what;
  if (!PyArg_ParseTuple(args, "s:_tidy", &what) || !is_made(self))
    return NULL;
#define TIDY(name, key)                                                        \
  if (strcmp(what, #key) == 0)                                                 \
    tidy(self, FCGI_RESOURCE_##name);
  FCGI_RESOURCE_TIDY_MAP(TIDY)
#undef TIDY
  Py_RETURN_NONE;
}

static PyObject *resource_stats(PyObject *object, PyObject *unused) {
  resource_object *self = (resource_object *)object;
  fcgi_resource_stats stats = {.size = sizeof stats};
  (void)unused;
  if (!is_made(self))
    return NULL;
  fcgi_resource_count(self->core, &stats);
  return resource_stats_dict(&stats);
}

static PyObject *get_name(PyObject *object, void *unused) {
  resource_object *self = (resource_object *)object;
  (void)unused;
  return is_made(self) ? PyUnicode_DecodeUTF8(
                             fcgi_resource_name(self->core),
                             (Py_ssize_t)strlen(fcgi_resource_name(self->core)),
                             "replace")
                       : NULL;
}

static PyObject *get_forked(PyObject *object, void *unused) {
  resource_object *self = (resource_object *)object;
  (void)unused;
  return is_made(self) ? PyBool_FromLong(fcgi_resource_forked(self->core))
                       : NULL;
}

static PyGetSetDef resource_getset[] = {
    {"name", get_name, NULL, "What messages call it.", NULL},
    {"forked", get_forked, NULL,
     "True in a process that was forked from the one whose connections it has.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef resource_members[] = {
    {"_check", T_OBJECT, offsetof(resource_object, check), 0, NULL},
    {"_reset", T_OBJECT, offsetof(resource_object, reset), 0, NULL},
    {"_broken", T_OBJECT, offsetof(resource_object, broken), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

#define FAST(name) ((PyCFunction)(void (*)(void))(name))

static PyMethodDef resource_methods[] = {
    {"__enter__", resource_enter, METH_NOARGS,
     "__enter__($self)\n--\n\nTake it; the same one for nested blocks."},
    {"__exit__", FAST(resource_exit), METH_FASTCALL,
     "__exit__($self, *exc_info)\n--\n\nGive it back."},
    {"get", resource_get, METH_NOARGS,
     "get($self)\n--\n\nTake it until the end of the request."},
    {"invalidate", resource_invalidate, METH_NOARGS,
     "invalidate($self)\n--\n\n"
     "Say that what this thread holds is broken: it is closed when it is given "
     "back,\nand the others are checked before they are used again."},
    {"drain", resource_drain, METH_NOARGS,
     "drain($self)\n--\n\n"
     "Close all that are open: those that are held when they are given back, "
     "those of\nother threads when these next look."},
    {"renew", resource_renew, METH_NOARGS,
     "renew($self)\n--\n\n"
     "In a process that was forked: forget the parent's connections, which "
     "stay "
     "open\nthere, and have some of its own."},
    {"stats", resource_stats, METH_NOARGS,
     "stats($self)\n--\n\nWhat is counted, as a dict of numbers."},
    {"_adapted", resource_adapted, METH_NOARGS,
     "_adapted($self)\n--\n\nCall _check and _reset, or not if they are None."},
    {"_tell", resource_tell, METH_O,
     "_tell($self, counts, /)\n--\n\nWhat a pool of its own has counted."},
    {"_enter_within", resource_enter_within, METH_VARARGS,
     "_enter_within($self, ms, /)\n--\n\n"
     "__enter__() that waits for so long, whatever acquire_timeout is."},
    {"_tidy", resource_tidy, METH_VARARGS,
     "_tidy($self, what, /)\n--\n\nClose what is to be closed."},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(resource_doc, "What fastcgi.resource is made of.");

static PyType_Slot resource_slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)resource_doc},
    {Py_tp_new, resource_new},
    {Py_tp_init, resource_init},
    {Py_tp_dealloc, resource_dealloc},
    {Py_tp_finalize, resource_finalize},
    {Py_tp_traverse, resource_traverse},
    {Py_tp_clear, resource_clear},
    {Py_tp_getset, resource_getset},
    {Py_tp_members, resource_members},
    {Py_tp_methods, resource_methods},
    {0, NULL},
};

PyType_Spec resource_spec = {
    .name = "fastcgi._core.Resource",
    .basicsize = sizeof(resource_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = resource_slots,
};
