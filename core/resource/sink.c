/* SPDX-License-Identifier: MIT */
#include "resource/sink.h"
#include "os/sealed.h"
#include <stdlib.h>
#include <sys/mman.h>

fcgi__sink *fcgi__sink_new(int fd, size_t least) {
  fcgi__sink *sink = malloc(sizeof *sink);
  if (!sink)
    return NULL;
  if (fd < 0 || fcgi__sealed_map(fd, least, &sink->memory, &sink->size)) {
    free(sink);
    return NULL;
  }
  atomic_init(&sink->users, 1);
  return sink;
}

fcgi__sink *fcgi__sink_hold(fcgi__sink *sink) {
  if (sink)
    atomic_fetch_add(&sink->users, 1);
  return sink;
}

void fcgi__sink_release(fcgi__sink *sink) {
  if (!sink || atomic_fetch_sub(&sink->users, 1) > 1)
    return;
  munmap(sink->memory, sink->size);
  free(sink);
}
