/* SPDX-License-Identifier: MIT */
#include "conformance/fixture.h"

#include "conformance/expect.h"
#include "support/unit.h"

#include <stdlib.h>
#include <string.h>

/* One request, from its REQUEST event to its CLOSE. */
typedef struct visit {
  uint16_t id;               /* Its id. */
  uint16_t role;             /* Its role. */
  const fcgi_params *params; /* Lent by the session. */
  records body;              /* STDIN so far. */
  records data;              /* DATA so far. */
  int truncated;             /* 1: STDIN or DATA ended early. */
} visit;

/* When a fixture answers. */
typedef enum moment { AT_START, AT_INPUT_END, AT_ABORT } moment;

typedef struct act {
  const char *name;                   /* As cases say it. */
  moment when;                        /* It answers. */
  void (*answer)(fixture *, visit *); /* How. */
} act;

struct fixture {
  fcgi_session *session; /* The session it answers through. */
  const act *act;        /* Which one it is. */
  visit *held;           /* swap: the request that waits for another. */
};

/* Failures are the session's to report: out of memory, or aborted. */
static void say(fixture *f, const visit *v, fcgi_stream stream,
                const char *text) {
  fcgi_session_write(f->session, v->id, stream, text, strlen(text));
}

static void end(fixture *f, const visit *v, uint32_t app_status) {
  fcgi_session_end(f->session, v->id, app_status, FCGI_END_COMPLETE);
}

static void respond(fixture *f, const visit *v, unsigned status,
                    const void *body, size_t len) {
  records text = {0};
  expect_http(&text, status, body, len);
  fcgi_session_write(f->session, v->id, FCGI_STREAM_STDOUT, text.data,
                     text.len);
  records_free(&text);
  end(f, v, 0);
}

static void echo(fixture *f, visit *v) {
  respond(f, v, v->truncated ? 400 : 200, v->body.data, v->body.len);
}

static int seen_before(const fcgi_params *params, size_t index) {
  fcgi_param this, earlier;
  fcgi_params_at(params, index, &this);
  for (size_t i = 0; i < index; i++)
    if (fcgi_params_at(params, i, &earlier) == 0 &&
        earlier.name_len == this.name_len &&
        memcmp(earlier.name, this.name, this.name_len) == 0)
      return 1;
  return 0;
}

static void list(fixture *f, visit *v) {
  records text = {0};
  fcgi_param at;
  size_t len;
  for (size_t i = 0; fcgi_params_at(v->params, i, &at) == 0; i++) {
    if (seen_before(v->params, i))
      continue;
    const char *value = fcgi_params_get(v->params, at.name, at.name_len, &len);
    records_raw(&text, at.name, at.name_len);
    records_raw(&text, "=", 1);
    records_raw(&text, value, len);
    records_raw(&text, "\n", 1);
  }
  respond(f, v, 200, text.data, text.len);
  records_free(&text);
}

static void early(fixture *f, visit *v) {
  respond(f, v, 200, "early\n", 6);
}

static const char page_head[] = "Content-type: text/html\r\n\r\n";
static const char page_body[] = "<html>\n<head> ... ";

static void page(fixture *f, visit *v) {
  say(f, v, FCGI_STREAM_STDOUT, page_head);
  say(f, v, FCGI_STREAM_STDOUT, page_body);
  end(f, v, 0);
}

/* Appendix B, example 3. */
static void fault(fixture *f, visit *v) {
  say(f, v, FCGI_STREAM_STDOUT, page_head);
  say(f, v, FCGI_STREAM_STDOUT, "<ht");
  say(f, v, FCGI_STREAM_STDERR, "config error: missing SI_UID\n");
  say(f, v, FCGI_STREAM_STDOUT, "ml>\n<head> ... ");
  end(f, v, 938);
}

/* Appendix B, example 4. */
static void swap(fixture *f, visit *v) {
  if (!f->held) {
    f->held = v;
    say(f, v, FCGI_STREAM_STDOUT, page_head);
    return;
  }
  page(f, v);
  say(f, f->held, FCGI_STREAM_STDOUT, page_body);
  end(f, f->held, 0);
  f->held = NULL;
}

