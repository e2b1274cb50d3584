/* SPDX-License-Identifier: MIT */
/* The fields of fcgi_server_config by their names. */
#include "shim_private.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How a field is stored. */
typedef enum field_type {
  FIELD_INT,    /* An int. */
  FIELD_UINT32, /* A uint32_t, and what has its size. */
  FIELD_UINT64  /* A uint64_t, and what has its size. */
} field_type;

typedef struct field {
  const char *name; /* As in the header. */
  field_type type;  /* How it is stored. */
  int64_t least;    /* The smallest value. */
  int64_t most;     /* The largest value. */
  size_t offset;    /* Where. */
} field;

#define SIZE(name)                                                             \
  {                                                                            \
#name, sizeof(size_t) == 8 ? FIELD_UINT64 : FIELD_UINT32, 1,               \
        sizeof(size_t) == 8 ? INT64_MAX : UINT32_MAX,                          \
        offsetof(fcgi_server_config, name)                                     \
  }
#define FIELD(name, type, least, most)                                         \
  { #name, type, least, most, offsetof(fcgi_server_config, name) }

static const field fields[] = {
    FIELD(poller, FIELD_UINT32, 0, FCGI_POLLER_POLL),
    FIELD(body, FIELD_UINT32, 0, FCGI_BODY_STREAM),
    SIZE(limit_params_size),
    FIELD(limit_params, FIELD_UINT32, 1, UINT32_MAX),
    FIELD(max_multiplexed, FIELD_UINT32, 1, UINT32_MAX),
    FIELD(limit_connections, FIELD_UINT32, 1, UINT32_MAX),
    SIZE(body_memory),
    FIELD(limit_request_body, FIELD_UINT64, 1, INT64_MAX),
    SIZE(input_window),
    SIZE(output_window),
    SIZE(connection_memory),
    SIZE(server_memory),
    FIELD(io_timeout_ms, FIELD_INT, FCGI_WAIT_NEVER, INT_MAX),
    FIELD(header_timeout_ms, FIELD_INT, 1, INT_MAX),
    FIELD(idle_timeout_ms, FIELD_INT, 1, INT_MAX),
    FIELD(drain_silence_ms, FIELD_INT, 1, INT_MAX),
    FIELD(drain_timeout_ms, FIELD_INT, 1, INT_MAX),
    FIELD(drain_bytes, FIELD_UINT64, 1, INT64_MAX),
    FIELD(backlog, FIELD_INT, 1, INT_MAX),
    FIELD(socket_mode, FIELD_UINT32, 0, 0777),
    FIELD(request_timeout_ms, FIELD_INT, -1, INT_MAX),
    FIELD(slow_log_ms, FIELD_INT, -1, INT_MAX),
    FIELD(graceful_timeout_ms, FIELD_INT, -1, INT_MAX),
    FIELD(no_multiplex, FIELD_INT, -1, 1),
};

static int is(const char *known, const char *name, size_t len) {
  return strlen(known) == len && memcmp(known, name, len) == 0;
}

static void store(void *at, field_type type, int64_t value) {
  if (type == FIELD_INT)
    *(int *)at = (int)value;
  else if (type == FIELD_UINT32)
    *(uint32_t *)at = (uint32_t)value;
  else
    *(uint64_t *)at = (uint64_t)value;
}

static const field *find(const char *name, size_t len) {
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (is(fields[i].name, name, len))
      return &fields[i];
  return NULL;
}

static void unknown(shim_error *error, const char *name, size_t len) {
  error->code = FCGI_ERR_INVALID;
  snprintf(error->text, sizeof error->text,
           "there is no such option of a server: %.*s",
           (int)(len < 60 ? len : 60), name);
}

static int may_set(shim_server *server, shim_error *error) {
  if (!server->core)
    return 1;
  shim_fail(error, FCGI_ERR_STATE, "options are set before the first listen");
  return 0;
}

void shim_server_set(shim_server *server, shim_error *error, const char *name,
                     size_t name_len, int64_t value) {
  const field *to = find(name, name_len);
  if (!may_set(server, error))
    return;
  if (!to) {
    unknown(error, name, name_len);
  } else if (value < to->least || value > to->most) {
    error->code = FCGI_ERR_INVALID;
    snprintf(error->text, sizeof error->text,
             "%s is from %lld to %lld, not %lld", to->name,
             (long long)to->least, (long long)to->most, (long long)value);
  } else {
    store((char *)&server->config + to->offset, to->type, value);
  }
}

/* The option of that name: where its text is owned, and lent. */
static char **text_field(shim_server *server, const char *name, size_t len,
                         const char ***lent) {
  const struct {
    const char *name;  /* As in the header. */
    char **owned;      /* The copy. */
    const char **lent; /* Of the config. */
  } texts[] = {
      {"temp_dir", &server->temp_dir, &server->config.temp_dir},
      {"allow_from", &server->allow, &server->config.allow_from},
      {"root_path", &server->root_path, &server->config.root_path},
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (is(texts[i].name, name, len)) {
      *lent = texts[i].lent;
      return texts[i].owned;
    }
  return NULL;
}

void shim_server_set_text(shim_server *server, shim_error *error,
                          const char *name, size_t name_len, const char *value,
                          size_t value_len) {
  const char **lent = NULL;
  char **owned = text_field(server, name, name_len, &lent);
  if (!may_set(server, error))
    return;
  if (!owned) {
    unknown(error, name, name_len);
    return;
  }
  char *copy = shim_copy(value, value_len);
  if (!copy) {
    shim_fail(error, FCGI_ERR_NOMEM, NULL);
    return;
  }
  free(*owned);
  *owned = copy;
  *lent = copy;
}
