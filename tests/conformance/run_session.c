/* SPDX-License-Identifier: MIT */
/* Runs every case of a folder against the session: whole, byte by byte, split
   at every point, and with each allocation failing in turn, beside a request
   that this must not harm. */
#include "conformance/case_file.h"
#include "conformance/fixture.h"
#include "support/dialogue.h"
#include "support/failing.h"

#include <fastcgi/error.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  SPLITS_MOST = 2000,      /* A longer case is split at that many points, */
  SPLIT_BYTES = 60000000,  /* or at fewer: bytes fed by all splits. */
  BYTEWISE_MOST = 2000000, /* A longer case is not fed byte by byte. */
  FAILURES_ALL = 400,      /* Beyond, not each allocation fails in turn. */
  BYSTANDER = 65211        /* The id of the request beside. */
};

/* What became of the request beside the case's. */
typedef struct bystander {
  int answered; /* 1: its STDIN ended, and it was answered. */
  int aborted;  /* 1: ABORT came. */
  int closed;   /* CLOSE events. */
} bystander;

/* What a test of a case has. */
typedef struct subject {
  case_file c;    /* The case. */
  void *d;        /* Its dialogue. */
  failing memory; /* What the session allocates from. */
} subject;

/* One run of a case. */
typedef struct run {
  const case_file *c; /* The case. */
  dialogue *d;        /* The session. */
  fixture *f;         /* The application. */
  failing *memory;    /* The subject's. */
  size_t chunk;       /* Bytes fed at once. */
  size_t split;       /* Where, in all the bytes, one feed ends. */
  size_t at;          /* Bytes fed so far. */
  int result;         /* The session's error, once it has one. */
  bystander beside;   /* The request beside, where there is one. */
} run;

/* What an application queued leaves at once: END_REQUEST is on its way before
   the next record is looked at. */
static void react_beside(run *r, const fcgi_event *event) {
  fcgi_session *session = r->d->session;
  r->beside.aborted |= event->type == FCGI_EVENT_ABORT;
  r->beside.closed += event->type == FCGI_EVENT_CLOSE;
  if (event->type == FCGI_EVENT_STDIN_END) {
    r->beside.answered = 1;
    assert_int_equal(
        fcgi_session_write(session, BYSTANDER, FCGI_STREAM_STDOUT, "fine", 4),
        0);
  }
  if (event->type == FCGI_EVENT_STDIN_END || event->type == FCGI_EVENT_ABORT)
    assert_int_equal(fcgi_session_end(session, BYSTANDER, 0, FCGI_END_COMPLETE),
                     0);
}

static void react(dialogue *d, const fcgi_event *event, void *data) {
  run *r = data;
  if (event->id == BYSTANDER && event->user_data == &r->beside)
    react_beside(r, event);
  else
    fixture_event(r->f, event);
  dialogue_send(d);
}

static void run_start(run *r, subject *s) {
  fcgi_session_config config = r->c->config;
  r->d = s->d;
  r->memory = &s->memory;
  config.allocator = failing_allocator(r->memory);
  fcgi_session_free(r->d->session);
  r->d->session = NULL;
  r->result = fcgi_session_new(&r->d->session, &config);
  r->d->on_event = react;
  r->d->on_event_data = r;
  if (r->result == 0)
    r->f = fixture_new(r->d->session, r->c->handler);
}

static void feed(run *r, const uint8_t *data, size_t len) {
  records_raw(&r->d->sent, data, len);
  if (r->result == 0)
    r->result = dialogue_feed_by(r->d, r->chunk);
  r->d->sent.len = 0;
  r->at += len;
}

static void feed_split(run *r, const records *bytes) {
  size_t first = bytes->len;
  if (r->split > r->at && r->split - r->at < bytes->len)
    first = r->split - r->at;
  feed(r, bytes->data, first);
  if (first < bytes->len)
    feed(r, bytes->data + first, bytes->len - first);
}

static void lose(run *r, fcgi_abort_reason reason) {
  fcgi_session_abort(r->d->session, reason);
  if (r->result == 0)
    r->result = dialogue_take(r->d);
}

static void send_and_take(run *r) {
  dialogue_send(r->d);
  r->result = dialogue_take(r->d);
}

