/* SPDX-License-Identifier: MIT */
#include "session/session.h"
#include <fastcgi/error.h>
#include <string.h>

/* Answers that a peer who never reads may pile up. */
enum { MANAGE_MAX = 65536 };

static const char *const known[] = {"FCGI_MAX_CONNS", "FCGI_MAX_REQS",
                                    "FCGI_MPXS_CONNS"};
enum { KNOWN = sizeof known / sizeof *known };

static void match_name(fcgi__values *values) {
  for (unsigned i = 0; i < KNOWN; i++)
    if (values->name_len == strlen(known[i]) &&
        memcmp(values->name, known[i], values->name_len) == 0)
      values->wanted |= (uint8_t)(1u << i);
  values->name_len = 0;
}

void fcgi__values_content(fcgi_session *session, const uint8_t *data,
                          size_t len) {
  fcgi__values *values = &session->values;
  for (;;) {
    const uint8_t *part = NULL;
    size_t part_len = 0, room = sizeof values->name - values->name_len;
    switch (fcgi_pairs_next(&values->pairs, &data, &len, &part, &part_len)) {
    case FCGI_PAIRS_MORE:
      return;
    case FCGI_PAIRS_NAME:
      part_len = part_len < room ? part_len : room;
      memcpy(values->name + values->name_len, part, part_len);
      values->name_len = (uint8_t)(values->name_len + part_len);
      break;
    case FCGI_PAIRS_END:
      match_name(values);
      break;
    default: /* Lengths, and values that a question should not have. */
      break;
    }
  }
}

static size_t put_decimal(char *out, uint32_t value) {
  char digits[10];
  size_t count = 0;
  do {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  for (size_t i = 0; i < count; i++)
    out[i] = digits[count - 1 - i];
  return count;
}

/* These go straight onto the wire: it holds whole records. */
static fcgi__item *put_record(fcgi_session *session, fcgi_record_type type,
                              uint16_t id, const void *content, size_t len) {
  size_t pad = (8 - len % 8) % 8, size = FCGI_RECORD_HEADER + len + pad;
  fcgi__item *item;
  fcgi_record record = {.version = FCGI_WIRE_VERSION,
                        .type = (uint8_t)type,
                        .id = id,
                        .content_len = (uint16_t)len,
                        .padding_len = (uint8_t)pad};
  item = fcgi__item_new(&session->allocator, size);
  if (!item) {
    fcgi__session_fail(session, FCGI_ERR_NOMEM);
    return NULL;
  }
  session->held += fcgi__item_held(item);
  fcgi_record_encode(item->bytes, &record);
  memset(item->bytes + FCGI_RECORD_HEADER, 0, len + pad);
  if (len > 0)
    memcpy(item->bytes + FCGI_RECORD_HEADER, content, len);
  item->len = size;
  fcgi__output_append(&session->wire, item);
  session->wire_bytes += size;
  return item;
}

static void answer(fcgi_session *session, fcgi_record_type type, uint16_t id,
                   const void *content, size_t len) {
  const fcgi__item *item =
      session->gone ? NULL : put_record(session, type, id, content, len);
  if (item)
    session->manage_bytes += item->len;
  if (item && session->manage_bytes > MANAGE_MAX)
    fcgi__session_fail(session, FCGI_ERR_LIMIT);
}

void fcgi__session_put_refusal(fcgi_session *session, fcgi_record_type type,
                               uint16_t id, const void *content, size_t len) {
  fcgi__item *item;
  if (session->gone)
    return;
  item = put_record(session, type, id, content, len);
  if (!item)
    return;
  item->refusal = 1;
  session->refusals.unread += fcgi__item_held(item);
  if (session->refusals.unread > session->memory)
    fcgi__session_fail(session, FCGI_ERR_LIMIT);
}

/* FastCGI 1.0, 5.5. lighttpd 1.4 does not look at the protocol status, and
   takes an authorizer without an HTTP status for a yes (6.3). */
void fcgi__session_reject(fcgi_session *session, uint16_t role, int keep) {
  const uint8_t end[8] = {[4] = FCGI_END_UNKNOWN_ROLE};
  uint16_t id = session->record.id;
  session->unread = 1;
  if (role == FCGI_ROLE_AUTHORIZER) {
    size_t len;
    const char *text = fcgi__exchange_refusal(NULL, 503, &len);
    answer(session, FCGI_RECORD_STDOUT, id, text, len);
    answer(session, FCGI_RECORD_STDOUT, id, NULL, 0);
  }
  answer(session, FCGI_RECORD_END_REQUEST, id, end, sizeof end);
  if (!keep)
    session->closing = 1;
}

/* FastCGI 1.0, 4.1: known names only, one record, at any time. A name asked
   for a thousand times is answered once. */
void fcgi__values_finish(fcgi_session *session) {
  const uint32_t numbers[KNOWN] = {session->report_conns, session->report_reqs,
                                   session->report_mpxs};
  uint8_t content[KNOWN * (2 + FCGI__VALUE_NAME + 10)];
  size_t len = 0;
  for (unsigned i = 0; i < KNOWN; i++) {
    char text[10];
    if (session->values.wanted & (1u << i))
      len += fcgi_pair_encode(content + len, known[i], strlen(known[i]), text,
                              put_decimal(text, numbers[i]));
  }
  answer(session, FCGI_RECORD_GET_VALUES_RESULT, 0, content, len);
  session->values = (fcgi__values){.wanted = 0};
}

/* FastCGI 1.0, 4.2. */
void fcgi__unknown_type_finish(fcgi_session *session) {
  uint8_t content[8] = {session->record.type};
  answer(session, FCGI_RECORD_UNKNOWN_TYPE, 0, content, sizeof content);
}
