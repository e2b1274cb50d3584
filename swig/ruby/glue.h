/* SPDX-License-Identifier: MIT */
/* C for Ruby, compiled into the wrapper. Calls that can block run without the
   global lock, so that Ruby's other threads go on. */
#include <ruby/thread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FCGI_RAISE(code, text) fcgi_raise(code, text)
/* A loop returns nil; SWIG's own value for two checked arguments is []. */
#define FCGI_PARKED(handler)                                                   \
  (vresult = Qnil, ((fcgi_closure *)(handler)->closure)->state)
#define FCGI_RETHROW(handler) fcgi_rethrow((handler)->closure)

/* One loop on one thread, on the C stack, which Ruby marks. */
typedef struct fcgi_closure {
  VALUE function; /* The handler: anything with `call`, or the block. */
  VALUE error;    /* The parked exception; nil for none, and for a jump, which
                     stays where Ruby keeps it. */
  int state;      /* How Ruby left the handler; 0: it returned. */
} fcgi_closure;

/* --- Values --------------------------------------------------------------- */

static VALUE fcgi_make_string(VALUE data) {
  const shim_bytes *bytes = (const shim_bytes *)data;
  return bytes->data ? rb_str_new(bytes->data, (long)bytes->len) : Qnil;
}

/* Free the bytes, and only then raise. */
static VALUE fcgi_from_bytes(shim_bytes *bytes) {
  int state;
  VALUE string = rb_protect(fcgi_make_string, (VALUE)bytes, &state);
  shim_bytes_free(bytes);
  if (state)
    rb_jump_tag(state);
  return string;
}

static VALUE fcgi_make_hash(VALUE data) {
  const shim_pairs *pairs = (const shim_pairs *)data;
  VALUE hash = rb_hash_new();
  for (size_t i = 0; i < pairs->count; i++) {
    const fcgi_param *pair = &pairs->items[i];
    rb_hash_aset(hash, rb_str_new(pair->name, (long)pair->name_len),
                 rb_str_new(pair->value, (long)pair->value_len));
  }
  return hash;
}

static VALUE fcgi_from_pairs(shim_pairs *pairs) {
  int state;
  VALUE hash = rb_protect(fcgi_make_hash, (VALUE)pairs, &state);
  shim_pairs_free(pairs);
  if (state)
    rb_jump_tag(state);
  return hash;
}

/* The handle behind an object, NULL for one that was never initialised. */
static void *fcgi_pointer(VALUE object, swig_type_info *type) {
  void *handle = NULL;
  int result = SWIG_ConvertPtr(object, &handle, type, 0);
  if (!SWIG_IsOK(result) && result != SWIG_ObjectPreviouslyDeletedError)
    rb_raise(rb_eTypeError,
             "a server, request, dictionary or resource is needed");
  return handle;
}

/* --- Errors --------------------------------------------------------------- */

NORETURN(static void fcgi_raise(int code, const char *text));
NORETURN(static void fcgi_rethrow(const fcgi_closure *closure));

static void fcgi_raise(int code, const char *text) {
  VALUE error = rb_exc_new_cstr(rb_path2class("FastCGI::Swig::Error"), text);
  rb_iv_set(error, "@code", rb_usascii_str_new_cstr(fcgi_error_name(code)));
  rb_exc_raise(error);
}

static void fcgi_rethrow(const fcgi_closure *closure) {
  if (!NIL_P(closure->error))
    rb_set_errinfo(closure->error);
  rb_jump_tag(closure->state);
}

/* --- Handlers ------------------------------------------------------------- */

/* One call of a handler, or one look at signals. */
typedef struct fcgi_calling {
  fcgi_closure *closure; /* Its loop. */
  shim_request *request; /* What to answer; NULL: see to signals. */
  shim_outcome outcome;  /* What it came to. */
} fcgi_calling;

static VALUE fcgi_call_protected(VALUE data) {
  const fcgi_calling *calling = (const fcgi_calling *)data;
  if (!calling->request) {
    rb_thread_check_ints();
    return Qnil;
  }
  VALUE proxy = SWIG_NewPointerObj(calling->request, SWIGTYPE_p_shim_request,
                                   SWIG_POINTER_OWN);
  return rb_funcall(calling->closure->function, rb_intern("call"), 1, proxy);
}

/* Other values than exceptions stand for break and throw, and a number for the
   end of the thread. */
