/* SPDX-License-Identifier: MIT */
/* Options of a launcher, without any in the environment. */
#ifndef UNIT_SUPPORT_GIVING_H
#define UNIT_SUPPORT_GIVING_H

#include <fastcgi/options.h>

typedef struct giving {
  fcgi_options *options; /* Of the launcher of Python. */
  char path[64];         /* A file that goes at the end. */
} giving;

/* For cmocka: `*state` becomes a giving, and goes. */
int giving_set_up(void **state);
int giving_tear_down(void **state);

/* Unset every variable that means an option. */
void giving_forget_environment(void);

/* Make the file hold this; and read it as options. */
void giving_write(const giving *f, const char *text, size_t len);
int giving_read(giving *f, const char *text);

/* The words of a command line, for fcgi_options_read_words. */
#define WORDS(...)                                                             \
  sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]) {   \
    __VA_ARGS__                                                                \
  }

#define GIVING_TEST(name)                                                      \
  cmocka_unit_test_setup_teardown(name, giving_set_up, giving_tear_down)

#endif
