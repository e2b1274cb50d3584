/* SPDX-License-Identifier: MIT */
#include "support/lines.h"

#include <stdio.h>
#include <string.h>

static void keep(fcgi_log_level level, const char *line, void *data) {
  log_lines *l = data;
  size_t len;
  (void)level;
  pthread_mutex_lock(&l->lock);
  len = strlen(l->text);
  snprintf(l->text + len, sizeof l->text - len, "%s\n", line);
  pthread_mutex_unlock(&l->lock);
}

void lines_begin(log_lines *l, fcgi_server_config *config) {
  *l = (log_lines){.lock = PTHREAD_MUTEX_INITIALIZER};
  config->log = keep;
  config->log_data = l;
}

const char *lines_text(log_lines *l) {
  pthread_mutex_lock(&l->lock);
  memcpy(l->copy, l->text, sizeof l->copy);
  pthread_mutex_unlock(&l->lock);
  return l->copy;
}

unsigned lines_count(log_lines *l, const char *part) {
  const char *line = lines_text(l), *end;
  unsigned count = 0;
  for (; (end = strchr(line, '\n')); line = end + 1) {
    const char *at = strstr(line, part);
    count += at && at <= end;
  }
  return count;
}

void lines_forget(log_lines *l) {
  pthread_mutex_lock(&l->lock);
  l->text[0] = '\0';
  pthread_mutex_unlock(&l->lock);
}
