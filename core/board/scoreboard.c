/* SPDX-License-Identifier: MIT */
#include "board/scoreboard.h"
#include "os/clock.h"
#include "os/sealed.h"
#include <fastcgi/error.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const char magic[8] = "fcgi-sb";

static int64_t unix_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int map(fcgi__board *out, int fd) {
  size_t size;
  void *memory;
  int error = fcgi__sealed_map(fd, sizeof(fcgi__board_head), &memory, &size);
  if (!error)
    *out = (fcgi__board){.head = memory, .size = size, .fd = fd};
  return error;
}

static void begin(fcgi__board_head *head, unsigned slots) {
  memcpy(head->magic, magic, sizeof magic);
  head->version = FCGI__BOARD_VERSION;
  head->head_size = sizeof(fcgi__board_head);
  head->slot_size = sizeof(fcgi__board_slot);
  head->slot_count = slots;
  head->started_ms = unix_ms();
  head->started_us = fcgi__now_us();
  head->listen_queue = head->listen_queue_max = head->listen_queue_limit = -1;
}

int fcgi__board_new(fcgi__board *out, unsigned slots) {
  size_t size =
      sizeof(fcgi__board_head) + (size_t)slots * sizeof(fcgi__board_slot);
  int fd, error;
  *out = (fcgi__board){.fd = -1};
  if (slots == 0 || slots > FCGI__BOARD_SLOTS)
    return FCGI_ERR_INVALID;
  fd = fcgi__sealed_new("fastcgi-scoreboard", size);
  if (fd < 0)
    return FCGI_ERR_SYSTEM;
  error = map(out, fd);
  if (error)
    close(fd);
  else
    begin(out->head, slots);
  return error;
}

/* A word of the memory, whatever lies there. */
typedef uint64_t __attribute__((may_alias)) word;

void fcgi__board_load(void *to, const void *from, size_t len) {
  const word *source = from;
  word *target = to;
  for (size_t i = 0; i < len / sizeof(word); i++)
    target[i] = __atomic_load_n(&source[i], __ATOMIC_RELAXED);
}

int fcgi__board_is_one(const fcgi__board_head *head, size_t size) {
  return size >= sizeof *head &&
         memcmp(head->magic, magic, sizeof magic) == 0 &&
         head->version == FCGI__BOARD_VERSION &&
         head->head_size == sizeof(fcgi__board_head) &&
         head->slot_size == sizeof(fcgi__board_slot) && head->slot_count > 0 &&
         head->slot_count <= (size - sizeof *head) / sizeof(fcgi__board_slot);
}

int fcgi__board_attach(fcgi__board *out, int fd) {
  int error;
  *out = (fcgi__board){.fd = -1};
  error = map(out, fd);
  if (error)
    return error;
  if (fcgi__board_is_one(out->head, out->size)) {
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return 0;
  }
  out->fd = -1;
  fcgi__board_free(out);
  return FCGI_ERR_PROTOCOL;
}

void fcgi__board_free(fcgi__board *board) {
  if (board->head)
    munmap(board->head, board->size);
  if (board->fd >= 0)
    close(board->fd);
  *board = (fcgi__board){.fd = -1};
}

unsigned fcgi__board_slots(const fcgi__board *board) {
  size_t held;
  if (!board->head)
    return 0;
  held = (board->size - sizeof *board->head) / sizeof(fcgi__board_slot);
  return board->head->slot_count < held ? board->head->slot_count
                                        : (unsigned)held;
}

fcgi__board_slot *fcgi__board_slot_at(const fcgi__board *board, int slot) {
  if (slot < 0 || (unsigned)slot >= fcgi__board_slots(board))
    return NULL;
  return (fcgi__board_slot *)(void *)(board->head + 1) + slot;
}

int fcgi__board_take(fcgi__board *board, unsigned generation) {
  unsigned count = fcgi__board_slots(board);
  for (unsigned i = 0; i < count; i++) {
    fcgi__board_slot *slot = fcgi__board_slot_at(board, (int)i);
    if (atomic_load(&slot->state) != FCGI_WORKER_FREE)
      continue;
    memset(slot, 0, sizeof *slot);
    atomic_store(&slot->generation, generation);
    atomic_store(&slot->started_us, fcgi__now_us());
    atomic_store(&slot->alive_us, fcgi__now_us());
    atomic_store(&slot->state, FCGI_WORKER_STARTING);
    return (int)i;
  }
  return -1;
}

void fcgi__board_set_pid(fcgi__board *board, int slot, int64_t pid) {
  fcgi__board_slot *at = fcgi__board_slot_at(board, slot);
  if (at)
    atomic_store(&at->pid, pid);
}

void fcgi__board_set_state(fcgi__board *board, int slot,
                           fcgi_worker_state state) {
  fcgi__board_slot *at = fcgi__board_slot_at(board, slot);
  if (at)
    atomic_store(&at->state, state);
}

int fcgi__metric_is_gauge(unsigned value) {
  enum { COUNTER, GAUGE };
  static const char kinds[] = {
#define KIND(name, key, family, label, kind, help) kind,
      FCGI_METRIC_MAP(KIND)
#undef KIND
  };
  return kinds[value] == GAUGE;
}

static void move(_Atomic uint64_t *to, _Atomic uint64_t *from) {
  atomic_fetch_add(to, atomic_exchange(from, 0));
}

