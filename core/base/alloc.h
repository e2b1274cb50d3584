/* SPDX-License-Identifier: MIT */
/* Calls through a program's allocator. */
#ifndef FCGI_BASE_ALLOC_H
#define FCGI_BASE_ALLOC_H

#include <fastcgi/alloc.h>

/* The allocator to use for `wanted`: itself, or the C library's where its
   function is NULL. */
fcgi_allocator fcgi__allocator(const fcgi_allocator *wanted);

/* Zeroed memory, or NULL. */
void *fcgi__calloc(const fcgi_allocator *allocator, size_t size);

/* Resized memory, or NULL with `ptr` untouched; `size` is not 0. */
void *fcgi__realloc(const fcgi_allocator *allocator, void *ptr, size_t size);

/* Frees; NULL is fine. */
void fcgi__free(const fcgi_allocator *allocator, void *ptr);

#endif
