/* SPDX-License-Identifier: MIT */
#include "observe/tally.h"
#include "base/number.h"
#include "os/clock.h"
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

static const char variable[] = "FASTCGI_SCOREBOARD"; /* PID:FD:SLOT */

static int wants_board(const fcgi_server *server) {
  return server->config.status_path || server->config.ping_path ||
         server->config.request_timeout_ms > 0 ||
         server->config.slow_log_ms > 0;
}

/* The process that the variable is for is named in it, as LISTEN_PID does.
   Returns the number of our slot, or -1. */
static int inherit(fcgi_server *server) {
  const char *text = server->starter.board;
  int said[3]; /* Our process id, the descriptor, and our slot. */
  if (fcgi__number_list(text, said, 3) < 0 || said[0] != getpid())
    return -1;
  if (fcgi__board_attach(&server->board, said[1]) == 0) {
    if (fcgi__board_slot_at(&server->board, said[2]))
      return said[2];
    fcgi__board_free(&server->board);
  }
  fcgi__server_log(server, FCGI_LOG_WARNING,
                   "%s=\"%.64s\" names no scoreboard of this version: this "
                   "worker is not in the status; restart the supervisor",
                   variable, text);
  return -1;
}

static int make(fcgi_server *server) {
  if (!wants_board(server))
    return -1;
  if (fcgi__board_new(&server->board, 1) == 0)
    return fcgi__board_take(&server->board, 0);
  fcgi__server_log(server, FCGI_LOG_ERROR,
                   "no memory for the status can be had: %s; there is no "
                   "status page, no request deadline and no slow log",
                   strerror(errno));
  return -1;
}

static void start(fcgi_server *server) {
  int number = inherit(server);
  fcgi__board_slot *slot;
  if (number < 0)
    number = make(server);
  slot = fcgi__board_slot_at(&server->board, number);
  if (!slot)
    return;
  fcgi__board_set_pid(&server->board, number, (int64_t)getpid());
  atomic_store(&slot->alive_us, fcgi__now_us());
  atomic_store(&server->slot, slot);
  fcgi__tally_state(server, FCGI_WORKER_READY);
}

void fcgi__tally_start(fcgi_server *server) {
  start(server);
  fcgi__spare_start(server, atomic_load(&server->slot) && wants_board(server));
}

void fcgi__tally_state(fcgi_server *server, fcgi_worker_state state) {
  fcgi__board_slot *slot = atomic_load(&server->slot);
  if (slot)
    atomic_store(&slot->state, state);
}

void fcgi__tally_end(fcgi_server *server) {
  atomic_store(&server->slot, NULL);
  fcgi__board_free(&server->board);
}

static void change(fcgi__board_slot *slot, fcgi_status_value value,
                   uint64_t by) {
  atomic_fetch_add_explicit(&slot->counts.values[value], by,
                            memory_order_relaxed);
}

static void lower(fcgi__board_slot *slot, fcgi_status_value value) {
  atomic_fetch_sub_explicit(&slot->counts.values[value], 1,
                            memory_order_relaxed);
}

void fcgi__tally_count(fcgi_server *server, fcgi_status_value value,
                       uint64_t amount) {
  fcgi__board_slot *slot = atomic_load(&server->slot);
  if (value == FCGI_STATUS_OPEN)
    atomic_store_explicit(&slot->counts.values[value],
                          atomic_load(&server->open), memory_order_relaxed);
  else if (value == FCGI_STATUS_MEMORY)
    atomic_store_explicit(&slot->counts.values[value],
                          atomic_load(&server->memory), memory_order_relaxed);
  else
    change(slot, value, amount);
}

size_t fcgi__tally_path(const fcgi_params *params, char *out, size_t len) {
  size_t uri_len = 0, copied;
  const char *uri = fcgi_params_get(params, "REQUEST_URI", 11, &uri_len);
  const char *script, *info, *query;
  int written;
  if (uri && *uri == '/') {
    query = memchr(uri, '?', uri_len);
    uri_len = query ? (size_t)(query - uri) : uri_len;
    copied = uri_len < len ? uri_len : len - 1;
    memcpy(out, uri, copied);
    out[copied] = '\0';
    return uri_len;
  }
  script = fcgi_params_get(params, "SCRIPT_NAME", 11, NULL);
  info = fcgi_params_get(params, "PATH_INFO", 9, NULL);
  written = snprintf(out, len, "%s%s", script ? script : "", info ? info : "");
  return written < 0 ? 0 : (size_t)written;
}

