/* SPDX-License-Identifier: MIT */
#include "supervisor/pidfile.h"
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct place {
  char directory[64]; /* Temporary. */
  char path[96];      /* A file in it. */
  char why[256];      /* The complaint. */
} place;

static void set_up(place *p) {
  *p = (place){.directory = "/tmp/fastcgi-unit-XXXXXX"};
  assert_non_null(mkdtemp(p->directory));
  snprintf(p->path, sizeof p->path, "%s/pid", p->directory);
}

static void tear_down(place *p) {
  unlink(p->path);
  assert_int_equal(rmdir(p->directory), 0);
}

static long read_number(const place *p) {
  long number = -1;
  FILE *file = fopen(p->path, "r");
  assert_non_null(file);
  if (fscanf(file, "%ld", &number) != 1)
    number = -1;
  fclose(file);
  return number;
}

static void test_holds_our_number_until_removed(void **state) {
  place p;
  fcgi__pidfile file;
  (void)state;
  set_up(&p);
  assert_int_equal(fcgi__pidfile_open(&file, p.path, p.why, sizeof p.why), 0);
  fcgi__pidfile_write(&file);
  assert_int_equal(read_number(&p), getpid());
  fcgi__pidfile_remove(&file);
  assert_int_equal(access(p.path, F_OK), -1);
  fcgi__pidfile_remove(&file);
  tear_down(&p);
}

/* What counts is the lock: an old file with any number in it is taken over. */
static void test_second_one_is_refused_while_the_first_lives(void **state) {
  place p;
  fcgi__pidfile first, second;
  char number[24];
  (void)state;
  set_up(&p);
  assert_int_equal(fcgi__pidfile_open(&first, p.path, p.why, sizeof p.why), 0);
  fcgi__pidfile_write(&first);
  assert_int_equal(fcgi__pidfile_open(&second, p.path, p.why, sizeof p.why),
                   -1);
  snprintf(number, sizeof number, "pid %ld,", (long)getpid());
  assert_non_null(strstr(p.why, number));
  assert_non_null(strstr(p.why, p.path));
  fcgi__pidfile_leave(&first);
  assert_int_equal(fcgi__pidfile_open(&second, p.path, p.why, sizeof p.why), 0);
  fcgi__pidfile_remove(&second);
  tear_down(&p);
}

static void test_path_that_cannot_be_made_is_explained(void **state) {
  fcgi__pidfile file;
  char why[256];
  (void)state;
  assert_int_equal(
      fcgi__pidfile_open(&file, "/nonexistent/pid", why, sizeof why), -1);
  assert_string_equal(why,
                      "pid file /nonexistent/pid: No such file or directory");
}

/* A child, of another user where we are root, that locks what it may read, and
   keeps it until `end` is closed. */
static pid_t lock_as_reader(const place *p, int *end) {
  int ready[2], go[2];
  char sign = 0;
  pid_t pid;
  assert_int_equal(pipe(ready), 0);
  assert_int_equal(pipe(go), 0);
  pid = fork();
  if (pid == 0) {
    struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd;
    close(go[1]);
    if (geteuid() == 0 && setuid(65534) < 0)
      _exit(1);
    fd = open(p->path, O_RDONLY);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ||
        fcntl(fd, F_SETLK, &whole) < 0 || write(ready[1], "x", 1) != 1)
      _exit(1);
    _exit(read(go[0], &sign, 1) != 0);
  }
  close(ready[1]);
  close(go[0]);
  assert_int_equal(read(ready[0], &sign, 1), 1);
  close(ready[0]);
  *end = go[1];
  return pid;
}

static void end_reader(pid_t pid, int end) {
  int status;
  close(end);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
}

static void test_reader_of_a_file_left_behind_keeps_nobody_away(void **state) {
  place p;
  fcgi__pidfile file, second;
  int end;
  pid_t reader;
  (void)state;
  set_up(&p);
  assert_int_equal(chmod(p.directory, 0755), 0);
  end = open(p.path, O_CREAT | O_WRONLY, 0644);
  assert_int_equal(write(end, "1\n", 2), 2);
  close(end);
  reader = lock_as_reader(&p, &end);
  assert_int_equal(fcgi__pidfile_open(&file, p.path, p.why, sizeof p.why), 0);
  fcgi__pidfile_write(&file);
  assert_int_equal(fcgi__pidfile_open(&second, p.path, p.why, sizeof p.why),
                   -1);
  assert_int_equal(read_number(&p), getpid());
  end_reader(reader, end);
  fcgi__pidfile_remove(&file);
  tear_down(&p);
}

static void test_others_can_read_it(void **state) {
  place p;
  fcgi__pidfile file;
  struct stat found;
  (void)state;
  set_up(&p);
  assert_int_equal(fcgi__pidfile_open(&file, p.path, p.why, sizeof p.why), 0);
  assert_int_equal(stat(p.path, &found), 0);
  assert_int_equal(found.st_mode & 07777, 0644);
  fcgi__pidfile_remove(&file);
  tear_down(&p);
}

static void assert_refused(place *p, const char *reason) {
  fcgi__pidfile file;
  assert_int_equal(fcgi__pidfile_open(&file, p->path, p->why, sizeof p->why),
                   -1);
  if (!strstr(p->why, reason))
    fail_msg("\"%s\" is not in \"%s\"", reason, p->why);
}

static void test_what_is_no_file_of_ours_is_refused(void **state) {
  place p;
  char other[128];
  (void)state;
  set_up(&p);
  assert_int_equal(mkfifo(p.path, 0600), 0);
  assert_refused(&p, "not a regular file");
  unlink(p.path);
  snprintf(other, sizeof other, "%s/other", p.directory);
  close(open(other, O_CREAT | O_WRONLY, 0600));
  assert_int_equal(symlink(other, p.path), 0);
  assert_refused(&p, p.path);
  unlink(p.path);
  assert_int_equal(link(other, p.path), 0);
  assert_refused(&p, "a second name");
  unlink(p.path);
  if (geteuid() == 0) {
    assert_int_equal(chown(other, 65534, 65534), 0);
    assert_int_equal(rename(other, p.path), 0);
    assert_refused(&p, "belongs to another user");
  }
  unlink(other);
  tear_down(&p);
}

/* Whoever owns the directory has moved ours away. */
static void test_a_file_of_the_same_name_stays(void **state) {
  place p;
  fcgi__pidfile file;
  char away[128];
  (void)state;
  set_up(&p);
  snprintf(away, sizeof away, "%s/away", p.directory);
  assert_int_equal(fcgi__pidfile_open(&file, p.path, p.why, sizeof p.why), 0);
  assert_int_equal(rename(p.path, away), 0);
  close(open(p.path, O_CREAT | O_WRONLY, 0600));
  fcgi__pidfile_remove(&file);
  assert_int_equal(access(p.path, F_OK), 0);
  unlink(away);
  tear_down(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_holds_our_number_until_removed),
      cmocka_unit_test(test_second_one_is_refused_while_the_first_lives),
      cmocka_unit_test(test_path_that_cannot_be_made_is_explained),
      cmocka_unit_test(test_reader_of_a_file_left_behind_keeps_nobody_away),
      cmocka_unit_test(test_others_can_read_it),
      cmocka_unit_test(test_what_is_no_file_of_ours_is_refused),
      cmocka_unit_test(test_a_file_of_the_same_name_stays),
  };
  return cmocka_run_group_tests_name("pidfile", tests, NULL, NULL);
}
