/* SPDX-License-Identifier: MIT */
/* C for PHP 8, compiled into the wrapper. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zend_interfaces.h>

#define FCGI_RAISE(code, text)                                                 \
  do {                                                                         \
    fcgi_raise(code, text);                                                    \
    SWIG_fail;                                                                 \
  } while (0)
#define FCGI_PARKED(handler) fcgi_parked((handler)->closure)
#define FCGI_RETHROW(handler)                                                  \
  do {                                                                         \
    fcgi_rethrow((handler)->closure);                                          \
    SWIG_fail;                                                                 \
  } while (0)
#define FCGI_UNLOCK
#define FCGI_LOCK

/* One loop. */
typedef struct fcgi_closure {
  zval *function;     /* The handler, held by the caller's frame. */
  zend_object *error; /* The parked exception, NULL for none. */
  bool bailout;       /* The engine wants to end the script: a fatal error. */
  int status;         /* The script's exit status, before a handler's exit. */
} fcgi_closure;

/* --- Values --------------------------------------------------------------- */

static void fcgi_from_bytes(zval *value, shim_bytes *bytes) {
  if (bytes->data)
    ZVAL_STRINGL(value, bytes->data, bytes->len);
  else
    ZVAL_NULL(value);
  shim_bytes_free(bytes);
}

static void fcgi_from_pairs(zval *value, shim_pairs *pairs) {
  array_init_size(value, (uint32_t)pairs->count);
  for (size_t i = 0; i < pairs->count; i++) {
    const fcgi_param *pair = &pairs->items[i];
    add_assoc_stringl_ex(value, pair->name, pair->name_len, pair->value,
                         pair->value_len);
  }
  shim_pairs_free(pairs);
}

/* 1 for a value of the type; else a TypeError is thrown. Nothing is converted:
   SWIG's copies of the arguments hold no references. */
static int fcgi_is(zval *value, zend_uchar type, const char *name) {
  if (Z_TYPE_P(value) == type)
    return 1;
  zend_type_error("%s must be of type %s, %s given", name,
                  zend_get_type_by_const(type), zend_zval_type_name(value));
  return 0;
}

/* --- Errors --------------------------------------------------------------- */

static zend_class_entry *fcgi_error_class(void) {
  static const char class[] = "fastcgierror";
  return zend_hash_str_find_ptr(EG(class_table), class, sizeof class - 1);
}

/* A FastCGIError, whose code is a name as with PDO's exceptions. */
static void fcgi_raise(int code, const char *text) {
  zend_object *error = zend_throw_exception(fcgi_error_class(), text, 0);
  zend_update_property_string(zend_ce_exception, error, "code", 4,
                              fcgi_error_name(code));
}

static int fcgi_parked(const fcgi_closure *closure) {
  return closure->error || closure->bailout;
}

static void fcgi_rethrow(fcgi_closure *closure) {
  if (closure->bailout)
    zend_bailout();
  zend_throw_exception_internal(closure->error);
}

/* --- Handlers ------------------------------------------------------------- */

/* Call the handler; the proxy owns the request from its making on. */
static void fcgi_invoke(const fcgi_closure *closure, shim_request *request) {
  zval proxy, result;
  ZVAL_UNDEF(&proxy);
  ZVAL_UNDEF(&result);
  SWIG_SetPointerZval(&proxy, request, SWIGTYPE_p_shim_request, 1);
  call_user_function(NULL, NULL, closure->function, &result, 1, &proxy);
  zval_ptr_dtor(&result);
  zval_ptr_dtor(&proxy);
}

static zend_function *fcgi_find(const char *name) {
  return zend_hash_str_find_ptr(EG(function_table), name, strlen(name));
}

/* 1 where the extension pcntl is there and has a handler for it. */
static bool fcgi_handles(int number) {
  zend_function *handler = fcgi_find("pcntl_signal_get_handler");
  zval argument, result;
  bool handles;
  if (!handler)
    return false;
  ZVAL_LONG(&argument, number);
  ZVAL_UNDEF(&result);
  zend_call_known_function(handler, NULL, NULL, &result, 1, &argument, NULL);
  handles = Z_TYPE(result) != IS_LONG || Z_LVAL(result) != 0;
  zval_ptr_dtor(&result);
  return handles;
}

/* PHP has a handler of its own for what scripts have none for. Below a
   supervisor the system's default takes its place: the core knows by it that no
   signal is wanted to stop a loop. */
static void fcgi_leave_sigterm(void) {
  if (getenv("FASTCGI_SUPERVISOR") && !fcgi_handles(SIGTERM))
    signal(SIGTERM, SIG_DFL);
}

/* Run the handlers of signals, where the extension pcntl is there. */
static void fcgi_tick(void) {
  zval result;
  zend_function *dispatch = fcgi_find("pcntl_signal_dispatch");
  if (!dispatch)
    return;
  ZVAL_UNDEF(&result);
  zend_call_known_function(dispatch, NULL, NULL, &result, 0, NULL, NULL);
  zval_ptr_dtor(&result);
}

