/* SPDX-License-Identifier: MIT */
/* The formats of the access log: a text with atoms becomes a list of parts. */
#include "observe/access.h"
#include <fastcgi/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* How the name of an atom is looked up. */
typedef enum naming {
  NAMING_NONE,    /* It has none. */
  NAMING_FIXED,   /* The table says which parameter. */
  NAMING_REQUEST, /* A header of the request. */
  NAMING_AS_GIVEN /* A parameter, or a header of the answer. */
} naming;

static const struct atom {
  char letter;       /* After %( and ). */
  naming how;        /* What it is of. */
  const char *param; /* NAMING_FIXED: which. */
  void (*put)(fcgi__log_text *line, const fcgi__access_part *part,
              const fcgi__access_view *view); /* Writes it. */
} atoms[] = {
    {'h', NAMING_FIXED, "REMOTE_ADDR", fcgi__access_put_param},
    {'l', NAMING_NONE, NULL, fcgi__access_put_dash},
    {'u', NAMING_FIXED, "REMOTE_USER", fcgi__access_put_param},
    {'t', NAMING_NONE, NULL, fcgi__access_put_time},
    {'r', NAMING_NONE, NULL, fcgi__access_put_request_line},
    {'m', NAMING_FIXED, "REQUEST_METHOD", fcgi__access_put_param},
    {'U', NAMING_NONE, NULL, fcgi__access_put_path},
    {'q', NAMING_FIXED, "QUERY_STRING", fcgi__access_put_query},
    {'H', NAMING_FIXED, "SERVER_PROTOCOL", fcgi__access_put_param},
    {'s', NAMING_NONE, NULL, fcgi__access_put_status},
    {'B', NAMING_NONE, NULL, fcgi__access_put_bytes},
    {'b', NAMING_NONE, NULL, fcgi__access_put_bytes_clf},
    {'f', NAMING_FIXED, "HTTP_REFERER", fcgi__access_put_param},
    {'a', NAMING_FIXED, "HTTP_USER_AGENT", fcgi__access_put_param},
    {'T', NAMING_NONE, NULL, fcgi__access_put_seconds},
    {'M', NAMING_NONE, NULL, fcgi__access_put_milliseconds},
    {'D', NAMING_NONE, NULL, fcgi__access_put_microseconds},
    {'L', NAMING_NONE, NULL, fcgi__access_put_decimal},
    {'p', NAMING_NONE, NULL, fcgi__access_put_pid},
};

static const struct atom named_atoms[] = {
    {'i', NAMING_REQUEST, NULL, fcgi__access_put_param},
    {'o', NAMING_AS_GIVEN, NULL, fcgi__access_put_header},
    {'e', NAMING_AS_GIVEN, NULL, fcgi__access_put_param},
};

#define COMMON "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s"

static const struct {
  const char *name; /* What it is called. */
  const char *text; /* The format; NULL: JSON. */
} known[] = {{"common", COMMON},
             {"combined", COMMON " \"%(f)s\" \"%(a)s\""},
             {"json", NULL}};

#define COUNT(table) (sizeof(table) / sizeof *(table))

typedef struct reader {
  fcgi__access_format *out; /* What is made. */
  const char *at;           /* The next character. */
  char *names;              /* Where the next name goes. */
  int has_atom;             /* 1: one was found. */
} reader;

__attribute__((format(printf, 2, 3))) static int
refuse(const reader *from, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(from->out->problem, sizeof from->out->problem, format, arguments);
  va_end(arguments);
  return FCGI_ERR_INVALID;
}

/* A part whose name is still empty; names follow each other, with a NUL. */
static fcgi__access_part *add(reader *to, const struct atom *what) {
  fcgi__access_part *part = &to->out->parts[to->out->count++];
  *part = (fcgi__access_part){.put = what ? what->put : fcgi__access_put_text,
                              .name = to->names};
  return part;
}

static void name_it(reader *to, fcgi__access_part *part, const char *text,
                    size_t len) {
  memcpy(to->names, text, len);
  to->names += len;
  *to->names = '\0';
  part->name_len += len;
}

/* The parameter that a header of the request comes in (RFC 3875, 4.1.18). */
static void name_header(reader *to, fcgi__access_part *part, const char *text,
                        size_t len) {
  int own = (len == 12 && strncasecmp(text, "Content-Type", len) == 0) ||
            (len == 14 && strncasecmp(text, "Content-Length", len) == 0);
  if (!own)
    name_it(to, part, "HTTP_", 5);
  for (size_t i = 0; i < len; i++) {
    char at = text[i] == '-' ? '_' : text[i];
    if (at >= 'a' && at <= 'z')
      at = (char)(at - 'a' + 'A');
    name_it(to, part, &at, 1);
  }
}

