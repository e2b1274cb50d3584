/* SPDX-License-Identifier: MIT */
#include "support/gateway.h"
#include "support/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000, VARIABLES = 64 };

static int temporary_file(void) {
  char name[] = "/tmp/fastcgi-gateway-XXXXXX";
  int fd = mkostemp(name, O_CLOEXEC);
  assert_true(fd >= 0);
  unlink(name);
  return fd;
}

/* The program's end and ours, -1 for none. Ours of a file is the file. */
static void make_ends(gateway_kind kind, int writes, int *theirs, int *ours) {
  int ends[2] = {-1, -1};
  if (kind == GATEWAY_PIPE)
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  if (kind == GATEWAY_SOCKET)
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
                     0);
  if (kind == GATEWAY_FILE)
    ends[0] = ends[1] = temporary_file();
  if (kind == GATEWAY_NULL)
    ends[writes] = open("/dev/null", O_RDWR | O_CLOEXEC);
  *theirs = ends[writes];
  *ours = ends[!writes];
}

static void place(int fd, int at) {
  if (fd < 0)
    close(at);
  else
    dup2(fd, at);
}

/* Never returns. */
static void run_child(gateway *g, int in, int out, int err) {
  static const char *const usual[] = {"GATEWAY_INTERFACE=CGI/1.1",
                                      "REQUEST_METHOD=POST", "PATH=/bin"};
  extern char **environ;
  char *variables[VARIABLES] = {NULL};
  size_t count = 0;
  for (; !g->plain && count < 3; count++)
    variables[count] = (char *)(uintptr_t)usual[count];
  for (size_t i = 0; g->environment && g->environment[i]; i++)
    variables[count++] = (char *)(uintptr_t)g->environment[i];
  environ = variables;
  signal(SIGPIPE, SIG_DFL);
  alarm(PATIENCE_MS / 1000);
  place(err, 2);
  place(out, 1);
  place(in, 0);
  for (int fd = 3; fd < 64; fd++)
    close(fd);
  _exit(g->program(g->data));
}

void gateway_start(gateway *g) {
  int in, out, err;
  make_ends(g->in, 0, &in, &g->to_child);
  make_ends(g->out, 1, &out, &g->from_child);
  make_ends(GATEWAY_PIPE, 1, &err, &g->errors);
  if (g->no_errors) {
    close(g->errors);
    g->errors = -1;
  }
  if (g->body && g->body_len == 0)
    g->body_len = strlen(g->body);
  if (g->in == GATEWAY_FILE && g->body)
    assert_int_equal(pwrite(in, g->body, g->body_len, 0), g->body_len);
  fflush(NULL);
  g->child = fork();
  if (g->child == 0)
    run_child(g, in, out, err);
  close(err);
  if (in >= 0)
    close(in);
  if (g->in == GATEWAY_FILE)
    g->to_child = -1;
  if (out >= 0 && g->out != GATEWAY_FILE)
    close(out);
}

static void send_body(gateway *g) {
  void (*before)(int) = signal(SIGPIPE, SIG_IGN);
  size_t sent = 0;
  while (g->to_child >= 0 && g->body && sent < g->body_len) {
    ssize_t part = write(g->to_child, g->body + sent, g->body_len - sent);
    if (part < 0)
      break;
    sent += (size_t)part;
  }
  signal(SIGPIPE, before);
  if (g->to_child >= 0 && !g->keep_in) {
    close(g->to_child);
    g->to_child = -1;
  }
}

static ssize_t read_some(int fd, char *data, size_t len) {
  struct pollfd at = {.fd = fd, .events = POLLIN};
  assert_int_equal(poll(&at, 1, PATIENCE_MS), 1);
  return read(fd, data, len);
}

static void read_out(gateway *g, gateway_answer *answer) {
  size_t room = 0;
  ssize_t part = 1;
  while (part > 0) {
    if (room - answer->out_len < 65536)
      answer->out = realloc(answer->out, room = room * 2 + 131072);
    assert_non_null(answer->out);
    part = g->from_child < 0
               ? 0
               : read_some(g->from_child, answer->out + answer->out_len,
                           room - answer->out_len - 1);
    answer->out_len += part > 0 ? (size_t)part : 0;
  }
  answer->out[answer->out_len] = '\0';
}

static void read_errors(gateway *g, gateway_answer *answer) {
  size_t len = 0;
  ssize_t part;
  if (g->errors < 0)
    return;
  do {
    part = read_some(g->errors, answer->err + len, sizeof answer->err - len);
    len += part > 0 ? (size_t)part : 0;
  } while (part > 0 && len < sizeof answer->err - 1);
  answer->err[len < sizeof answer->err ? len : len - 1] = '\0';
  close(g->errors);
}

static int exit_status(pid_t child) {
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

gateway_answer gateway_finish(gateway *g) {
  gateway_answer answer = {.out = NULL};
  send_body(g);
  if (g->out == GATEWAY_FILE) {
    read_errors(g, &answer);
    lseek(g->from_child, 0, SEEK_SET);
    read_out(g, &answer);
  } else {
    read_out(g, &answer);
    read_errors(g, &answer);
  }
  if (g->from_child >= 0)
    close(g->from_child);
  answer.status = exit_status(g->child);
  if (g->to_child >= 0)
    close(g->to_child);
  return answer;
}

/* CR LF becomes LF. */
static void make_plain(char *text) {
  char *to = text;
  for (; *text; text++)
    if (text[0] != '\r' || text[1] != '\n')
      *to++ = *text;
  *to = '\0';
}

void gateway_expect(gateway *g, const char *expected) {
  gateway_start(g);
  gateway_answer answer = gateway_finish(g);
  make_plain(answer.out);
  assert_string_equal(answer.out, expected);
  assert_int_equal(answer.status, 0);
  free(answer.out);
}
