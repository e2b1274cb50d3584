/* SPDX-License-Identifier: MIT */
/* Structs that begin with their size, so that later versions may have more. */
#ifndef FCGI_BASE_CONFIG_H
#define FCGI_BASE_CONFIG_H

#include <stddef.h>

/* Copy `given`, a struct whose first member is its size_t size, over `ours`, of
   `size` bytes, and set that size; NULL leaves `ours` as it is. A smaller one
   leaves the rest of `ours`; of a larger one every byte that we do not know
   must be 0. FCGI_ERR_INVALID otherwise, and below `least` bytes. */
int fcgi__config_copy(void *ours, size_t size, size_t least, const void *given);

#endif
