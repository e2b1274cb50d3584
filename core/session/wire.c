/* SPDX-License-Identifier: MIT */
/* Output: whose turn it is, and what has left. */
#include "session/session.h"
#include <fastcgi/error.h>

/* Enough for the largest write, little enough to keep turns fair. */
enum { WIRE_BYTES = 256 * 1024 };

void fcgi__session_touch(fcgi_session *session, fcgi__exchange *exchange) {
  if (exchange->in_turns || !exchange->queue.first)
    return;
  exchange->in_turns = 1;
  exchange->turn_next = NULL;
  if (session->turn_last)
    session->turn_last->turn_next = exchange;
  else
    session->turn_first = exchange;
  session->turn_last = exchange;
}

static fcgi__exchange *next_turn(fcgi_session *session) {
  fcgi__exchange *exchange = session->turn_first;
  session->turn_first = exchange->turn_next;
  if (!session->turn_first)
    session->turn_last = NULL;
  exchange->in_turns = 0;
  return exchange;
}

static void fill_wire(fcgi_session *session) {
  while (session->turn_first && session->wire_bytes < WIRE_BYTES) {
    fcgi__exchange *exchange = next_turn(session);
    fcgi__item *item = fcgi__output_take(&exchange->queue);
    session->wire_bytes += fcgi__item_size(item);
    fcgi__output_append(&session->wire, item);
    fcgi__session_touch(session, exchange);
  }
}

int fcgi_session_output(fcgi_session *session, struct iovec *iov, int count) {
  int used = 0, file = 0;
  fill_wire(session);
  for (fcgi__item *item = session->wire.first; item && !file;
       item = item->next) {
    int added = fcgi__item_slices(item, iov + used, count - used, &file);
    if (added == 0)
      break;
    used += added;
  }
  return used;
}

int fcgi_session_output_file(fcgi_session *session, int *fd, uint64_t *offset,
                             size_t *len) {
  const fcgi__item *item;
  size_t done;
  fill_wire(session);
  item = session->wire.first;
  if (!item || item->kind != FCGI__ITEM_FILE || item->sent < FCGI_RECORD_HEADER)
    return 0;
  done = item->sent - FCGI_RECORD_HEADER;
  if (done >= item->len)
    return 0;
  *fd = item->fd;
  *offset = item->offset + done;
  *len = item->len - done;
  return 1;
}

/* Of those without an owner, who counts theirs. */
static void count_less(fcgi_session *session, const fcgi__item *item) {
  size_t size = fcgi__item_held(item);
  session->held -= size;
  session->refusals.unread -= item->refusal ? size : 0;
}

static void pop_item(fcgi_session *session) {
  fcgi__item *item = session->wire.first;
  if (!item->owner)
    count_less(session, item);
  session->wire.first = item->next;
  if (!session->wire.first)
    session->wire.last = NULL;
  fcgi__item_free(item, &session->allocator);
}

void fcgi_session_output_done(fcgi_session *session, size_t bytes) {
  while (bytes > 0 && session->wire.first) {
    fcgi__item *item = session->wire.first;
    fcgi__exchange *owner = item->owner;
    size_t left = fcgi__item_size(item) - item->sent;
    size_t part = bytes < left ? bytes : left;
    item->sent += part;
    bytes -= part;
    session->wire_bytes -= part;
    if (owner)
      owner->queued -= part;
    else if (!item->refusal)
      session->manage_bytes -= part;
    if (part < left)
      return;
    pop_item(session);
    if (owner)
      fcgi__session_sent(session, owner);
  }
}

static void note_unsent(fcgi__item *item) {
  if (item->owner)
    item->owner->unsent += fcgi__item_unsent(item);
}

void fcgi__session_drop_output(fcgi_session *session) {
  while (session->wire.first) {
    note_unsent(session->wire.first);
    pop_item(session);
  }
  while (session->turn_first)
    next_turn(session);
  for (fcgi__exchange *at = session->all; at; at = at->all_next) {
    fcgi__item *item;
    while ((item = fcgi__output_take(&at->queue))) {
      note_unsent(item);
      fcgi__item_free(item, &session->allocator);
    }
    at->queued = 0;
  }
  session->wire_bytes = session->manage_bytes = 0;
}

static int keep_list(fcgi_session *session, fcgi__output *queue,
                     const fcgi__exchange *owner) {
  fcgi__item *last = NULL;
  for (fcgi__item **link = &queue->first; *link; link = &(*link)->next) {
    if ((*link)->owner == owner && fcgi__item_keep(link, &session->allocator))
      return FCGI_ERR_NOMEM;
    last = *link;
  }
  queue->last = last;
  return 0;
}

/* Without memory the bytes are lost: what is on the wire can be neither ended
   nor left to refer to memory that the caller takes back. */
int fcgi_session_keep(fcgi_session *session, uint16_t id) {
  fcgi__exchange *exchange = fcgi__table_get(&session->table, id);
  int error = exchange ? 0 : FCGI_ERR_STATE;
  if (!error)
    error = keep_list(session, &session->wire, exchange);
  if (!error)
    error = keep_list(session, &exchange->queue, exchange);
  if (error == FCGI_ERR_NOMEM)
    fcgi__session_fail(session, error);
  return error;
}

uint64_t fcgi_session_unsent(const fcgi_session *session, uint16_t id) {
  const fcgi__exchange *exchange = fcgi__table_get(&session->table, id);
  return exchange ? exchange->unsent : 0;
}

size_t fcgi_session_queued(const fcgi_session *session, uint16_t id) {
  const fcgi__exchange *exchange = fcgi__table_get(&session->table, id);
  return exchange ? exchange->queued : 0;
}
