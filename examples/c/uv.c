/* SPDX-License-Identifier: MIT */
/* hello inside a libuv loop: `uv [address]`. The server lends one descriptor
   and one timeout; the loop is the program's own. */
#include <fastcgi/fastcgi.h>
#include <signal.h>
#include <stdio.h>
#include <uv.h>

typedef struct app {
  fcgi_server *server;
  uv_poll_t poll;         /* Watches fcgi_server_fd. */
  uv_timer_t timer;       /* Fires after fcgi_server_wait_ms. */
  uv_signal_t signals[2]; /* SIGINT and SIGTERM. */
} app;

static void answer(const fcgi_server_event *event) {
  if (event->type == FCGI_EVENT_REQUEST)
    fcgi_request_reply(event->request, 200, "text/plain", "Hello\n", 6);
}

/* With every handle closed the loop has nothing left and uv_run returns. */
static void finish(app *self) {
  uv_close((uv_handle_t *)&self->poll, NULL);
  uv_close((uv_handle_t *)&self->timer, NULL);
  uv_close((uv_handle_t *)&self->signals[0], NULL);
  uv_close((uv_handle_t *)&self->signals[1], NULL);
}

static void on_timer(uv_timer_t *timer);

/* Take all events that are due, then tell the loop when to look again. */
static void turn(app *self) {
  fcgi_server_event event = {.size = sizeof event};
  int got;
  while ((got = fcgi_server_next(self->server, &event, 0)) > 0)
    answer(&event);
  if (got < 0) {
    finish(self);
    return;
  }
  const int wait_ms = fcgi_server_wait_ms(self->server);
  if (wait_ms < 0)
    uv_timer_stop(&self->timer);
  else
    uv_timer_start(&self->timer, on_timer, (uint64_t)wait_ms, 0);
}

static void on_timer(uv_timer_t *timer) {
  turn(timer->data);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  (void)status;
  (void)events;
  turn(poll->data);
}

static void on_signal(uv_signal_t *handle, int number) {
  app *self = handle->data;
  (void)number;
  fcgi_server_stop(self->server, FCGI_STOP_GRACEFUL);
  turn(self);
}

static void watch(app *self, uv_loop_t *loop) {
  static const int numbers[] = {SIGINT, SIGTERM};
  uv_poll_init(loop, &self->poll, fcgi_server_fd(self->server));
  uv_timer_init(loop, &self->timer);
  self->poll.data = self;
  self->timer.data = self;
  for (int i = 0; i < 2; i++) {
    uv_signal_init(loop, &self->signals[i]);
    self->signals[i].data = self;
    uv_signal_start(&self->signals[i], on_signal, numbers[i]);
  }
  uv_poll_start(&self->poll, UV_READABLE, on_readable);
}

int main(int argc, char **argv) {
  app self = {0};
  char why[256];
  int failed = fcgi_server_new(&self.server, NULL, why, sizeof why);
  if (failed) {
    fprintf(stderr, "uv: %s\n", why);
    return 1;
  }
  failed = fcgi_server_listen(self.server, fcgi_serve_address(argc, argv));
  if (failed) {
    fprintf(stderr, "uv: %s\n", fcgi_server_message(self.server));
  } else {
    watch(&self, uv_default_loop());
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    uv_loop_close(uv_default_loop());
  }
  fcgi_server_free(self.server);
  return failed ? 1 : 0;
}
