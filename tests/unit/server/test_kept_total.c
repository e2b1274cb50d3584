/* SPDX-License-Identifier: MIT */
/* What a server keeps of which all workers have a limit together: another
   worker has it, or is asked for it. */
#include "resource/quota.h"
#include "support/keeping.h"
#include "support/serving.h"
#include "support/unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LONG_MS = 60000 };

typedef struct scene {
  serving *f;                  /* The server. */
  keeping served, other;       /* What it keeps, and what a worker does. */
  fcgi_resource_config config; /* Of both, but for the user data. */
  int fd;                      /* The table of both. */
  pthread_t thread;            /* Who serves. */
} scene;

static int reply(fcgi_request *request, void *user_data) {
  (void)user_data;
  return fcgi_request_reply(request, 200, NULL, "hi\n", 3);
}

static void *serve(void *data) {
  static const fcgi_handler handler = {.size = sizeof handler,
                                       .on_request = reply};
  scene *s = data;
  return (void *)(intptr_t)fcgi_server_run(s->f->server, &handler, s);
}

static scene *begin(serving *f) {
  scene *s = calloc(1, sizeof *s);
  char text[64];
  s->f = f;
  s->fd = fcgi__quota_make();
  snprintf(text, sizeof text, "%ld:%d", (long)getpid(), s->fd);
  setenv(FCGI__QUOTA_VARIABLE, text, 1);
  lines_begin(&f->log, &f->config);
  serving_restart(f);
  s->config = keeping_config(&s->other);
  s->config.limit_total = 1;
  keeping_begin(&s->other, &s->config);
  s->config.user_data = &s->served;
  s->config.eager = 1;
  return s;
}

static void begin_serving(scene *s) {
  keeping_begin(&s->served, &s->config);
  assert_int_equal(fcgi_server_keep(s->f->server, s->served.resource), 0);
  assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void await_line(scene *s, const char *line) {
  for (int i = 0; i < LONG_MS && lines_count(&s->f->log, line) == 0; i++)
    usleep(1000);
  assert_int_equal(lines_count(&s->f->log, line), 1);
}

static void end(scene *s) {
  fcgi_server_stop(s->f->server, FCGI_STOP_GRACEFUL);
  pthread_join(s->thread, NULL);
  keeping_end(&s->served);
  keeping_end(&s->other);
  unsetenv(FCGI__QUOTA_VARIABLE);
  close(s->fd);
  free(s);
}

static void test_an_eager_one_that_others_use_is_done_without(void **state) {
  scene *s = begin(*state);
  keeping_value *value = keeping_take(&s->other, NULL);
  begin_serving(s);
  await_line(s, "resource 'db': others use all that limit_total allows; the "
                "server is ready without one");
  assert_int_equal(atomic_load(&s->served.opens), 0);
  keeping_give(&s->other, NULL, value);
  end(s);
}

/* The thread that serves sleeps in its poller. */
static void test_what_a_server_keeps_gives_way(void **state) {
  scene *s = begin(*state);
  begin_serving(s);
  while (atomic_load(&s->served.opens) == 0)
    usleep(1000);
  keeping_give(&s->other, NULL, keeping_take(&s->other, NULL));
  assert_int_equal(atomic_load(&s->served.closes), 1);
  end(s);
}

static void test_another_limit_is_told(void **state) {
  scene *s = begin(*state);
  s->config.limit_total = 2;
  begin_serving(s);
  await_line(s, "resource 'db': limit_total is 2 for all workers from now on; "
                "another worker or resource of this name has declared 1");
  end(s);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_an_eager_one_that_others_use_is_done_without),
      SERVING_TEST(test_what_a_server_keeps_gives_way),
      SERVING_TEST(test_another_limit_is_told),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
