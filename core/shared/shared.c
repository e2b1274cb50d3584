/* SPDX-License-Identifier: MIT */
#include "shared/shared.h"
#include "base/config.h"
#include "base/number.h"
#include "os/sealed.h"
#include "shared/hash.h"
#include "shared/visit.h"
#include <fastcgi/error.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PRIVATE_SIZE = 1 << 20 };

static const char magic[8] = "fcgi-sd";

/* A bucket for each block, more or less. */
void fcgi__shared_divide(fcgi_shared *d, void *memory, size_t size) {
  uint64_t buckets = 16, rest = size - FCGI__SHARED_HEAD, room;
  while (2 * buckets <= rest / FCGI__SHARED_BLOCK)
    buckets *= 2;
  room = (buckets * sizeof *d->buckets + FCGI__SHARED_BLOCK - 1) /
         FCGI__SHARED_BLOCK * FCGI__SHARED_BLOCK;
  d->head = memory;
  d->size = size;
  d->buckets = (void *)((char *)memory + FCGI__SHARED_HEAD);
  d->bucket_mask = (uint32_t)(buckets - 1);
  d->blocks = (void *)((char *)memory + FCGI__SHARED_HEAD + room);
  d->block_count = (uint32_t)((rest - room) / FCGI__SHARED_BLOCK);
}

/* --- A new one ------------------------------------------------------------ */

static void begin(fcgi__shared_head *head, const char *name) {
  memcpy(head->magic, magic, sizeof magic);
  head->version = FCGI__SHARED_VERSION;
  head->block_size = FCGI__SHARED_BLOCK;
  memcpy(head->name, name, strlen(name) + 1);
  head->home = fcgi__owner_namespace();
  fcgi__shared_seed(head->seed);
}

static int is_name(const char *name) {
  return fcgi__name_is(name, FCGI_SHARED_NAME);
}

static int is_ours(const fcgi__shared_head *head) {
  return memcmp(head->magic, magic, sizeof magic) == 0 &&
         head->version == FCGI__SHARED_VERSION &&
         head->block_size == FCGI__SHARED_BLOCK &&
         memchr(head->name, '\0', sizeof head->name) && is_name(head->name);
}

/* What is looked at again and again is copied, so that nobody changes it. */
static int adopt(fcgi_shared *d, void *memory, size_t size) {
  fcgi__shared_divide(d, memory, size);
  memcpy(d->name, d->head->name, sizeof d->name);
  d->name[sizeof d->name - 1] = '\0';
  memcpy(d->seed, d->head->seed, sizeof d->seed);
  d->home = d->head->home;
  fcgi__here_init(&d->here);
  return is_ours(d->head) && is_name(d->name) ? 0 : FCGI_ERR_DAMAGED;
}

static int map(fcgi_shared *d, int fd) {
  void *memory;
  size_t size;
  int error = fcgi__sealed_map(fd, FCGI_SHARED_LEAST, &memory, &size);
  if (error)
    return error == FCGI_ERR_PROTOCOL ? FCGI_ERR_DAMAGED : error;
  if (size <= FCGI_SHARED_MOST) {
    d->head = memory;
    d->size = size;
    return 0;
  }
  munmap(memory, size);
  return FCGI_ERR_DAMAGED;
}

static int make_at(fcgi_shared **out, int fd, const char *name) {
  fcgi_shared *d = calloc(1, sizeof *d);
  int error = d ? map(d, fd) : FCGI_ERR_NOMEM;
  if (!error && name)
    begin(d->head, name);
  if (!error)
    error = adopt(d, d->head, d->size);
  if (error) {
    fcgi_shared_free(d);
    d = NULL;
  }
  *out = d;
  return error;
}

int fcgi__shared_make(fcgi_shared **out, const char *name, uint64_t size,
                      int *fd) {
  int error;
  *out = NULL;
  *fd = -1;
  if (!is_name(name) || size < FCGI_SHARED_LEAST || size > FCGI_SHARED_MOST ||
      size > SIZE_MAX / 2)
    return FCGI_ERR_INVALID;
  *fd = fcgi__sealed_new("fastcgi-shared", (size_t)size);
  if (*fd < 0)
    return FCGI_ERR_SYSTEM;
  error = make_at(out, *fd, name);
  if (error) {
    close(*fd);
    *fd = -1;
  }
  return error;
}

int fcgi__shared_attach(fcgi_shared **out, int fd) {
  return make_at(out, fd, NULL);
}

uint64_t fcgi__shared_bytes(const fcgi_shared *d) {
  return d->size;
}

uint64_t fcgi__shared_glance(const fcgi_shared *d, fcgi_shared_count which) {
  return fcgi__look_long(&d->head->counts[which]);
}

/* --- The program's -------------------------------------------------------- */

int fcgi__shared_named(int *first) {
  const char *text = getenv(FCGI__SHARED_VARIABLE);
  int said[3]; /* Our process id, the first descriptor, their number. */
  *first = -1;
  if (!text || !*text)
    return 0;
  if (fcgi__number_list(text, said, 3) < 0 ||
      said[1] > INT_MAX - FCGI__SHARED_DICTIONARIES ||
      said[2] > FCGI__SHARED_DICTIONARIES)
    return -1;
  if (said[0] != getpid())
    return 0;
  *first = said[1];
  return said[2];
}

/* The one of that name among those of the supervisor. */
static int find(fcgi_shared **out, const char *name, int first, int count) {
  int error = FCGI_ERR_STATE;
  for (int i = 0; i < count; i++) {
    int failed;
    if (fcgi__sealed_is_one(first + i))
      fcntl(first + i, F_SETFD, FD_CLOEXEC);
    failed = fcgi__shared_attach(out, first + i);
    if (!failed && strcmp((*out)->name, name) == 0)
      return 0;
    if (!failed)
      fcgi_shared_free(*out);
    else
      error = failed;
    *out = NULL;
  }
  return error;
}

static int make_private(fcgi_shared **out, const char *name, uint64_t size) {
  int fd, error = fcgi__shared_make(out, name, size, &fd);
  if (!error) {
    (*out)->is_private = 1;
    close(fd);
  }
  return error;
}

int fcgi_shared_open(fcgi_shared **out, const char *name,
                     const fcgi_shared_config *config) {
  fcgi_shared_config ours = {.size = sizeof ours};
  int first, count = fcgi__shared_named(&first), error;
  *out = NULL;
  if (!name || !is_name(name) ||
      fcgi__config_copy(&ours, sizeof ours, 0, config))
    return FCGI_ERR_INVALID;
  if (first >= 0)
    error = find(out, name, first, count);
  else
    error = make_private(out, name,
                         ours.private_size ? ours.private_size : PRIVATE_SIZE);
  if (!error)
    (*out)->sleep = (fcgi__latch_sleep){ours.sleeps, ours.woke, ours.user_data};
  return error;
}

void fcgi_shared_free(fcgi_shared *shared) {
  if (!shared)
    return;
  if (shared->head) {
    munmap(shared->head, shared->size);
    fcgi__here_clear(&shared->here);
  }
  free(shared);
}

const char *fcgi_shared_name(const fcgi_shared *shared) {
  return shared->name;
}

int fcgi_shared_is_private(const fcgi_shared *shared) {
  return shared->is_private;
}