static void step(run *r, const case_step *s) {
  switch (s->action) {
  case CASE_BYTES:
    feed_split(r, &s->bytes);
    break;
  case CASE_CLOSE:
    lose(r, FCGI_ABORT_CONNECTION);
    break;
  case CASE_TIMEOUT:
    lose(r, FCGI_ABORT_TIMEOUT);
    break;
  case CASE_HALF_CLOSE:
    fcgi_session_stop(r->d->session);
    break;
  case CASE_SILENCE:
    fcgi_session_stop_draining(r->d->session);
    send_and_take(r);
    break;
  case CASE_AWAIT:
    send_and_take(r);
    break;
  }
}

/* A session that is usable answers, which also shows that it is in step. */
static void probe(run *r) {
  static const uint8_t get_values[FCGI_RECORD_HEADER] = {1, 9};
  feed(r, get_values, sizeof get_values);
}

static void play_steps(run *r) {
  for (size_t i = 0; i < r->c->step_count && r->result == 0; i++)
    step(r, &r->c->steps[i]);
  if (r->result == 0)
    send_and_take(r);
}

static void run_steps(run *r, subject *s) {
  run_start(r, s);
  play_steps(r);
  if (r->c->open && r->result == 0)
    probe(r);
}

/* End whatever is open, and see that all memory comes back. */
static void run_finish(run *r) {
  if (r->d->session) {
    fcgi_session_abort(r->d->session, FCGI_ABORT_STOP);
    dialogue_take(r->d);
    fcgi_session_free(r->d->session);
  }
  r->d->session = NULL;
  r->d->on_event = NULL;
  dialogue_events(r->d)->len = 0;
  dialogue_answer(r->d)->len = 0;
  fixture_free(r->f);
  assert_int_equal(r->memory->live, 0);
}

static void expect_text(const char *what, const records *got,
                        const records *wanted) {
  if (got->len == wanted->len &&
      (got->len == 0 || memcmp(got->data, wanted->data, got->len) == 0))
    return;
  print_error("%s expected:\n%.*s\n%s found:\n%.*s\n", what,
              (int)(wanted->len < 4000 ? wanted->len : 4000), wanted->data,
              what, (int)(got->len < 4000 ? got->len : 4000), got->data);
  fail_msg("the %s differ", what);
}

static void check_events(run *r, const char *label) {
  records *events = dialogue_events(r->d);
  char line[60];
  if (r->result < 0) {
    int len =
        snprintf(line, sizeof line, "error %s\n", fcgi_error_name(r->result));
    records_raw(events, line, (size_t)len);
  }
  expect_text(label, events, &r->c->events);
  events->len = 0;
}

static void check_answer(run *r) {
  records wanted = {0};
  records *answer = dialogue_answer(r->d);
  records_raw(&wanted, r->c->answer.data, r->c->answer.len);
  if (r->c->open)
    records_raw(&wanted, "values\n", 7);
  expect_text("records", answer, &wanted);
  answer->len = 0;
  records_free(&wanted);
}

static void check(run *r) {
  unsigned flags = fcgi_session_flags(r->d->session);
  check_events(r, "events");
  check_answer(r);
  if (r->c->closed)
    assert_true(flags & FCGI_SESSION_CLOSE);
  if (r->c->open)
    assert_false(flags & FCGI_SESSION_CLOSE);
}

static void run_once(subject *s, size_t chunk, size_t split) {
  run r = {.c = &s->c, .chunk = chunk, .split = split};
  s->memory = (failing){.until_failure = -1};
  run_steps(&r, s);
  check(&r);
  run_finish(&r);
}

static void run_splits(subject *s) {
  size_t size = case_file_size(&s->c), count = SPLIT_BYTES / size;
  size_t stride = size / (count < SPLITS_MOST ? count : SPLITS_MOST) + 1;
  for (size_t split = 1; split < size; split += stride)
    run_once(s, size + 1, split);
}

static void run_chunks(subject *s) {
  static const size_t chunks[] = {7, 8, 9, 1000, 65543};
  size_t size = case_file_size(&s->c);
  run_once(s, size + 1, 0);
  if (size <= BYTEWISE_MOST)
    run_once(s, 1, 0);
  for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
    if (chunks[i] < size)
      run_once(s, chunks[i], 0);
}

