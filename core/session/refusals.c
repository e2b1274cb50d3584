/* SPDX-License-Identifier: MIT */
#include "session/refusals.h"
#include "session/session.h"
#include <fastcgi/error.h>
#include <string.h>

enum {
  PAGE = 64,           /* Ids of one page. */
  PAGES = 65536 / PAGE /* For all ids. */
};

/* What is kept of an id; 0 where it is not refused. */
enum {
  DUE = 3,       /* The input that is due: */
  PARAMS = 1,    /* no answer has been given, */
  STDIN = 2,     /* its END_REQUEST waits for STDIN's end, */
  DATA = 3,      /* or for that of DATA. */
  KEEP = 4,      /* The flag of its BEGIN_REQUEST. */
  HAS_STDIN = 8, /* Its role has STDIN. */
  HAS_DATA = 16  /* Its role has DATA. */
};

static uint8_t *find(const fcgi_session *session, uint16_t id) {
  uint8_t **pages = session->refusals.pages, *page;
  if (!pages)
    return NULL;
  page = pages[id / PAGE];
  return page && page[id % PAGE] ? &page[id % PAGE] : NULL;
}

int fcgi__refusals_has(const fcgi_session *session, uint16_t id) {
  return find(session, id) != NULL;
}

static void *take_memory(fcgi_session *session, size_t size) {
  void *memory = fcgi__calloc(&session->allocator, size);
  if (memory)
    session->held += size;
  return memory;
}

static uint8_t *make_room(fcgi_session *session, uint16_t id) {
  fcgi__refusals *all = &session->refusals;
  uint8_t **page;
  if (!all->pages)
    all->pages = take_memory(session, PAGES * sizeof *all->pages);
  if (!all->pages)
    return NULL;
  page = &all->pages[id / PAGE];
  if (!*page)
    *page = take_memory(session, PAGE);
  return *page ? *page + id % PAGE : NULL;
}

void fcgi__refusals_clear(fcgi_session *session) {
  fcgi__refusals *all = &session->refusals;
  for (int i = 0; all->pages && i < PAGES; i++) {
    session->held -= all->pages[i] ? PAGE : 0;
    fcgi__free(&session->allocator, all->pages[i]);
  }
  session->draining -= all->count - all->in_params;
  session->held -= all->pages ? PAGES * sizeof *all->pages : 0;
  fcgi__free(&session->allocator, all->pages);
  *all = (fcgi__refusals){.unread = all->unread};
}

/* Any other one: what is refused a little earlier or later does not matter. */
static void choose_oldest(fcgi_session *session) {
  fcgi__refusals *all = &session->refusals;
  unsigned at = (unsigned)all->oldest + 1;
  all->serial = all->in_params > 0 ? ++session->begun : 0;
  for (unsigned seen = 0; all->in_params > 0 && seen <= 65536; seen++, at++) {
    const uint8_t *page = all->pages[at % 65536 / PAGE];
    if (page && (page[at % PAGE] & DUE) == PARAMS)
      break;
    if (!page) {
      seen += PAGE - 1 - at % PAGE;
      at += PAGE - 1 - at % PAGE;
    }
  }
  all->oldest = (uint16_t)at;
}

static void enter_params(fcgi_session *session, uint16_t id) {
  fcgi__refusals *all = &session->refusals;
  if (all->in_params++ > 0)
    return;
  all->oldest = id;
  all->serial = ++session->begun;
}

static void leave_params(fcgi_session *session, uint16_t id, uint8_t *at) {
  fcgi__refusals *all = &session->refusals;
  *at = (uint8_t)(*at & ~DUE);
  all->in_params--;
  if (id == all->oldest || all->in_params == 0)
    choose_oldest(session);
}

void fcgi__refusals_begin(fcgi_session *session, const fcgi_role_spec *spec) {
  uint16_t id = session->record.id;
  uint8_t *at = make_room(session, id);
  if (!at) {
    fcgi__session_fail(session, FCGI_ERR_NOMEM);
    return;
  }
  *at = PARAMS;
  if (session->begin[2] & FCGI_BEGIN_KEEP)
    *at |= KEEP;
  if (spec->streams != FCGI_STREAMS_NONE)
    *at |= HAS_STDIN;
  if (spec->streams == FCGI_STREAMS_STDIN_DATA)
    *at |= HAS_DATA;
  session->refusals.count++;
  enter_params(session, id);
}

