/* SPDX-License-Identifier: MIT */
#include "view.h"
#include "number.h"
#include "params.h"
#include "tool.h"
#include <errno.h>
#include <fastcgi/client.h>
#include <fastcgi/error.h>
#include <fastcgi/protocol.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the application has answered so far. */
typedef struct answer {
  char *data; /* What came on STDOUT, owned. */
  size_t len; /* Number of bytes at `data`. */
} answer;

static int is_pid(const char *text) {
  return *text && text[strspn(text, "0123456789")] == '\0';
}

static int refuse_pid(const tool_view *view, int error) {
  if (error == FCGI_ERR_PROTOCOL)
    return tool_complain(TOOL_PROTOCOL,
                         "%s: process %s keeps its status in the form of "
                         "another version; use that version's fcgi",
                         view->command, view->where);
  if (error != FCGI_ERR_SYSTEM)
    return tool_complain(TOOL_TRANSPORT, "%s: %s", view->command,
                         fcgi_error_text(error));
  if (errno == ENOENT)
    return tool_complain(TOOL_TRANSPORT,
                         "%s: process %s keeps no status: it is no supervisor "
                         "and has no status path",
                         view->command, view->where);
  return tool_complain(TOOL_TRANSPORT, "%s: cannot look into process %s: %s%s",
                       view->command, view->where, strerror(errno),
                       errno == EACCES || errno == EPERM
                           ? "; run it as the user of that process, or as root"
                           : "");
}

static int read_pid(const tool_view *view, fcgi_status **out) {
  long long pid;
  int error;
  if (tool_number(view->where, 1, INT_MAX, &pid))
    return tool_complain(TOOL_USAGE, "%s: %s is not a process id",
                         view->command, view->where);
  error = fcgi_status_of_pid(out, (pid_t)pid);
  return error ? refuse_pid(view, error) : TOOL_OK;
}

static int begin(const tool_view *view, fcgi_client *client) {
  tool_params params = {.at = NULL};
  char *uri = tool_realloc(NULL, strlen(view->path) + sizeof "?raw");
  int id;
  sprintf(uri, "%s?raw", view->path);
  tool_params_request(&params, "GET", uri);
  free(uri);
  id = fcgi_client_begin(client, FCGI_ROLE_RESPONDER, 0, params.at,
                         params.count);
  tool_params_free(&params);
  return id < 0
             ? id
             : fcgi_client_send(client, (uint16_t)id, FCGI_STREAM_STDIN, "", 0);
}

static void keep(answer *got, const fcgi_peer_event *event) {
  if (event->type != FCGI_PEER_EVENT_STDOUT)
    return;
  got->data = tool_realloc(got->data, got->len + event->len);
  memcpy(got->data + got->len, event->data, event->len);
  got->len += event->len;
}

static int fetch(const tool_view *view, fcgi_client *client, answer *got) {
  const fcgi_peer_event *event;
  int result = fcgi_client_connect(client, view->where);
  if (!result)
    result = begin(view, client);
  if (result)
    return result;
  do {
    result = fcgi_client_next(client, &event, (int)(view->seconds * 1000));
    if (result == 1)
      keep(got, event);
  } while (result == 1 && event->type != FCGI_PEER_EVENT_END);
  return result == 1 ? 0 : result;
}

/* The body begins after the first empty line. */
static int parse(const tool_view *view, const answer *got, fcgi_status **out) {
  const char *end =
      got->len ? memmem(got->data, got->len, "\r\n\r\n", 4) : NULL;
  size_t head = end ? (size_t)(end - got->data) + 4 : got->len;
  if (fcgi_status_parse(out, got->data + head, got->len - head) == 0)
    return TOOL_OK;
  return tool_complain(TOOL_PROTOCOL,
                       "%s: %s does not answer %s with its status; set "
                       "FASTCGI_STATUS_PATH for it, or name its path with "
                       "--path",
                       view->command, view->where, view->path);
}

static int read_address(const tool_view *view, fcgi_status **out) {
  fcgi_client_config config = {
      .size = sizeof config, .connect_timeout_ms = (int)(view->seconds * 1000)};
  fcgi_client *client;
  answer got = {.data = NULL};
  int status, error = fcgi_client_new(&client, &config);
  if (error)
    return tool_complain(TOOL_TRANSPORT, "%s", fcgi_error_text(error));
  error = fetch(view, client, &got);
  if (error)
    status =
        tool_complain(error == FCGI_ERR_INVALID ? TOOL_USAGE : TOOL_TRANSPORT,
                      "%s", fcgi_client_message(client));
  else
    status = parse(view, &got, out);
  fcgi_client_free(client);
  free(got.data);
  return status;
}

int tool_view_read(const tool_view *view, fcgi_status **out) {
  return is_pid(view->where) ? read_pid(view, out) : read_address(view, out);
}
