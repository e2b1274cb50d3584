/* SPDX-License-Identifier: MIT */
/* Specification 3.4: two lengths of 1 or 4 bytes each, the name, the value. */
#include "wire/pairs.h"
#include <string.h>

enum {
  NAME_LENGTH = 0,  /* Zero-initialised starts here. */
  VALUE_LENGTH = 1, /* The name's length is known. */
  NAME = 2,         /* `left` bytes of the name are to come. */
  VALUE = 3         /* `left` bytes of the value are to come. */
};

static const uint32_t longest = 0x7fffffff; /* The high bit marks 4 bytes. */

/* Read on in a length that may arrive byte by byte: 1 when it is whole. */
static int read_length(fcgi_pairs *pairs, uint32_t *length,
                       const uint8_t **data, size_t *len) {
  while (*len > 0) {
    uint8_t byte = **data;
    *data += 1;
    *len -= 1;
    if (pairs->length_at == 0) {
      *length = byte & 0x7fu;
      if (byte < 0x80)
        return 1;
    } else {
      *length = *length << 8 | byte;
    }
    if (++pairs->length_at == 4) {
      pairs->length_at = 0;
      return 1;
    }
  }
  return 0;
}

/* Read both lengths, which may take several calls: 1 when they are whole. */
static int read_lengths(fcgi_pairs *pairs, const uint8_t **data, size_t *len) {
  if (pairs->state == NAME_LENGTH) {
    if (!read_length(pairs, &pairs->name_len, data, len))
      return 0;
    pairs->state = VALUE_LENGTH;
  }
  return read_length(pairs, &pairs->value_len, data, len);
}

/* Lend what the input has of the current part. */
static void take(fcgi_pairs *pairs, const uint8_t **data, size_t *len,
                 const uint8_t **part_data, size_t *part_len) {
  size_t part = *len < pairs->left ? *len : pairs->left;
  *part_data = *data;
  *part_len = part;
  *data += part;
  *len -= part;
  pairs->left -= (uint32_t)part;
}

fcgi_pairs_part fcgi_pairs_next(fcgi_pairs *pairs, const uint8_t **data,
                                size_t *len, const uint8_t **part_data,
                                size_t *part_len) {
  if (pairs->state <= VALUE_LENGTH) {
    if (!read_lengths(pairs, data, len))
      return FCGI_PAIRS_MORE;
    pairs->state = NAME;
    pairs->left = pairs->name_len;
    return FCGI_PAIRS_LENGTHS;
  }
  if (pairs->left == 0 && pairs->state == NAME) {
    pairs->state = VALUE;
    pairs->left = pairs->value_len;
  }
  if (pairs->left == 0) {
    pairs->state = NAME_LENGTH;
    return FCGI_PAIRS_END;
  }
  if (*len == 0)
    return FCGI_PAIRS_MORE;
  take(pairs, data, len, part_data, part_len);
  return pairs->state == NAME ? FCGI_PAIRS_NAME : FCGI_PAIRS_VALUE;
}

/* A length of 4 bytes whose first is at `in`. */
static uint32_t long_length(const uint8_t *in) {
  return (uint32_t)(in[0] & 0x7f) << 24 | (uint32_t)in[1] << 16 |
         (uint32_t)in[2] << 8 | in[3];
}

int fcgi__pairs_between(const fcgi_pairs *pairs) {
  return pairs->state == NAME_LENGTH && pairs->length_at == 0;
}

size_t fcgi__pair_peek_any(const uint8_t *in, size_t len,
                           fcgi__pair_lengths *out) {
  size_t name = len > 0 && in[0] & 0x80 ? 4 : 1, lengths;
  if (len <= name)
    return 0;
  lengths = name + (in[name] & 0x80 ? 4 : 1);
  if (len < lengths)
    return 0;
  out->name = name == 1 ? in[0] : long_length(in);
  out->value = lengths - name == 1 ? in[name] : long_length(in + name);
  return (uint64_t)out->name + out->value > len - lengths ? 0 : lengths;
}

int fcgi_pairs_complete(const fcgi_pairs *pairs) {
  if (pairs->state == NAME_LENGTH)
    return pairs->length_at == 0;
  if (pairs->state == VALUE_LENGTH || pairs->left > 0)
    return 0;
  /* Every byte is in; END was not asked for yet. */
  return pairs->state == VALUE || pairs->value_len == 0;
}

size_t fcgi_pair_size(size_t name_len, size_t value_len) {
  if (name_len > longest || value_len > longest)
    return 0;
  size_t lengths = (name_len < 0x80 ? 1u : 4u) + (value_len < 0x80 ? 1u : 4u);
#if SIZE_MAX <= UINT32_MAX
  if (name_len + value_len > SIZE_MAX - lengths)
    return 0;
#endif
  return lengths + name_len + value_len;
}

uint8_t *fcgi__pair_put_length(uint8_t *out, size_t length) {
  if (length < 0x80) {
    *out = (uint8_t)length;
    return out + 1;
  }
  out[0] = (uint8_t)(length >> 24 | 0x80);
  out[1] = (uint8_t)(length >> 16);
  out[2] = (uint8_t)(length >> 8);
  out[3] = (uint8_t)length;
  return out + 4;
}

/* memcpy from NULL is undefined even for 0 bytes. */
static uint8_t *write_bytes(uint8_t *out, const void *data, size_t len) {
  if (len > 0)
    memcpy(out, data, len);
  return out + len;
}

size_t fcgi_pair_encode(uint8_t *out, const void *name, size_t name_len,
                        const void *value, size_t value_len) {
  uint8_t *end = fcgi__pair_put_length(out, name_len);
  end = fcgi__pair_put_length(end, value_len);
  end = write_bytes(end, name, name_len);
  end = write_bytes(end, value, value_len);
  return (size_t)(end - out);
}