static int fcgi_is_a(VALUE error, VALUE type) {
  return !SPECIAL_CONST_P(error) && BUILTIN_TYPE(error) != T_IMEMO &&
         RTEST(rb_obj_is_kind_of(error, type));
}

static shim_outcome fcgi_failure(VALUE error) {
  VALUE code = Qnil;
  if (fcgi_is_a(error, rb_path2class("FastCGI::Swig::Error")))
    code = rb_iv_get(error, "@code");
  return shim_failure(RB_TYPE_P(code, T_STRING) ? RSTRING_PTR(code) : NULL);
}

static shim_outcome fcgi_park(fcgi_closure *closure, int state) {
  VALUE error = rb_errinfo();
  closure->state = state;
  if (SPECIAL_CONST_P(error))
    return SHIM_LEAVE;
  if (fcgi_is_a(error, rb_eException)) {
    closure->error = error;
    rb_set_errinfo(Qnil);
  }
  return fcgi_is_a(error, rb_eSignal) ? SHIM_LEAVE : fcgi_failure(error);
}

static void *fcgi_call_locked(void *data) {
  int state;
  fcgi_calling *calling = data;
  rb_protect(fcgi_call_protected, (VALUE)calling, &state);
  if (!state)
    return NULL;
  calling->outcome = fcgi_park(calling->closure, state);
  if (!calling->request)
    calling->outcome = SHIM_LEAVE;
  return NULL;
}

static shim_outcome fcgi_call(void *closure, shim_request *request) {
  fcgi_calling calling = {closure, request, SHIM_DONE};
  rb_thread_call_with_gvl(fcgi_call_locked, &calling);
  return calling.outcome;
}

/* What a failure is told with. */
typedef struct fcgi_reporting {
  fcgi_closure *closure; /* Has the error. */
  const shim_log *log;   /* Gets it. */
} fcgi_reporting;

static VALUE fcgi_show(VALUE data) {
  const fcgi_reporting *reporting = (const fcgi_reporting *)data;
  VALUE error = reporting->closure->error;
  VALUE text = NIL_P(error)
                   ? rb_str_new_cstr("the handler was left by break or throw\n")
                   : rb_funcall(error, rb_intern("full_message"), 0);
  StringValue(text);
  shim_log_write(reporting->log, RSTRING_PTR(text), (size_t)RSTRING_LEN(text));
  return Qnil;
}

static void *fcgi_report_locked(void *data) {
  static const char lost[] = "an error that cannot be shown";
  fcgi_reporting *reporting = data;
  fcgi_closure *closure = reporting->closure;
  int state;
  rb_protect(fcgi_show, (VALUE)reporting, &state);
  if (state)
    shim_log_write(reporting->log, lost, sizeof lost - 1);
  rb_set_errinfo(Qnil);
  closure->error = Qnil;
  closure->state = 0;
  return NULL;
}

static void fcgi_report(void *closure, const shim_log *log) {
  fcgi_reporting reporting = {closure, log};
  rb_thread_call_with_gvl(fcgi_report_locked, &reporting);
}

/* --- Functions of resources ------------------------------------------------
 */

/* Not in a public header, and made for this. */
extern int ruby_thread_has_gvl_p(void);

static void *fcgi_refer(VALUE value) {
  VALUE *slot = malloc(sizeof *slot);
  if (!slot)
    return NULL;
  *slot = value;
  rb_gc_register_address(slot);
  return slot;
}

/* One call. */
typedef struct fcgi_asking {
  VALUE *function; /* What is called. */
  VALUE *value;    /* With what; NULL: with nothing. */
  void **result;   /* Where the reference goes; NULL: nowhere. */
  char *why;       /* Where the line about a failure goes. */
  size_t len;      /* Its room. */
  int outcome;     /* As shim_function has it. */
} fcgi_asking;

static VALUE fcgi_ask_protected(VALUE data) {
  fcgi_asking *asking = (fcgi_asking *)data;
  VALUE answer = rb_funcallv(*asking->function, rb_intern("call"),
                             asking->value != NULL, asking->value);
  asking->outcome = answer != Qfalse;
  if (asking->result)
    *asking->result = NIL_P(answer) ? NULL : fcgi_refer(answer);
  return Qnil;
}

static VALUE fcgi_message_of(VALUE error) {
  VALUE text = rb_funcall(error, rb_intern("message"), 0);
  StringValue(text);
  return text;
}

