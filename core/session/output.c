/* SPDX-License-Identifier: MIT */
#include "session/exchange.h"
#include <fastcgi/error.h>
#include <fastcgi/record.h>
#include <string.h>

enum {
  CONTENT_MAX = 65528, /* The largest content that needs no padding. */
  RECORD_MAX = 16,     /* Content of a record that is appended as it is. */
  STDERR_MAX = 4092,   /* That of STDERR, which is padded always. */
  ALIGN = 8,           /* FastCGI 1.0, 3.3: records on 8-byte boundaries. */
  ITEM_MIN = 1024,     /* Room of a BYTES item, at least and */
  ITEM_MAX = 16384     /* at most, so that turns stay short. */
};

static size_t min_size(size_t a, size_t b) {
  return a < b ? a : b;
}

static uint8_t pad_of(size_t content) {
  return (uint8_t)((ALIGN - content % ALIGN) % ALIGN);
}

/* HAProxy 2.6.12 exchanges two of its buffers, and crashes, when the content
   of a STDERR record is all that it holds: where a read of it ends with that,
   or has no more than a part of it. So padding follows each, and none is long.
 */
static uint8_t pad_of_type(uint8_t type, size_t content) {
  uint8_t pad = pad_of(content);
  return pad == 0 && type == FCGI_RECORD_STDERR ? ALIGN : pad;
}

static size_t most_of_type(uint8_t type) {
  return type == FCGI_RECORD_STDERR ? STDERR_MAX : CONTENT_MAX;
}

static void put_header(uint8_t *out, uint16_t id, uint8_t type, size_t len,
                       uint8_t pad) {
  fcgi_record record = {.version = FCGI_WIRE_VERSION,
                        .type = type,
                        .id = id,
                        .content_len = (uint16_t)len,
                        .padding_len = pad};
  fcgi_record_encode(out, &record);
}

fcgi__item *fcgi__item_new(const fcgi_allocator *allocator, size_t room) {
  fcgi__item *item = fcgi__realloc(allocator, NULL, sizeof *item + room);
  if (!item)
    return NULL;
  memset(item, 0, sizeof *item);
  item->bytes = (uint8_t *)(item + 1);
  item->cap = room;
  return item;
}

void fcgi__item_free(fcgi__item *item, const fcgi_allocator *allocator) {
  if (item->fixed) {
    item->owner->item_free = 1;
    return;
  }
  if (item->owner)
    *item->owner->memory -= fcgi__item_held(item);
  fcgi__free(allocator, item);
}

size_t fcgi__item_size(const fcgi__item *item) {
  if (item->kind == FCGI__ITEM_BYTES)
    return item->len;
  return FCGI_RECORD_HEADER + item->len + item->pad;
}

/* How much of what begins at `at` in the item lies beyond what was sent. */
static size_t unsent_part(const fcgi__item *item, size_t at, size_t len) {
  size_t sent = item->sent > at ? item->sent - at : 0;
  return sent < len ? len - sent : 0;
}

/* Records never go on in another item. */
size_t fcgi__item_unsent(const fcgi__item *item) {
  size_t unsent = 0, at = 0;
  if (item->kind != FCGI__ITEM_BYTES)
    return unsent_part(item, FCGI_RECORD_HEADER, item->len);
  if (item->kept)
    return unsent_part(item, item->pad, (size_t)item->offset);
  while (at + FCGI_RECORD_HEADER <= item->len) {
    const uint8_t *header = item->bytes + at;
    size_t len = (size_t)header[4] << 8 | header[5];
    if (header[1] == FCGI_RECORD_STDOUT)
      unsent += unsent_part(item, at + FCGI_RECORD_HEADER, len);
    at += FCGI_RECORD_HEADER + len + header[6];
  }
  return unsent;
}

void fcgi__output_append(fcgi__output *queue, fcgi__item *item) {
  item->next = NULL;
  if (queue->last)
    queue->last->next = item;
  else
    queue->first = item;
  queue->last = item;
}

/* Room for content in the last item, what must stay free set aside: padding
   of the open record, and the end records where the item is the fixed one. */
static size_t room_of(const fcgi__output *queue, int final) {
  const fcgi__item *last = queue->last;
  size_t aside = ALIGN;
  if (!last || last->kind != FCGI__ITEM_BYTES)
    return 0;
  if (last->fixed && !final)
    aside += FCGI__FINAL_ROOM;
  return last->cap - last->len > aside ? last->cap - last->len - aside : 0;
}

static void close_record(fcgi__output *queue) {
  fcgi__item *last = queue->last;
  uint8_t *header;
  uint8_t pad;
  if (!queue->open_type)
    return;
  header = last->bytes + queue->open_at;
  pad = pad_of_type(queue->open_type, last->len - queue->open_at);
  header[6] = pad;
  memset(last->bytes + last->len, 0, pad);
  last->len += pad;
  last->owner->queued += pad;
  queue->open_type = 0;
}

