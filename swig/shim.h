/* SPDX-License-Identifier: MIT */
/* What SWIG wraps: libfastcgi with handles that outlive what they stand for,
   values that own their bytes, and errors that are filled in. A finished
   request and a closed server are errors here, never dead pointers. Handles are
   counted; calls may come from any thread. */
#ifndef FCGI_SWIG_SHIM_H
#define FCGI_SWIG_SHIM_H

#include <fastcgi/fastcgi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct shim_server shim_server;
typedef struct shim_request shim_request;
typedef struct shim_shared shim_shared;
typedef struct shim_resource shim_resource;
typedef struct shim_log shim_log;

/* The code of an error that the language keeps itself: see shim_handler. */
enum { SHIM_PARKED = -100 };

/* Why a call failed. */
typedef struct shim_error {
  int code;       /* 0: it did not; an fcgi_error; SHIM_PARKED. */
  char text[256]; /* One line for a person. */
} shim_error;

/* Bytes that the receiver frees with shim_bytes_free. */
typedef struct shim_bytes {
  char *data; /* NULL: there is no value. */
  size_t len; /* Number of bytes. */
} shim_bytes;

/* The same, meant as text: names and values of parameters. */
typedef shim_bytes shim_text;

/* Name-value pairs in one allocation, freed with shim_pairs_free. */
typedef struct shim_pairs {
  fcgi_param *items; /* The items; NULL: there are none. */
  size_t count;      /* Number of items. */
} shim_pairs;

/* What a callback came to. */
typedef enum shim_outcome {
  SHIM_DONE = 0, /* It returned. */
  SHIM_FAILED,   /* It failed; the error is parked in the closure. */
  SHIM_ABORTED,  /* The same; the error is one of ours with the code ABORTED. */
  SHIM_LEAVE     /* It failed, and the loop must be left whatever the policy:
                    the program is told to stop. */
} shim_outcome;

/* The language's side of a loop. The closure lives as long as the loop. */
typedef struct shim_handler {
  /* Answer a request, whose handle the callee then owns; or, with NULL, see to
     signals: that comes at least once a second. Nothing is thrown through. */
  shim_outcome (*call)(void *closure, shim_request *request);
  /* Give the parked error to shim_log_write and drop it. `log` may be NULL. */
  void (*report)(void *closure, const shim_log *log);
  void *closure; /* The language's own. */
} shim_handler;

/* A function of the language, which the receiver drops. */
typedef struct shim_function {
  void *reference; /* The language's own; NULL: there is none. */
  /* Call it with `value`, a reference, or with nothing where that is NULL. A
     reference to what it returns goes into `*result` unless that is NULL; NULL
     for nothing. 1: it returned; 0: it returned false; -1: it failed, and `why`
     has one line. Nothing is thrown through. */
  int (*call)(void *reference, void *value, void **result, char *why,
              size_t len);
  /* Drop a reference to a function or to what one returned. */
  void (*drop)(void *reference);
} shim_function;

/* A reference to what a function returned, lent. */
typedef struct shim_value {
  void *reference; /* NULL: there is none. */
} shim_value;

void shim_bytes_free(shim_bytes *bytes);
void shim_pairs_free(shim_pairs *pairs);

/* --- Servers ------------------------------------------------------------- */

/* A server without a listener; NULL when out of memory. */
shim_server *shim_server_new(void);

/* Give up a handle. What still runs finishes; then the server is closed. */
void shim_server_free(shim_server *server);

/* Give a server an option by its name, before the first listen: a number, times
   in whole seconds and 0 for no limit, or a text as on a command line. */
void shim_server_set(shim_server *server, shim_error *error, const char *name,
                     size_t name_len, int64_t value);
void shim_server_set_text(shim_server *server, shim_error *error,
                          const char *name, size_t name_len, const char *value,
                          size_t value_len);

/* fcgi_server_listen, at an address or at the inherited listener. */
void shim_server_listen(shim_server *server, shim_error *error,
                        const char *address, size_t address_len);
void shim_server_listen_inherited(shim_server *server, shim_error *error);

/* The address of listener `index`, counted from 0; no value past the last. */
shim_text shim_server_address(shim_server *server, shim_error *error,
                              int index);

/* The next request, or NULL: `seconds` passed (negative: no end), a signal
   came, or the server has stopped, as shim_server_stopped tells. */
shim_request *shim_server_accept(shim_server *server, shim_error *error,
                                 double seconds);