/* One line of the error that is set. */
static void fcgi_line(char *why, size_t len) {
  VALUE error = rb_errinfo();
  int state = 1;
  VALUE text = Qnil;
  if (fcgi_is_a(error, rb_eException)) {
    rb_set_errinfo(Qnil);
    text = rb_protect(fcgi_message_of, error, &state);
  }
  if (state) {
    snprintf(why, len, "it was left without an error that can be shown");
    return;
  }
  int count = (int)RSTRING_LEN(text);
  const char *line = RSTRING_PTR(text),
             *end = memchr(line, '\n', (size_t)count);
  snprintf(why, len, "%s: %.*s", rb_obj_classname(error),
           end ? (int)(end - line) : count, line);
  RB_GC_GUARD(text);
}

/* What a rescue looks at stays as it was. While Ruby collects, nothing can be
   called. */
static void *fcgi_ask_locked(void *data) {
  fcgi_asking *asking = data;
  int state;
  if (rb_during_gc()) {
    snprintf(asking->why, asking->len, "Ruby is collecting garbage");
    return NULL;
  }
  VALUE before = rb_errinfo();
  rb_protect(fcgi_ask_protected, (VALUE)asking, &state);
  if (!state)
    return NULL;
  fcgi_line(asking->why, asking->len);
  asking->outcome = -1;
  rb_set_errinfo(fcgi_is_a(before, rb_eException) ? before : Qnil);
  return NULL;
}

static int fcgi_function_call(void *function, void *value, void **result,
                              char *why, size_t len) {
  fcgi_asking asking = {function, value, result, why, len, -1};
  if (ruby_thread_has_gvl_p())
    fcgi_ask_locked(&asking);
  else
    rb_thread_call_with_gvl(fcgi_ask_locked, &asking);
  return asking.outcome;
}

static void *fcgi_drop_locked(void *slot) {
  rb_gc_unregister_address(slot);
  free(slot);
  return NULL;
}

static void fcgi_function_drop(void *slot) {
  if (ruby_thread_has_gvl_p())
    fcgi_drop_locked(slot);
  else
    rb_thread_call_with_gvl(fcgi_drop_locked, slot);
}

/* --- Calls without the lock ----------------------------------------------- */

/* One call of the shim; each uses the fields that it needs. */
typedef struct fcgi_job {
  void (*work)(struct fcgi_job *); /* Makes the call. */
  int done;                        /* 1 after that. */
  shim_error *error;               /* Every call's. */
  shim_server *server;             /* Of accept and loops. */
  double seconds;                  /* Of accept. */
  void (*loop)(shim_server *, shim_error *, shim_handler *,
               const char *);                  /* Which loop. */
  shim_handler *handler;                       /* Of a loop. */
  shim_request *request;                       /* Of the others; accepted. */
  void (*plain)(shim_request *, shim_error *); /* Which call of no arguments. */
  shim_bytes (*read)(shim_request *, shim_error *, int64_t); /* Which read. */
  shim_bytes bytes;        /* What was read. */
  const char *text;        /* Policy, path or type. */
  size_t text_len;         /* Its length. */
  const void *data;        /* To write. */
  size_t len;              /* Number of bytes. */
  int64_t offset;          /* In a file. */
  int64_t size;            /* To read or send. */
  int status;              /* Of an answer or its end. */
  shim_shared *shared;     /* Whose lock is taken. */
  double ttl;              /* Of that lock. */
  int64_t token;           /* What was got for it. */
  shim_resource *resource; /* Which is taken. */
  shim_value (*take)(shim_resource *, shim_error *, shim_request *); /* How. */
  shim_value value; /* What was got for it. */
} fcgi_job;

static void fcgi_work_accept(fcgi_job *job) {
  job->request = shim_server_accept(job->server, job->error, job->seconds);
}

static void fcgi_work_loop(fcgi_job *job) {
  job->loop(job->server, job->error, job->handler, job->text);
}

static void fcgi_work_read(fcgi_job *job) {
  job->bytes = job->read(job->request, job->error, job->size);
}

static void fcgi_work_plain(fcgi_job *job) {
  job->plain(job->request, job->error);
}

static void fcgi_work_write(fcgi_job *job) {
  shim_request_write(job->request, job->error, job->data, job->len);
}

