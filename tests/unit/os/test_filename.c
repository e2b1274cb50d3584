/* SPDX-License-Identifier: MIT */
/* What root opens in a directory whose owner is somebody else. */
#include "observe/logfile.h"
#include "os/file.h"
#include "os/filename.h"
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOBODY = 65534, LOG = O_WRONLY | O_APPEND | O_CREAT };

typedef struct place {
  char home[64];    /* Root's. */
  char path[8][96]; /* Names in it, see the functions below. */
} place;

enum { SECRET, THEIRS, LOG_FILE, LOG_LINK, OUR_LINK, THEIR_FOLDER, VIA, OURS };

static const char *const names[] = {
    [SECRET] = "secret",            /* Root's file. */
    [THEIRS] = "theirs",            /* Nobody's directory. */
    [LOG_FILE] = "theirs/app.log",  /* A file in it. */
    [LOG_LINK] = "theirs/link.log", /* Nobody's link to the secret. */
    [OUR_LINK] = "our.log",         /* Root's link to the file. */
    [THEIR_FOLDER] = "theirs/to",   /* Nobody's link to root's directory. */
    [VIA] = "theirs/to/secret",     /* The secret by that. */
    [OURS] = "via",                 /* Root's link to nobody's directory. */
};

static int set_up(void **state) {
  place *p = calloc(1, sizeof *p);
  char home[] = "/tmp/fastcgi-unit-XXXXXX";
  assert_non_null(mkdtemp(home));
  strcpy(p->home, home);
  for (int i = 0; i < 8; i++)
    snprintf(p->path[i], sizeof p->path[i], "%s/%s", home, names[i]);
  close(open(p->path[SECRET], O_CREAT | O_WRONLY, 0600));
  assert_int_equal(mkdir(p->path[THEIRS], 0755), 0);
  assert_int_equal(symlink(p->path[SECRET], p->path[LOG_LINK]), 0);
  assert_int_equal(symlink("theirs/app.log", p->path[OUR_LINK]), 0);
  assert_int_equal(symlink(p->home, p->path[THEIR_FOLDER]), 0);
  assert_int_equal(symlink("theirs", p->path[OURS]), 0);
  *state = p;
  if (geteuid() != 0)
    return 0;
  return chown(p->path[THEIRS], NOBODY, NOBODY) ||
         lchown(p->path[LOG_LINK], NOBODY, NOBODY) ||
         lchown(p->path[THEIR_FOLDER], NOBODY, NOBODY);
}

static int tear_down(void **state) {
  place *p = *state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", p->home);
  int failed = system(command);
  free(p);
  return failed;
}

static void needs_root(void) {
  if (geteuid() == 0)
    return;
  print_message("anybody else can do no more than the owner; run it as root\n");
  skip();
}

static void assert_opens(const char *path) {
  int fd = fcgi__filename_open(path, LOG | O_CLOEXEC, 0640);
  if (fd < 0)
    fail_msg("%s: %s", path, strerror(errno));
  close(fd);
}

static void assert_refuses(const char *path, int error) {
  errno = 0;
  assert_int_equal(fcgi__filename_open(path, LOG | O_CLOEXEC, 0640), -1);
  assert_int_equal(errno, error);
}

static void test_root_follows_no_link_of_anothers(void **state) {
  place *p = *state;
  fcgi__logfile log = {.path = p->path[LOG_LINK], .fd = -1};
  needs_root();
  assert_refuses(p->path[LOG_LINK], ELOOP);
  assert_refuses(p->path[VIA], ELOOP);
  assert_int_equal(fcgi__logfile_open(&log), ELOOP);
}

/* /var/run is one, and a log that is a link to /dev/stdout is another. */
static void test_root_follows_its_own_links(void **state) {
  place *p = *state;
  char path[112];
  assert_opens(p->path[LOG_FILE]);
  assert_opens(p->path[OUR_LINK]);
  snprintf(path, sizeof path, "%s/app.log", p->path[OURS]);
  assert_opens(path);
  snprintf(path, sizeof path, "%s/../app.log", p->path[OURS]);
  assert_opens(path);
  assert_opens("/dev/null");
}