/* Answer requests until stopped. Where a handler fails: "log500" reports it
   and goes on, "raise" leaves the loop with SHIM_PARKED; the request has failed
   either way. One that the handler leaves open is ended. */
void shim_server_run(shim_server *server, shim_error *error,
                     shim_handler *handler, const char *on_error);

/* The same, and SIGTERM, SIGINT and SIGQUIT stop the server. */
void shim_server_serve(shim_server *server, shim_error *error,
                       shim_handler *handler, const char *on_error);

/* What the failure of a handler is: `code` is the name that an error of ours
   has, NULL for another error. */
shim_outcome shim_failure(const char *code);

/* Have the loops of the server open the resource if it is eager, count it in
   the status, tidy it up, and close what their thread has when they end. */
void shim_server_keep(shim_server *server, shim_error *error,
                      shim_resource *resource);

/* fcgi_server_log, for what a handler failed with: it waits for nobody. */
void shim_log_write(const shim_log *log, const char *text, size_t len);

/* fcgi_server_stop. Never fails. */
void shim_server_stop(shim_server *server, bool graceful);

/* 1 once a loop or accept has found the server stopped and all finished, or it
   is closed. */
bool shim_server_stopped(shim_server *server);

/* 1 in a process that was forked from the server's, as fcgi_server_forked. */
bool shim_server_forked(shim_server *server);

/* Close: requests not finished are dead, calls in progress are stopped. */
void shim_server_close(shim_server *server);

/* fcgi_server_fd; and fcgi_server_wait_ms in seconds, -1 for none. */
int shim_server_fd(shim_server *server, shim_error *error);
double shim_server_wait(shim_server *server, shim_error *error);

/* --- Requests ------------------------------------------------------------ */

/* Give up a handle. With the last one an open request fails. */
void shim_request_free(shim_request *request);

/* 1 once the request is finished. Never fails. */
bool shim_request_ended(shim_request *request);

int shim_request_id(shim_request *request, shim_error *error);
shim_text shim_request_role(shim_request *request, shim_error *error);

/* A parameter's value, or no value; all, each name once; and the names in the
   order received, counted from 0, duplicates each. */
shim_text shim_request_param(shim_request *request, shim_error *error,
                             const char *name, size_t name_len);
shim_pairs shim_request_params(shim_request *request, shim_error *error);
shim_text shim_request_param_name(shim_request *request, shim_error *error,
                                  int index);

/* Texts of fcgi_request_path; and the other two functions', or no value. */
shim_text shim_request_path(shim_request *request, shim_error *error);
shim_text shim_request_script_name(shim_request *request, shim_error *error);
shim_text shim_request_path_info(shim_request *request, shim_error *error);
shim_text shim_request_raw_path(shim_request *request, shim_error *error);
shim_text shim_request_script_filename(shim_request *request,
                                       shim_error *error);

/* -1 for none. */
int64_t shim_request_content_length(shim_request *request, shim_error *error);
int64_t shim_request_data_length(shim_request *request, shim_error *error);
int64_t shim_request_data_modified(shim_request *request, shim_error *error);

/* "record", "connection", "protocol", "timeout", "stop" or "deadline"; no value
   while the request is not aborted. */
shim_text shim_request_aborted(shim_request *request, shim_error *error);

/* Read `size` bytes of the body, fewer only at its end; negative: all. */
shim_bytes shim_request_read(shim_request *request, shim_error *error,
                             int64_t size);

/* What has come, at most `size` bytes, or wait for it; empty at the end. */
shim_bytes shim_request_read_some(shim_request *request, shim_error *error,
                                  int64_t size);

/* shim_request_read for a filter's DATA. */
shim_bytes shim_request_read_data(shim_request *request, shim_error *error,
                                  int64_t size);

/* Add a header to those that the next start, reply or allow sends. */
void shim_request_header(shim_request *request, shim_error *error,
                         const char *name, size_t name_len, const char *value,
                         size_t value_len);

void shim_request_start(shim_request *request, shim_error *error, int status);

/* Write all of it, or fail. */
void shim_request_write(shim_request *request, shim_error *error,
                        const void *data, size_t len);
void shim_request_flush(shim_request *request, shim_error *error);

/* A line for the web server's error log. */
void shim_request_log(shim_request *request, shim_error *error,
                      const char *text, size_t text_len);

/* Send a file's bytes from `offset` on; `len` negative: to its end. */
void shim_request_send_file(shim_request *request, shim_error *error,
                            const char *path, size_t path_len, int64_t offset,
                            int64_t len);