static void end(fcgi_session *session, uint16_t id, uint8_t *at) {
  static const uint8_t complete[8];
  int keep = *at & KEEP;
  if ((*at & DUE) == PARAMS)
    leave_params(session, id, at);
  else
    session->draining--;
  *at = 0;
  if (--session->refusals.count == 0)
    fcgi__refusals_clear(session);
  if (!keep)
    session->closing = 1;
  fcgi__session_put_refusal(session, FCGI_RECORD_END_REQUEST, id, complete,
                            sizeof complete);
}

/* The one event of such a request. Nobody asks for its parameters. */
static void tell(fcgi_session *session, const char *text, size_t len) {
  static const fcgi_params none;
  session->event = (fcgi_event){.type = FCGI_EVENT_CLOSE,
                                .id = session->record.id,
                                .content_length = -1,
                                .params = &none,
                                .refused = 503,
                                .data = (const uint8_t *)text,
                                .len = len};
}

static void answer(fcgi_session *session, uint8_t *at) {
  uint16_t id = session->record.id;
  size_t len;
  const char *text = fcgi__exchange_refusal(NULL, 503, &len);
  fcgi__session_put_refusal(session, FCGI_RECORD_STDOUT, id, text, len);
  fcgi__session_put_refusal(session, FCGI_RECORD_STDOUT, id, NULL, 0);
  if (session->gone)
    return;
  tell(session, text, len);
  if (!(*at & HAS_STDIN)) {
    end(session, id, at);
    return;
  }
  leave_params(session, id, at);
  *at |= STDIN;
  session->draining++;
}

void fcgi__refusals_stop_draining(fcgi_session *session) {
  for (unsigned id = 0; session->refusals.pages && id < 65536; id++) {
    uint8_t *at = find(session, (uint16_t)id);
    if (!at || (*at & DUE) == PARAMS)
      continue;
    session->closing = session->unread = 1;
    end(session, (uint16_t)id, at);
  }
}

/* The byte of the record's id, where `due` is due. */
static uint8_t *of_record(const fcgi_session *session, int due) {
  uint8_t *at = find(session, session->record.id);
  return at && (*at & DUE) == due ? at : NULL;
}

/* A second BEGIN_REQUEST for an id that is still in use (records.c). */
static int begin_again(fcgi_session *session) {
  (void)session;
  return FCGI_ERR_PROTOCOL;
}

static int begin_nothing(fcgi_session *session) {
  (void)session;
  return 0;
}

static void drop(fcgi_session *session, const uint8_t *data, size_t len) {
  (void)data;
  if (session->record.type != FCGI_RECORD_PARAMS)
    session->drained += len;
}

static void finish_nothing(fcgi_session *session) {
  (void)session;
}

static void finish_params(fcgi_session *session) {
  uint8_t *at = of_record(session, PARAMS);
  if (at && session->record.content_len == 0)
    answer(session, at);
}

static int begin_stdin(fcgi_session *session) {
  uint8_t *at = of_record(session, PARAMS);
  if (at)
    answer(session, at);
  return 0;
}

static void finish_stdin(fcgi_session *session) {
  uint8_t *at = of_record(session, STDIN);
  if (!at || session->record.content_len > 0)
    return;
  if (*at & HAS_DATA)
    *at = (uint8_t)((*at & ~DUE) | DATA);
  else
    end(session, session->record.id, at);
}

static void finish_data(fcgi_session *session) {
  uint8_t *at = of_record(session, DATA);
  if (at && session->record.content_len == 0)
    end(session, session->record.id, at);
}

/* Nobody waits for an answer. */
static void finish_abort(fcgi_session *session) {
  uint16_t id = session->record.id;
  uint8_t *at = find(session, id);
  if (!at)
    return;
  if ((*at & DUE) == PARAMS) {
    tell(session, NULL, 0);
    fcgi__session_put_refusal(session, FCGI_RECORD_STDOUT, id, NULL, 0);
  }
  if (!session->gone)
    end(session, id, at);
}

static const fcgi__record_ops ignored = {begin_nothing, drop, finish_nothing};
static const fcgi__record_ops ops[FCGI_RECORD_DATA + 1] = {
    [FCGI_RECORD_BEGIN_REQUEST] = {begin_again, drop, finish_nothing},
    [FCGI_RECORD_ABORT_REQUEST] = {begin_nothing, drop, finish_abort},
    [FCGI_RECORD_PARAMS] = {begin_nothing, drop, finish_params},
    [FCGI_RECORD_STDIN] = {begin_stdin, drop, finish_stdin},
    [FCGI_RECORD_DATA] = {begin_nothing, drop, finish_data},
};

const fcgi__record_ops *fcgi__refusals_ops(uint8_t type) {
  return type <= FCGI_RECORD_DATA && ops[type].begin ? &ops[type] : &ignored;
}
