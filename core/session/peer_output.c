/* SPDX-License-Identifier: MIT */
/* What a peer says: one buffer of records, in the order of the calls. */
#include "session/peer.h"
#include "wire/pairs.h"
#include <fastcgi/error.h>
#include <string.h>

enum {
  CONTENT_MAX = 65528, /* The largest content that needs no padding. */
  ALIGN = 8,           /* FastCGI 1.0, 3.3: records on 8-byte boundaries. */
  CALLS_MIN = 16,      /* Requests that the first allocation has room for. */
  LENGTHS_MAX = 8      /* Two lengths of 4 bytes before a pair. */
};

static size_t min_size(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Make room for `len` bytes of content with all headers and paddings, so that
   what follows cannot fail half-way. */
static int reserve(fcgi_peer *peer, size_t len) {
  size_t records = len / CONTENT_MAX + 2;
  size_t size = len + records * (FCGI_RECORD_HEADER + ALIGN);
  if (peer->error || peer->gone)
    return FCGI_ERR_CLOSED;
  if (size < len || size > peer->output_bytes - fcgi_peer_queued(peer))
    return FCGI_ERR_LIMIT;
  return fcgi__buffer_reserve(&peer->out, &peer->allocator, size);
}

static void put(fcgi_peer *peer, const void *data, size_t len) {
  if (len > 0)
    memcpy(peer->out.data + peer->out.len, data, len);
  peer->out.len += len;
}

static void put_header(fcgi_peer *peer, uint16_t id, uint8_t type, size_t len,
                       size_t pad) {
  fcgi_record record = {.version = FCGI_WIRE_VERSION,
                        .type = type,
                        .id = id,
                        .content_len = (uint16_t)len,
                        .padding_len = (uint8_t)pad};
  uint8_t header[FCGI_RECORD_HEADER];
  fcgi_record_encode(header, &record);
  put(peer, header, sizeof header);
}

static size_t open_content(const fcgi_peer *peer) {
  return peer->out.len - peer->open_at - FCGI_RECORD_HEADER;
}

/* Room for the padding was reserved with the record. */
static void close_record(fcgi_peer *peer) {
  static const uint8_t zeros[ALIGN];
  size_t pad;
  if (!peer->open_type)
    return;
  pad = (ALIGN - open_content(peer) % ALIGN) % ALIGN;
  peer->out.data[peer->open_at + 6] = (uint8_t)pad;
  put(peer, zeros, pad);
  peer->open_type = 0;
}

/* Room was reserved. Content joins the record that is open, if it is of the
   same stream. */
static void append(fcgi_peer *peer, uint16_t id, uint8_t type,
                   const uint8_t *data, size_t len) {
  while (len > 0) {
    size_t part, content;
    if (peer->open_type != type || peer->open_id != id ||
        open_content(peer) == CONTENT_MAX) {
      close_record(peer);
      peer->open_at = peer->out.len;
      peer->open_type = type;
      peer->open_id = id;
      put_header(peer, id, type, 0, 0);
    }
    part = min_size(len, CONTENT_MAX - open_content(peer));
    put(peer, data, part);
    content = open_content(peer);
    peer->out.data[peer->open_at + 4] = (uint8_t)(content >> 8);
    peer->out.data[peer->open_at + 5] = (uint8_t)content;
    data += part;
    len -= part;
  }
}

/* One record as it is. */
static int put_record(fcgi_peer *peer, uint16_t id, uint8_t type,
                      const uint8_t *content, size_t len) {
  size_t pad = (ALIGN - len % ALIGN) % ALIGN;
  int error = reserve(peer, len);
  if (error)
    return error;
  close_record(peer);
  put_header(peer, id, type, len, pad);
  put(peer, content, len);
  memset(peer->out.data + peer->out.len, 0, pad);
  peer->out.len += pad;
  return 0;
}

static int grow_calls(fcgi_peer *peer, uint16_t id) {
  uint32_t count = peer->call_count ? peer->call_count : CALLS_MIN;
  fcgi__call *calls;
  if (id < peer->call_count)
    return 0;
  while (count <= id)
    count *= 2;
  calls = fcgi__realloc(&peer->allocator, peer->calls, count * sizeof *calls);
  if (!calls)
    return FCGI_ERR_NOMEM;
  memset(calls + peer->call_count, 0,
         (count - peer->call_count) * sizeof *calls);
  peer->calls = calls;
  peer->call_count = count;
  return 0;
}

int fcgi_peer_begin(fcgi_peer *peer, uint16_t id, uint16_t role, int flags) {
  const uint8_t body[8] = {(uint8_t)(role >> 8), (uint8_t)role, (uint8_t)flags};
  int error = id ? 0 : FCGI_ERR_INVALID;
  if (!error && fcgi__peer_call(peer, id))
    error = FCGI_ERR_STATE;
  if (!error && peer->open >= peer->max_multiplexed)
    error = FCGI_ERR_LIMIT;
  if (!error)
    error = grow_calls(peer, id);
  if (!error)
    error = put_record(peer, id, FCGI_RECORD_BEGIN_REQUEST, body, sizeof body);
  if (error)
    return error;
  peer->calls[id].user_data = NULL;
  peer->calls[id].bits = FCGI__CALL_OPEN;
  if (flags & FCGI_BEGIN_KEEP)
    peer->calls[id].bits |= FCGI__CALL_KEEP;
  peer->open++;
  return 0;
}

static fcgi__call *call_in_params(const fcgi_peer *peer, uint16_t id) {
  fcgi__call *call = fcgi__peer_call(peer, id);
  return call && !(call->bits & FCGI__CALL_PARAMS_END) ? call : NULL;
}

int fcgi_peer_param(fcgi_peer *peer, uint16_t id, const char *name,
                    size_t name_len, const char *value, size_t value_len) {
  size_t size = fcgi_pair_size(name_len, value_len);
  uint8_t lengths[LENGTHS_MAX], *end = lengths;
  int error;
  if (!call_in_params(peer, id))
    return FCGI_ERR_STATE;
  if (size == 0)
    return FCGI_ERR_INVALID;
  error = reserve(peer, size);
  if (error)
    return error;
  end = fcgi__pair_put_length(end, name_len);
  end = fcgi__pair_put_length(end, value_len);
  append(peer, id, FCGI_RECORD_PARAMS, lengths, (size_t)(end - lengths));
  append(peer, id, FCGI_RECORD_PARAMS, (const uint8_t *)name, name_len);
  append(peer, id, FCGI_RECORD_PARAMS, (const uint8_t *)value, value_len);
  return 0;
}

int fcgi_peer_params_end(fcgi_peer *peer, uint16_t id) {
  fcgi__call *call = call_in_params(peer, id);
  int error = call ? 0 : FCGI_ERR_STATE;
  if (!error)
    error = put_record(peer, id, FCGI_RECORD_PARAMS, NULL, 0);
  if (!error)
    call->bits |= FCGI__CALL_PARAMS_END;
  return error;
}

/* The bit that says that we ended `stream`; 0 for streams not ours. */
static uint16_t end_bit(fcgi_stream stream) {
  if (stream == FCGI_STREAM_STDIN)
    return FCGI__CALL_STDIN_END;
  return stream == FCGI_STREAM_DATA ? FCGI__CALL_DATA_END : 0;
}

static int may_write(const fcgi_peer *peer, uint16_t id, fcgi_stream stream) {
  const fcgi__call *call = fcgi__peer_call(peer, id);
  uint16_t bit = end_bit(stream);
  if (!bit)
    return FCGI_ERR_INVALID;
  if (!call || !(call->bits & FCGI__CALL_PARAMS_END) || call->bits & bit)
    return FCGI_ERR_STATE;
  return 0;
}

int fcgi_peer_write(fcgi_peer *peer, uint16_t id, fcgi_stream stream,
                    const void *data, size_t len) {
  int error = may_write(peer, id, stream);
  if (!error)
    error = reserve(peer, len);
  if (!error)
    append(peer, id, (uint8_t)stream, data, len);
  return error;
}

int fcgi_peer_write_end(fcgi_peer *peer, uint16_t id, fcgi_stream stream) {
  int error = may_write(peer, id, stream);
  if (!error)
    error = put_record(peer, id, (uint8_t)stream, NULL, 0);
  if (!error)
    fcgi__peer_call(peer, id)->bits |= end_bit(stream);
  return error;
}

int fcgi_peer_abort(fcgi_peer *peer, uint16_t id) {
  if (!fcgi__peer_call(peer, id))
    return FCGI_ERR_STATE;
  return put_record(peer, id, FCGI_RECORD_ABORT_REQUEST, NULL, 0);
}

static int fits_record(const char *const *names, size_t count) {
  size_t size = 0;
  for (size_t i = 0; i < count && size <= FCGI_RECORD_CONTENT; i++)
    size += fcgi_pair_size(strlen(names[i]), 0);
  return size <= FCGI_RECORD_CONTENT;
}

int fcgi_peer_get_values(fcgi_peer *peer, const char *const *names,
                         size_t count) {
  static const char *const known[] = {"FCGI_MAX_CONNS", "FCGI_MAX_REQS",
                                      "FCGI_MPXS_CONNS"};
  fcgi__buffer content = {.len = 0};
  int error = 0;
  if (!names) {
    names = known;
    count = sizeof known / sizeof *known;
  }
  if (!fits_record(names, count))
    return FCGI_ERR_LIMIT;
  for (size_t i = 0; i < count && !error; i++) {
    size_t len = strlen(names[i]), size = fcgi_pair_size(len, 0);
    error = fcgi__buffer_reserve(&content, &peer->allocator, size);
    if (!error)
      content.len +=
          fcgi_pair_encode(content.data + content.len, names[i], len, NULL, 0);
  }
  if (!error)
    error =
        put_record(peer, 0, FCGI_RECORD_GET_VALUES, content.data, content.len);
  if (!error)
    peer->asked++;
  fcgi__buffer_clear(&content, &peer->allocator);
  return error;
}

int fcgi_peer_raw(fcgi_peer *peer, const void *data, size_t len) {
  int error = reserve(peer, len);
  if (error)
    return error;
  close_record(peer);
  put(peer, data, len);
  peer->raw = 1;
  return 0;
}

size_t fcgi_peer_queued(const fcgi_peer *peer) {
  return peer->out.len - peer->sent;
}

int fcgi_peer_output(fcgi_peer *peer, struct iovec *iov, int count) {
  close_record(peer);
  if (count < 1 || fcgi_peer_queued(peer) == 0)
    return 0;
  iov->iov_base = peer->out.data + peer->sent;
  iov->iov_len = fcgi_peer_queued(peer);
  return 1;
}

/* Sent bytes are given up when they are the most, so that moving the rest
   costs less than sending it did. */
void fcgi_peer_output_done(fcgi_peer *peer, size_t bytes) {
  size_t left;
  peer->sent += min_size(bytes, fcgi_peer_queued(peer));
  left = fcgi_peer_queued(peer);
  if (left > peer->sent)
    return;
  if (left > 0)
    memmove(peer->out.data, peer->out.data + peer->sent, left);
  peer->open_at -= peer->sent;
  peer->out.len = left;
  peer->sent = 0;
}
