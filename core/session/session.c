/* SPDX-License-Identifier: MIT */
#include "session/session.h"
#include "base/config.h"
#include <fastcgi/error.h>
#include <string.h>

static uint32_t or_default(uint32_t value, uint32_t fallback) {
  return value ? value : fallback;
}

static uint32_t product(uint32_t a, uint32_t b) {
  return a > UINT32_MAX / b ? UINT32_MAX : a * b;
}

int fcgi_session_new(fcgi_session **out, const fcgi_session_config *config) {
  fcgi_session_config given = {.size = sizeof given};
  fcgi_session *session;
  if (fcgi__config_copy(&given, sizeof given, 0, config))
    return FCGI_ERR_INVALID;
  given.allocator = fcgi__allocator(&given.allocator);
  session = fcgi__calloc(&given.allocator, sizeof *session);
  if (!session)
    return FCGI_ERR_NOMEM;
  session->allocator = given.allocator;
  session->limits.bytes =
      given.limit_params_size ? given.limit_params_size : (size_t)256 * 1024;
  session->limits.pairs = or_default(given.limit_params, 1024);
  session->limits.keep_http_proxy = given.keep_http_proxy;
  session->roles = given.roles;
  session->role_count = given.role_count;
  session->spare = fcgi__spares_slot(given.spares, session);
  session->greeted = given.in_use ? 1 : 0;
  session->max_multiplexed = or_default(given.max_multiplexed, 1024);
  session->memory = given.memory ? given.memory : (size_t)4 * 1024 * 1024;
  session->report_conns = or_default(given.report_conns, 1024);
  session->report_mpxs = given.no_multiplex ? 0 : 1;
  session->report_reqs =
      or_default(given.report_reqs,
                 product(session->report_conns,
                         given.no_multiplex ? 1 : session->max_multiplexed));
  *out = session;
  return 0;
}

void fcgi_session_free(fcgi_session *session) {
  fcgi_allocator allocator;
  if (!session)
    return;
  allocator = session->allocator;
  fcgi__session_drop_output(session);
  while (session->all)
    fcgi__session_forget(session, session->all);
  fcgi__refusals_clear(session);
  fcgi__table_clear(&session->table, &allocator);
  fcgi__free(&allocator, session);
}

void fcgi__session_emit(fcgi_session *session, fcgi_event_type type,
                        const fcgi__exchange *exchange) {
  session->event = (fcgi_event){
      .type = type,
      .id = exchange->id,
      .role = exchange->role,
      .spec = exchange->spec,
      .content_length = exchange->body.promised,
      .keep = exchange->keep,
      .params = &exchange->params,
      .reason = (fcgi_abort_reason)exchange->abort_reason,
      .refused = exchange->refused,
      .user_data = exchange->user_data,
  };
}

void fcgi__session_fail(fcgi_session *session, int error) {
  session->error = error;
  fcgi_session_abort(session, FCGI_ABORT_PROTOCOL);
}

void fcgi__session_due(fcgi_session *session, fcgi__exchange *exchange) {
  if (exchange->is_due)
    return;
  exchange->is_due = 1;
  exchange->due_next = NULL;
  if (session->due_last)
    session->due_last->due_next = exchange;
  else
    session->due_first = exchange;
  session->due_last = exchange;
}

static void pop_due(fcgi_session *session) {
  fcgi__exchange *exchange = session->due_first;
  session->due_first = exchange->due_next;
  if (!session->due_first)
    session->due_last = NULL;
  exchange->is_due = 0;
}

/* ABORT before CLOSE; an exchange is freed at the call after its CLOSE. */
static void give_due(fcgi_session *session) {
  fcgi__exchange *exchange = session->due_first;
  if (exchange->abort_due) {
    exchange->abort_due = 0;
    fcgi__session_emit(session, FCGI_EVENT_ABORT, exchange);
    if (!exchange->close_due)
      pop_due(session);
    return;
  }
  pop_due(session);
  session->closed = exchange;
  fcgi__session_emit(session, FCGI_EVENT_CLOSE, exchange);
  if (exchange->answered)
    session->event.data = fcgi__exchange_refusal(exchange, exchange->refused,
                                                 &session->event.len);
}

