/* SPDX-License-Identifier: MIT */
#include "observe/tally.h"
#include "os/clock.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

static void lower(fcgi__board_slot *slot, fcgi_metric value) {
  atomic_fetch_sub_explicit(&slot->counts.values[value], 1,
                            memory_order_relaxed);
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
  char cut[FCGI__BOARD_METHOD], path[FCGI__BOARD_PATH];
  snprintf(cut, sizeof cut, "%s", method ? method : "");
  fcgi__tally_path(params, path, sizeof path);
  atomic_fetch_add(&entry->version, 1);
  put_text(entry->method, FCGI__METHOD_WORDS, cut);
  put_text(entry->path, FCGI__PATH_WORDS, path);
  atomic_store(&entry->started_us, now);
  atomic_store(&entry->thread, 0);
  atomic_fetch_add(&entry->version, 1);
}

void fcgi__tally_begin(fcgi__tally *tally, fcgi__board_slot *slot,
                       const fcgi_params *params) {
  tally->counted = 1;
  tally->phase = FCGI_PHASE_QUEUED;
  tally->started_us = fcgi__now_us();
  tally->entry = take_entry(slot);
  if (tally->entry)
    describe(tally->entry, params, tally->started_us);
  fcgi__board_add(slot, FCGI_METRIC_REQUESTS, 1);
  fcgi__board_add(slot, FCGI_METRIC_QUEUED, 1);
  atomic_store_explicit(&slot->alive_us, tally->started_us,
                        memory_order_relaxed);
}

static void enter(fcgi__tally *tally, fcgi_phase phase) {
  tally->phase = (uint8_t)phase;
  if (tally->entry)
    atomic_store(&tally->entry->phase, phase);
}

static void note_active(fcgi__board_slot *slot) {
  _Atomic uint64_t *values = slot->counts.values;
  uint64_t now = atomic_fetch_add(&values[FCGI_METRIC_ACTIVE], 1) + 1;
  uint64_t most = atomic_load(&values[FCGI_METRIC_ACTIVE_MAX]);
  while (now > most && !atomic_compare_exchange_weak(
                           &values[FCGI_METRIC_ACTIVE_MAX], &most, now))
    ;
}

void fcgi__tally_given(fcgi__tally *tally, fcgi__board_slot *slot,
                       int with_id) {
  pthread_t self = pthread_self();
  uint64_t number = 0;
  enter(tally, FCGI_PHASE_HANDLER);
  lower(slot, FCGI_METRIC_QUEUED);
  note_active(slot);
  memcpy(&number, &self,
         sizeof self < sizeof number ? sizeof self : sizeof number);
  atomic_store(&tally->thread, number);
  if (tally->entry)
    atomic_store(&tally->entry->thread, number);
#ifdef __linux__
  if (with_id)
    tally->thread_id = syscall(SYS_gettid);
#else
  (void)with_id;
#endif
}

static void leave_phase(fcgi__board_slot *slot, fcgi_phase phase) {
  if (phase == FCGI_PHASE_QUEUED)
    lower(slot, FCGI_METRIC_QUEUED);
  else if (phase == FCGI_PHASE_HANDLER)
    lower(slot, FCGI_METRIC_ACTIVE);
  else if (phase == FCGI_PHASE_OVERDUE) {
    lower(slot, FCGI_METRIC_OVERDUE);
    lower(slot, FCGI_METRIC_ACTIVE);
  }
}

static void count_answer(fcgi__board_slot *slot, const fcgi__tally *tally) {
  uint64_t took = fcgi__now_us() - tally->started_us;
  unsigned class = tally->status / 100u;
  if (class >= 1 && class <= 5)
    fcgi__board_add(slot, (fcgi_metric)(FCGI_METRIC_RESPONSES_1XX + class - 1),
                    1);
  fcgi__board_add(slot, FCGI_METRIC_FINISHED, 1);
  atomic_fetch_add_explicit(&slot->counts.latency[fcgi__board_bucket(took)], 1,
                            memory_order_relaxed);
  atomic_fetch_add_explicit(&slot->counts.latency_sum_us, took,
                            memory_order_relaxed);
}

void fcgi__tally_ended(fcgi__tally *tally, fcgi__board_slot *slot) {
  count_answer(slot, tally);
  if (tally->phase == FCGI_PHASE_OVERDUE)
    return; /* Its handler runs on. */
  leave_phase(slot, tally->phase);
  enter(tally, FCGI_PHASE_SENDING);
}

void fcgi__tally_overdue(fcgi__tally *tally, fcgi__board_slot *slot) {
  fcgi__board_add(slot, FCGI_METRIC_OVERDUE, 1);
  if (tally->entry)
    atomic_store(&tally->entry->overdue_us, fcgi__now_us());
  enter(tally, FCGI_PHASE_OVERDUE);
}

void fcgi__tally_finish(fcgi__tally *tally, fcgi__board_slot *slot) {
  if (!slot)
    return;
  leave_phase(slot, tally->phase);
  enter(tally, FCGI_PHASE_FREE);
}
