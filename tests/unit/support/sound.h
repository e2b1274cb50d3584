/* SPDX-License-Identifier: MIT */
/* Whether the memory of a shared dictionary is in order. */
#ifndef UNIT_SUPPORT_SOUND_H
#define UNIT_SUPPORT_SOUND_H

#include "shared/layout.h"

/* Every block is in one chain, every entry in its bucket and once in the order
   of use, and every count is right: NULL, or what is wrong. Nobody may change
   it meanwhile. */
const char *unit_unsound(const fcgi_shared *d);

/* A dictionary of that many bytes for this process alone, or an abort. */
fcgi_shared *unit_shared(size_t size);

#endif