static int is_application_type(uint8_t type) {
  return type >= FCGI_RECORD_BEGIN_REQUEST && type <= FCGI_RECORD_DATA;
}

/* The first record tells a web server from anything else that may connect:
   HTTP, TLS, gopher. Later ones must keep to version 1 (3.3). */
static int check_header(fcgi_session *session) {
  const fcgi_record *record = &session->record;
  int of_request = is_application_type(record->type);
  if (record->version != FCGI_WIRE_VERSION || (record->id == 0 && of_request))
    return FCGI_ERR_PROTOCOL;
  if (!session->greeted && record->id != 0 &&
      record->type != FCGI_RECORD_BEGIN_REQUEST)
    return FCGI_ERR_PROTOCOL;
  session->greeted = 1;
  return 0;
}

static int start_record(fcgi_session *session, const uint8_t *header) {
  int error;
  fcgi_record_decode(&session->record, header);
  error = check_header(session);
  if (error)
    return error;
  session->in_record = 1;
  session->head_len = 0;
  session->content_left = session->record.content_len;
  session->padding_left = session->record.padding_len;
  if (!session->current || session->current->id != session->record.id)
    session->current = fcgi__table_get(&session->table, session->record.id);
  session->ops = fcgi__record_ops_of(session);
  return session->ops->begin(session);
}

static void use_input(fcgi_session *session, size_t len) {
  session->in += len;
  session->in_len -= len;
}

/* The header is whole only with what has come before, or not yet. */
static int read_header_part(fcgi_session *session) {
  size_t need = FCGI_RECORD_HEADER - session->head_len;
  size_t part = session->in_len < need ? session->in_len : need;
  memcpy(session->head + session->head_len, session->in, part);
  session->head_len = (uint8_t)(session->head_len + part);
  use_input(session, part);
  if (part == need)
    return start_record(session, session->head);
  return session->head[0] == FCGI_WIRE_VERSION ? 0 : FCGI_ERR_PROTOCOL;
}

/* A whole header in the input, as is usual, is decoded where it lies. */
static int read_header(fcgi_session *session) {
  const uint8_t *header = session->in;
  if (session->head_len > 0 || session->in_len < FCGI_RECORD_HEADER)
    return read_header_part(session);
  use_input(session, FCGI_RECORD_HEADER);
  return start_record(session, header);
}

static void read_content(fcgi_session *session) {
  size_t len = session->content_left;
  const uint8_t *data = session->in;
  if (len > session->in_len)
    len = session->in_len;
  use_input(session, len);
  session->content_left = (uint16_t)(session->content_left - len);
  session->ops->content(session, data, len);
}

static void skip_padding(fcgi_session *session) {
  size_t len = session->padding_left;
  if (len > session->in_len)
    len = session->in_len;
  use_input(session, len);
  session->padding_left = (uint8_t)(session->padding_left - len);
}

/* One step of the parser. Returns 1 when it cannot go on without input. */
static int step(fcgi_session *session) {
  int error = 0;
  if (session->in_record && session->content_left == 0 &&
      session->padding_left == 0) {
    session->in_record = 0;
    session->ops->finish(session);
  } else if (session->in_len == 0) {
    return 1;
  } else if (!session->in_record) {
    error = read_header(session);
  } else if (session->content_left > 0) {
    read_content(session);
  } else {
    skip_padding(session);
  }
  if (error)
    fcgi__session_fail(session, error);
  return 0;
}

int fcgi_session_feed(fcgi_session *session, const void *data, size_t len) {
  if (session->error)
    return session->error;
  if (session->in_len > 0 || session->gone)
    return FCGI_ERR_STATE;
  session->in = data;
  session->in_len = len;
  return 0;
}

/* Each caller that is linked with it as a whole has a copy of it, as of
   fcgi_session_ready: a request passes through here several times. */
