/* SPDX-License-Identifier: MIT */
/* Servers: who holds one, and the calls that pass through. */
#include "shim_private.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void shim_fail(shim_error *error, int code, const char *text) {
  error->code = code;
  snprintf(error->text, sizeof error->text, "%s",
           text && *text ? text : fcgi_error_text(code));
}

char *shim_copy(const char *text, size_t len) {
  char *copy = malloc(len + 1);
  if (!copy)
    return NULL;
  if (len > 0)
    memcpy(copy, text, len);
  copy[len] = '\0';
  return copy;
}

int shim_milliseconds(double seconds) {
  if (!(seconds >= 0) || seconds > INT_MAX / 1000)
    return -1;
  int whole = (int)(seconds * 1000);
  return whole < seconds * 1000 ? whole + 1 : whole;
}

void shim_bytes_free(shim_bytes *bytes) {
  free(bytes->data);
  *bytes = (shim_bytes){0};
}

void shim_pairs_free(shim_pairs *pairs) {
  free(pairs->items);
  *pairs = (shim_pairs){0};
}

/* --- Who holds a server --------------------------------------------------- */

shim_server *shim_server_new(void) {
  shim_server *server = calloc(1, sizeof *server);
  if (!server)
    return NULL;
  atomic_init(&server->handles, 1);
  atomic_init(&server->uses, 1);
  return server;
}

static void drop_use(shim_server *server) {
  if (atomic_fetch_sub(&server->uses, 1) == 1)
    fcgi_server_free(server->core);
}

void shim_server_close(shim_server *server) {
  if (atomic_exchange(&server->closed, 1))
    return;
  if (server->core)
    fcgi_server_stop(server->core, FCGI_STOP_NOW);
  drop_use(server);
}

/* Requests and calls hold the server too: it stays open while a request can
   still be answered. */
void shim_server_free(shim_server *server) {
  if (!server || atomic_fetch_sub(&server->handles, 1) > 1)
    return;
  shim_server_close(server);
  fcgi_options_free(server->options);
  shim_server_let_go(server);
  free(server);
}

int shim_server_enter(shim_server *server, shim_error *error) {
  int uses = atomic_load(&server->uses);
  do {
    if (uses == 0 || atomic_load(&server->closed)) {
      shim_fail(error, FCGI_ERR_CLOSED, "the server is closed");
      return 0;
    }
  } while (!atomic_compare_exchange_weak(&server->uses, &uses, uses + 1));
  atomic_fetch_add(&server->handles, 1);
  return 1;
}

void shim_server_leave(shim_server *server) {
  drop_use(server);
  shim_server_free(server);
}

int shim_server_enter_core(shim_server *server, shim_error *error) {
  if (!shim_server_enter(server, error))
    return 0;
  if (server->core)
    return 1;
  shim_fail(error, FCGI_ERR_STATE, "the server has no address: listen first");
  shim_server_leave(server);
  return 0;
}

/* --- Calls ---------------------------------------------------------------- */

static int make_core(shim_server *server, shim_error *error) {
  fcgi_server_config config = {.size = sizeof config};
  char why[256];
  int code = 0;
  if (!server->core) {
    config.log_levels = (2u << FCGI_LOG_INFO) - 1;
    if (server->options)
      fcgi_options_server(server->options, &config);
    code = fcgi_server_new(&server->core, &config, why, sizeof why);
  }
  if (code)
    shim_fail(error, code, why);
  return code == 0;
}

static void listen_at(shim_server *server, shim_error *error,
                      const char *address) {
  if (!shim_server_enter(server, error))
    return;
  if (make_core(server, error)) {
    int code = fcgi_server_listen(server->core, address);
    if (code)
      shim_fail(error, code, fcgi_server_message(server->core));
  }
  shim_server_leave(server);
}

void shim_server_listen(shim_server *server, shim_error *error,
                        const char *address, size_t address_len) {
  char *copy = NULL;
  if (memchr(address, '\0', address_len))
    shim_fail(error, FCGI_ERR_INVALID, "an address has no NUL");
  else if (!(copy = shim_copy(address, address_len)))
    shim_fail(error, FCGI_ERR_NOMEM, NULL);
  else
    listen_at(server, error, copy);
  free(copy);
}

void shim_server_listen_inherited(shim_server *server, shim_error *error) {
  listen_at(server, error, NULL);
}

shim_text shim_server_address(shim_server *server, shim_error *error,
                              int index) {
  char text[256];
  shim_text found = {0};
  if (index < 0 || !shim_server_enter_core(server, error))
    return found;
  int code =
      fcgi_server_address(server->core, (size_t)index, text, sizeof text);
  if (code == 0)
    found = (shim_text){shim_copy(text, strlen(text)), strlen(text)};
  else if (code != FCGI_ERR_INVALID)
    shim_fail(error, code, NULL);
  shim_server_leave(server);
  return found;
}

void shim_server_stop(shim_server *server, bool graceful) {
  shim_error closed;
  if (!shim_server_enter(server, &closed))
    return;
  if (server->core)
    fcgi_server_stop(server->core,
                     graceful ? FCGI_STOP_GRACEFUL : FCGI_STOP_NOW);
  shim_server_leave(server);
}

bool shim_server_forked(shim_server *server) {
  return server->core && fcgi_server_forked(server->core);
}

bool shim_server_stopped(shim_server *server) {
  return atomic_load(&server->closed) || atomic_load(&server->stopped);
}

int shim_server_fd(shim_server *server, shim_error *error) {
  if (!shim_server_enter_core(server, error))
    return -1;
  int fd = fcgi_server_fd(server->core);
  if (fd < 0)
    shim_fail(error, fd, NULL);
  shim_server_leave(server);
  return fd;
}

double shim_server_wait(shim_server *server, shim_error *error) {
  if (!shim_server_enter_core(server, error))
    return -1;
  int wait = fcgi_server_wait_ms(server->core);
  shim_server_leave(server);
  return wait < 0 ? -1 : wait / 1000.0;
}
