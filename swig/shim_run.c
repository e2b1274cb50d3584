/* SPDX-License-Identifier: MIT */
/* The loops, over fcgi_server_next: a handler's error never meets a frame of
   the core, and a loop that was left can be entered again. */
#include "shim_private.h"
#include <string.h>
#include <time.h>

/* How often a handler may see to signals that came just before a wait. */
enum { TICK_MS = 1000 };

/* One loop on one thread. */
typedef struct loop {
  shim_server *server;         /* Its server. */
  const shim_handler *handler; /* What answers. */
  bool raise;                  /* A failure ends it. */
  bool parked;                 /* An error waits in the closure. */
  shim_log log;                /* For what fails. */
  long long due;               /* When resources are tidied up, in ms. */
} loop;

shim_outcome shim_failure(const char *code) {
  const char *aborted = fcgi_error_name(FCGI_ERR_ABORTED);
  return code && strcmp(code, aborted) == 0 ? SHIM_ABORTED : SHIM_FAILED;
}

void shim_log_write(const shim_log *log, const char *text, size_t len) {
  const char *refused = log ? log->refused : NULL;
  if (log && !(refused && memmem(text, len, refused, strlen(refused))))
    fcgi_server_log(log->server->core, FCGI_LOG_ERROR, text, len);
}

/* 1 to go on. That its request was aborted, as by a client that has left, is no
   fault of the handler, and the core tells what is to be told of it. */
static int judge(loop *self, shim_outcome outcome) {
  if (outcome == SHIM_DONE)
    return 1;
  /* What a child that a handler has forked raises is for its own program. */
  if (outcome == SHIM_LEAVE || self->raise ||
      fcgi_server_forked(self->server->core)) {
    self->parked = true;
    return 0;
  }
  self->handler->report(self->handler->closure,
                        outcome == SHIM_ABORTED ? NULL : &self->log);
  return 1;
}

/* The core's request when it is to be answered once more; the first failure is
   told by the core. */
static fcgi_request *answer_once(loop *self, shim_request *request,
                                 shim_outcome *outcome) {
  fcgi_request *again = NULL;
  request->running = true;
  *outcome = self->handler->call(self->handler->closure, request);
  request->running = false;
  shim_request_give_back(request);
  if (*outcome == SHIM_FAILED)
    again = shim_request_again(request);
  if (again)
    self->handler->report(self->handler->closure, NULL);
  shim_request_conclude(request, *outcome != SHIM_DONE);
  return again;
}

/* Two handles: the language's own, and one to see what became of it. */
static int answer(loop *self, fcgi_request *core) {
  shim_outcome outcome = SHIM_DONE;
  int go_on = 1;
  while (core) {
    shim_request *request = shim_request_new(self->server, core, 2);
    if (!request)
      break;
    core = answer_once(self, request, &outcome);
    self->log.refused = request->refused;
    go_on = core || judge(self, outcome);
    self->log.refused = NULL;
    shim_request_free(request);
  }
  return go_on;
}

static long long now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (long long)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* A server has a status from its first wait on. */
static void tend(loop *self) {
  if (!atomic_load(&self->server->kept) || now_ms() < self->due)
    return;
  if (self->due == 0)
    shim_server_show(self->server);
  shim_server_tidy(self->server, FCGI_RESOURCE_REAP);
  self->due = now_ms() + TICK_MS;
}

static int turn(void *data) {
  loop *self = data;
  const shim_handler *handler = self->handler;
  fcgi_server_event event = {.size = sizeof event};
  int result, go_on = 1;
  shim_server_prepare(self->server);
  do {
    result = fcgi_server_next(self->server->core, &event, TICK_MS);
    if (result == 0)
      go_on = judge(self, handler->call(handler->closure, NULL));
    else if (result > 0)
      go_on = answer(self, event.request);
    tend(self);
  } while (result >= 0 && go_on);
  shim_server_tidy(self->server, FCGI_RESOURCE_LEAVE);
  if (result == FCGI_ERR_CLOSED)
    atomic_store(&self->server->stopped, 1);
  return result < 0 && result != FCGI_ERR_CLOSED ? result : 0;
}

static int take_policy(loop *self, const char *on_error, shim_error *error) {
  self->raise = on_error && strcmp(on_error, "raise") == 0;
  if (!on_error || self->raise || strcmp(on_error, "log500") == 0)
    return 1;
  shim_fail(error, FCGI_ERR_INVALID,
            "what to do on an error is \"log500\" or \"raise\"");
  return 0;
}

static void run(loop *self, shim_error *error, const char *on_error,
                bool signals) {
  if (!take_policy(self, on_error, error) ||
      !shim_server_enter_core(self->server, error))
    return;
  int code =
      signals ? fcgi_serve_signals(self->server->core, turn, self) : turn(self);
  if (self->parked)
    shim_fail(error, SHIM_PARKED, "the handler failed");
  else if (code < 0)
    shim_fail(error, code, fcgi_server_message(self->server->core));
  shim_server_leave(self->server);
}

void shim_server_run(shim_server *server, shim_error *error,
                     shim_handler *handler, const char *on_error) {
  loop self = {.server = server, .handler = handler, .log = {.server = server}};
  run(&self, error, on_error, false);
}

void shim_server_serve(shim_server *server, shim_error *error,
                       shim_handler *handler, const char *on_error) {
  loop self = {.server = server, .handler = handler, .log = {.server = server}};
  run(&self, error, on_error, true);
}

shim_request *shim_server_accept(shim_server *server, shim_error *error,
                                 double seconds) {
  fcgi_server_event event = {.size = sizeof event};
  shim_request *request = NULL;
  if (!shim_server_enter_core(server, error))
    return NULL;
  int result =
      fcgi_server_next(server->core, &event, shim_milliseconds(seconds));
  if (result == FCGI_ERR_CLOSED)
    atomic_store(&server->stopped, 1);
  else if (result < 0)
    shim_fail(error, result, NULL);
  else if (result > 0 &&
           !(request = shim_request_new(server, event.request, 1)))
    shim_fail(error, FCGI_ERR_NOMEM, NULL);
  shim_server_leave(server);
  return request;
}