/* What only tells how things are now is nothing once the worker is gone. */
void fcgi__board_release_slot(fcgi__board *board, int slot) {
  fcgi__board_slot *at = fcgi__board_slot_at(board, slot);
  fcgi__board_counts *former;
  if (!at)
    return;
  former = &board->head->former;
  for (unsigned i = 0; i < FCGI_METRICS; i++)
    if (!fcgi__metric_is_gauge(i))
      move(&former->values[i], &at->counts.values[i]);
  for (unsigned i = 0; i < FCGI__BOARD_BUCKETS; i++)
    move(&former->latency[i], &at->counts.latency[i]);
  move(&former->latency_sum_us, &at->counts.latency_sum_us);
  fcgi__board_move_rows(board->head->former_rows, at->rows);
  atomic_store(&at->state, FCGI_WORKER_FREE);
}

void fcgi__board_count(fcgi__board *board, fcgi_supervised event) {
  if (board->head && event < FCGI_SUPERVISED_EVENTS)
    atomic_fetch_add(&board->head->events[event], 1);
}

void fcgi__board_set_generation(fcgi__board *board, unsigned generation) {
  if (board->head)
    atomic_store(&board->head->generation, generation);
}

void fcgi__board_set_supervisor(fcgi__board *board, int64_t pid) {
  if (board->head)
    atomic_store(&board->head->supervisor, pid);
}

uint64_t fcgi__board_requests(const fcgi__board *board, int slot) {
  fcgi__board_slot *at = fcgi__board_slot_at(board, slot);
  return at ? atomic_load(&at->counts.values[FCGI_METRIC_REQUESTS]) : 0;
}

int64_t fcgi__board_overdue_ms(const fcgi__board *board, int slot) {
  fcgi__board_slot *at = fcgi__board_slot_at(board, slot);
  uint64_t now = fcgi__now_us(), oldest = now + 1;
  for (unsigned i = 0; at && i < FCGI__BOARD_ENTRIES; i++) {
    uint64_t since = atomic_load(&at->entries[i].overdue_us);
    if (atomic_load(&at->entries[i].phase) == FCGI_PHASE_OVERDUE &&
        since < oldest)
      oldest = since;
  }
  return oldest > now ? -1 : (int64_t)((now - oldest) / 1000);
}

int fcgi__board_only_overdue(const fcgi__board *board, int slot) {
  fcgi__board_slot *at = fcgi__board_slot_at(board, slot);
  uint64_t overdue, active, queued;
  if (!at)
    return 0;
  overdue = atomic_load(&at->counts.values[FCGI_METRIC_OVERDUE]);
  active = atomic_load(&at->counts.values[FCGI_METRIC_ACTIVE]);
  queued = atomic_load(&at->counts.values[FCGI_METRIC_QUEUED]);
  return overdue > 0 && active <= overdue && queued == 0;
}

int64_t fcgi__board_silent_ms(const fcgi__board *board, int slot) {
  fcgi__board_slot *at = fcgi__board_slot_at(board, slot);
  uint64_t now = fcgi__now_us(), then;
  if (!at)
    return -1;
  then = atomic_load(&at->alive_us);
  return then < now ? (int64_t)((now - then) / 1000) : 0;
}

unsigned fcgi__board_bucket(uint64_t us) {
  uint64_t last = us ? us - 1 : 0;
  unsigned doublings, bucket;
  if (us <= 16)
    return 0;
  doublings = 59 - (unsigned)__builtin_clzll(last);
  bucket = 1 + 4 * doublings + ((last >> (doublings + 2)) & 3);
  return bucket < FCGI__BOARD_BUCKETS ? bucket : FCGI__BOARD_BUCKETS - 1;
}

uint64_t fcgi__board_bucket_end(unsigned bucket) {
  if (bucket == 0)
    return 16;
  if (bucket >= FCGI__BOARD_BUCKETS - 1)
    return UINT64_MAX;
  return ((uint64_t)4 << (bucket - 1) / 4) * (5 + (bucket - 1) % 4);
}

void fcgi__board_note_backlog(fcgi__board *board, fcgi__backlog all) {
  _Atomic int64_t *most = &board->head->listen_queue_max;
  int64_t before = atomic_load(most);
  atomic_store(&board->head->listen_queue, all.length);
  atomic_store(&board->head->listen_queue_limit, all.limit);
  while (all.length > before &&
         !atomic_compare_exchange_weak(most, &before, all.length))
    ;
}

static uint64_t count_requests(fcgi__board_slot *slot) {
  return atomic_load(&slot->counts.values[FCGI_METRIC_QUEUED]) +
         atomic_load(&slot->counts.values[FCGI_METRIC_ACTIVE]);
}

static void count_one(fcgi__board_others *others, fcgi__board_slot *slot,
                      uint64_t open, uint64_t limit) {
  unsigned idle = atomic_load_explicit(&slot->idle, memory_order_relaxed);
  uint64_t requests = count_requests(slot);
  uint64_t held = atomic_load(&slot->taking) +
                  atomic_load(&slot->counts.values[FCGI_METRIC_OPEN]);
  others->ready++;
  others->idle += idle;
  others->open += requests;
  if (requests < others->least)
    others->least = requests;
  if (idle > 0 && held + 2 <= open)
    others->poorer = 1;
  if (held > limit)
    others->over += held - limit;
}

fcgi__board_others fcgi__board_count_others(const fcgi__board *board,
                                            const fcgi__board_slot *own,
                                            uint64_t open, uint64_t limit) {
  unsigned count = fcgi__board_slots(board);
  fcgi__board_others others = {.least = UINT64_MAX};
  for (unsigned i = 0; i < count; i++) {
    fcgi__board_slot *slot = fcgi__board_slot_at(board, (int)i);
    if (slot != own && atomic_load(&slot->state) == FCGI_WORKER_READY)
      count_one(&others, slot, open, limit);
  }
  return others;
}