static void hold(fixture *f, visit *v) {
  respond(f, v, 200, "aborted\n", 8);
}

static void big(fixture *f, visit *v) {
  size_t len = 200000;
  char *text = malloc(len);
  assert_non_null(text);
  memset(text, 'x', len);
  respond(f, v, 200, text, len);
  free(text);
}

static void filter(fixture *f, visit *v) {
  records_raw(&v->body, "|", 1);
  records_raw(&v->body, v->data.data, v->data.len);
  respond(f, v, v->truncated ? 400 : 200, v->body.data, v->body.len);
}

static void authorize(fixture *f, visit *v) {
  const char *pass = fcgi_params_get(v->params, "PASS", 4, NULL);
  if (!pass || strcmp(pass, "yes") != 0) {
    respond(f, v, 403, NULL, 0);
    return;
  }
  say(f, v, FCGI_STREAM_STDOUT, "Variable-AUTH: yes\r\n\r\n");
  end(f, v, 0);
}

static const act acts[] = {
    {"echo", AT_INPUT_END, echo},   {"params", AT_INPUT_END, list},
    {"early", AT_START, early},     {"page", AT_INPUT_END, page},
    {"fault", AT_INPUT_END, fault}, {"swap", AT_INPUT_END, swap},
    {"hold", AT_ABORT, hold},       {"big", AT_INPUT_END, big},
    {"data", AT_INPUT_END, filter}, {"authorize", AT_START, authorize},
};

fixture *fixture_new(fcgi_session *session, const char *name) {
  fixture *f = calloc(1, sizeof *f);
  assert_non_null(f);
  f->session = session;
  for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
    if (strcmp(acts[i].name, name) == 0)
      f->act = &acts[i];
  if (!f->act)
    fail_msg("no handler '%s'", name);
  return f;
}

void fixture_free(fixture *f) {
  free(f);
}

static void answer_at(fixture *f, visit *v, moment now) {
  if (f->act->when == now)
    f->act->answer(f, v);
}

static void start(fixture *f, const fcgi_event *event) {
  visit *v = calloc(1, sizeof *v);
  assert_non_null(v);
  v->id = event->id;
  v->role = event->role;
  v->params = event->params;
  fcgi_session_set_user_data(f->session, event->id, v);
  answer_at(f, v, AT_START);
  if (v->role == FCGI_ROLE_AUTHORIZER)
    answer_at(f, v, AT_INPUT_END);
}

/* Nothing more to say, unless that is the fixture's moment. */
static void aborted(fixture *f, visit *v) {
  if (f->held == v)
    f->held = NULL;
  if (f->act->when == AT_ABORT)
    f->act->answer(f, v);
  end(f, v, 0);
}

static void forget(visit *v) {
  records_free(&v->body);
  records_free(&v->data);
  free(v);
}

void fixture_event(fixture *f, const fcgi_event *event) {
  visit *v = event->user_data;
  if (event->type == FCGI_EVENT_REQUEST)
    start(f, event);
  else if (!v)
    assert_true(event->type == FCGI_EVENT_CLOSE && event->refused != 0);
  else if (event->type == FCGI_EVENT_STDIN)
    records_raw(&v->body, event->data, event->len);
  else if (event->type == FCGI_EVENT_DATA)
    records_raw(&v->data, event->data, event->len);
  else if (event->type == FCGI_EVENT_STDIN_END ||
           event->type == FCGI_EVENT_DATA_END)
    v->truncated |= event->truncated;
  if (event->type == FCGI_EVENT_DATA_END ||
      (event->type == FCGI_EVENT_STDIN_END && v->role != FCGI_ROLE_FILTER))
    answer_at(f, v, AT_INPUT_END);
  else if (event->type == FCGI_EVENT_ABORT)
    aborted(f, v);
  else if (event->type == FCGI_EVENT_CLOSE && v)
    forget(v);
}
