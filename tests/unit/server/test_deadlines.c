/* SPDX-License-Identifier: MIT */
/* What a deadline costs a server with many connections, none of which has a
   socket here. */
#include "os/clock.h"
#include "server/server.h"
#include "support/unit.h"

enum {
  MANY = 65000,   /* Connections of one server, about. */
  SPAN_MS = 90000 /* One idle timeout. */
};

/* All of them are idle, and one is due. A pass over all would put every one of
 * them somewhere again. */
static void test_a_sweep_touches_what_is_due(void **state) {
  const fcgi_server_config config = {.size = sizeof config};
  fcgi__connection *connection = NULL;
  long long now = fcgi__now();
  fcgi_server *server;
  uint64_t before;
  (void)state;
  assert_int_equal(fcgi_server_new(&server, &config, NULL, 0), 0);
  for (int i = 0; i < MANY; i++) {
    connection = fcgi__pool_take(server);
    assert_non_null(connection);
    atomic_store(&connection->deadline, now + SPAN_MS + i);
    fcgi__server_connection_due(connection, now + SPAN_MS + i, now);
  }
  assert_int_equal(server->wheel.steps, MANY);
  atomic_store(&connection->deadline, now);
  fcgi__server_connection_due(connection, now, now);
  before = server->wheel.steps;
  fcgi__server_sweep(server);
  assert_true(server->wheel.steps - before <= 2);
  assert_in_range(atomic_load(&server->next_sweep), now + 1, now + SPAN_MS);
  fcgi_server_free(server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_sweep_touches_what_is_due),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
