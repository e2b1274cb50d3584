/* SPDX-License-Identifier: MIT */
/* Root makes a socket in a directory whose owner changes names meanwhile. */
#include "os/clock.h"
#include "os/listener.h"
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/capability.h>
#endif

enum {
  NOBODY = 65534,
  FEWEST = 50,      /* Starts; a handful is enough where a path is looked at
                       twice. */
  MOST = 1000,      /* Starts, where they are quick: */
  ENOUGH_MS = 3000, /* after this there are no more of them. */
  FREE_MODE = 0666
};

typedef struct place {
  char home[64];    /* Root's, which nobody else may write to. */
  char secret[96];  /* A file of root's in it, of mode 600. */
  char open[96];    /* Nobody's directory in it. */
  char path[112];   /* The socket in that. */
  char aside[112];  /* Another name there. */
  char stolen[112]; /* Root's other socket, also there. */
  pid_t swapper;    /* Who changes names. */
} place;

static void make_file(const char *path, mode_t mode) {
  int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, mode);
  assert_true(fd >= 0);
  close(fd);
}

static int set_up(void **state) {
  place *p = calloc(1, sizeof *p);
  strcpy(p->home, "/tmp/fastcgi-unit-XXXXXX");
  assert_non_null(mkdtemp(p->home));
  assert_int_equal(chmod(p->home, 0755), 0);
  snprintf(p->secret, sizeof p->secret, "%s/secret", p->home);
  snprintf(p->open, sizeof p->open, "%s/open", p->home);
  snprintf(p->path, sizeof p->path, "%s/app.sock", p->open);
  snprintf(p->aside, sizeof p->aside, "%s/aside", p->open);
  snprintf(p->stolen, sizeof p->stolen, "%s/other.sock", p->open);
  make_file(p->secret, 0600);
  assert_int_equal(mkdir(p->open, 0755), 0);
  *state = p;
  return geteuid() == 0 ? chown(p->open, NOBODY, NOBODY) : 0;
}

static int tear_down(void **state) {
  place *p = *state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", p->home);
  int failed = system(command);
  free(p);
  return failed;
}

/* For ever: whenever the socket is there, something else has its name. */
static _Noreturn void swap(const place *p, const char *instead) {
  if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
    _exit(1);
  for (;;) {
    if (rename(p->path, p->aside) != 0)
      continue;
    if (instead == p->secret)
      symlink(p->secret, p->path);
    else
      rename(instead, p->path);
    usleep(300);
    if (instead == p->secret)
      unlink(p->path);
    else
      rename(p->path, instead);
    unlink(p->aside);
  }
}

static void start_swapping(place *p, const char *instead) {
  pid_t parent = getpid();
  p->swapper = fork();
  assert_true(p->swapper >= 0);
  if (p->swapper == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent)
      swap(p, instead);
    _exit(1);
  }
}

static void stop_swapping(const place *p) {
  kill(p->swapper, SIGKILL);
  waitpid(p->swapper, NULL, 0);
}

static void start_once(const place *p, const fcgi__listen_options *options) {
  fcgi__listener listener;
  char why[512], address[128];
  snprintf(address, sizeof address, "unix:%s", p->path);
  if (fcgi__listener_open(&listener, 1, address, options, why, sizeof why) > 0)
    fcgi__listener_close(&listener);
}

/* Without CAP_NET_ADMIN, as in most containers, Linux does not say which file
   a socket is bound to. */
static void set_net_admin(int on) {
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  const unsigned bit = 1u << CAP_NET_ADMIN;
  assert_int_equal(syscall(SYS_capget, &head, data), 0);
  if (on)
    data[0].effective |= bit & data[0].permitted;
  else
    data[0].effective &= ~bit;
  assert_int_equal(syscall(SYS_capset, &head, data), 0);
}

static void assert_untouched(int pin) {
  struct stat found;
  assert_int_equal(fstat(pin, &found), 0);
  assert_int_equal(found.st_mode & 07777, 0600);
  assert_int_equal(found.st_uid, 0);
  close(pin);
}

/* The file itself, whatever becomes of its name. */
static int open_pin(const char *path) {
  int pin = open(path, O_PATH | O_NOFOLLOW);
  assert_true(pin >= 0);
  return pin;
}

static void start_often(place *p, const char *instead,
                        const fcgi__listen_options *options) {
  start_swapping(p, instead);
  long long end = fcgi__now() + ENOUGH_MS;
  for (int i = 0; i < MOST && (i < FEWEST || fcgi__now() < end); i++)
    start_once(p, options);
  stop_swapping(p);
}

static void assert_secret_is_safe(place *p) {
  const fcgi__listen_options options = {.backlog = 16, .mode = FREE_MODE};
  int pin = open_pin(p->secret);
  start_often(p, p->secret, &options);
  assert_untouched(pin);
}

static void needs_root(void) {
  if (geteuid() == 0)
    return;
  print_message("only root acts in a directory of others; run it as root\n");
  skip();
}

static void test_a_link_to_roots_file_leaves_its_mode(void **state) {
  needs_root();
  assert_secret_is_safe(*state);
}

static void test_a_link_to_roots_file_without_net_admin(void **state) {
  needs_root();
  set_net_admin(0);
  assert_secret_is_safe(*state);
  set_net_admin(1);
}

static const fcgi__listen_options given_away = {.backlog = 16,
                                                .mode = FREE_MODE,
                                                .has_owner = 1,
                                                .user = NOBODY,
                                                .group = NOBODY};

static void test_a_link_to_roots_file_leaves_its_owner(void **state) {
  place *p = *state;
  needs_root();
  int pin = open_pin(p->secret);
  start_often(p, p->secret, &given_away);
  assert_untouched(pin);
}

/* It is a socket of the same owner in the same directory, and no link. Whoever
   owns the directory can remove it, but not have it. */
static void test_another_socket_of_roots_leaves_its_owner(void **state) {
  const fcgi__listen_options closed = {.backlog = 16, .mode = 0600};
  place *p = *state;
  fcgi__listener other;
  char why[512], address[128];
  needs_root();
  snprintf(address, sizeof address, "unix:%s", p->stolen);
  assert_int_equal(
      fcgi__listener_open(&other, 1, address, &closed, why, sizeof why), 1);
  int pin = open_pin(p->stolen);
  set_net_admin(0);
  start_often(p, p->stolen, &given_away);
  set_net_admin(1);
  assert_untouched(pin);
  fcgi__listener_close(&other);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_a_link_to_roots_file_leaves_its_mode,
                                      set_up, tear_down),
      cmocka_unit_test_setup_teardown(
          test_a_link_to_roots_file_without_net_admin, set_up, tear_down),
      cmocka_unit_test_setup_teardown(
          test_a_link_to_roots_file_leaves_its_owner, set_up, tear_down),
      cmocka_unit_test_setup_teardown(
          test_another_socket_of_roots_leaves_its_owner, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("socket_race", tests, NULL, NULL);
}