inline __attribute__((always_inline)) int
fcgi_session_next(fcgi_session *session, const fcgi_event **event) {
  session->event.type = FCGI_EVENT_NONE;
  if (session->closed) {
    fcgi__session_forget(session, session->closed);
    session->closed = NULL;
  }
  while (session->event.type == FCGI_EVENT_NONE) {
    if (session->due_first)
      give_due(session);
    else if (session->gone) /* Also when it has failed. */
      return session->error;
    else if (step(session))
      return 0;
  }
  *event = &session->event;
  return 1;
}

static fcgi__exchange *writable(fcgi_session *session, uint16_t id,
                                int *error) {
  fcgi__exchange *exchange = fcgi__table_get(&session->table, id);
  *error = 0;
  if (!exchange || !exchange->announced || exchange->ended)
    *error = FCGI_ERR_STATE;
  else if (session->gone)
    *error = FCGI_ERR_ABORTED;
  return *error ? NULL : exchange;
}

int fcgi_session_set_user_data(fcgi_session *session, uint16_t id,
                               void *user_data) {
  fcgi__exchange *exchange = fcgi__table_get(&session->table, id);
  if (!exchange)
    return FCGI_ERR_STATE;
  exchange->user_data = user_data;
  return 0;
}

int fcgi_session_write(fcgi_session *session, uint16_t id, fcgi_stream stream,
                       const void *data, size_t len) {
  int error;
  fcgi__exchange *exchange = writable(session, id, &error);
  if (!exchange)
    return error;
  if (stream != FCGI_STREAM_STDOUT && stream != FCGI_STREAM_STDERR)
    return FCGI_ERR_INVALID;
  if (stream == FCGI_STREAM_STDERR && len > 0)
    exchange->stderr_used = 1;
  error = fcgi__output_write(&exchange->queue, &session->allocator, exchange,
                             (uint8_t)stream, data, len);
  fcgi__session_touch(session, exchange);
  return error;
}

static int refer(fcgi_session *session, uint16_t id, const void *data, int fd,
                 uint64_t offset, size_t len) {
  int error;
  fcgi__exchange *exchange = writable(session, id, &error);
  if (!exchange)
    return error;
  error = fcgi__output_refer(&exchange->queue, &session->allocator, exchange,
                             data, fd, offset, len);
  fcgi__session_touch(session, exchange);
  return error;
}

int fcgi_session_lend(fcgi_session *session, uint16_t id, const void *data,
                      size_t len) {
  return data || !len ? refer(session, id, data, -1, 0, len) : FCGI_ERR_INVALID;
}

int fcgi_session_write_file(fcgi_session *session, uint16_t id, int fd,
                            uint64_t offset, size_t len) {
  return refer(session, id, NULL, fd, offset, len);
}

inline __attribute__((always_inline)) unsigned
fcgi_session_ready(const fcgi_session *session) {
  unsigned flags = 0;
  if (session->wire.first || session->turn_first)
    flags |= FCGI_SESSION_OUTPUT;
  if (session->due_first || session->in_len > 0 || session->error)
    flags |= FCGI_SESSION_EVENT;
  return flags;
}

unsigned fcgi_session_flags(const fcgi_session *session) {
  uint32_t open = session->table.count + session->refusals.count;
  unsigned flags = fcgi_session_ready(session);
  if (open > 0)
    flags |= FCGI_SESSION_ACTIVE;
  if (session->in_params + session->refusals.in_params > 0 ||
      (open == 0 && (session->in_record || session->head_len > 0)))
    flags |= FCGI_SESSION_PARAMS;
  if (session->draining > 0)
    flags |= FCGI_SESSION_DRAINING;
  if (session->error || session->gone || (session->closing && open == 0))
    flags |= FCGI_SESSION_CLOSE;
  if (session->unread)
    flags |= FCGI_SESSION_UNREAD;
  return flags;
}

uint32_t fcgi_session_unfinished(const fcgi_session *session) {
  uint32_t refused = session->refusals.serial;
  return refused && (refused < session->unfinished || !session->unfinished)
             ? refused
             : session->unfinished;
}

void fcgi_session_set_full(fcgi_session *session, int full) {
  session->full = full ? 1 : 0;
}

size_t fcgi_session_held(const fcgi_session *session) {
  return session->held;
}

uint64_t fcgi_session_drained(const fcgi_session *session) {
  return session->drained;
}
