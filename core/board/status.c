/* SPDX-License-Identifier: MIT */
#include "board/status.h"
#include "os/clock.h"
#include <dirent.h>
#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COUNTER = 0, GAUGE = 1 };

const fcgi__metric_text *fcgi__metric_at(unsigned value) {
  static const fcgi__metric_text metrics[] = {
#define METRIC(name, key, family, label, kind, help)                           \
  {#key, family, label, kind, help},
      FCGI_METRIC_MAP(METRIC)
#undef METRIC
  };
  return &metrics[value < FCGI_METRICS ? value : 0];
}

#define KEY(name, key, ...)   #key,
#define HELP(name, key, help) help,

const char *fcgi__supervised_key(unsigned event) {
  static const char *const keys[] = {FCGI_SUPERVISED_MAP(KEY)};
  return event < FCGI_SUPERVISED_EVENTS ? keys[event] : "unknown";
}

const char *fcgi__supervised_help(unsigned event) {
  static const char *const texts[] = {FCGI_SUPERVISED_MAP(HELP)};
  return event < FCGI_SUPERVISED_EVENTS ? texts[event] : "";
}

#undef KEY
#define KEY(name, key) #key,

const char *fcgi__worker_state_key(unsigned state) {
  static const char *const keys[] = {FCGI_WORKER_STATE_MAP(KEY)};
  return state < FCGI_WORKER_STATES ? keys[state] : "unknown";
}

const char *fcgi__phase_key(unsigned phase) {
  static const char *const keys[] = {FCGI_PHASE_MAP(KEY)};
  return phase < FCGI_PHASES ? keys[phase] : "unknown";
}

/* Slots after the last one in use are left out. */
char *fcgi__board_copy(const fcgi__board *board, size_t *len) {
  unsigned used = 0, count = fcgi__board_slots(board);
  fcgi__board_head *head;
  for (unsigned i = 0; i < count; i++)
    if (atomic_load(&fcgi__board_slot_at(board, (int)i)->state))
      used = i + 1;
  used = used ? used : 1;
  *len = sizeof *head + used * sizeof(fcgi__board_slot);
  head = malloc(*len);
  if (!head)
    return NULL;
  fcgi__board_load(head, board->head, *len);
  head->slot_count = used;
  atomic_store(&head->now_us, fcgi__now_us());
  return (char *)head;
}

static const fcgi__board_slot *slot_in(const char *data, size_t index) {
  return (const fcgi__board_slot *)(const void *)(data +
                                                  sizeof(fcgi__board_head)) +
         index;
}

/* Whoever wrote the times may have had another clock, or none. */
static uint64_t age_at(uint64_t now, uint64_t then) {
  return then > 0 && then < now ? now - then : 0;
}

static void read_counts(fcgi__status_worker *out,
                        const fcgi__board_counts *counts) {
  for (unsigned i = 0; i < FCGI_METRICS; i++)
    out->values[i] += atomic_load(&counts->values[i]);
  for (unsigned i = 0; i < FCGI__BOARD_BUCKETS; i++)
    out->latency[i] += atomic_load(&counts->latency[i]);
  out->shown.latency_sum_us += atomic_load(&counts->latency_sum_us);
}

/* A text that is being changed is left empty. */
static void read_entry(fcgi__status_request *out,
                       const fcgi__board_entry *entry, uint64_t now) {
  uint32_t phase = atomic_load(&entry->phase);
  out->shown = (fcgi_status_request){
      .phase = phase < FCGI_PHASES ? (fcgi_phase)phase : FCGI_PHASE_FREE,
      .age_us = age_at(now, atomic_load(&entry->started_us)),
      .thread = atomic_load(&entry->thread),
      .method = out->method,
      .path = out->path,
  };
  fcgi__board_read_text(out->method, sizeof out->method, entry->method);
  fcgi__board_read_text(out->path, sizeof out->path, entry->path);
  if (atomic_load(&entry->version) & 1)
    out->method[0] = out->path[0] = '\0';
}

static void read_entries(fcgi__status *status, fcgi__status_worker *out,
                         const fcgi__board_slot *slot, uint64_t now) {
  size_t *count = &status->shown.request_count;
  out->requests = &status->requests[*count];
  for (unsigned i = 0; i < FCGI__BOARD_ENTRIES; i++) {
    fcgi__status_request *request = &status->requests[*count];
    read_entry(request, &slot->entries[i], now);
    if (request->shown.phase == FCGI_PHASE_FREE)
      continue;
    out->shown.request_count++;
    (*count)++;
  }
}

static void read_slot(fcgi__status *status, const fcgi__board_slot *slot,
                      uint64_t now) {
  fcgi__status_worker *out = &status->workers[status->shown.worker_count];
  uint32_t state = atomic_load(&slot->state);
  if (state == FCGI_WORKER_FREE)
    return;
  status->shown.worker_count++;
  out->shown = (fcgi_status_worker){
      .pid = atomic_load(&slot->pid),
      .generation = atomic_load(&slot->generation),
      .state = state < FCGI_WORKER_STATES ? (fcgi_worker_state)state
                                          : FCGI_WORKER_DEAD,
      .age_us = age_at(now, atomic_load(&slot->started_us)),
      .silent_us = age_at(now, atomic_load(&slot->alive_us)),
  };
  read_counts(out, &slot->counts);
  read_counts(&status->total, &slot->counts);
  out->resources = status->next_resource;
  fcgi__status_read_rows(status, out, slot->rows);
  status->next_resource += out->shown.resource_count;
  read_entries(status, out, slot, now);
}

static void read_head(fcgi__status *status, const fcgi__board_head *head,
                      uint64_t now) {
  status->shown = (fcgi_status){
      .supervisor = atomic_load(&head->supervisor),
      .started_ms = atomic_load(&head->started_ms),
      .age_us = age_at(now, atomic_load(&head->started_us)),
      .generation = atomic_load(&head->generation),
      .listen_queue = atomic_load(&head->listen_queue),
      .listen_queue_max = atomic_load(&head->listen_queue_max),
      .listen_queue_limit = atomic_load(&head->listen_queue_limit),
  };
  for (unsigned i = 0; i < FCGI_SUPERVISED_EVENTS; i++)
    status->events[i] = atomic_load(&head->events[i]);
  read_counts(&status->total, &head->former);
  fcgi__status_read_rows(status, NULL, head->former_rows);
}

/* Room for one request more than there can be: each is read before it is
   known to be one. */
static fcgi__status *new_status(size_t slots) {
  fcgi__status *status = calloc(1, sizeof *status);
  if (!status)
    return NULL;
  status->workers = calloc(slots, sizeof *status->workers);
  status->requests =
      calloc(slots * FCGI__BOARD_ENTRIES + 1, sizeof *status->requests);
  if (status->workers && status->requests &&
      fcgi__status_make_room(status, slots) == 0)
    return status;
  fcgi_status_free(&status->shown);
  return NULL;
}

/* `data` is aligned. */
static int parse_aligned(fcgi_status **out, const char *data, size_t len) {
  const fcgi__board_head *head = (const void *)data;
  fcgi__status *status;
  uint64_t now;
  if (!fcgi__board_is_one(head, len))
    return FCGI_ERR_PROTOCOL;
  status = new_status(head->slot_count);
  if (!status)
    return FCGI_ERR_NOMEM;
  now = atomic_load(&head->now_us);
  read_head(status, head, now);
  for (size_t i = 0; i < head->slot_count; i++)
    read_slot(status, slot_in(data, i), now);
  *out = &status->shown;
  return 0;
}

int fcgi_status_parse(fcgi_status **out, const void *data, size_t len) {
  char *copy = malloc(len ? len : 1);
  int error;
  *out = NULL;
  if (!copy)
    return FCGI_ERR_NOMEM;
  memcpy(copy, data, len);
  error = parse_aligned(out, copy, len);
  free(copy);
  return error;
}

int fcgi__status_of_board(fcgi_status **out, const fcgi__board *board) {
  size_t len;
  char *copy = fcgi__board_copy(board, &len);
  int error = copy ? parse_aligned(out, copy, len) : FCGI_ERR_NOMEM;
  free(copy);
  return error;
}

/* 1: `path`, a link in /proc, leads to a scoreboard. */
static int is_memory(const char *path) {
  char target[64];
  ssize_t len = readlink(path, target, sizeof target - 1);
  target[len > 0 ? len : 0] = '\0';
  return strncmp(target, "/memfd:fastcgi-scoreboard", 25) == 0;
}

static int open_board(DIR *folder, const char *folder_path) {
  const struct dirent *at;
  char path[320];
  while ((at = readdir(folder)) != NULL) {
    snprintf(path, sizeof path, "%s/%s", folder_path, at->d_name);
    if (is_memory(path))
      return open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  }
  errno = ENOENT;
  return -1;
}

int fcgi_status_of_pid(fcgi_status **out, pid_t pid) {
  char path[48];
  fcgi__board board;
  DIR *folder;
  int fd, error;
  *out = NULL;
  snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
  folder = opendir(path);
  if (!folder) {
    errno = errno == ENOENT ? ESRCH : errno;
    return FCGI_ERR_SYSTEM;
  }
  fd = open_board(folder, path);
  error = errno;
  closedir(folder);
  errno = error;
  if (fd < 0)
    return FCGI_ERR_SYSTEM;
  error = fcgi__board_attach(&board, fd);
  if (error) {
    close(fd);
    return error;
  }
  error = fcgi__status_of_board(out, &board);
  fcgi__board_free(&board);
  return error;
}

static const fcgi__status *inside(const fcgi_status *status) {
  return (const fcgi__status *)(const void *)status;
}

void fcgi_status_free(fcgi_status *status) {
  if (!status)
    return;
  free(inside(status)->workers);
  free(inside(status)->requests);
  free(inside(status)->resources);
  free(status);
}

const fcgi_status_worker *fcgi_status_total(const fcgi_status *status) {
  return &inside(status)->total.shown;
}

const fcgi_status_worker *fcgi_status_worker_at(const fcgi_status *status,
                                                size_t index) {
  return index < status->worker_count ? &inside(status)->workers[index].shown
                                      : NULL;
}

const fcgi_status_request *
fcgi_status_request_at(const fcgi_status_worker *worker, size_t index) {
  return index < worker->request_count
             ? &fcgi__status_inside(worker)->requests[index].shown
             : NULL;
}

uint64_t fcgi_status_metric(const fcgi_status_worker *worker,
                            fcgi_metric metric) {
  return (unsigned)metric < FCGI_METRICS
             ? fcgi__status_inside(worker)->values[metric]
             : 0;
}

uint64_t fcgi_status_supervised(const fcgi_status *status,
                                fcgi_supervised event) {
  return (unsigned)event < FCGI_SUPERVISED_EVENTS
             ? inside(status)->events[event]
             : 0;
}

/* Requests in a bucket. Counts never fall, unless the program was started
   anew. */
static uint64_t bucket_of(const fcgi_status_worker *worker,
                          const fcgi_status_worker *since, unsigned bucket) {
  uint64_t now = fcgi__status_inside(worker)->latency[bucket];
  uint64_t before = since ? fcgi__status_inside(since)->latency[bucket] : 0;
  return now > before ? now - before : 0;
}

uint64_t fcgi_status_quantile(const fcgi_status_worker *worker,
                              const fcgi_status_worker *since, double share) {
  uint64_t all = 0, below = 0, end = 0;
  for (unsigned i = 0; i < FCGI__BOARD_BUCKETS; i++)
    all += bucket_of(worker, since, i);
  for (unsigned i = 0; i < FCGI__BOARD_BUCKETS; i++) {
    uint64_t count = bucket_of(worker, since, i);
    below += count;
    if (count == 0)
      continue;
    end = fcgi__board_bucket_end(
        i < FCGI__BOARD_BUCKETS - 1 ? i : FCGI__BOARD_BUCKETS - 2);
    if ((double)below >= share * (double)all)
      break;
  }
  return end;
}

static int is_handled(const fcgi_status_request *request) {
  return request->phase == FCGI_PHASE_HANDLER ||
         request->phase == FCGI_PHASE_OVERDUE;
}

int fcgi__status_is_hung(const fcgi_status_request *request) {
  return request->phase == FCGI_PHASE_OVERDUE ||
         (request->phase == FCGI_PHASE_HANDLER &&
          request->age_us >= FCGI__HUNG_US);
}

const fcgi_status_request *
fcgi__status_oldest(const fcgi_status_worker *worker) {
  const fcgi_status_request *oldest = NULL, *at;
  for (size_t i = 0; (at = fcgi_status_request_at(worker, i)) != NULL; i++)
    if (is_handled(at) && (!oldest || at->age_us > oldest->age_us))
      oldest = at;
  return oldest;
}
