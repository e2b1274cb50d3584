/* SPDX-License-Identifier: MIT */
#include "supervisor/check.h"
#include "observe/access.h"
#include "os/file.h"
#include "os/filename.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <fastcgi/options.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A text that is there and not empty, or NULL. */
static const char *given(const fcgi__supervisor *s, const char *name) {
  const fcgi_options *options = s->config.options;
  const char *text = options ? fcgi_options_text(options, name, 0) : NULL;
  return text && *text ? text : NULL;
}

static int check_format(const fcgi__supervisor *s, char *why, size_t why_len) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  fcgi__access_format *format = NULL;
  int error;
  if (!given(s, "access_logfile"))
    return 0; /* Nobody reads it then. */
  error = fcgi__access_new(&format, &allocator, given(s, "access_logformat"));
  if (error)
    snprintf(why, why_len, "%s", fcgi_error_text(error));
  else
    error = fcgi__access_check(format, why, why_len);
  fcgi__access_free(format, &allocator);
  return error;
}

static int check_logs(const fcgi__supervisor *s, char *why, size_t why_len) {
  static const char *const logs[][2] = {{"access_logfile", "access log"},
                                        {"error_logfile", "error log"}};
  for (size_t i = 0; i < sizeof logs / sizeof *logs; i++) {
    const char *path = given(s, logs[i][0]);
    int problem =
        path && strcmp(path, "-") != 0 ? fcgi__filename_check(path) : 0;
    if (problem) {
      snprintf(why, why_len,
               "cannot open the %s %.300s: %s; name a file that this user can "
               "write",
               logs[i][1], path, fcgi__filename_error(problem));
      return -1;
    }
  }
  return 0;
}

static int check_temp(const fcgi__supervisor *s, char *why, size_t why_len) {
  const char *path = given(s, "temp_dir");
  int problem = path ? fcgi__file_check_directory(path) : 0;
  if (problem)
    snprintf(why, why_len,
             "no long body can be kept in temp_dir \"%.200s\": %s; name a "
             "directory that this user can write to",
             path, fcgi__filename_error(problem));
  return problem ? -1 : 0;
}

/* As a worker, who has another user's rights from here on. */
static _Noreturn void look(const fcgi__supervisor *s, int out) {
  char why[FCGI__SUPERVISOR_LINE] = "";
  if (fcgi__identity_become(&s->identity, why, sizeof why) == 0 &&
      check_logs(s, why, sizeof why) == 0)
    check_temp(s, why, sizeof why);
  _exit(write(out, why, strlen(why)) < 0);
}

/* The line of the child, which is empty when nothing is wrong. */
static int hear(int in, pid_t child, char *why, size_t why_len) {
  size_t len = 0;
  int status = 0;
  ssize_t came = 1;
  while (len + 1 < why_len && came != 0) {
    came = read(in, why + len, why_len - 1 - len);
    if (came < 0 && errno != EINTR)
      break;
    len += came > 0 ? (size_t)came : 0;
  }
  why[len] = '\0';
  while (waitpid(child, &status, 0) < 0 && errno == EINTR)
    ;
  if (len == 0 && status != 0)
    snprintf(why, why_len,
             "the process that looks at the files ended by %s %d before it "
             "had said anything; try again",
             WIFSIGNALED(status) ? "signal" : "exit status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  return len > 0 || status != 0 ? -1 : 0;
}

/* A process that becomes somebody else cannot come back, so another one
   does. */
static int ask_worker(const fcgi__supervisor *s, char *why, size_t why_len) {
  int ends[2], failed;
  pid_t child;
  if (pipe(ends) < 0 || (child = fork()) < 0) {
    snprintf(why, why_len, "no process to check with: %s", strerror(errno));
    return -1;
  }
  if (child == 0)
    look(s, ends[1]);
  close(ends[1]);
  failed = hear(ends[0], child, why, why_len);
  close(ends[0]);
  return failed;
}

int fcgi__check_files(const fcgi__supervisor *s, char *why, size_t why_len) {
  const char *pid = s->config.pid;
  return (pid && fcgi__pidfile_check(pid, why, why_len)) ||
                 check_format(s, why, why_len) || ask_worker(s, why, why_len)
             ? -1
             : 0;
}