static void fcgi_work_send_file(fcgi_job *job) {
  shim_request_send_file(job->request, job->error, job->text, job->text_len,
                         job->offset, job->size);
}

static void fcgi_work_reply(fcgi_job *job) {
  shim_request_reply(job->request, job->error, job->status, job->text,
                     job->text_len, job->data, job->len);
}

static void fcgi_work_end(fcgi_job *job) {
  shim_request_end(job->request, job->error, job->status);
}

static void fcgi_work_lock(fcgi_job *job) {
  job->token = shim_shared_lock(job->shared, job->error, job->text,
                                job->text_len, job->seconds, job->ttl);
}

static void fcgi_work_take(fcgi_job *job) {
  job->value = job->take(job->resource, job->error, job->request);
}

static void *fcgi_work(void *data) {
  fcgi_job *job = data;
  job->work(job);
  job->done = 1;
  return NULL;
}

/* A thread that is interrupted before its work has begun raises here, when
   nothing is held; one that is interrupted later, as soon as Ruby looks. */
static void fcgi_unlocked(fcgi_job *job) {
  while (!job->done) {
    rb_thread_check_ints();
    rb_thread_call_without_gvl2(fcgi_work, job, RUBY_UBF_IO, NULL);
  }
}

/* --- Signals -------------------------------------------------------------- */

/* Where Ruby has further threads, the system may hand one of them the signals
   that `serve` waits for: Ruby's traps then do the same as C, so that no
   handler is broken off by a SignalException. */
static const char fcgi_trapped[][5] = {"INT", "TERM", "QUIT"};

/* What `serve` needs around its loop. */
typedef struct fcgi_serving {
  fcgi_job *job;  /* The loop. */
  VALUE traps[3]; /* What Ruby did on each signal before. */
} fcgi_serving;

static VALUE fcgi_trap(int at, VALUE command) {
  VALUE module = rb_const_get(rb_cObject, rb_intern("Signal"));
  return rb_funcall(module, rb_intern("trap"), 2,
                    rb_str_new_cstr(fcgi_trapped[at]), command);
}

/* The first signal stops gracefully; SIGQUIT and a second one, at once. */
static VALUE fcgi_on_signal(RB_BLOCK_CALL_FUNC_ARGLIST(number, server)) {
  int now = RTEST(rb_iv_get(server, "@stopping")) || NUM2INT(number) == SIGQUIT;
  rb_iv_set(server, "@stopping", Qtrue);
  return rb_funcall(server, rb_intern("stop"), 1, now ? Qfalse : Qtrue);
}

static VALUE fcgi_serve_trapped(VALUE data) {
  fcgi_unlocked(((fcgi_serving *)data)->job);
  return Qnil;
}

static VALUE fcgi_untrap(VALUE data) {
  const fcgi_serving *serving = (const fcgi_serving *)data;
  for (int i = 0; i < 3; i++)
    fcgi_trap(i, serving->traps[i]);
  return Qnil;
}

static void fcgi_unlocked_trapped(fcgi_job *job, VALUE server) {
  fcgi_serving serving = {.job = job};
  VALUE stop = rb_proc_new(fcgi_on_signal, server);
  rb_iv_set(server, "@stopping", Qnil);
  for (int i = 0; i < 3; i++)
    serving.traps[i] = fcgi_trap(i, stop);
  rb_ensure(fcgi_serve_trapped, (VALUE)&serving, fcgi_untrap, (VALUE)&serving);
}

static int fcgi_is_text(VALUE value, const char *text) {
  return RB_TYPE_P(value, T_STRING) && !strcmp(StringValueCStr(value), text);
}

/* Ruby's own default raises a SignalException in the middle of a request. Where
   the program has no trap, the system's default takes its place below a
   supervisor: the core knows by it that no signal is wanted to stop a loop. */
static void fcgi_leave_sigterm(void) {
  struct sigaction action;
  VALUE before;
  if (!getenv("FASTCGI_SUPERVISOR") || sigaction(SIGTERM, NULL, &action) < 0)
    return;
  before = fcgi_trap(1, rb_str_new_cstr("SYSTEM_DEFAULT"));
  if (NIL_P(before)) /* It is no trap of Ruby's. */
    sigaction(SIGTERM, &action, NULL);
  else if (!fcgi_is_text(before, "DEFAULT"))
    fcgi_trap(1, before);
}
