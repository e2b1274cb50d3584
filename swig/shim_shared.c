/* SPDX-License-Identifier: MIT */
/* Shared dictionaries. A value that comes back is bytes, a number in digits, as
   half of the languages keep them. */
#include "shim_private.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shim_shared {
  fcgi_shared *core; /* The dictionary. */
};

static const char *text_for(int code) {
  return code == FCGI_ERR_STATE ? "the supervisor has no shared dictionary of "
                                  "that name; declare it: --shared NAME=16M"
         : code == FCGI_ERR_INVALID
             ? "a shared dictionary has a name of up to 31 letters, digits, _, "
               "- and ., and a size from 65536 up"
             : NULL;
}

shim_shared *shim_shared_new(shim_error *error, const char *name,
                             size_t name_len, int64_t size) {
  const fcgi_shared_config config = {
      .size = sizeof config, .private_size = size > 0 ? (size_t)size : 1};
  shim_shared *made = calloc(1, sizeof *made);
  char *copy = shim_copy(name, name_len);
  int code = made && copy ? 0 : FCGI_ERR_NOMEM;
  if (!code && strlen(copy) != name_len)
    code = FCGI_ERR_INVALID;
  if (!code)
    code = fcgi_shared_open(&made->core, copy, &config);
  free(copy);
  if (!code)
    return made;
  free(made);
  shim_fail(error, code, text_for(code));
  return NULL;
}

void shim_shared_free(shim_shared *shared) {
  fcgi_shared_free(shared->core);
  free(shared);
}

static int64_t milliseconds(double seconds) {
  return seconds > 0 && seconds < 1e12 ? (int64_t)ceil(seconds * 1000) : 0;
}

static int judge(shim_error *error, int code) {
  if (code < 0)
    shim_fail(error, code,
              code == FCGI_ERR_INVALID ? "a key has 1 to 2048 bytes"
              : code == FCGI_ERR_LIMIT ? "the value does not fit"
              : code == FCGI_ERR_STATE ? "the value of that key is no integer"
                                       : NULL);
  return code;
}

static shim_bytes number_of(const fcgi_shared_value *value) {
  char text[40];
  if (value->kind == FCGI_SHARED_REAL)
    snprintf(text, sizeof text, "%.17g", value->real);
  else
    snprintf(text, sizeof text, "%" PRId64, value->integer);
  return (shim_bytes){shim_copy(text, strlen(text)), strlen(text)};
}

/* With as much room as its bytes had at the last look. */
static int look(shim_shared *shared, const char *key, size_t key_len,
                shim_bytes *bytes, fcgi_shared_value *value) {
  size_t room = 256;
  for (;;) {
    char *data = realloc(bytes->data, room + 1);
    if (!data)
      return FCGI_ERR_NOMEM;
    bytes->data = data;
    int found = fcgi_shared_get(shared->core, key, key_len, data, room, value);
    if (found <= 0 || value->data || value->kind > FCGI_SHARED_STRING)
      return found;
    room = value->len;
  }
}

shim_bytes shim_shared_get(shim_shared *shared, shim_error *error,
                           const char *key, size_t key_len) {
  shim_bytes bytes = {0};
  fcgi_shared_value value;
  int found = judge(error, look(shared, key, key_len, &bytes, &value));
  if (found <= 0 || value.kind > FCGI_SHARED_STRING)
    shim_bytes_free(&bytes);
  if (found <= 0)
    return (shim_bytes){0};
  if (value.kind > FCGI_SHARED_STRING)
    return number_of(&value);
  bytes.len = value.len;
  bytes.data[bytes.len] = '\0';
  return bytes;
}

static fcgi_shared_value of_bytes(const void *data, size_t len, double ttl) {
  return (fcgi_shared_value){.kind = FCGI_SHARED_BYTES,
                             .data = data,
                             .len = len,
                             .ttl_ms = milliseconds(ttl)};
}

int shim_shared_set(shim_shared *shared, shim_error *error, const char *key,
                    size_t key_len, const void *data, size_t len, double ttl) {
  const fcgi_shared_value value = of_bytes(data, len, ttl);
  return judge(error, fcgi_shared_set(shared->core, key, key_len, &value));
}

bool shim_shared_add(shim_shared *shared, shim_error *error, const char *key,
                     size_t key_len, const void *data, size_t len, double ttl) {
  const fcgi_shared_value value = of_bytes(data, len, ttl);
  return judge(error, fcgi_shared_add(shared->core, key, key_len, &value)) > 0;
}

bool shim_shared_replace(shim_shared *shared, shim_error *error,
                         const char *key, size_t key_len, const void *data,
                         size_t len, double ttl) {
  const fcgi_shared_value value = of_bytes(data, len, ttl);
  return judge(error, fcgi_shared_replace(shared->core, key, key_len, &value)) >
         0;
}

int64_t shim_shared_incr(shim_shared *shared, shim_error *error,
                         const char *key, size_t key_len, int64_t by,
                         int64_t init, double ttl) {
  int64_t sum = 0;
  judge(error, fcgi_shared_incr(shared->core, key, key_len, by, &init,
                                milliseconds(ttl), &sum));
  return sum;
}

bool shim_shared_remove(shim_shared *shared, shim_error *error, const char *key,
                        size_t key_len) {
  return judge(error, fcgi_shared_delete(shared->core, key, key_len)) > 0;
}

bool shim_shared_expire(shim_shared *shared, shim_error *error, const char *key,
                        size_t key_len, double ttl) {
  return judge(error, fcgi_shared_expire(shared->core, key, key_len,
                                         milliseconds(ttl))) > 0;
}

void shim_shared_clear(shim_shared *shared, shim_error *error) {
  judge(error, fcgi_shared_clear(shared->core));
}

int64_t shim_shared_lock(shim_shared *shared, shim_error *error,
                         const char *key, size_t key_len, double timeout,
                         double ttl) {
  uint64_t token;
  int got = judge(error, fcgi_shared_lock(shared->core, key, key_len,
                                          milliseconds(ttl),
                                          shim_milliseconds(timeout), &token));
  return got > 0 ? (int64_t)token : 0;
}

bool shim_shared_unlock(shim_shared *shared, shim_error *error, const char *key,
                        size_t key_len, int64_t token) {
  return judge(error, fcgi_shared_unlock(shared->core, key, key_len,
                                         (uint64_t)token)) > 0;
}

int64_t shim_shared_count(shim_shared *shared, shim_error *error,
                          const char *name, size_t name_len) {
  static const char *const names[] = {
#define NAME(name, key, text) #key,
      FCGI_SHARED_COUNT_MAP(NAME)
#undef NAME
  };
  uint64_t counts[FCGI_SHARED_COUNTS];
  if (judge(error,
            fcgi_shared_counts(shared->core, counts, FCGI_SHARED_COUNTS)) < 0)
    return 0;
  for (size_t i = 0; i < FCGI_SHARED_COUNTS; i++)
    if (strlen(names[i]) == name_len && memcmp(names[i], name, name_len) == 0)
      return (int64_t)counts[i];
  shim_fail(error, FCGI_ERR_INVALID, "a shared dictionary has no such count");
  return 0;
}
