/* SPDX-License-Identifier: MIT */
/* Numbers as people and other programs write them. */
#ifndef FCGI_BASE_NUMBER_H
#define FCGI_BASE_NUMBER_H

#include <stddef.h>
#include <stdint.h>

/* 1 when `text` is decimal digits and nothing else, however many. */
int fcgi__number_is(const char *text);

/* A whole decimal number from `least` to `most`, digits and nothing else: no
   sign, space, exponent or other base. 0, or -1 with `out` as it was. */
int fcgi__number_parse(const char *text, uint64_t least, uint64_t most,
                       uint64_t *out);

/* The numbers of a text such as "12:3:4", `count` of them, each up to INT_MAX.
   0, or -1 when it is anything else. */
int fcgi__number_list(const char *text, int *out, unsigned count);

/* Seconds such as 30 or 0.25, digits with perhaps a fraction, as milliseconds
   up to `most`; what is more than nothing is at least 1. 0, or -1. */
int fcgi__number_seconds(const char *text, uint64_t most, uint64_t *ms);

/* Bytes such as 4096, 64K, 4M or 1G, from 1 to `most`. 0, or -1 with `out` as
   it was. */
int fcgi__number_bytes(const char *text, uint64_t most, uint64_t *out);

/* 1 when a text is a name: letters, digits, "_", "-" and ".", and fewer bytes
   than `room`. */
int fcgi__name_is(const char *text, size_t room);

/* A name, "=" and bytes from `least` to `most`, such as cache=16M. 0 with the
   name in `name`, of `room` bytes, or -1. */
int fcgi__number_named(const char *text, char *name, size_t room,
                       uint64_t least, uint64_t most, uint64_t *out);

#endif