static fcgi__board_entry *take_entry(fcgi__board_slot *slot) {
  for (unsigned i = 0; i < FCGI__BOARD_ENTRIES; i++) {
    uint32_t is_free = FCGI_PHASE_FREE;
    if (atomic_load_explicit(&slot->entries[i].phase, memory_order_relaxed) ==
            FCGI_PHASE_FREE &&
        atomic_compare_exchange_strong(&slot->entries[i].phase, &is_free,
                                       FCGI_PHASE_QUEUED))
      return &slot->entries[i];
  }
  return NULL;
}

static void put_text(_Atomic uint64_t *to, size_t words, const char *text) {
  for (size_t i = 0; i < words; i++) {
    uint64_t word = 0;
    size_t rest = strlen(text), part = rest < sizeof word ? rest : sizeof word;
    memcpy(&word, text, part);
    atomic_store_explicit(&to[i], word, memory_order_relaxed);
    text += part;
  }
}

/* The texts are at most as long as their places, with a NUL. */
static void describe(fcgi__board_entry *entry, const fcgi_params *params,
                     uint64_t now) {
  const char *method = fcgi_params_get(params, "REQUEST_METHOD", 14, NULL);
  char cut[FCGI_STATUS_METHOD], path[FCGI_STATUS_PATH];
  snprintf(cut, sizeof cut, "%s", method ? method : "");
  fcgi__tally_path(params, path, sizeof path);
  atomic_fetch_add(&entry->version, 1);
  put_text(entry->method, FCGI__METHOD_WORDS, cut);
  put_text(entry->path, FCGI__PATH_WORDS, path);
  atomic_store(&entry->started_us, now);
  atomic_store(&entry->thread, 0);
  atomic_fetch_add(&entry->version, 1);
}

static void set_dues(fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  const fcgi_server_config *config = &connection->server->config;
  fcgi__tally *tally = &request->tally;
  long long now, first;
  tally->slow_due = tally->deadline = LLONG_MAX;
  if (config->request_timeout_ms <= 0 && config->slow_log_ms <= 0)
    return;
  now = fcgi__now();
  if (config->request_timeout_ms > 0)
    tally->deadline = now + config->request_timeout_ms;
  if (config->slow_log_ms > 0)
    tally->slow_due = now + config->slow_log_ms;
  first = tally->deadline < tally->slow_due ? tally->deadline : tally->slow_due;
  if (first < atomic_load(&connection->request_due))
    atomic_store(&connection->request_due, first);
  fcgi__server_deadline(connection->server, first);
}

void fcgi__tally_begin(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  fcgi__board_slot *slot = atomic_load(&server->slot);
  fcgi__tally *tally = &request->tally;
  if (fcgi__status_answer(request)) {
    change(slot, FCGI_STATUS_STATUS_PAGES, 1);
    return;
  }
  tally->counted = 1;
  tally->phase = FCGI_PHASE_QUEUED;
  tally->started_us = fcgi__now_us();
  tally->entry = take_entry(slot);
  if (tally->entry)
    describe(tally->entry, request->params, tally->started_us);
  change(slot, FCGI_STATUS_REQUESTS, 1);
  change(slot, FCGI_STATUS_QUEUED, 1);
  atomic_store_explicit(&slot->alive_us, tally->started_us,
                        memory_order_relaxed);
  set_dues(request);
  fcgi__spare_expect(server);
  fcgi__server_notify(server, request, FCGI_EVENT_REQUEST);
}

static void enter(fcgi_request *request, fcgi_phase phase) {
  request->tally.phase = (uint8_t)phase;
  if (request->tally.entry)
    atomic_store(&request->tally.entry->phase, phase);
}

