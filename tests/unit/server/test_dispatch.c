/* SPDX-License-Identifier: MIT */
/* Which connections may go to another worker, by the bytes in their sockets. */
#include "server/server.h"
#include "support/failing.h"
#include "support/serving.h"

#include <sys/socket.h>
#include <unistd.h>

/* A request, or whatever `sent` has, in a socket. */
typedef struct scene {
  serving *f;     /* The server. */
  failing memory; /* Where its memory comes from. */
  int ends[2];    /* The web server's end, and the other. */
} scene;

static void begin(scene *s, serving *f) {
  *s = (scene){.f = f, .memory = {.until_failure = -1}};
  f->config.allocator = failing_allocator(&s->memory);
  serving_restart(f);
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s->ends), 0);
}

/* The memory that is counted goes with the scene. */
static void end(scene *s) {
  close(s->ends[0]);
  close(s->ends[1]);
  fcgi_server_free(s->f->server);
  s->f->server = NULL;
  s->f->config.allocator = (fcgi_allocator){0};
  assert_int_equal(s->memory.live, 0);
}

static void ask_for(scene *s, const char *path) {
  records *to = &s->f->text->sent;
  records_begin(to, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(to, 1, "SCRIPT_NAME", path);
  records_params_end(to, 1);
  assert_int_equal(send(s->ends[0], to->data, to->len, 0), to->len);
  to->len = 0;
}

static int is_for_handlers(const scene *s) {
  return fcgi__dispatch_is_for_handlers(s->f->server, s->ends[1]);
}

static void test_what_has_sent_nothing_stays(void **state) {
  scene s;
  begin(&s, *state);
  assert_false(is_for_handlers(&s));
  ask_for(&s, "/status");
  assert_true(is_for_handlers(&s)); /* There is no such page. */
  end(&s);
}

static void test_what_asks_the_library_stays(void **state) {
  serving *f = *state;
  scene s;
  f->config.status_path = "/status";
  begin(&s, f);
  assert_false(is_for_handlers(&s));
  ask_for(&s, "/status");
  assert_false(is_for_handlers(&s));
  end(&s);
}

static void test_what_asks_for_a_ping_stays(void **state) {
  serving *f = *state;
  scene s;
  f->config.ping_path = "/ping";
  begin(&s, f);
  ask_for(&s, "/ping");
  assert_false(is_for_handlers(&s));
  end(&s);
}

static void test_what_asks_a_handler_goes(void **state) {
  serving *f = *state;
  scene s;
  f->config.status_path = "/status";
  f->config.ping_path = "/ping";
  begin(&s, f);
  ask_for(&s, "/status/more");
  assert_true(is_for_handlers(&s));
  end(&s);
}

static void test_what_is_no_request_stays(void **state) {
  serving *f = *state;
  scene s;
  f->config.status_path = "/status";
  begin(&s, f);
  assert_int_equal(send(s.ends[0], "GET / HTTP/1.0", 14, 0), 14);
  assert_false(is_for_handlers(&s));
  end(&s);
}

/* Nobody knows then what it asks for: it is answered here. */
static void test_without_memory_it_stays(void **state) {
  serving *f = *state;
  scene s;
  f->config.status_path = "/status";
  begin(&s, f);
  ask_for(&s, "/page");
  s.memory.until_failure = 0;
  assert_false(is_for_handlers(&s));
  assert_true(s.memory.failures > 0);
  s.memory.until_failure = -1;
  assert_true(is_for_handlers(&s));
  end(&s);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_what_has_sent_nothing_stays),
      SERVING_TEST(test_what_asks_the_library_stays),
      SERVING_TEST(test_what_asks_for_a_ping_stays),
      SERVING_TEST(test_what_asks_a_handler_goes),
      SERVING_TEST(test_what_is_no_request_stays),
      SERVING_TEST(test_without_memory_it_stays),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