/* These finish the request, whether they fail or not. An empty content type
   is not sent. */
void shim_request_reply(shim_request *request, shim_error *error, int status,
                        const char *type, size_t type_len, const void *data,
                        size_t len);
void shim_request_allow(shim_request *request, shim_error *error);
void shim_request_end(shim_request *request, shim_error *error, int app_status);
void shim_request_fail(shim_request *request, shim_error *error);

/* How long one read or write may wait; negative: without end. */
void shim_request_set_timeout(shim_request *request, shim_error *error,
                              double seconds);

/* --- Shared dictionaries -------------------------------------------------- */

/* fcgi_shared_open; `size` is for a process without a supervisor. */
shim_shared *shim_shared_new(shim_error *error, const char *name,
                             size_t name_len, int64_t size);
void shim_shared_free(shim_shared *shared);

/* Its value, or no value. Times are seconds, and 0 is without an end. */
shim_bytes shim_shared_get(shim_shared *shared, shim_error *error,
                           const char *key, size_t key_len);

/* How many entries had to go for it. */
int shim_shared_set(shim_shared *shared, shim_error *error, const char *key,
                    size_t key_len, const void *data, size_t len, double ttl);

/* 1 when it was done. */
bool shim_shared_add(shim_shared *shared, shim_error *error, const char *key,
                     size_t key_len, const void *data, size_t len, double ttl);
bool shim_shared_replace(shim_shared *shared, shim_error *error,
                         const char *key, size_t key_len, const void *data,
                         size_t len, double ttl);
bool shim_shared_remove(shim_shared *shared, shim_error *error, const char *key,
                        size_t key_len);
bool shim_shared_expire(shim_shared *shared, shim_error *error, const char *key,
                        size_t key_len, double ttl);

/* The sum; where there is no entry, that of `init` and `by`. */
int64_t shim_shared_incr(shim_shared *shared, shim_error *error,
                         const char *key, size_t key_len, int64_t by,
                         int64_t init, double ttl);

void shim_shared_clear(shim_shared *shared, shim_error *error);

/* A token, or 0: another held it for all of `timeout`, negative for ever. */
int64_t shim_shared_lock(shim_shared *shared, shim_error *error,
                         const char *key, size_t key_len, double timeout,
                         double ttl);
bool shim_shared_unlock(shim_shared *shared, shim_error *error, const char *key,
                        size_t key_len, int64_t token);

/* A number of FCGI_SHARED_COUNT_MAP by its name. */
int64_t shim_shared_count(shim_shared *shared, shim_error *error,
                          const char *name, size_t name_len);

/* --- Resources ----------------------------------------------------------- */

/* What `function` opens, one for each thread. NULL and an error when out of
   memory; the function is dropped then too. */
shim_resource *shim_resource_new(shim_error *error, shim_function *function);

/* Give up a handle. With the last one, what is open is closed. */
void shim_resource_free(shim_resource *resource);

/* Set a function that gets what was opened: "configure", "check", "reset" or
   "close"; and options: times in seconds, negative for no limit, and texts. All
   of it before the first use. */
void shim_resource_on(shim_resource *resource, shim_error *error,
                      const char *name, size_t name_len,
                      shim_function *function);
void shim_resource_set(shim_resource *resource, shim_error *error,
                       const char *name, size_t name_len, double value);
void shim_resource_set_text(shim_resource *resource, shim_error *error,
                            const char *name, size_t name_len,
                            const char *value, size_t value_len);

/* fcgi_resource_get: until the end of the request's handler, or of the request
   where it has none. */
shim_value shim_resource_get(shim_resource *resource, shim_error *error,
                             shim_request *request);

/* fcgi_resource_take, _give and _invalidate, for a request or, with NULL, for
   the calling thread. */
shim_value shim_resource_take(shim_resource *resource, shim_error *error,
                              shim_request *request);
void shim_resource_give(shim_resource *resource, shim_error *error,
                        shim_request *request);
void shim_resource_invalidate(shim_resource *resource, shim_error *error,
                              shim_request *request);

/* Close what rests, and the others when they are given back; for good. */
void shim_resource_drain(shim_resource *resource, shim_error *error);
void shim_resource_close(shim_resource *resource, shim_error *error);

/* fcgi_resource_renew. */
void shim_resource_renew(shim_resource *resource, shim_error *error);

/* A number of fcgi_resource_stats by its name, or "closed_" and a cause. */
int64_t shim_resource_count(shim_resource *resource, shim_error *error,
                            const char *name, size_t name_len);

#endif
