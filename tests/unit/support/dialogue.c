/* SPDX-License-Identifier: MIT */
#include "support/dialogue.h"

#include <fastcgi/pairs.h>
#include <fastcgi/record.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((format(printf, 2, 3))) static void
print(records *text, const char *format, ...) {
  char line[256];
  va_list args;
  va_start(args, format);
  int len = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  assert_in_range(len, 0, sizeof line - 1);
  records_raw(text, line, (size_t)len);
}

/* End the stream line that is open. */
static void end_line(records *text, int *open) {
  if (*open != 0)
    records_raw(text, "\n", 1);
  *open = 0;
}

/* Bytes of a stream: they go on with its line, or begin one. */
static void stream_line(records *text, int *open, const char *name, uint16_t id,
                        const void *data, size_t len) {
  int key = name[0] << 24 | name[3] << 16 | id;
  if (*open != key) {
    end_line(text, open);
    print(text, "%s %u ", name, id);
  }
  *open = key;
  records_raw(text, data, len);
}

static void print_request(records *text, const fcgi_event *event) {
  print(text, "request %u role=%u keep=%d length=%lld", event->id, event->role,
        event->keep, (long long)event->content_length);
  fcgi_param param;
  for (size_t i = 0; fcgi_params_at(event->params, i, &param) == 0; i++) {
    assert_int_equal(strlen(param.name), param.name_len);
    assert_int_equal(strlen(param.value), param.value_len);
    records_raw(text, " ", 1);
    records_raw(text, param.name, param.name_len);
    records_raw(text, "=", 1);
    records_raw(text, param.value, param.value_len);
  }
  records_raw(text, "\n", 1);
}

static void print_event(dialogue *d, const fcgi_event *event) {
  records *text = &d->events;
  if (event->type == FCGI_EVENT_STDIN || event->type == FCGI_EVENT_DATA) {
    assert_true(event->len > 0);
    stream_line(text, &d->event_line,
                event->type == FCGI_EVENT_STDIN ? "stdin" : "data", event->id,
                event->data, event->len);
    return;
  }
  end_line(text, &d->event_line);
  if (event->type == FCGI_EVENT_REQUEST)
    print_request(text, event);
  else if (event->type == FCGI_EVENT_STDIN_END ||
           event->type == FCGI_EVENT_DATA_END)
    print(text, "%s_end %u%s%s\n",
          event->type == FCGI_EVENT_STDIN_END ? "stdin" : "data", event->id,
          event->truncated ? " truncated" : "", event->excess ? " excess" : "");
  else if (event->type == FCGI_EVENT_ABORT)
    print(text, "abort %u reason=%d\n", event->id, (int)event->reason);
  else if (event->type == FCGI_EVENT_CLOSE && event->refused != 0)
    print(text, "close %u refused=%d\n", event->id, event->refused);
  else if (event->type == FCGI_EVENT_CLOSE)
    print(text, "close %u\n", event->id);
  else
    fail_msg("event type %d", (int)event->type);
}

/* A session tells beforehand that it may have something to give. */
static int next(dialogue *d, const fcgi_event **event) {
  unsigned ready = fcgi_session_ready(d->session);
  int result = fcgi_session_next(d->session, event);
  assert_true(result == 0 || ready & FCGI_SESSION_EVENT);
  return result;
}

int dialogue_take(dialogue *d) {
  const fcgi_event *event = NULL;
  int result;
  while ((result = next(d, &event)) == 1) {
    print_event(d, event);
    if (d->on_event)
      d->on_event(d, event, d->on_event_data);
  }
  return result;
}

int dialogue_feed_by(dialogue *d, size_t chunk) {
  int result = 0;
  for (size_t at = 0; at < d->sent.len && result == 0; at += chunk) {
    size_t len = d->sent.len - at < chunk ? d->sent.len - at : chunk;
    uint8_t *piece = unit_exact_copy(d->sent.data + at, len);
    result = fcgi_session_feed(d->session, piece, len);
    if (result == 0)
      result = dialogue_take(d);
    free(piece);
  }
  d->sent.len = 0;
  return result;
}

int dialogue_feed(dialogue *d) {
  return dialogue_feed_by(d, d->sent.len + 1);
}

static size_t send_file_part(dialogue *d) {
  uint8_t bytes[1000];
  uint64_t offset;
  size_t len;
  int fd;
  if (!fcgi_session_output_file(d->session, &fd, &offset, &len))
    return 0;
  if (len > sizeof bytes)
    len = sizeof bytes;
  assert_int_equal(pread(fd, bytes, len, (off_t)offset), len);
  records_raw(&d->wire, bytes, len);
  return len;
}

/* Take at most `most` bytes of the output: how many. */
static size_t send_part(dialogue *d, int slices, size_t most) {
  struct iovec iov[8];
  size_t sent = send_file_part(d);
  if (sent > 0)
    return sent;
  int count = fcgi_session_output(d->session, iov, slices);
  assert_in_range(count, 0, slices);
  for (int i = 0; i < count && sent < most; i++) {
    size_t part = iov[i].iov_len;
    assert_true(part > 0);
    if (part > most - sent)
      part = most - sent;
    records_raw(&d->wire, iov[i].iov_base, part);
    sent += part;
  }
  return sent;
}