static void test_root_follows_links_of_proc(void **state) {
  int ends[2];
  char path[64], text[4] = "";
  int fd;
  (void)state;
  assert_int_equal(pipe(ends), 0);
  snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
  fd = fcgi__filename_open(path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, "x", 1), 1);
  assert_int_equal(read(ends[0], text, 1), 1);
  close(fd);
  close(ends[0]);
  close(ends[1]);
}

static void test_root_writes_to_no_file_with_a_second_name(void **state) {
  place *p = *state;
  needs_root();
  assert_int_equal(link(p->path[SECRET], p->path[LOG_FILE]), 0);
  assert_refuses(p->path[LOG_FILE], EMLINK);
  assert_non_null(strstr(fcgi__filename_error(EMLINK), "second name"));
}

static void expect_temporary(const char *dir) {
  struct stat file;
  int fd = fcgi__file_temporary(dir);
  if (fd < 0)
    fail_msg("%s: %s", dir, strerror(errno));
  assert_int_equal(fstat(fd, &file), 0);
  assert_int_equal(file.st_nlink, 0);
  assert_int_equal(file.st_mode & 07777, 0600);
  assert_int_equal(fcgi__file_check_directory(dir), 0);
  close(fd);
}

static void refuse_temporary(const char *dir, int error) {
  errno = 0;
  assert_int_equal(fcgi__file_temporary(dir), -1);
  assert_int_equal(errno, error);
  assert_int_equal(fcgi__file_check_directory(dir), error);
}

/* Of bodies that memory has no room for. */
static void test_temporary_files_have_the_same_rule(void **state) {
  place *p = *state;
  char long_path[PATH_MAX + 1];
  expect_temporary(p->home);
  expect_temporary(p->path[THEIRS]);
  expect_temporary(p->path[OURS]);
  expect_temporary(".");
  memset(long_path, '/', sizeof long_path - 1);
  long_path[PATH_MAX] = '\0';
  refuse_temporary(long_path, ENAMETOOLONG);
  refuse_temporary(p->path[SECRET], ENOTDIR);
  refuse_temporary("/nowhere", ENOENT);
  needs_root();
  refuse_temporary(p->path[THEIR_FOLDER], ELOOP);
}

static void test_links_in_a_circle_end(void **state) {
  place *p = *state;
  char path[112];
  snprintf(path, sizeof path, "%s/circle", p->home);
  assert_int_equal(symlink("circle", path), 0);
  assert_refuses(path, ELOOP);
}

static void test_what_is_not_there_is_said(void **state) {
  place *p = *state;
  char path[128];
  snprintf(path, sizeof path, "%s/none/app.log", p->home);
  assert_refuses(path, ENOENT);
  snprintf(path, sizeof path, "%s/app.log", p->path[SECRET]);
  assert_refuses(path, ENOTDIR);
}

static void test_somebody_else_opens_what_he_may(void **state) {
  place *p = *state;
  uid_t user = geteuid();
  needs_root();
  assert_int_equal(chmod(p->home, 0755), 0);
  assert_int_equal(seteuid(NOBODY), 0);
  int fd = fcgi__filename_open(p->path[OUR_LINK], LOG | O_CLOEXEC, 0640);
  assert_int_equal(seteuid(user), 0);
  assert_true(fd >= 0);
  close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_root_follows_no_link_of_anothers),
      TEST(test_root_follows_its_own_links),
      TEST(test_root_follows_links_of_proc),
      TEST(test_root_writes_to_no_file_with_a_second_name),
      TEST(test_temporary_files_have_the_same_rule),
      TEST(test_links_in_a_circle_end),
      TEST(test_what_is_not_there_is_said),
      TEST(test_somebody_else_opens_what_he_may),
  };
  return cmocka_run_group_tests_name("filename", tests, NULL, NULL);
}
