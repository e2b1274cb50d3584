/* SPDX-License-Identifier: MIT */
/* What core/options/file.c relies on in the parser that it compiles in. */
#include "support/unit.h"

#include <stdlib.h>
#include <string.h>

/* Allocations until one fails, of this thread; what is allocated. */
static _Thread_local long until_failure;
static _Thread_local long live;

static void *count_realloc(void *old, size_t size) {
  void *made = until_failure-- == 0 ? NULL : realloc(old, size);
  live += made && !old;
  return made;
}

static void count_free(void *old) {
  live -= old != NULL;
  free(old);
}

#define TOML_EXTERN  static
#define TOML_REALLOC count_realloc
#define TOML_FREE    count_free
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wfloat-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wwrite-strings"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wundef"
#endif
#include "options/vendor/tomlc17/tomlc17.c"
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

static const char document[] =
    "a = 1\nb = [1, 2, [3, 'x']]\nc = {d = 1.5, e = \"\\u00e9\"}\n[t.u]\n"
    "x = '''long\ntext'''\ny = 1979-05-27T07:32:00Z\n[[v]]\nw = true\n[[v]]\n";

enum { MOST_FAILURES = 2000, ROUNDS = 20000 };

/* Whichever allocation fails, the parser says so and nothing leaks. */
static void test_toml_survives_lack_of_memory(void **state) {
  (void)state;
  int fine = 0;
  for (long n = 0; !fine; n++) {
    until_failure = n;
    toml_result_t parsed = toml_parse(document, (int)strlen(document));
    fine = parsed.ok;
    toml_free(parsed);
    assert_int_equal(live, 0);
    assert_true(n < MOST_FAILURES);
  }
}

/* The next number of a sequence that is the same each time. */
static unsigned next(uint64_t *seed) {
  *seed = *seed * UINT64_C(6364136223846793005) + 1;
  return (unsigned)(*seed >> 33);
}

/* Bytes changed, cut and put twice: sanitizers watch, and nothing leaks. */
static void test_toml_survives_hostile_input(void **state) {
  static const char marks[] = "[]{}='\"\\\n.#";
  uint64_t seed = 42;
  (void)state;
  for (int round = 0; round < ROUNDS; round++) {
    size_t len = sizeof document - 1;
    char *text = malloc(len + 1);
    memcpy(text, document, len + 1);
    for (unsigned i = next(&seed) % 8; i > 0; i--)
      text[next(&seed) % len] =
          next(&seed) % 2 ? marks[next(&seed) % 11] : (char)next(&seed);
    len = next(&seed) % 4 ? len : next(&seed) % len;
    text = realloc(text, len + 1);
    text[len] = '\0';
    until_failure = -1;
    toml_result_t parsed = toml_parse(text, (int)len);
    toml_free(parsed);
    assert_int_equal(live, 0);
    free(text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_toml_survives_lack_of_memory),
      cmocka_unit_test(test_toml_survives_hostile_input),
  };
  return cmocka_run_group_tests_name("toml", tests, NULL, NULL);
}
