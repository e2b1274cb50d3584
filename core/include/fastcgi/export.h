/* SPDX-License-Identifier: MIT */
/* Marks what the library exports; everything else is hidden. */
#ifndef FASTCGI_EXPORT_H
#define FASTCGI_EXPORT_H

#ifdef FCGI_INSIDE /* A module that has the library inside exports none. */
#define FCGI_EXPORT __attribute__((visibility("hidden")))
#elif defined(__cplusplus)
#define FCGI_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define FCGI_EXPORT __attribute__((visibility("default")))
#endif

#endif
