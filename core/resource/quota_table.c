/* SPDX-License-Identifier: MIT */
/* The memory of a table, and its rows. */
#include "base/number.h"
#include "os/sealed.h"
#include "resource/quota.h"
#include <fastcgi/error.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { NAMING_LOOKS = 1000 }; /* At a row that is being named, 1 ms each. */

static const char magic[8] = "fcgi-qt";

static void begin(fcgi__quota_table *table) {
  memcpy(table->magic, magic, sizeof magic);
  table->version = FCGI__QUOTA_VERSION;
  table->rows_there = FCGI__QUOTA_ROWS;
  table->home = fcgi__owner_namespace();
}

int fcgi__quota_make(void) {
  int fd = fcgi__sealed_new("fastcgi-quota", sizeof(fcgi__quota_table));
  void *memory;
  size_t size;
  if (fd < 0)
    return -1;
  if (fcgi__sealed_map(fd, sizeof(fcgi__quota_table), &memory, &size)) {
    close(fd);
    return -1;
  }
  begin(memory);
  munmap(memory, size);
  return fd;
}

static int is_ours(const fcgi__quota_table *table, size_t size) {
  return size == sizeof *table &&
         memcmp(table->magic, magic, sizeof magic) == 0 &&
         table->version == FCGI__QUOTA_VERSION &&
         table->rows_there == FCGI__QUOTA_ROWS;
}

int fcgi__quota_map(int fd, fcgi__quota_table **out) {
  void *memory;
  size_t size;
  int error = fcgi__sealed_map(fd, sizeof **out, &memory, &size);
  *out = NULL;
  if (error)
    return error == FCGI_ERR_PROTOCOL ? FCGI_ERR_DAMAGED : error;
  if (!is_ours(memory, size)) {
    munmap(memory, size);
    return FCGI_ERR_DAMAGED;
  }
  *out = memory;
  return 0;
}

void fcgi__quota_unmap(fcgi__quota_table *table) {
  if (table)
    munmap(table, sizeof *table);
}

/* --- Rows ----------------------------------------------------------------- */

static void name_it(fcgi__quota_row *row, const char name[FCGI__QUOTA_NAME]) {
  memcpy(row->name, name, FCGI__QUOTA_NAME);
  atomic_store(&row->named, 1);
}

static int is_named(const fcgi__quota_row *row) {
  return atomic_load(&row->named) != 0;
}

static void rest(void) {
  const struct timespec moment = {.tv_nsec = 1000000L};
  nanosleep(&moment, NULL);
}

/* 1 when it is ours to name: it is free, or its maker has died over it. */
static int may_name(fcgi__quota_row *row, fcgi__owner self) {
  uint64_t maker = 0;
  if (atomic_compare_exchange_strong(&row->maker, &maker, self))
    return 1;
  return !is_named(row) && fcgi__owner_is_dead(maker) &&
         atomic_compare_exchange_strong(&row->maker, &maker, self);
}

/* The row of a name, which is begun with its first use; NULL when all are of
   other names. Everybody comes along the same way, takes the first one that is
   free, and waits for one that is being named: no name has two rows. */
static fcgi__quota_row *row_of(fcgi__quota_table *table, const char *name,
                               fcgi__owner self) {
  char wanted[FCGI__QUOTA_NAME] = {0};
  strncpy(wanted, name, sizeof wanted - 1);
  for (unsigned i = 0; i < FCGI__QUOTA_ROWS; i++) {
    fcgi__quota_row *row = &table->rows[i];
    for (int looks = 0; looks < NAMING_LOOKS && !is_named(row); looks++) {
      if (may_name(row, self))
        name_it(row, wanted);
      else
        rest();
    }
    if (is_named(row) && memcmp(row->name, wanted, sizeof wanted) == 0)
      return row;
  }
  return NULL;
}

/* --- A resource's --------------------------------------------------------- */

/* The table that whoever started this process has passed to it, or -1; 0: it
   could make none. */
static int passed(void) {
  const char *text = getenv(FCGI__QUOTA_VARIABLE);
  int said[2]; /* Our process id, and the descriptor. */
  if (!text || fcgi__number_list(text, said, 2) < 0 || said[0] != getpid())
    return -1;
  if (said[1] > 0)
    fcntl(said[1], F_SETFD, FD_CLOEXEC);
  return said[1];
}

/* Process ids mean something else in another namespace. */
static int find_row(fcgi__quota *quota, int fd, const char *name) {
  int error = fcgi__quota_map(fd, &quota->table);
  if (error)
    return FCGI_ERR_DAMAGED;
  if (quota->table->home && quota->table->home != fcgi__owner_namespace())
    return FCGI_ERR_STATE;
  quota->row = row_of(quota->table, name, fcgi__owner_self(&quota->here));
  return quota->row ? 0 : FCGI_ERR_LIMIT;
}

static int make_row(fcgi__quota *quota) {
  quota->own = fcgi__calloc(&quota->allocator, sizeof *quota->own);
  quota->row = quota->own;
  return quota->row ? 0 : FCGI_ERR_NOMEM;
}

static void number(fcgi__quota *quota) {
  quota->view = 1;
  if (quota->table)
    quota->view += atomic_fetch_add(&quota->table->views, 1);
}

static void declare(fcgi__quota *quota, uint32_t limit) {
  fcgi__quota_row *row = quota->row;
  uint32_t before = atomic_exchange(&row->limit, limit);
  uint32_t top = atomic_load(&row->top);
  while (top < limit && !atomic_compare_exchange_weak(&row->top, &top, limit))
    ;
  quota->before = before == limit ? 0 : before;
}

int fcgi__quota_open(fcgi__quota **out, const char *name, unsigned limit,
                     int is_split, const fcgi_allocator *allocator) {
  fcgi__quota *quota = fcgi__calloc(allocator, sizeof *quota);
  int fd = passed(), error;
  *out = NULL;
  if (!quota)
    return FCGI_ERR_NOMEM;
  quota->allocator = *allocator;
  quota->is_split = is_split;
  fcgi__here_init(&quota->here);
  error = fd < 0 ? make_row(quota) : find_row(quota, fd, name);
  if (error) {
    fcgi__quota_close(quota);
    return error;
  }
  number(quota);
  declare(quota, limit);
  *out = quota;
  return 0;
}

void fcgi__quota_close(fcgi__quota *quota) {
  fcgi_allocator allocator;
  if (!quota)
    return;
  allocator = quota->allocator;
  fcgi__quota_unmap(quota->table);
  fcgi__free(&allocator, quota->own);
  fcgi__here_clear(&quota->here);
  fcgi__free(&allocator, quota);
}

/* A row of its own is a copy of the parent's. */
void fcgi__quota_renew(fcgi__quota *quota) {
  if (quota->own)
    memset(quota->own->slots, 0, sizeof quota->own->slots);
  quota->asked = 0;
  number(quota);
}
