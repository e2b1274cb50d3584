/* SPDX-License-Identifier: MIT */
#include "support/logging.h"

#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { AWAIT_MS = 10000 };

void logs_begin(logs *l, serving *f, const char *format) {
  l->f = f;
  strcpy(l->directory, "/tmp/fastcgi-logs-XXXXXX");
  assert_non_null(mkdtemp(l->directory));
  snprintf(l->access, sizeof l->access, "%s/access", l->directory);
  snprintf(l->errors, sizeof l->errors, "%s/errors", l->directory);
  f->config.access_logfile = l->access;
  f->config.access_logformat = format;
  f->config.error_logfile = l->errors;
}

void logs_finish(logs *l) {
  fcgi_server_free(l->f->server);
  l->f->server = NULL;
  unlink(l->access);
  unlink(l->errors);
  assert_int_equal(rmdir(l->directory), 0);
}

const char *logs_read(logs *l, const char *path) {
  FILE *file = fopen(path, "re");
  size_t len = file ? fread(l->text, 1, sizeof l->text - 1, file) : 0;
  if (file)
    fclose(file);
  l->text[len] = '\0';
  return l->text;
}

const char *logs_await(logs *l, const char *path, const char *what) {
  for (int ms = 0; !strstr(logs_read(l, path), what); ms++) {
    if (ms == AWAIT_MS)
      fail_msg("%s has no \"%s\" but \"%s\"", path, what, l->text);
    usleep(1000);
  }
  return l->text;
}

void logs_expect(logs *l, const char *line) {
  fcgi__logs_flush(l->f->server->observer.logs);
  assert_string_equal(logs_read(l, l->access), line);
}

void logs_get(logs *l, const char *uri) {
  records *to = &l->f->text->sent;
  records_begin(to, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(to, 1, "REQUEST_METHOD", "GET");
  records_param(to, 1, "REQUEST_URI", uri);
  records_param(to, 1, "REMOTE_ADDR", "192.0.2.7");
  records_param(to, 1, "SERVER_PROTOCOL", "HTTP/1.1");
  records_param(to, 1, "HTTP_REFERER", "http://x.example/");
  records_param(to, 1, "HTTP_USER_AGENT", "a \"b\\\n\xff");
  records_params_end(to, 1);
  records_stdin_end(to, 1);
  serving_send(l->f);
}

void logs_ask(logs *l, const char *uri) {
  char got[4096];
  logs_get(l, uri);
  fcgi_request *request = serving_take(l->f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_reply(request, 200, "text/plain", "hello", 5),
                   0);
  while (recv(l->f->client, got, sizeof got, MSG_DONTWAIT) > 0)
    ;
}