static void note_active(fcgi__board_slot *slot) {
  _Atomic uint64_t *values = slot->counts.values;
  uint64_t now = atomic_fetch_add(&values[FCGI_STATUS_ACTIVE], 1) + 1;
  uint64_t most = atomic_load(&values[FCGI_STATUS_ACTIVE_MAX]);
  while (now > most && !atomic_compare_exchange_weak(
                           &values[FCGI_STATUS_ACTIVE_MAX], &most, now))
    ;
}

void fcgi__tally_given(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  fcgi__board_slot *slot = atomic_load(&server->slot);
  pthread_t self = pthread_self();
  uint64_t number = 0;
  enter(request, FCGI_PHASE_HANDLER);
  lower(slot, FCGI_STATUS_QUEUED);
  note_active(slot);
  memcpy(&number, &self,
         sizeof self < sizeof number ? sizeof self : sizeof number);
  atomic_store(&request->tally.thread, number);
  if (request->tally.entry)
    atomic_store(&request->tally.entry->thread, number);
#ifdef __linux__
  if (server->config.slow_log_ms > 0)
    request->tally.thread_id = syscall(SYS_gettid);
#endif
}

/* CGI output has the status in a field, 200 where it has none (RFC 3875,
   6.3.3). What is not in the first write is taken for 200. */
void fcgi__tally_raw(fcgi_request *request, const char *data, size_t len) {
  static const char name[] = "Status:";
  const char *end = data + len, *line = data;
  request->tally.status = 200;
  while (line < end && *line != '\n' && *line != '\r') {
    const char *next = memchr(line, '\n', (size_t)(end - line));
    size_t line_len = (size_t)((next ? next : end) - line), at = 7;
    if (line_len > at && strncasecmp(line, name, at) == 0) {
      int status = 0;
      while (at < line_len && line[at] == ' ')
        at++;
      for (int i = 0; i < 3 && at < line_len; i++, at++)
        status = status * 10 + (line[at] - '0');
      request->tally.status = (uint16_t)status;
    }
    if (!next)
      break;
    line = next + 1;
  }
}

static void leave_phase(fcgi__board_slot *slot, fcgi_phase phase) {
  if (phase == FCGI_PHASE_QUEUED)
    lower(slot, FCGI_STATUS_QUEUED);
  else if (phase == FCGI_PHASE_HANDLER)
    lower(slot, FCGI_STATUS_ACTIVE);
  else if (phase == FCGI_PHASE_OVERDUE) {
    lower(slot, FCGI_STATUS_OVERDUE);
    lower(slot, FCGI_STATUS_ACTIVE);
  }
}

static void count_answer(fcgi__board_slot *slot, const fcgi__tally *tally) {
  uint64_t took = fcgi__now_us() - tally->started_us;
  unsigned class = tally->status / 100u;
  if (class >= 1 && class <= 5)
    change(slot, (fcgi_status_value)(FCGI_STATUS_RESPONSES_1XX + class - 1), 1);
  change(slot, FCGI_STATUS_FINISHED, 1);
  atomic_fetch_add_explicit(&slot->counts.latency[fcgi__board_bucket(took)], 1,
                            memory_order_relaxed);
  atomic_fetch_add_explicit(&slot->counts.latency_sum_us, took,
                            memory_order_relaxed);
}

void fcgi__tally_ended(fcgi_request *request) {
  fcgi__board_slot *slot = atomic_load(&request->connection->server->slot);
  count_answer(slot, &request->tally);
  request->tally.slow_due = request->tally.deadline = LLONG_MAX;
  if (request->tally.phase == FCGI_PHASE_OVERDUE)
    return; /* Its handler runs on. */
  leave_phase(slot, request->tally.phase);
  enter(request, FCGI_PHASE_SENDING);
}

void fcgi__tally_overdue(fcgi_request *request) {
  fcgi__board_slot *slot = atomic_load(&request->connection->server->slot);
  change(slot, FCGI_STATUS_OVERDUE, 1);
  if (request->tally.entry)
    atomic_store(&request->tally.entry->overdue_us, fcgi__now_us());
  enter(request, FCGI_PHASE_OVERDUE);
}

void fcgi__tally_finish(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  fcgi__board_slot *slot = atomic_load(&server->slot);
  if (slot)
    leave_phase(slot, request->tally.phase);
  if (slot)
    enter(request, FCGI_PHASE_FREE);
  fcgi__spare_done(server);
}
