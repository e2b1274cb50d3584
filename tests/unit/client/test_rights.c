/* SPDX-License-Identifier: MIT */
/* Sockets that a user may not connect to: the client says which right lacks. */
#include "support/unit.h"

#include <fastcgi/fastcgi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY = 65534, CHILD_SECONDS = 60 };

/* A listener below two directories. */
typedef struct place {
  char outer[64];    /* The first, which all may enter. */
  char inner[80];    /* The second. */
  char path[100];    /* The socket. */
  char address[120]; /* The same for the client. */
  int listener;      /* Its descriptor. */
} place;

static int set_up(void **state) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  place *p = calloc(1, sizeof *p);
  strcpy(p->outer, "/tmp/fastcgi-unit-XXXXXX");
  assert_non_null(mkdtemp(p->outer));
  snprintf(p->inner, sizeof p->inner, "%s/inner", p->outer);
  snprintf(p->path, sizeof p->path, "%s/s", p->inner);
  snprintf(p->address, sizeof p->address, "unix:%s", p->path);
  assert_int_equal(mkdir(p->inner, 0755), 0);
  assert_int_equal(chmod(p->outer, 0755), 0);
  p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  strcpy(at.sun_path, p->path);
  assert_int_equal(bind(p->listener, (struct sockaddr *)&at, sizeof at), 0);
  assert_int_equal(listen(p->listener, 4), 0);
  *state = p;
  return 0;
}

static int tear_down(void **state) {
  place *p = *state;
  chmod(p->inner, 0755);
  close(p->listener);
  unlink(p->path);
  rmdir(p->inner);
  rmdir(p->outer);
  free(p);
  return 0;
}

/* Root may do everything, so another user tries. */
static void expect_refusal(const place *p, const char *text) {
  int status;
  pid_t child = fork();
  if (child == 0) {
    fcgi_client *client;
    alarm(CHILD_SECONDS);
    if (geteuid() == 0 && seteuid(NOBODY) != 0)
      _exit(2);
    if (fcgi_client_new(&client, NULL) != 0 ||
        fcgi_client_connect(client, p->address) != FCGI_ERR_SYSTEM)
      _exit(3);
    _exit(strstr(fcgi_client_message(client), text) ? 0 : 4);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

static void test_a_directory_that_may_not_be_entered(void **state) {
  const place *p = *state;
  char text[200];
  assert_int_equal(chmod(p->inner, 0), 0);
  snprintf(text, sizeof text, "may not enter the directory %s", p->inner);
  expect_refusal(p, text);
}

static void test_a_socket_that_may_not_be_written_to(void **state) {
  const place *p = *state;
  assert_int_equal(chmod(p->path, 0), 0);
  expect_refusal(p, "may not write to the socket");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_a_directory_that_may_not_be_entered,
                                      set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_socket_that_may_not_be_written_to,
                                      set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