/* A BYTES item at the end: the exchange's fixed one if that is free. */
static int add_item(fcgi__output *queue, const fcgi_allocator *allocator,
                    fcgi__exchange *owner, size_t wanted) {
  fcgi__item *item = &owner->item;
  size_t room = wanted + 4 * ALIGN;
  if (owner->item_free && room + FCGI__FINAL_ROOM <= FCGI__INLINE_ROOM) {
    owner->item_free = 0;
    *item = (fcgi__item){
        .bytes = owner->bytes, .cap = FCGI__INLINE_ROOM, .fixed = 1};
  } else {
    room = room < ITEM_MIN ? ITEM_MIN : min_size(room, ITEM_MAX);
    item = fcgi__item_new(allocator, room);
    if (!item)
      return FCGI_ERR_NOMEM;
    *owner->memory += fcgi__item_held(item);
  }
  item->owner = owner;
  fcgi__output_append(queue, item);
  return 0;
}

static int open_record(fcgi__output *queue, const fcgi_allocator *allocator,
                       fcgi__exchange *owner, uint8_t type, size_t wanted) {
  size_t least = FCGI_RECORD_HEADER + min_size(wanted, ALIGN * ALIGN);
  close_record(queue);
  if (room_of(queue, 0) < least &&
      add_item(queue, allocator, owner, wanted + FCGI_RECORD_HEADER))
    return FCGI_ERR_NOMEM;
  queue->open_at = queue->last->len;
  queue->open_type = type;
  put_header(queue->last->bytes + queue->open_at, owner->id, type, 0, 0);
  queue->last->len += FCGI_RECORD_HEADER;
  owner->queued += FCGI_RECORD_HEADER;
  return 0;
}

static size_t content_room(const fcgi__output *queue, uint8_t type) {
  size_t content;
  if (queue->open_type != type)
    return 0;
  content = queue->last->len - queue->open_at - FCGI_RECORD_HEADER;
  return min_size(most_of_type(type) - content, room_of(queue, 0));
}

/* Write the open record's length into its header. */
static void put_length(const fcgi__output *queue) {
  fcgi__item *last = queue->last;
  size_t content = last->len - queue->open_at - FCGI_RECORD_HEADER;
  last->bytes[queue->open_at + 4] = (uint8_t)(content >> 8);
  last->bytes[queue->open_at + 5] = (uint8_t)content;
}

static void append_content(fcgi__output *queue, fcgi__exchange *owner,
                           const uint8_t *data, size_t len) {
  fcgi__item *last = queue->last;
  memcpy(last->bytes + last->len, data, len);
  last->len += len;
  owner->queued += len;
  put_length(queue);
}

/* The end of a queue before a write, to go back to when memory runs out: a
   part of the write must not stay, or another answer would follow it. */
typedef struct mark {
  fcgi__output queue; /* As it was. */
  size_t len;         /* Of its last item. */
  size_t queued;      /* Of the owner. */
} mark;

static mark mark_of(const fcgi__output *queue, const fcgi__exchange *owner) {
  return (mark){.queue = *queue,
                .len = queue->last ? queue->last->len : 0,
                .queued = owner->queued};
}

static int roll_back(fcgi__output *queue, const fcgi_allocator *allocator,
                     fcgi__exchange *owner, const mark *to) {
  fcgi__item *added = to->queue.last ? to->queue.last->next : queue->first;
  *queue = to->queue;
  owner->queued = to->queued;
  if (queue->last) {
    queue->last->next = NULL;
    queue->last->len = to->len;
  }
  if (queue->open_type)
    put_length(queue);
  while (added) {
    fcgi__item *next = added->next;
    fcgi__item_free(added, allocator);
    added = next;
  }
  return FCGI_ERR_NOMEM;
}

int fcgi__output_write(fcgi__output *queue, const fcgi_allocator *allocator,
                       fcgi__exchange *owner, uint8_t type, const uint8_t *data,
                       size_t len) {
  const mark before = mark_of(queue, owner);
  while (len > 0) {
    size_t part = min_size(len, content_room(queue, type));
    if (part == 0) {
      if (open_record(queue, allocator, owner, type, len))
        return roll_back(queue, allocator, owner, &before);
      continue;
    }
    append_content(queue, owner, data, part);
    data += part;
    len -= part;
  }
  return 0;
}

static int refer_record(fcgi__output *queue, const fcgi_allocator *allocator,
                        fcgi__exchange *owner, const fcgi__item *model) {
  fcgi__item *item = fcgi__item_new(allocator, 0);
  if (!item)
    return FCGI_ERR_NOMEM;
  *item = *model;
  item->owner = owner;
  *owner->memory += fcgi__item_held(item);
  item->pad = pad_of(item->len);
  put_header(item->header, owner->id, FCGI_RECORD_STDOUT, item->len, item->pad);
  fcgi__output_append(queue, item);
  owner->queued += fcgi__item_size(item);
  return 0;
}

