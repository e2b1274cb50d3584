/* SPDX-License-Identifier: MIT */
/* What is said to who errs in an option. */
#include "tool.h"
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST = 32 };

static size_t least(size_t a, size_t b, size_t c) {
  size_t two = a < b ? a : b;
  return two < c ? two : c;
}

/* How many letters must change to turn one into the other (Levenshtein). */
static size_t distance(const char *a, size_t len, const char *b) {
  size_t row[LONGEST + 1], width = strlen(b);
  if (len > LONGEST || width > LONGEST)
    return LONGEST;
  for (size_t j = 0; j <= width; j++)
    row[j] = j;
  for (size_t i = 1; i <= len; i++) {
    size_t corner = row[0];
    row[0] = i;
    for (size_t j = 1; j <= width; j++) {
      size_t above = row[j], change = corner + (a[i - 1] != b[j - 1]);
      row[j] = least(above + 1, row[j - 1] + 1, change);
      corner = above;
    }
  }
  return row[width];
}

/* Who errs in a letter seldom errs in the first. What begins so is meant, and
   is then not the only one. */
const char *tool_nearest(const char *name, size_t len, const void *table,
                         size_t stride) {
  const char *best = NULL, *row = table, *found;
  size_t smallest = len / 3 + 2;
  for (; (found = *(const char *const *)(const void *)row); row += stride) {
    const char *bare = found + strspn(found, "-");
    size_t far = strncmp(bare, name, len) == 0 ? 0 : distance(name, len, bare);
    if (far < smallest && *bare == *name && *bare) {
      best = found;
      smallest = far;
    }
  }
  return best;
}

static int is_option(const char *word) {
  const char *name = word + (word[0] == '-' && word[1] == '-' ? 2 : 1);
  return word[0] == '-' && (!*name || isalpha((unsigned char)*name)) &&
         word[1] && !word[strcspn(word, " \t\r\n")];
}

/* One word back, the one that needs a value is the last that was taken. */
int tool_next_option(int argc, char *const *argv, const char *letters,
                     const struct option *options) {
  int found = getopt_long(argc, argv, letters, options, NULL);
  if (found == -1 || found == '?' || !optarg || optarg != argv[optind - 1] ||
      !is_option(optarg))
    return found;
  optind--;
  return ':';
}

static int complain_of_name(const char *command, const char *word,
                            const struct option *options) {
  const char *name = word + strspn(word, "-"), *near;
  size_t len = strcspn(name, "=");
  near = tool_nearest(name, len, options, sizeof *options);
  if (near)
    return tool_complain(TOOL_USAGE, "%s: no option %s; did you mean --%s?",
                         command, word, near);
  return tool_complain(TOOL_USAGE, "%s: no option %s; see fcgi %s --help",
                       command, word, command);
}

/* A flag that was given a value, or NULL: getopt_long then has its letter. */
static const char *flag_of(const char *word, const struct option *options) {
  size_t len = strcspn(word, "=");
  for (; options->name && len > 2; options++)
    if (word[len] && options->has_arg == no_argument &&
        options->val == optopt && strncmp(word, "--", 2) == 0 &&
        strncmp(options->name, word + 2, len - 2) == 0)
      return options->name;
  return NULL;
}

/* A long option that is not known has no letter; of short ones in one word,
   the word may not be the last that was taken. */
int tool_bad_option(const char *command, int found, char *const *argv,
                    const struct option *options) {
  const char *word = argv[optind - 1], *flag = flag_of(word, options);
  if (found == ':')
    return tool_complain(TOOL_USAGE, "%s: %s needs a value; see fcgi %s --help",
                         command, word, command);
  if (optopt == 0)
    return complain_of_name(command, word, options);
  if (flag)
    return tool_complain(TOOL_USAGE, "%s: --%s takes no value", command, flag);
  return tool_complain(TOOL_USAGE, "%s: no option -%c; see fcgi %s --help",
                       command, optopt, command);
}
