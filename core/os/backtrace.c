/* SPDX-License-Identifier: MIT */
#include "os/backtrace.h"

#ifndef __linux__

void fcgi__backtrace(long thread_id, char *out, size_t len) {
  (void)thread_id;
  (void)len;
  out[0] = '\0';
}

void fcgi__backtrace_place(const void *address, char *out, size_t len) {
  (void)address;
  (void)len;
  out[0] = '\0';
}

#else

#include "os/symbols.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
  FRAMES = 24,    /* More of one stack are left out. */
  MAPPINGS = 128, /* Of code. */
  WORDS = 512,    /* Of the stack, read at once. */
  STACK_MOST = 1 << 18
};

typedef struct mapping {
  uintptr_t start; /* Its first address. */
  uintptr_t end;   /* The one behind it. */
  uint64_t offset; /* Where in its file it begins. */
  char path[160];  /* That file. */
} mapping;

typedef struct frame {
  char name[FCGI__SYMBOL]; /* The function, or "". */
  const mapping *code;     /* Where it is. */
  uint64_t offset;         /* In its file. */
} frame;

typedef struct search {
  uintptr_t sp;               /* Where the stack begins, */
  uintptr_t end;              /* and ends. */
  uintptr_t pc;               /* What runs. */
  mapping mappings[MAPPINGS]; /* The code there is. */
  size_t mapping_count;       /* How much of that. */
  frame frames[FRAMES];       /* What was found, the innermost first. */
  size_t frame_count;         /* Frames that were found. */
} search;

/* proc(5): a thread that sleeps says where its stack and its code are. */
static int find_thread(search *s, long thread_id) {
  char path[64], line[256] = "";
  FILE *file;
  char *last, *before;
  snprintf(path, sizeof path, "/proc/self/task/%ld/syscall", thread_id);
  file = fopen(path, "re");
  if (!file)
    return 0;
  if (!fgets(line, sizeof line, file))
    line[0] = '\0';
  fclose(file);
  last = strrchr(line, ' ');
  if (!last)
    return 0; /* "running". */
  s->pc = (uintptr_t)strtoull(last + 1, NULL, 16);
  *last = '\0';
  before = strrchr(line, ' ');
  s->sp = before ? (uintptr_t)strtoull(before + 1, NULL, 16) : 0;
  return s->sp != 0;
}

static void take_mapping(search *s, const char *line) {
  uintptr_t start, end;
  uint64_t offset;
  char mode[8];
  int at = 0;
  if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s %" SCNx64 " %*s %*s %n",
             &start, &end, mode, &offset, &at) < 4)
    return;
  if (s->sp >= start && s->sp < end)
    s->end = end;
  if (mode[2] != 'x' || s->mapping_count == MAPPINGS || at == 0 ||
      line[at] != '/')
    return;
  s->mappings[s->mapping_count] =
      (mapping){.start = start, .end = end, .offset = offset};
  snprintf(s->mappings[s->mapping_count].path,
           sizeof s->mappings[s->mapping_count].path, "%.*s",
           (int)strcspn(line + at, "\n"), line + at);
  s->mapping_count++;
}

static int find_mappings(search *s) {
  char line[512];
  FILE *file = fopen("/proc/self/maps", "re");
  if (!file)
    return 0;
  while (fgets(line, sizeof line, file))
    take_mapping(s, line);
  fclose(file);
  if (s->end > s->sp + STACK_MOST)
    s->end = s->sp + STACK_MOST;
  return s->end > s->sp;
}

/* Through the kernel: what has gone meanwhile is an error, and no crash. */
static size_t peek(uintptr_t address, void *data, size_t len) {
  struct iovec to = {data, len};
  struct iovec from = {(void *)address, len};
  ssize_t got = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
  return got > 0 ? (size_t)got : 0;
}

/* 1: a call is right before the address, as far as this machine's code is
   known. */
static int follows_call(uintptr_t address) {
  unsigned char code[8] = {0};
  if (peek(address - 8, code, 8) < 8)
    return 0;
#if defined __x86_64__ || defined __i386__
  return code[3] == 0xe8 || (code[6] == 0xff && (code[7] & 0x38) == 0x10) ||
         (code[5] == 0xff && (code[6] & 0x38) == 0x10) ||
         (code[2] == 0xff && (code[3] & 0x38) == 0x10);
#elif defined __aarch64__ && defined __LITTLE_ENDIAN__
  return (code[7] & 0xfc) == 0x94 || (code[7] == 0xd6 && code[6] == 0x3f);
#else
  return 1;
#endif
}