int fcgi__output_refer(fcgi__output *queue, const fcgi_allocator *allocator,
                       fcgi__exchange *owner, const uint8_t *data, int fd,
                       uint64_t offset, size_t len) {
  fcgi__item model = {.kind = data ? FCGI__ITEM_LENT : FCGI__ITEM_FILE,
                      .data = data,
                      .fd = fd,
                      .offset = offset};
  const mark before = mark_of(queue, owner);
  close_record(queue);
  while (len > 0) {
    model.len = min_size(len, CONTENT_MAX);
    if (refer_record(queue, allocator, owner, &model))
      return roll_back(queue, allocator, owner, &before);
    if (data)
      model.data += model.len;
    model.offset += model.len;
    len -= model.len;
  }
  return 0;
}

int fcgi__output_records(fcgi__output *queue, const fcgi_allocator *allocator,
                         fcgi__exchange *owner, const uint8_t *records,
                         size_t len) {
  close_record(queue);
  if (room_of(queue, 1) < len && add_item(queue, allocator, owner, len))
    return FCGI_ERR_NOMEM;
  memcpy(queue->last->bytes + queue->last->len, records, len);
  queue->last->len += len;
  owner->queued += len;
  return 0;
}

int fcgi__output_record(fcgi__output *queue, const fcgi_allocator *allocator,
                        fcgi__exchange *owner, uint8_t type,
                        const uint8_t *content, size_t len) {
  uint8_t record[FCGI_RECORD_HEADER + RECORD_MAX];
  put_header(record, owner->id, type, len, 0);
  if (len > 0)
    memcpy(record + FCGI_RECORD_HEADER, content, len);
  return fcgi__output_records(queue, allocator, owner, record,
                              FCGI_RECORD_HEADER + len);
}

fcgi__item *fcgi__output_take(fcgi__output *queue) {
  fcgi__item *item = queue->first;
  if (!item)
    return NULL;
  if (item == queue->last) {
    close_record(queue);
    queue->last = NULL;
  }
  queue->first = item->next;
  item->next = NULL;
  return item;
}

/* Whatever is unsent becomes plain bytes: the rest of the header, of the
   content, and the padding. */
int fcgi__item_keep(fcgi__item **link, const fcgi_allocator *allocator) {
  fcgi__item *lent = *link, *copy;
  struct iovec rest[3];
  int file, count;
  if (lent->kind != FCGI__ITEM_LENT)
    return 0;
  copy = fcgi__item_new(allocator, fcgi__item_size(lent) - lent->sent);
  if (!copy)
    return FCGI_ERR_NOMEM;
  count = fcgi__item_slices(lent, rest, 3, &file);
  for (int i = 0; i < count; i++) {
    memcpy(copy->bytes + copy->len, rest[i].iov_base, rest[i].iov_len);
    copy->len += rest[i].iov_len;
  }
  copy->owner = lent->owner;
  *copy->owner->memory += fcgi__item_held(copy);
  copy->next = lent->next;
  copy->kept = 1;
  copy->offset = fcgi__item_unsent(lent);
  if (lent->sent < FCGI_RECORD_HEADER)
    copy->pad = (uint8_t)(FCGI_RECORD_HEADER - lent->sent);
  *link = copy;
  fcgi__item_free(lent, allocator);
  return 0;
}

static const uint8_t padding[ALIGN];

/* Add the part of [data, data + len) beyond the first `*skip` bytes. */
static int add_slice(struct iovec *iov, const void *data, size_t len,
                     size_t *skip) {
  size_t from = min_size(len, *skip);
  *skip -= from;
  if (from == len)
    return 0;
  iov->iov_base = (void *)((uintptr_t)data + from);
  iov->iov_len = len - from;
  return 1;
}

int fcgi__item_slices(fcgi__item *item, struct iovec *iov, int room,
                      int *file) {
  size_t skip = item->sent;
  int count = 0;
  *file = 0;
  if (item->kind == FCGI__ITEM_BYTES)
    return room < 1 ? 0 : add_slice(iov, item->bytes, item->len, &skip);
  if (room < 3)
    return 0;
  count += add_slice(iov, item->header, FCGI_RECORD_HEADER, &skip);
  if (item->kind == FCGI__ITEM_FILE) {
    if (skip < item->len) {
      *file = 1;
      return count;
    }
    skip -= item->len;
  } else {
    count += add_slice(iov + count, item->data, item->len, &skip);
  }
  return count + add_slice(iov + count, padding, item->pad, &skip);
}
