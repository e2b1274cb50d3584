/* SPDX-License-Identifier: MIT */
#include "support/giving.h"
#include "options/table.h"
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void giving_forget_environment(void) {
  const fcgi_option *option;
  char name[FCGI__OPTION_PATH];
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    fcgi__option_variable(option, name);
    unsetenv(name);
  }
  unsetenv("WEB_CONCURRENCY");
  unsetenv("GATEWAY_INTERFACE");
}

int giving_set_up(void **state) {
  giving *f = calloc(1, sizeof *f);
  giving_forget_environment();
  strcpy(f->path, "/tmp/fastcgi-options-XXXXXX");
  int fd = mkstemp(f->path);
  assert_true(fd >= 0);
  close(fd);
  assert_int_equal(fcgi_options_new(&f->options, FCGI_LAUNCHER_PYTHON), 0);
  *state = f;
  return 0;
}

int giving_tear_down(void **state) {
  giving *f = *state;
  fcgi_options_free(f->options);
  unlink(f->path);
  free(f);
  giving_forget_environment();
  return 0;
}

void giving_write(const giving *f, const char *text, size_t len) {
  FILE *file = fopen(f->path, "we");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, len, file), len);
  fclose(file);
}

int giving_read(giving *f, const char *text) {
  giving_write(f, text, strlen(text));
  return fcgi_options_read_file(f->options, NULL, f->path, NULL);
}
