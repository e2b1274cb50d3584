/* SPDX-License-Identifier: MIT */
/* The rows of resources in a scoreboard. */
#include "board/scoreboard.h"
#include <stdio.h>
#include <string.h>

void fcgi__board_read_text(char *out, size_t size,
                           const _Atomic uint64_t *words) {
  for (size_t i = 0; i < size / sizeof(uint64_t); i++) {
    uint64_t word = atomic_load(&words[i]);
    memcpy(out + i * sizeof word, &word, sizeof word);
  }
  out[size - 1] = '\0';
}

static int is_free(const fcgi__board_row *row) {
  return atomic_load(&row->name[0]) == 0;
}

static int has_name(const fcgi__board_row *row, const char *name) {
  char text[FCGI__BOARD_NAME];
  fcgi__board_read_text(text, sizeof text, row->name);
  return strcmp(text, name) == 0;
}

/* Whoever reads sees no row before its name is whole. */
static void set_name(fcgi__board_row *row, const char *name) {
  char text[FCGI__BOARD_NAME] = "";
  snprintf(text, sizeof text, "%s", name);
  for (size_t i = FCGI__NAME_WORDS; i-- > 0;) {
    uint64_t word;
    memcpy(&word, text + i * sizeof word, sizeof word);
    atomic_store(&row->name[i], word);
  }
}

fcgi__board_row *fcgi__board_row_of(fcgi__board_row rows[FCGI__BOARD_ROWS],
                                    const char *name) {
  char text[FCGI__BOARD_NAME];
  unsigned at = 0;
  snprintf(text, sizeof text, "%s", *name ? name : "?");
  while (at < FCGI__BOARD_ROWS - 1 && !is_free(&rows[at]) &&
         !has_name(&rows[at], text))
    at++;
  if (is_free(&rows[at]))
    set_name(&rows[at], at == FCGI__BOARD_ROWS - 1 ? "others" : text);
  return &rows[at];
}

static void move_row(fcgi__board_row *to, fcgi__board_row *from) {
  for (unsigned i = 0; i < FCGI__ROW_COUNTS; i++)
    if (i >= FCGI__ROW_METRICS || !fcgi__metric_is_gauge(FCGI__ROW_FIRST + i))
      atomic_fetch_add(&to->counts[i], atomic_exchange(&from->counts[i], 0));
}

/* The slot is emptied when another worker takes it. */
void fcgi__board_move_rows(fcgi__board_row to[FCGI__BOARD_ROWS],
                           fcgi__board_row from[FCGI__BOARD_ROWS]) {
  for (unsigned i = 0; i < FCGI__BOARD_ROWS && !is_free(&from[i]); i++) {
    char name[FCGI__BOARD_NAME];
    fcgi__board_read_text(name, sizeof name, from[i].name);
    move_row(fcgi__board_row_of(to, name), &from[i]);
  }
}
