/* SPDX-License-Identifier: MIT */
/* fcgi dump: a captured byte stream as lines, one a record. */
#include "tool.h"
#include <errno.h>
#include <fastcgi/pairs.h>
#include <fastcgi/record.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  BRIEF = 64, /* Bytes of a stream's record that are shown without --all. */
  RECORD_MAX = FCGI_RECORD_HEADER + FCGI_RECORD_CONTENT + 255,
  IDS = 65536
};

/* Pairs that go over several records. */
typedef struct pair_line {
  fcgi_pairs pairs; /* The decoder. */
  int in_value;     /* 1: the next byte goes on with a value. */
} pair_line;

/* The stream being read. */
typedef struct dump {
  FILE *in;          /* Where it comes from. */
  uint64_t offset;   /* Of `bytes` in it. */
  size_t len;        /* Bytes read and not yet shown. */
  int all;           /* --all */
  int broken;        /* 1: something was no whole record. */
  pair_line *params; /* PARAMS by id. */
  uint8_t bytes[RECORD_MAX];
} dump;

static const char *type_name(uint8_t type) {
  static const char *const names[] = {"type 0",
                                      "BEGIN_REQUEST",
                                      "ABORT_REQUEST",
                                      "END_REQUEST",
                                      "PARAMS",
                                      "STDIN",
                                      "STDOUT",
                                      "STDERR",
                                      "DATA",
                                      "GET_VALUES",
                                      "GET_VALUES_RESULT",
                                      "UNKNOWN_TYPE"};
  return type < sizeof names / sizeof *names ? names[type] : NULL;
}