static const mapping *code_at(const search *s, uintptr_t address) {
  for (size_t i = 0; i < s->mapping_count; i++)
    if (address >= s->mappings[i].start && address < s->mappings[i].end)
      return &s->mappings[i];
  return NULL;
}

/* 1: the word is the address of a function, which a stack has many of. What is
   right before one may well be a call, of something that does not return. */
static int is_function(const mapping *code, uintptr_t word) {
  char name[FCGI__SYMBOL];
  uint64_t into;
  return fcgi__symbol_find(code->path, word - code->start + code->offset, name,
                           &into) &&
         into == 0;
}

static int is_return(const search *s, uintptr_t word) {
  const mapping *code = code_at(s, word);
  return code && follows_call(word) && !is_function(code, word);
}

/* 1: go on. What has called the server's loop is of no interest. */
static int add_frame(search *s, uintptr_t address) {
  const mapping *code = code_at(s, address);
  frame *next = &s->frames[s->frame_count];
  uint64_t into;
  if (!code)
    return 1;
  *next = (frame){.code = code, .offset = address - code->start + code->offset};
  fcgi__symbol_find(code->path, next->offset, next->name, &into);
  if (strncmp(next->name, "fcgi_serve", 10) == 0)
    return 0;
  s->frame_count++;
  return s->frame_count < FRAMES;
}

static void find_frames(search *s) {
  uintptr_t words[WORDS];
  int go_on = add_frame(s, s->pc);
  for (uintptr_t at = s->sp; go_on && at < s->end;) {
    size_t len = s->end - at < sizeof words ? s->end - at : sizeof words;
    size_t count = peek(at, words, len) / sizeof *words;
    if (count == 0)
      return;
    for (size_t i = 0; i < count && go_on; i++)
      if (is_return(s, words[i]))
        go_on = add_frame(s, words[i] - 1);
    at += count * sizeof *words;
  }
}

static const char *base_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* What the program's author has not written. */
static int is_library(const frame *of) {
  static const char *const names[] = {"libc.",      "libc-",      "ld-",
                                      "libpthread", "libfastcgi", NULL};
  const char *base = base_of(of->code->path);
  for (int i = 0; names[i]; i++)
    if (strncmp(base, names[i], strlen(names[i])) == 0)
      return 1;
  return strncmp(of->name, "fcgi_", 5) == 0;
}

static size_t show(const search *s, int library, char *out, size_t len) {
  size_t at = 0;
  for (size_t i = 0; i < s->frame_count && at + 1 < len; i++) {
    const frame *of = &s->frames[i];
    int took;
    if (is_library(of) != library)
      continue;
    if (of->name[0])
      took = snprintf(out + at, len - at, "#%zu %s (%s)\n", i, of->name,
                      base_of(of->code->path));
    else
      took = snprintf(out + at, len - at, "#%zu %s+0x%" PRIx64 "\n", i,
                      base_of(of->code->path), of->offset);
    at += took > 0 ? (size_t)took : 0;
  }
  return at < len ? at : len - 1;
}

void fcgi__backtrace(long thread_id, char *out, size_t len) {
  search *s = calloc(1, sizeof *s);
  out[0] = '\0';
  if (s && find_thread(s, thread_id) && find_mappings(s)) {
    size_t at;
    find_frames(s);
    at = show(s, 0, out, len);
    show(s, 1, out + at, len - at);
  }
  free(s);
}

void fcgi__backtrace_place(const void *address, char *out, size_t len) {
  uintptr_t call = (uintptr_t)address - 1;
  search *s = calloc(1, sizeof *s);
  out[0] = '\0';
  if (s && address) {
    const mapping *code;
    frame of = {.offset = 0};
    uint64_t into;
    find_mappings(s);
    code = code_at(s, call);
    if (code && fcgi__symbol_find(code->path, call - code->start + code->offset,
                                  of.name, &into))
      snprintf(out, len, "%s (%s)", of.name, base_of(code->path));
  }
  free(s);
}

#endif
