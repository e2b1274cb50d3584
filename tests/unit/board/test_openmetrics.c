/* SPDX-License-Identifier: MIT */
/* Each sample for Prometheus belongs to a family that is described before it.
 */
#include "board/scoreboard.h"
#include "board/status.h"
#include "support/unit.h"

#include <fastcgi/status.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 256 };

static int ends_with(const char *text, const char *end) {
  size_t len = strlen(text), part = strlen(end);
  return len >= part && strcmp(text + len - part, end) == 0;
}

/* 1 when a sample of that name can be of the family. */
static int belongs(const char *name, const char *family, const char *kind) {
  static const char *const histogram[] = {"_bucket", "_count", "_sum"};
  char wanted[2 * LINE];
  if (strcmp(kind, "histogram") == 0) {
    for (size_t i = 0; i < 3; i++) {
      snprintf(wanted, sizeof wanted, "%s%s", family, histogram[i]);
      if (strcmp(name, wanted) == 0)
        return 1;
    }
    return 0;
  }
  snprintf(wanted, sizeof wanted, "%s%s", family,
           strcmp(kind, "counter") == 0 ? "_total" : "");
  return strcmp(name, wanted) == 0;
}

/* What the text says of the family that the samples below are of. */
typedef struct described {
  char family[LINE]; /* Name of the current family. */
  char kind[LINE];   /* Type of the current family. */
  int helped;        /* 1: it has a text for people. */
  int families;      /* Number of families. */
  int samples;       /* Number of samples. */
} described;

static void take_line(described *d, const char *line) {
  char name[LINE], rest[LINE] = "";
  if (sscanf(line, "# TYPE %255s %255s", name, rest) == 2) {
    strcpy(d->family, name);
    strcpy(d->kind, rest);
    d->helped = 0;
    d->families++;
  } else if (sscanf(line, "# HELP %255s %255[^\n]", name, rest) == 2) {
    assert_string_equal(name, d->family);
    assert_true(ends_with(rest, "."));
    d->helped = 1;
  } else if (strncmp(line, "# ", 2) != 0) {
    assert_int_equal(sscanf(line, "%255[^{ ]", name), 1);
    if (!belongs(name, d->family, d->kind) || !d->helped)
      fail_msg("\"%s\" is below %s %s", line, d->kind, d->family);
    d->samples++;
  }
}

static void test_each_sample_is_described(void **state) {
  fcgi__board board;
  fcgi_status *status;
  described d = {.families = 0};
  char *text, *rest = NULL;
  size_t len;
  (void)state;
  assert_int_equal(fcgi__board_new(&board, 2), 0);
  assert_int_equal(fcgi__board_take(&board, 1), 0);
  assert_int_equal(fcgi__status_of_board(&status, &board), 0);
  assert_int_equal(
      fcgi_status_render(status, FCGI_STATUS_AS_OPENMETRICS, &text, &len), 0);
  assert_true(ends_with(text, "\n# EOF\n"));
  for (char *line = strtok_r(text, "\n", &rest); line;
       line = strtok_r(NULL, "\n", &rest))
    take_line(&d, line);
  assert_true(d.families >= FCGI_SUPERVISED_EVENTS + 5);
  assert_true(d.samples >= FCGI_METRICS + FCGI_SUPERVISED_EVENTS);
  fcgi_status_text_free(text);
  fcgi_status_free(status);
  fcgi__board_free(&board);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_sample_is_described),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