/* What it said until memory ran out must still be whole records. */
static long run_failing(subject *s, long until_failure) {
  run r = {.c = &s->c, .chunk = case_file_size(&s->c) + 1};
  s->memory = (failing){.until_failure = until_failure};
  run_steps(&r, s);
  long failures = r.memory->failures;
  run_finish(&r);
  return failures;
}

static void run_failures(subject *s) {
  for (long n = 0;; n += 1 + n / FAILURES_ALL * 100)
    if (run_failing(s, n) == 0)
      return;
}

/* A request that is in its STDIN while the case goes on. */
static void open_beside(run *r) {
  dialogue *d = r->d;
  records_begin(&d->sent, BYSTANDER, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_params_end(&d->sent, BYSTANDER);
  d->on_event = NULL;
  assert_int_equal(dialogue_feed(d), 0);
  assert_int_equal(
      fcgi_session_set_user_data(d->session, BYSTANDER, &r->beside), 0);
  d->on_event = react;
}

/* What it says once its STDIN has ended, and nothing else. */
static void end_beside(run *r) {
  dialogue *d = r->d;
  dialogue_answer(d)->len = 0;
  records_stdin_end(&d->sent, BYSTANDER);
  assert_int_equal(dialogue_feed(d), 0);
  if (r->beside.answered)
    dialogue_expect_answer(d, "stdout 65211 fine\nstdout_end 65211\n"
                              "end 65211 app=0 status=0\n");
  assert_int_equal(dialogue_take(d), 0);
  assert_int_equal(r->beside.closed, r->beside.answered);
}

/* The case with allocation `n` failing, and only that one, beside another
   request, which is aborted unless the session lives on. Returns whether one
   failed; `*answered` becomes 1 or 0 if the session lives on. */
static long run_beside(subject *s, long n, int *answered) {
  run r = {.c = &s->c, .chunk = case_file_size(&s->c) + 1};
  s->memory = (failing){.until_failure = -1, .once = 1};
  run_start(&r, s);
  open_beside(&r);
  s->memory.until_failure = n;
  play_steps(&r);
  s->memory.until_failure = -1;
  if (fcgi_session_flags(r.d->session) & FCGI_SESSION_CLOSE) {
    assert_true(r.beside.aborted);
  } else {
    end_beside(&r);
    *answered = r.beside.answered;
  }
  run_finish(&r);
  assert_int_equal(r.beside.closed, 1);
  return s->memory.failures;
}

/* Memory that is missing once may end the session. While that lives, the other
   request fares as without a failure: it is answered, unless the case leaves
   half a record on the wire. */
static void run_failures_beside(subject *s) {
  int usually = 1, answered;
  assert_int_equal(run_beside(s, -1, &usually), 0);
  for (long n = 0;; n += 1 + n / FAILURES_ALL * 100) {
    answered = usually;
    if (run_beside(s, n, &answered) == 0)
      return;
    assert_int_equal(answered, usually);
  }
}

/* cmocka's initial state is the path. */
static int set_up(void **state) {
  subject *s = calloc(1, sizeof *s);
  case_file_read(&s->c, *state);
  dialogue_set_up(&s->d);
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  subject *s = *state;
  dialogue_tear_down(&s->d);
  case_file_free(&s->c);
  free(s);
  return 0;
}

static void test_case(void **state) {
  subject *s = *state;
  run_chunks(s);
  run_splits(s);
  run_failures(s);
  run_failures_beside(s);
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

int main(int argc, char **argv) {
  char pattern[4096];
  glob_t found = {0};
  int failed;
  if (argc < 2 ||
      snprintf(pattern, sizeof pattern, "%s/%s.case", argv[1],
               argc > 2 ? argv[2] : "*") >= (int)sizeof pattern ||
      glob(pattern, 0, NULL, &found) != 0) {
    fprintf(stderr, "usage: run_session FOLDER [CASE]; no cases found\n");
    return 2;
  }
  struct CMUnitTest *tests = calloc(found.gl_pathc, sizeof *tests);
  for (size_t i = 0; tests && i < found.gl_pathc; i++)
    tests[i] = (struct CMUnitTest){base_name(found.gl_pathv[i]), test_case,
                                   set_up, tear_down, found.gl_pathv[i]};
  failed = _cmocka_run_group_tests(base_name(argv[1]), tests, found.gl_pathc,
                                   NULL, NULL);
  free(tests);
  globfree(&found);
  return failed;
}
