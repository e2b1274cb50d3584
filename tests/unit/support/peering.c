/* SPDX-License-Identifier: MIT */
#include "support/peering.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"none",
#define NAME(name, text) text,
                                    FCGI_PEER_EVENT_MAP(NAME)
#undef NAME
};

static void print_text(records *text, const char *line) {
  records_raw(text, line, strlen(line));
}

static void print_values(records *text, const fcgi_params *values) {
  fcgi_param value;
  for (size_t i = 0; fcgi_params_at(values, i, &value) == 0; i++) {
    print_text(text, " ");
    records_raw(text, value.name, value.name_len);
    print_text(text, "=");
    records_raw(text, value.value, value.value_len);
  }
}

static void print_stream(peering *p, const fcgi_peer_event *event) {
  int key = (int)event->type << 16 | event->id;
  char line[64];
  assert_true(event->len > 0);
  if (p->event_line != key) {
    snprintf(line, sizeof line, "%s%s %u ", p->event_line ? "\n" : "",
             names[event->type], event->id);
    print_text(&p->events, line);
  }
  p->event_line = key;
  records_raw(&p->events, event->data, event->len);
}

static void print_event(peering *p, const fcgi_peer_event *event) {
  char line[96];
  if (event->type == FCGI_PEER_EVENT_STDOUT ||
      event->type == FCGI_PEER_EVENT_STDERR) {
    print_stream(p, event);
    return;
  }
  snprintf(line, sizeof line, "%s%s", p->event_line ? "\n" : "",
           names[event->type]);
  p->event_line = 0;
  print_text(&p->events, line);
  line[0] = '\0';
  if (event->type == FCGI_PEER_EVENT_VALUES)
    print_values(&p->events, event->values);
  else if (event->type == FCGI_PEER_EVENT_UNKNOWN_TYPE)
    snprintf(line, sizeof line, " %u", event->unknown);
  else if (event->type == FCGI_PEER_EVENT_END)
    snprintf(line, sizeof line, " %u app=%lu status=%d%s", event->id,
             (unsigned long)event->app_status, (int)event->protocol_status,
             event->unclosed ? " unclosed" : "");
  else
    snprintf(line, sizeof line, " %u", event->id);
  print_text(&p->events, line);
  print_text(&p->events, "\n");
}

int peering_take(peering *p) {
  const fcgi_peer_event *event = NULL;
  int result;
  while ((result = fcgi_peer_next(p->peer, &event)) == 1)
    print_event(p, event);
  return result;
}

int peering_feed_by(peering *p, size_t chunk) {
  int result = 0;
  for (size_t at = 0; at < p->sent.len && result == 0; at += chunk) {
    size_t len = p->sent.len - at < chunk ? p->sent.len - at : chunk;
    uint8_t *piece = unit_exact_copy(p->sent.data + at, len);
    result = fcgi_peer_feed(p->peer, piece, len);
    if (result == 0)
      result = peering_take(p);
    free(piece);
  }
  p->sent.len = 0;
  return result;
}

int peering_feed(peering *p) {
  return peering_feed_by(p, p->sent.len + 1);
}

void peering_send(peering *p) {
  struct iovec iov[2];
  size_t most = 3;
  while (fcgi_peer_output(p->peer, iov, 2) > 0) {
    size_t part = iov[0].iov_len < most ? iov[0].iov_len : most;
    records_raw(&p->wire, iov[0].iov_base, part);
    fcgi_peer_output_done(p->peer, part);
    most = most % 5000 + 7;
  }
  assert_false(fcgi_peer_flags(p->peer) & FCGI_PEER_OUTPUT);
}

void peering_expect(peering *p, const char *expected) {
  if (p->event_line)
    print_text(&p->events, "\n");
  p->event_line = 0;
  records_raw(&p->events, "", 1);
  assert_string_equal((const char *)p->events.data, expected);
  p->events.len = 0;
}

void peering_get(peering *p, uint16_t id) {
  assert_int_equal(
      fcgi_peer_begin(p->peer, id, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP), 0);
  assert_int_equal(fcgi_peer_param(p->peer, id, "A", 1, "b", 1), 0);
  assert_int_equal(fcgi_peer_params_end(p->peer, id), 0);
  assert_int_equal(fcgi_peer_write_end(p->peer, id, FCGI_STREAM_STDIN), 0);
}

void peering_restart(peering *p, const fcgi_peer_config *config) {
  fcgi_peer_free(p->peer);
  p->peer = NULL;
  p->sent.len = p->events.len = p->wire.len = 0;
  p->event_line = 0;
  assert_int_equal(fcgi_peer_new(&p->peer, config), 0);
}

int peering_set_up(void **state) {
  peering *p = calloc(1, sizeof *p);
  assert_non_null(p);
  peering_restart(p, NULL);
  *state = p;
  return 0;
}

int peering_tear_down(void **state) {
  peering *p = *state;
  fcgi_peer_free(p->peer);
  records_free(&p->sent);
  records_free(&p->events);
  records_free(&p->wire);
  free(p);
  return 0;
}