static int add_atom(reader *from, const struct atom *table, size_t count,
                    char letter, const char *name, size_t len) {
  for (size_t i = 0; i < count; i++) {
    fcgi__access_part *part;
    if (table[i].letter != letter)
      continue;
    part = add(from, &table[i]);
    if (table[i].how == NAMING_REQUEST)
      name_header(from, part, name, len);
    else if (table[i].how == NAMING_AS_GIVEN)
      name_it(from, part, name, len);
    else if (table[i].how == NAMING_FIXED)
      name_it(from, part, table[i].param, strlen(table[i].param));
    from->names++;
    from->has_atom = 1;
    return 0;
  }
  return FCGI_ERR_INVALID;
}

/* "%(h)s", or "%({name}i)s". */
static int read_atom(reader *from) {
  const char *begin = from->at, *name = begin + 2, *end;
  size_t len = 0;
  int error = FCGI_ERR_INVALID;
  if (begin[1] != '(' || !(end = strstr(begin, ")s")))
    return refuse(
        from, "\"%.40s\" begins no atom; write %%%% for a percent sign", begin);
  if (*name == '{') {
    name++;
    len = strcspn(name, "}");
    if (name + len + 2 == end && len > 0)
      error = add_atom(from, named_atoms, COUNT(named_atoms), name[len + 1],
                       name, len);
  } else if (name + 1 == end) {
    error = add_atom(from, atoms, COUNT(atoms), *name, "", 0);
  }
  if (error)
    return refuse(from,
                  "there is no atom \"%.*s\"; known are %%(X)s with X of "
                  "hlutrmUqHsBbfaTMDLp, %%({NAME}i)s, %%({NAME}o)s and "
                  "%%({NAME}e)s",
                  (int)(end + 2 - begin < 40 ? end + 2 - begin : 40), begin);
  from->at = end + 2;
  return 0;
}

static void read_text(reader *from) {
  fcgi__access_part *part = add(from, NULL);
  while (*from->at && (*from->at != '%' || from->at[1] == '%')) {
    name_it(from, part, from->at, 1);
    from->at += *from->at == '%' ? 2 : 1;
  }
  from->names++;
}

static int read_all(reader *from, const char *text) {
  int error = 0;
  while (*from->at && !error)
    if (*from->at == '%' && from->at[1] != '%')
      error = read_atom(from);
    else
      read_text(from);
  if (error || from->has_atom)
    return error;
  return refuse(from,
                "\"%.60s\" is neither common, combined nor json, and has no "
                "atom such as %%(h)s",
                text);
}

/* Each part takes three characters of the text at least, but for one of text,
   after which no other one comes; a name is at most 20 longer than its atom. */
static int make_room(reader *from, const fcgi_allocator *allocator) {
  size_t len = strlen(from->at), most = len + 2;
  fcgi__access_format *out = from->out;
  out->parts = fcgi__calloc(allocator, most * sizeof *out->parts);
  out->names = fcgi__calloc(allocator, len + most * 20);
  from->names = out->names;
  return out->parts && out->names ? 0 : FCGI_ERR_NOMEM;
}

int fcgi__access_parse(fcgi__access_format *out,
                       const fcgi_allocator *allocator, const char *text) {
  reader from = {.out = out, .at = text ? text : "combined"};
  static const struct atom json = {.put = fcgi__access_put_json};
  int is_json = 0, error;
  *out = (fcgi__access_format){.count = 0};
  for (size_t i = 0; i < COUNT(known); i++)
    if (strcmp(from.at, known[i].name) == 0) {
      from.at = known[i].text ? known[i].text : "";
      is_json = !known[i].text;
      break;
    }
  error = make_room(&from, allocator);
  if (!error && is_json)
    add(&from, &json);
  else if (!error)
    error = read_all(&from, text);
  return error;
}

void fcgi__access_clear(fcgi__access_format *format,
                        const fcgi_allocator *allocator) {
  fcgi__free(allocator, format->parts);
  fcgi__free(allocator, format->names);
  *format = (fcgi__access_format){.count = 0};
}

void fcgi__access_line(fcgi__log_text *line, const fcgi__access_format *format,
                       const fcgi__access_view *view) {
  for (size_t i = 0; i < format->count; i++)
    format->parts[i].put(line, &format->parts[i], view);
}