/* A byte as it stands in a C string. */
static void print_byte(uint8_t byte) {
  static const char plain[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
  const char *found = byte ? strchr(plain, byte) : NULL;
  if (found)
    printf("\\%c", letters[found - plain]);
  else if (byte >= ' ' && byte < 0x7f)
    putchar(byte);
  else
    printf("\\x%02x", byte);
}

static void print_bytes(const uint8_t *data, size_t len) {
  for (size_t i = 0; i < len; i++)
    print_byte(data[i]);
}

/* The bytes in quotes, and how many are not shown. */
static void print_text(const dump *d, const uint8_t *data, size_t len) {
  size_t shown = d->all || len <= BRIEF ? len : BRIEF;
  if (len == 0)
    return;
  fputs(" \"", stdout);
  print_bytes(data, shown);
  putchar('"');
  if (shown < len)
    printf(" and %zu more", len - shown);
}

/* NAME="value" of each pair. One that is cut shows "..." where the rest was or
   will be. */
static void print_pairs(pair_line *line, const uint8_t *data, size_t len) {
  const uint8_t *part;
  size_t part_len;
  fcgi_pairs_part found;
  if (len == 0)
    return;
  if (!fcgi_pairs_complete(&line->pairs))
    fputs(" ...", stdout);
  while ((found = fcgi_pairs_next(&line->pairs, &data, &len, &part,
                                  &part_len)) != FCGI_PAIRS_MORE) {
    if (found == FCGI_PAIRS_LENGTHS)
      putchar(' ');
    if ((found == FCGI_PAIRS_VALUE || found == FCGI_PAIRS_END) &&
        !line->in_value)
      fputs("=\"", stdout);
    if (found == FCGI_PAIRS_NAME || found == FCGI_PAIRS_VALUE)
      print_bytes(part, part_len);
    if (found == FCGI_PAIRS_END)
      putchar('"');
    line->in_value = found == FCGI_PAIRS_VALUE;
  }
  if (!fcgi_pairs_complete(&line->pairs))
    fputs("...", stdout);
}

static void print_begin(const dump *d, const uint8_t *body, size_t len) {
  static const char *const roles[] = {"0", "responder", "authorizer", "filter"};
  unsigned role = len >= 3 ? (unsigned)(body[0] << 8 | body[1]) : 0;
  if (len < 3)
    print_text(d, body, len);
  else if (role < 4)
    printf(" role=%s flags=%u", roles[role], body[2]);
  else
    printf(" role=%u flags=%u", role, body[2]);
}

static void print_end(const dump *d, const uint8_t *body, size_t len) {
  static const char *const states[] = {"REQUEST_COMPLETE", "CANT_MPX_CONN",
                                       "OVERLOADED", "UNKNOWN_ROLE"};
  if (len < 5) {
    print_text(d, body, len);
    return;
  }
  printf(" app_status=%lu protocol_status=",
         (unsigned long)body[0] << 24 | (unsigned long)body[1] << 16 |
             (unsigned long)body[2] << 8 | body[3]);
  if (body[4] < 4)
    printf("%s", states[body[4]]);
  else
    printf("%u", body[4]);
}

static void print_params(dump *d, const fcgi_record *record,
                         const uint8_t *content, size_t len) {
  pair_line *line = &d->params[record->id];
  print_pairs(line, content, len);
  if (record->content_len > 0)
    return;
  fputs(fcgi_pairs_complete(&line->pairs) ? " end" : " end inside a pair",
        stdout);
  *line = (pair_line){.in_value = 0};
}

static void print_content(dump *d, const fcgi_record *record,
                          const uint8_t *content, size_t len) {
  pair_line alone = {.in_value = 0};
  switch (record->type) {
  case FCGI_RECORD_BEGIN_REQUEST:
    d->params[record->id] = alone;
    print_begin(d, content, len);
    break;
  case FCGI_RECORD_END_REQUEST:
    print_end(d, content, len);
    break;
  case FCGI_RECORD_PARAMS:
    print_params(d, record, content, len);
    break;
  case FCGI_RECORD_GET_VALUES:
  case FCGI_RECORD_GET_VALUES_RESULT:
    print_pairs(&alone, content, len);
    break;
  case FCGI_RECORD_UNKNOWN_TYPE:
    if (len > 0)
      printf(" type=%u", content[0]);
    break;
  case FCGI_RECORD_STDIN:
  case FCGI_RECORD_STDOUT:
  case FCGI_RECORD_STDERR:
  case FCGI_RECORD_DATA:
    fputs(record->content_len == 0 ? " end" : "", stdout);
    print_text(d, content, len);
    break;
  default:
    print_text(d, content, len);
  }
}

static void fill(dump *d) {
  d->len += fread(d->bytes + d->len, 1, sizeof d->bytes - d->len, d->in);
}

static void drop(dump *d, size_t len) {
  d->len -= len;
  d->offset += len;
  memmove(d->bytes, d->bytes + len, d->len);
}

/* 1 when a record may start here: version, a known type, the reserved byte. */
static int is_header(const uint8_t *bytes) {
  return bytes[0] == FCGI_WIRE_VERSION && bytes[1] > 0 &&
         bytes[1] <= FCGI_RECORD_UNKNOWN_TYPE && bytes[7] == 0;
}

/* Show what no record can start with; go on where one may. */
static void show_garbage(dump *d) {
  size_t len = 1;
  while (len + FCGI_RECORD_HEADER <= d->len && !is_header(d->bytes + len))
    len++;
  if (len + FCGI_RECORD_HEADER > d->len)
    len = d->len;
  d->broken = 1;
  printf("%08llx garbage len=%zu", (unsigned long long)d->offset, len);
  print_text(d, d->bytes, len);
  putchar('\n');
  drop(d, len);
}

static void show_record(dump *d) {
  fcgi_record record;
  size_t whole, content;
  const char *name;
  fcgi_record_decode(&record, d->bytes);
  whole = (size_t)FCGI_RECORD_HEADER + record.content_len + record.padding_len;
  content = d->len - FCGI_RECORD_HEADER;
  if (content > record.content_len)
    content = record.content_len;
  name = type_name(record.type);
  printf("%08llx ", (unsigned long long)d->offset);
  if (name)
    fputs(name, stdout);
  else
    printf("type %u", record.type);
  printf(" id=%u len=%u pad=%u", record.id, record.content_len,
         record.padding_len);
  print_content(d, &record, d->bytes + FCGI_RECORD_HEADER, content);
  if (whole > d->len) {
    printf(" truncated: %zu of %zu bytes", d->len, whole);
    d->broken = 1;
    whole = d->len;
  }
  putchar('\n');
  drop(d, whole);
}

static void show_all(dump *d) {
  for (fill(d); d->len > 0; fill(d)) {
    if (d->len < FCGI_RECORD_HEADER || d->bytes[0] != FCGI_WIRE_VERSION)
      show_garbage(d);
    else
      show_record(d);
  }
}

static int help(void) {
  puts("usage: fcgi dump [--all] [FILE|-]\n"
       "\n"
       "Shows a captured FastCGI byte stream. Each record is one line: its "
       "offset,\n"
       "type, request id, lengths of content and padding, and its content. "
       "Bytes\n"
       "that are no record are shown as garbage.\n"
       "\n"
       "  -a, --all    show the whole content. Default: its first 64 bytes\n"
       "  -h, --help   print this text\n"
       "\n"
       "Exit status:\n"
       "  0  every byte belongs to a record\n"
       "  2  an argument is wrong\n"
       "  3  FILE cannot be read\n"
       "  4  something is garbage, or the last record is cut");
  return TOOL_OK;
}

static int show_file(dump *d, const char *path) {
  int from_stdin = strcmp(path, "-") == 0;
  int failed;
  d->in = from_stdin ? stdin : fopen(path, "rb");
  if (!d->in)
    return tool_complain(TOOL_TRANSPORT, "dump: cannot read %s: %s", path,
                         strerror(errno));
  d->params = tool_realloc(NULL, IDS * sizeof *d->params);
  memset(d->params, 0, IDS * sizeof *d->params);
  show_all(d);
  failed = ferror(d->in);
  free(d->params);
  if (failed)
    tool_complain(0, "dump: cannot read %s: %s", path, strerror(errno));
  if (!from_stdin)
    fclose(d->in);
  if (failed)
    return TOOL_TRANSPORT;
  return d->broken ? TOOL_PROTOCOL : TOOL_OK;
}

int tool_dump(int argc, char **argv) {
  static const struct option options[] = {{"all", no_argument, NULL, 'a'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
  int option, status, all = 0;
  dump *d;
  opterr = 0;
  while ((option = tool_next_option(argc, argv, ":ah", options)) != -1) {
    if (option == 'h')
      return help();
    if (option != 'a')
      return tool_bad_option("dump", option, argv, options);
    all = 1;
  }
  if (argc - optind > 1)
    return tool_complain(TOOL_USAGE, "dump: \"%s\" is one word too many",
                         argv[optind + 1]);
  d = tool_realloc(NULL, sizeof *d);
  memset(d, 0, sizeof *d);
  d->all = all;
  status = show_file(d, optind < argc ? argv[optind] : "-");
  free(d);
  return status;
}
