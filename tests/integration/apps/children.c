/* SPDX-License-Identifier: MIT */
/* Forks and starts programs: `children ADDRESS|- THREADS`; "-" is the inherited
   listener. tests/integration/README.md says how it answers. */
#define _DEFAULT_SOURCE /* popen, usleep */
#include <fastcgi/fastcgi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct job {
  fcgi_server *server; /* What to run. */
  unsigned threads;    /* On how many threads. */
} job;

static int answer(fcgi_request *request, const char *text, size_t len) {
  return fcgi_request_reply(request, 200, "text/plain", text, len);
}

static int tell(fcgi_request *request, const char *what, long number) {
  char text[64];
  int len = snprintf(text, sizeof text, "%s %ld\n", what, number);
  return answer(request, text, (size_t)len);
}

/* What the child does; the value is what its callback returns. */
static int be_child(fcgi_request *request, fcgi_server *server,
                    const char *way) {
  if (strcmp(way, "exit") == 0)
    exit(7);
  if (strcmp(way, "_exit") == 0)
    _exit(7);
  if (strcmp(way, "raise") == 0)
    return -1;
  if (strcmp(way, "use") == 0) {
    tell(request, "child", 0);
    fcgi_request_write(request, "child", 5);
    fcgi_request_flush(request);
    fcgi_request_fail(request);
    fcgi_server_stop(server, FCGI_STOP_NOW);
    fcgi_server_free(server);
    _exit(fcgi_server_forked(server) ? 0 : 1);
  }
  while (strcmp(way, "hang") == 0)
    pause();
  return 0;
}

static int with_child(fcgi_request *request, fcgi_server *server,
                      const char *way) {
  const char *delay = fcgi_request_param(request, "DELAY");
  int status = 0;
  pid_t child;
  usleep(delay ? (useconds_t)(atof(delay) * 1e6) : 0);
  child = fork();
  if (child == 0)
    return be_child(request, server, way);
  if (strcmp(way, "hang") == 0)
    return tell(request, "pid", (long)child);
  waitpid(child, &status, 0);
  return tell(request, "status",
              WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

static int run_command(fcgi_request *request, const char *command) {
  char text[65536];
  FILE *pipe = popen(command, "r");
  size_t len = pipe ? fread(text, 1, sizeof text, pipe) : 0;
  if (pipe)
    pclose(pipe);
  return answer(request, text, len);
}

static int on_request(fcgi_request *request, void *user_data) {
  const job *work = user_data;
  const char *path = fcgi_request_param(request, "SCRIPT_NAME");
  const char *command = fcgi_request_param(request, "COMMAND");
  if (command)
    return run_command(request, command);
  if (path && strncmp(path, "/child/", 7) == 0)
    return with_child(request, work->server, path + 7);
  return tell(request, "pid", (long)getpid());
}

static int run_all(void *data) {
  const fcgi_handler handler = {.size = sizeof handler,
                                .on_request = on_request};
  job *work = data;
  return fcgi_server_run_threads(work->server, &handler, work, work->threads);
}

int main(int argc, char **argv) {
  job work = {.threads = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1};
  const char *address = argc > 1 && strcmp(argv[1], "-") != 0 ? argv[1] : NULL;
  int error = fcgi_server_new(&work.server, NULL, NULL, 0);
  if (!error)
    error = fcgi_server_listen(work.server, address);
  if (!error)
    error = fcgi_serve_signals(work.server, run_all, &work);
  if (error)
    fprintf(stderr, "children: %s\n", fcgi_server_message(work.server));
  fcgi_server_free(work.server);
  return error ? 1 : 0;
}
