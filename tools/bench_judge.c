/* SPDX-License-Identifier: MIT */
/* Whether an answer is right: complete, of a 2xx status, and the same bytes as
   the first. */
#include "bench.h"
#include "tool.h"
#include <fastcgi/protocol.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void gather(bench_slot *slot, const void *data, size_t len) {
  if (slot->len + len > slot->room) {
    slot->room = (slot->len + len) * 2;
    slot->gathered = tool_realloc(slot->gathered, slot->room);
  }
  memcpy(slot->gathered + slot->len, data, len);
  slot->len += len;
}

/* It is not what the first answer was: keep it whole, to tell why. */
static void differ(bench_slot *slot) {
  const bench_reference *first = slot->compare;
  size_t len = slot->len;
  slot->compare = NULL;
  slot->len = 0;
  gather(slot, first->at, len);
}

void bench_take(bench_worker *worker, bench_slot *slot, const uint8_t *data,
                size_t len) {
  if (slot->len == 0 && !worker->plan->any_answer)
    slot->compare =
        atomic_load_explicit(&worker->shared->known, memory_order_acquire);
  if (slot->compare && (slot->len + len > slot->compare->len ||
                        memcmp(slot->compare->at + slot->len, data, len) != 0))
    differ(slot);
  if (slot->compare)
    slot->len += len;
  else
    gather(slot, data, len);
}

/* Bytes up to the end of the empty line, or 0 while there is none. */
static size_t head_len(const char *text, size_t len) {
  size_t start = 0;
  const char *line;
  while ((line = memchr(text + start, '\n', len - start))) {
    size_t end = (size_t)(line - text);
    if (end == start || (end == start + 1 && text[start] == '\r'))
      return end + 1;
    start = end + 1;
  }
  return 0;
}

/* The status of a head (RFC 3875, 6.3.3), 302 with Location alone. */
static int status_of(const char *head, size_t len) {
  int status = 200;
  const char *end = head + len;
  for (const char *next; head < end; head = next) {
    next = (const char *)memchr(head, '\n', (size_t)(end - head)) + 1;
    if (next - head > 7 && strncasecmp(head, "Status:", 7) == 0)
      return atoi(head + 7);
    if (next - head > 9 && strncasecmp(head, "Location:", 9) == 0)
      status = 302;
  }
  return status;
}

/* The first right answer becomes the one to compare with; a thread that comes
   second is judged by it. */
static bench_error compare(bench_shared *shared, const bench_slot *slot) {
  bench_reference *first = &shared->first;
  bench_error error = BENCH_OK;
  pthread_mutex_lock(&shared->lock);
  if (!first->at) {
    first->at = tool_realloc(NULL, slot->len);
    memcpy(first->at, slot->gathered, slot->len);
    first->len = slot->len;
    atomic_store_explicit(&shared->known, first, memory_order_release);
  } else if (first->len != slot->len ||
             memcmp(first->at, slot->gathered, slot->len) != 0) {
    error = BENCH_DIFFERENT;
  }
  pthread_mutex_unlock(&shared->lock);
  return error;
}

static bench_error judge_text(bench_worker *worker, const bench_slot *slot) {
  const bench_plan *plan = worker->plan;
  size_t head = slot->len ? head_len(slot->gathered, slot->len) : 0;
  int status = head ? status_of(slot->gathered, head) : 0;
  if (head == 0)
    return BENCH_HEAD;
  if (status < 200 || status > 299) {
    if (worker->counts.errors[BENCH_STATUS] == 0)
      worker->counts.first_status = status;
    return BENCH_STATUS;
  }
  if (plan->echo &&
      (slot->len - head != plan->body_len ||
       memcmp(slot->gathered + head, plan->body, plan->body_len) != 0))
    return BENCH_ECHO;
  return plan->any_answer ? BENCH_OK : compare(worker->shared, slot);
}

bench_error bench_judge(bench_worker *worker, bench_slot *slot,
                        const uint8_t end[8]) {
  if (end[4] != FCGI_END_COMPLETE)
    return BENCH_REJECTED;
  if (slot->compare && slot->len < slot->compare->len)
    differ(slot);
  if (!slot->compare) {
    bench_error error = judge_text(worker, slot);
    if (error != BENCH_OK)
      return error;
  }
  if (!slot->closed && !worker->plan->allow_unclosed)
    return BENCH_UNCLOSED;
  return end[0] | end[1] | end[2] | end[3] ? BENCH_EXIT : BENCH_OK;
}