static shim_outcome fcgi_failure(zend_object *error) {
  zval room, *code = NULL;
  if (instanceof_function(error->ce, fcgi_error_class()))
    code = zend_read_property(zend_ce_exception, error, "code", 4, 1, &room);
  return shim_failure(code && Z_TYPE_P(code) == IS_STRING ? Z_STRVAL_P(code)
                                                          : NULL);
}

/* Take the exception out of the engine. */
static shim_outcome fcgi_park(fcgi_closure *closure) {
  zend_object *error = EG(exception);
  bool ends = zend_is_graceful_exit(error); /* A fiber is to end. */
  GC_ADDREF(error);
  zend_clear_exception();
  closure->error = error;
  return ends ? SHIM_LEAVE : fcgi_failure(error);
}

static shim_outcome fcgi_call(void *data, shim_request *request) {
  fcgi_closure *closure = data;
  if (closure->bailout)
    return SHIM_LEAVE;
  zend_try {
    if (request) {
      closure->status = EG(exit_status);
      fcgi_invoke(closure, request);
    } else
      fcgi_tick();
  }
  zend_catch {
    closure->bailout = true;
  }
  zend_end_try();
  if (closure->bailout)
    return SHIM_LEAVE;
  if (!EG(exception))
    return SHIM_DONE;
  shim_outcome outcome = fcgi_park(closure);
  return request ? outcome : SHIM_LEAVE;
}

static void fcgi_show(const fcgi_closure *closure, const shim_log *log) {
  static const char lost[] = "an error that cannot be shown";
  static const char left[] = "exit was called: it ends the request, as the "
                             "process serves others";
  zend_object *error = closure->error;
  zval text;
  ZVAL_UNDEF(&text);
  if (zend_is_unwind_exit(error)) {
    EG(exit_status) = closure->status;
    shim_log_write(log, left, sizeof left - 1);
    return;
  }
  zend_call_method_with_0_params(error, error->ce, NULL, "__tostring", &text);
  if (Z_TYPE(text) == IS_STRING)
    shim_log_write(log, Z_STRVAL(text), Z_STRLEN(text));
  else
    shim_log_write(log, lost, sizeof lost - 1);
  zval_ptr_dtor(&text);
  if (EG(exception))
    zend_clear_exception();
}

static void fcgi_report(void *data, const shim_log *log) {
  fcgi_closure *closure = data;
  zend_try {
    fcgi_show(closure, log);
    OBJ_RELEASE(closure->error);
  }
  zend_catch {
    closure->bailout = true;
  }
  zend_end_try();
  closure->error = NULL;
}

/* --- Functions of resources ------------------------------------------------
 */

static void *fcgi_refer(zval *value) {
  zval *reference = malloc(sizeof *reference);
  if (reference)
    ZVAL_COPY_DEREF(reference, value);
  return reference;
}

/* One line of the exception that was thrown, which is taken. */
static void fcgi_line(char *why, size_t len) {
  zend_object *error = EG(exception);
  zval room;
  if (zend_is_unwind_exit(error) || zend_is_graceful_exit(error)) {
    snprintf(why, len, "exit was called");
  } else {
    zval *text = zend_read_property(zend_get_exception_base(error), error,
                                    "message", 7, 1, &room);
    const char *line = Z_TYPE_P(text) == IS_STRING ? Z_STRVAL_P(text) : "";
    snprintf(why, len, "%s: %.*s", ZSTR_VAL(error->ce->name),
             (int)strcspn(line, "\n"), line);
  }
  zend_clear_exception();
}

/* A fatal error leaves all of it, up to the loop or the end of the script: the
   core holds no lock meanwhile. */
static int fcgi_function_call(void *function, void *value, void **result,
                              char *why, size_t len) {
  zval returned, argument;
  int status = EG(exit_status), outcome = -1;
  if (EG(exception) || EG(flags) & EG_FLAGS_IN_SHUTDOWN)
    return snprintf(why, len, "PHP is ending the script"), -1;
  ZVAL_UNDEF(&returned);
  if (value)
    ZVAL_COPY(&argument, (zval *)value);
  call_user_function(NULL, NULL, (zval *)function, &returned, value != NULL,
                     &argument);
  if (EG(exception)) {
    fcgi_line(why, len);
    EG(exit_status) = status;
  } else {
    outcome = Z_TYPE(returned) != IS_FALSE;
    if (result)
      *result = Z_TYPE(returned) > IS_NULL ? fcgi_refer(&returned) : NULL;
  }
  zval_ptr_dtor(&returned);
  if (value)
    zval_ptr_dtor(&argument);
  return outcome;
}

static void fcgi_function_drop(void *reference) {
  zval_ptr_dtor(reference);
  free(reference);
}
