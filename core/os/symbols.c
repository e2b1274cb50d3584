/* SPDX-License-Identifier: MIT */
#include "os/symbols.h"

#ifndef __linux__

int fcgi__symbol_find(const char *path, uint64_t offset,
                      char name[FCGI__SYMBOL], uint64_t *into) {
  (void)path;
  (void)offset;
  (void)name;
  (void)into;
  return 0;
}

#else

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

enum { AT_ONCE = 64, SECTIONS = 256, SEGMENTS = 64 };

typedef struct file {
  int fd;          /* The file. */
  ElfW(Ehdr) head; /* Its header. */
} file;

static int read_at(const file *of, void *data, size_t len, uint64_t offset) {
  return pread(of->fd, data, len, (off_t)offset) == (ssize_t)len;
}

static int is_elf(file *of) {
  static const unsigned char mine =
      sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
  return read_at(of, &of->head, sizeof of->head, 0) &&
         memcmp(of->head.e_ident, ELFMAG, SELFMAG) == 0 &&
         of->head.e_ident[EI_CLASS] == mine &&
         of->head.e_phentsize == sizeof(ElfW(Phdr)) &&
         of->head.e_shentsize == sizeof(ElfW(Shdr));
}

/* The address that the file gives to its byte `offset`: 1, or 0. */
static int find_address(const file *of, uint64_t offset, uint64_t *address) {
  ElfW(Phdr) segment;
  for (unsigned i = 0; i < of->head.e_phnum && i < SEGMENTS; i++) {
    if (!read_at(of, &segment, sizeof segment,
                 of->head.e_phoff + i * sizeof segment))
      return 0;
    if (segment.p_type != PT_LOAD || offset < segment.p_offset ||
        offset - segment.p_offset >= segment.p_filesz)
      continue;
    *address = segment.p_vaddr + (offset - segment.p_offset);
    return 1;
  }
  return 0;
}

/* The table of `type`, with that of its names. */
static int find_table(const file *of, unsigned type, ElfW(Shdr) * table,
                      ElfW(Shdr) * names) {
  for (unsigned i = 0; i < of->head.e_shnum && i < SECTIONS; i++) {
    if (!read_at(of, table, sizeof *table,
                 of->head.e_shoff + i * sizeof *table))
      return 0;
    if (table->sh_type == type && table->sh_link < of->head.e_shnum)
      return read_at(of, names, sizeof *names,
                     of->head.e_shoff + table->sh_link * sizeof *names);
  }
  return 0;
}

static int has(const ElfW(Sym) * symbol, uint64_t address) {
  return (symbol->st_info & 0xf) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
         address >= symbol->st_value &&
         address - symbol->st_value < symbol->st_size;
}

static int read_name(const file *of, uint64_t offset, char out[FCGI__SYMBOL]) {
  ssize_t got = pread(of->fd, out, FCGI__SYMBOL - 1, (off_t)offset);
  out[got > 0 ? got : 0] = '\0';
  return out[0] != '\0';
}

static int look_up(const file *of, unsigned type, uint64_t address,
                   char out[FCGI__SYMBOL], uint64_t *into) {
  ElfW(Sym) symbols[AT_ONCE];
  ElfW(Shdr) table, names;
  uint64_t at = 0;
  if (!find_table(of, type, &table, &names))
    return 0;
  while (at < table.sh_size) {
    ssize_t got =
        pread(of->fd, symbols, sizeof symbols, (off_t)(table.sh_offset + at));
    size_t count = got > 0 ? (size_t)got / sizeof *symbols : 0;
    if (count == 0)
      return 0;
    for (size_t i = 0; i < count && at < table.sh_size; i++) {
      *into = address - symbols[i].st_value;
      if (has(&symbols[i], address))
        return read_name(of, names.sh_offset + symbols[i].st_name, out);
      at += sizeof *symbols;
    }
  }
  return 0;
}

int fcgi__symbol_find(const char *path, uint64_t offset,
                      char name[FCGI__SYMBOL], uint64_t *into) {
  file of = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
  uint64_t address;
  int found = 0;
  if (of.fd < 0)
    return 0;
  if (is_elf(&of) && find_address(&of, offset, &address))
    found = look_up(&of, SHT_SYMTAB, address, name, into) ||
            look_up(&of, SHT_DYNSYM, address, name, into);
  close(of.fd);
  return found;
}

#endif