void dialogue_send(dialogue *d) {
  size_t sent, most = 3;
  while ((sent = send_part(d, 3 + (int)(most % 6), most)) > 0) {
    fcgi_session_output_done(d->session, sent);
    most = most % 5000 + 7;
  }
  assert_false(fcgi_session_flags(d->session) & FCGI_SESSION_OUTPUT);
}

static void print_values(records *text, const uint8_t *at, size_t len) {
  fcgi_pairs pairs = {0};
  const uint8_t *part;
  size_t part_len;
  fcgi_pairs_part found;
  print(text, "values");
  while ((found = fcgi_pairs_next(&pairs, &at, &len, &part, &part_len)) !=
         FCGI_PAIRS_MORE) {
    if (found == FCGI_PAIRS_NAME || found == FCGI_PAIRS_VALUE) {
      records_raw(text, found == FCGI_PAIRS_NAME ? " " : "=", 1);
      records_raw(text, part, part_len);
    }
  }
  assert_true(fcgi_pairs_complete(&pairs));
  records_raw(text, "\n", 1);
}

static void print_end(records *text, uint16_t id, const uint8_t *body,
                      size_t len) {
  assert_int_equal(len, 8);
  uint32_t app = (uint32_t)body[0] << 24 | (uint32_t)body[1] << 16 |
                 (uint32_t)body[2] << 8 | body[3];
  print(text, "end %u app=%lu status=%u\n", id, (unsigned long)app, body[4]);
}

static void print_record(dialogue *d, const fcgi_record *record,
                         const uint8_t *content) {
  records *text = &d->answer;
  size_t len = record->content_len;
  int out = record->type == FCGI_RECORD_STDOUT;
  if ((out || record->type == FCGI_RECORD_STDERR) && len > 0) {
    stream_line(text, &d->answer_line, out ? "stdout" : "stderr", record->id,
                content, len);
    return;
  }
  end_line(text, &d->answer_line);
  if (out || record->type == FCGI_RECORD_STDERR)
    print(text, "%s_end %u\n", out ? "stdout" : "stderr", record->id);
  else if (record->type == FCGI_RECORD_END_REQUEST)
    print_end(text, record->id, content, len);
  else if (record->type == FCGI_RECORD_GET_VALUES_RESULT && record->id == 0)
    print_values(text, content, len);
  else if (record->type == FCGI_RECORD_UNKNOWN_TYPE && record->id == 0)
    print(text, "unknown %u\n", content[0]);
  else
    fail_msg("record type %u, id %u", record->type, record->id);
}

static void decode_wire(dialogue *d) {
  size_t at = 0;
  while (at < d->wire.len) {
    fcgi_record record;
    assert_true(d->wire.len - at >= FCGI_RECORD_HEADER);
    fcgi_record_decode(&record, d->wire.data + at);
    at += FCGI_RECORD_HEADER;
    size_t len = (size_t)record.content_len + record.padding_len;
    assert_int_equal(record.version, FCGI_WIRE_VERSION);
    assert_true(d->wire.len - at >= len);
    print_record(d, &record, d->wire.data + at);
    at += len;
  }
  d->wire.len = 0;
}

records *dialogue_events(dialogue *d) {
  end_line(&d->events, &d->event_line);
  return &d->events;
}

records *dialogue_answer(dialogue *d) {
  if (d->session)
    dialogue_send(d);
  decode_wire(d);
  end_line(&d->answer, &d->answer_line);
  return &d->answer;
}

static void expect(records *text, int *open, const char *expected) {
  end_line(text, open);
  records_raw(text, "", 1);
  assert_string_equal((const char *)text->data, expected);
  text->len = 0;
}

void dialogue_expect_events(dialogue *d, const char *expected) {
  expect(&d->events, &d->event_line, expected);
}

void dialogue_expect_answer(dialogue *d, const char *expected) {
  dialogue_send(d);
  decode_wire(d);
  expect(&d->answer, &d->answer_line, expected);
}

void dialogue_expect_bytes(dialogue *d, const void *data, size_t len,
                           const char *expected) {
  records_raw(&d->wire, data, len);
  decode_wire(d);
  expect(&d->answer, &d->answer_line, expected);
}

void dialogue_restart(dialogue *d, const fcgi_session_config *config) {
  fcgi_session_free(d->session);
  d->session = NULL;
  assert_int_equal(fcgi_session_new(&d->session, config), 0);
}

int dialogue_set_up(void **state) {
  dialogue *d = calloc(1, sizeof *d);
  dialogue_restart(d, NULL);
  *state = d;
  return 0;
}

int dialogue_tear_down(void **state) {
  dialogue *d = *state;
  fcgi_session_free(d->session);
  records_free(&d->sent);
  records_free(&d->events);
  records_free(&d->wire);
  records_free(&d->answer);
  free(d);
  return 0;
}
