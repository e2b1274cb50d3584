/* SPDX-License-Identifier: MIT */
/* The web server's side of a connection: its input, as far as framing goes. */
#include "session/peer.h"
#include "base/config.h"
#include <fastcgi/error.h>
#include <string.h>

static uint32_t or_default(uint32_t value, uint32_t fallback) {
  return value ? value : fallback;
}

int fcgi_peer_new(fcgi_peer **out, const fcgi_peer_config *config) {
  fcgi_peer_config given = {.size = sizeof given};
  fcgi_peer *peer;
  if (fcgi__config_copy(&given, sizeof given, 0, config))
    return FCGI_ERR_INVALID;
  given.allocator = fcgi__allocator(&given.allocator);
  peer = fcgi__calloc(&given.allocator, sizeof *peer);
  if (!peer)
    return FCGI_ERR_NOMEM;
  peer->allocator = given.allocator;
  peer->max_multiplexed = or_default(given.max_multiplexed, 1024);
  peer->output_bytes =
      given.output_bytes ? given.output_bytes : (size_t)16 * 1024 * 1024;
  peer->limits.bytes = FCGI_RECORD_CONTENT;
  peer->limits.pairs = or_default(given.values_pairs, 1024);
  peer->limits.keep_http_proxy = 1;
  peer->reason = "";
  *out = peer;
  return 0;
}

void fcgi_peer_free(fcgi_peer *peer) {
  fcgi_allocator allocator;
  if (!peer)
    return;
  allocator = peer->allocator;
  fcgi__params_clear(&peer->values, &allocator);
  fcgi__buffer_clear(&peer->out, &allocator);
  fcgi__free(&allocator, peer->calls);
  fcgi__free(&allocator, peer);
}

fcgi__call *fcgi__peer_call(const fcgi_peer *peer, uint16_t id) {
  if (id >= peer->call_count || !(peer->calls[id].bits & FCGI__CALL_OPEN))
    return NULL;
  return &peer->calls[id];
}

void fcgi__peer_fail(fcgi_peer *peer, int error, const char *reason) {
  peer->error = error;
  peer->reason = reason;
  peer->in_len = 0;
  fcgi_peer_close(peer);
}

void fcgi_peer_close(fcgi_peer *peer) {
  int partial = peer->in_record || peer->head_len > 0;
  if (peer->gone)
    return;
  peer->gone = 1;
  peer->in_len = 0;
  peer->open_type = 0;
  fcgi__buffer_clear(&peer->out, &peer->allocator);
  peer->sent = 0;
  if (partial && !peer->error) {
    peer->error = FCGI_ERR_PROTOCOL;
    peer->reason = "the connection ended inside a record";
  }
}

static void use_input(fcgi_peer *peer, size_t len) {
  peer->in += len;
  peer->in_len -= len;
}

static void read_header(fcgi_peer *peer) {
  size_t need = FCGI_RECORD_HEADER - peer->head_len;
  size_t part = peer->in_len < need ? peer->in_len : need;
  memcpy(peer->head + peer->head_len, peer->in, part);
  peer->head_len = (uint8_t)(peer->head_len + part);
  use_input(peer, part);
  if (part < need)
    return;
  fcgi_record_decode(&peer->record, peer->head);
  peer->head_len = 0;
  peer->in_record = 1;
  peer->body_len = 0;
  peer->content_left = peer->record.content_len;
  peer->padding_left = peer->record.padding_len;
  fcgi__peer_begin_record(peer);
}

static void read_content(fcgi_peer *peer) {
  size_t len = peer->content_left;
  const uint8_t *data = peer->in;
  if (len > peer->in_len)
    len = peer->in_len;
  use_input(peer, len);
  peer->content_left = (uint16_t)(peer->content_left - len);
  fcgi__peer_content(peer, data, len);
}

static void skip_padding(fcgi_peer *peer) {
  size_t len = peer->padding_left;
  if (len > peer->in_len)
    len = peer->in_len;
  use_input(peer, len);
  peer->padding_left = (uint8_t)(peer->padding_left - len);
}

/* One step of the parser. Returns 1 when it cannot go on without input. */
static int step(fcgi_peer *peer) {
  if (peer->in_record && peer->content_left == 0 && peer->padding_left == 0) {
    peer->in_record = 0;
    fcgi__peer_finish_record(peer);
  } else if (peer->in_len == 0) {
    return 1;
  } else if (!peer->in_record) {
    read_header(peer);
  } else if (peer->content_left > 0) {
    read_content(peer);
  } else {
    skip_padding(peer);
  }
  return 0;
}

/* The connection is gone: CLOSE for the next request that was open. */
static int give_close(fcgi_peer *peer) {
  while (peer->close_at < peer->call_count) {
    uint16_t id = (uint16_t)peer->close_at++;
    fcgi__call *call = fcgi__peer_call(peer, id);
    if (!call)
      continue;
    peer->event = (fcgi_peer_event){
        .type = FCGI_PEER_EVENT_CLOSE, .id = id, .user_data = call->user_data};
    call->bits = 0;
    peer->open--;
    return 1;
  }
  return 0;
}

int fcgi_peer_feed(fcgi_peer *peer, const void *data, size_t len) {
  if (peer->error)
    return peer->error;
  if (peer->in_len > 0 || peer->gone)
    return FCGI_ERR_STATE;
  peer->in = data;
  peer->in_len = len;
  return 0;
}

int fcgi_peer_next(fcgi_peer *peer, const fcgi_peer_event **event) {
  peer->event = (fcgi_peer_event){.type = FCGI_PEER_EVENT_NONE};
  while (peer->event.type == FCGI_PEER_EVENT_NONE) {
    if (peer->gone && !give_close(peer))
      return peer->error;
    if (!peer->gone && step(peer))
      return 0;
  }
  *event = &peer->event;
  return 1;
}

const char *fcgi_peer_reason(const fcgi_peer *peer) {
  return peer->reason;
}

int fcgi_peer_set_user_data(fcgi_peer *peer, uint16_t id, void *user_data) {
  fcgi__call *call = fcgi__peer_call(peer, id);
  if (!call)
    return FCGI_ERR_STATE;
  call->user_data = user_data;
  return 0;
}

int fcgi_peer_is_open(const fcgi_peer *peer, uint16_t id) {
  return fcgi__peer_call(peer, id) != NULL;
}

unsigned fcgi_peer_flags(const fcgi_peer *peer) {
  unsigned flags = 0;
  if (fcgi_peer_queued(peer) > 0)
    flags |= FCGI_PEER_OUTPUT;
  if (peer->open > 0)
    flags |= FCGI_PEER_ACTIVE;
  if (peer->asked > 0)
    flags |= FCGI_PEER_VALUES;
  if (peer->in_record || peer->head_len > 0)
    flags |= FCGI_PEER_PARTIAL;
  if (peer->closing)
    flags |= FCGI_PEER_CLOSE;
  return flags;
}
