/* SPDX-License-Identifier: MIT */
#include "slots.h"

enum { STAYS = 16 }; /* Requests in a row after which it is in the dict. */

static inline size_t number_of(const slot_table *self, const slots_slot *slot) {
  return (size_t)(slot - self->slot);
}

static inline int set_has(const slots_set *set, size_t number) {
  return set->word[number / SLOTS_WORD] >> number % SLOTS_WORD & 1;
}

static inline void set_add(slots_set *set, size_t number) {
  set->word[number / SLOTS_WORD] |= UINT64_C(1) << number % SLOTS_WORD;
}

static inline void set_remove(slots_set *set, size_t number) {
  set->word[number / SLOTS_WORD] &= ~(UINT64_C(1) << number % SLOTS_WORD);
}

/* Take the lowest bit out of a word that has one: its number. */
static inline size_t take_bit(uint64_t *word) {
  size_t number = (size_t)__builtin_ctzll(*word);
  *word &= *word - 1;
  return number;
}

static void free_slot(slots_slot *slot) {
  text_clear(&slot->value);
  Py_CLEAR(slot->name);
}

void slots_clear(slot_table *self) {
  for (size_t i = 0; i < SLOTS_ALL; i++)
    free_slot(&self->slot[i]);
  memset(&self->sent, 0, sizeof self->sent);
  memset(&self->kept, 0, sizeof self->kept);
  memset(&self->sources, 0, sizeof self->sources);
  self->added = self->others = self->next = 0;
}

/* CGI has CONTENT_TYPE and CONTENT_LENGTH instead of the first two, and the
   meaning of the third depends on the request. */
static int is_ambiguous(const fcgi_param *param) {
  static const char *const names[] = {
      "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(param->name, names[i]) == 0)
      return 1;
  return 0;
}

static int begin_slot(core_state *state, PyObject *base, slots_slot *slot,
                      const fcgi_param *param) {
  text_clear(&slot->value);
  slot->name = params_name(state, param->name, param->name_len);
  if (slot->name == NULL)
    return -1;
  slot->source = (signed char)derive_source(param->name, param->name_len);
  slot->streak = 0;
  slot->has_default = PyDict_GetItemWithError(base, slot->name) != NULL;
  slot->is_hidden = (char)params_is_ours(param->name, param->name_len);
  slot->is_ambiguous = (char)is_ambiguous(param);
  return 0;
}

static int is_other(const slots_slot *slot, const fcgi_param *param) {
  return slot->name != NULL &&
         params_equal(slot->name, param->name, param->name_len);
}

/* Mostly they come in the order of the last time. NULL: all are in use. */
static slots_slot *find_other(slot_table *self, const fcgi_param *param) {
  slots_slot *unused = NULL, *other = self->slot + FCGI_PARAMS_KNOWN;
  for (size_t i = 0; i < self->others; i++) {
    size_t at = (self->next + i) % self->others;
    if (is_other(&other[at], param)) {
      self->next = at + 1;
      return &other[at];
    }
    if (other[at].name == NULL)
      unused = &other[at];
  }
  if (unused == NULL && self->others < SLOTS_OTHERS)
    unused = &other[self->others++];
  return unused;
}

static slots_slot *find(slot_table *self, core_state *state, PyObject *base,
                        unsigned known, const fcgi_param *param) {
  slots_slot *slot = known != 0 ? &self->slot[known] : find_other(self, param);
  if (slot != NULL && slot->name == NULL &&
      begin_slot(state, base, slot, param) < 0)
    return NULL;
  return slot;
}

/* References to a value that the slot and the dict have. A derived key may have
   taken its place in the dict: then who else has it is not known. */
static Py_ssize_t count_refs(const slots_slot *slot, PyObject *dict) {
  enum { UNKNOWN = -1, SLOT_AND_DICT = 2 };
  if (slot->source >= 0 && slot->source < DERIVE_READ &&
      PyDict_GetItemWithError(dict, slot->name) != slot->value.string)
    return UNKNOWN;
  return SLOT_AND_DICT;
}

/* The dict that keys are derived in has all that these may replace. */
static int is_fixed(const slots_slot *slot) {
  return slot->source >= 0 && slot->source < DERIVE_READ;
}

static int add(slot_table *self, slots_slot *slot, PyObject *dict) {
  set_add(&self->kept, number_of(self, slot));
  self->added++;
  return PyDict_SetItem(dict, slot->name, slot->value.string);
}

/* Note what was sent of a parameter that other keys are derived from. */
static void note_source(slot_table *self, const slots_slot *slot) {
  self->changed |= 1u << slot->source;
  if (slot->source >= DERIVE_READ)
    return;
  params_text *sent = &self->sources.at[slot->source];
  int is_sent = slot->value.len != TEXT_NONE;
  *sent = (params_text){is_sent ? slot->value.data : NULL,
                        is_sent ? slot->value.len : 0};
  self->sources.string[slot->source] = is_sent ? slot->value.string : NULL;
}

/* The value, which is new or another than last time. */
static int put(slot_table *self, slots_slot *slot, PyObject *dict,
               const fcgi_param *param) {
  int is_kept = set_has(&self->kept, number_of(self, slot));
  int rc = text_set(&slot->value, is_kept ? count_refs(slot, dict) : 1,
                    param->value, param->value_len);
  if (is_kept && rc == 0)
    rc = PyDict_SetItem(dict, slot->name, slot->value.string);
  else if (!is_kept && rc >= 0 && is_fixed(slot))
    rc = add(self, slot, dict);
  if (slot->source >= 0)
    note_source(self, slot);
  return rc < 0 ? SLOTS_FAILED : SLOTS_UPDATED;
}

/* Take a parameter that is not what the slot with its number says. */
static int take(slot_table *self, PyObject *dict, slots_slot *slot,
                const fcgi_param *param, slots_set *now) {
  if (slot == NULL)
    return PyErr_Occurred() ? SLOTS_FAILED : SLOTS_UNFIT;
  if (slot->is_ambiguous)
    return SLOTS_UNFIT;
  set_add(now, number_of(self, slot));
  if (text_is(&slot->value, param->value, param->value_len))
    return SLOTS_UPDATED;
  return put(self, slot, dict, param);
}

/* Take a key out of the dict. What is missing is no error: deriving takes out a
   length that is none. */
static int take_out(slot_table *self, slots_slot *slot, PyObject *base,
                    PyObject *dict) {
  set_remove(&self->kept, number_of(self, slot));
  if (slot->has_default)
    return PyDict_SetItem(dict, slot->name,
                          PyDict_GetItemWithError(base, slot->name));
  if (!is_fixed(slot) || PyDict_Contains(dict, slot->name) == 1)
    return PyDict_DelItem(dict, slot->name);
  return 0;
}

/* This request has not sent it. */
static int drop(slot_table *self, slots_slot *slot, PyObject *base,
                PyObject *dict) {
  int is_kept = set_has(&self->kept, number_of(self, slot));
  int failed = is_kept ? take_out(self, slot, base, dict) : 0;
  slot->streak = 0;
  text_rest(&slot->value);
  if (slot->source >= 0)
    note_source(self, slot);
  if (slot >= self->slot + FCGI_PARAMS_KNOWN)
    free_slot(slot);
  return failed < 0 ? SLOTS_FAILED : SLOTS_UPDATED;
}

static int drop_absent(slot_table *self, PyObject *base, PyObject *dict,
                       const slots_set *now) {
  for (size_t i = 0; i < SLOTS_WORDS; i++) {
    uint64_t absent = self->sent.word[i] & ~now->word[i];
    while (absent != 0) {
      size_t number = i * SLOTS_WORD + take_bit(&absent);
      if (drop(self, &self->slot[number], base, dict) < 0)
        return SLOTS_FAILED;
    }
  }
  return SLOTS_UPDATED;
}

int slots_update(slot_table *self, core_state *state, PyObject *base,
                 PyObject *dict, const slots_list *list) {
  slots_set now = {{0}};
  self->next = 0;
  self->changed = 0;
  for (size_t i = 0; i < list->count; i++) {
    const fcgi_param *param = &list->at[i];
    unsigned known = list->known[i];
    if (text_is(&self->slot[known].value, param->value, param->value_len)) {
      set_add(&now, known);
      continue;
    }
    slots_slot *slot = find(self, state, base, known, param);
    int rc = take(self, dict, slot, param, &now);
    if (rc < 0)
      return rc;
  }
  int rc = drop_absent(self, base, dict, &now);
  self->sent = now;
  return rc;
}

/* Of those that were sent, those that the dict has not. */
static inline uint64_t loose_word(const slot_table *self, size_t i) {
  return self->sent.word[i] & ~self->kept.word[i];
}

size_t slots_loose(const slot_table *self) {
  size_t count = 0;
  for (size_t i = 0; i < SLOTS_WORDS; i++)
    for (uint64_t loose = loose_word(self, i); loose != 0; count++)
      take_bit(&loose);
  return count;
}

static int complete(slot_table *self, slots_slot *slot, PyObject *dict,
                    PyObject *copy) {
  if (slot->is_hidden)
    return 0;
  if (PyDict_SetItem(copy, slot->name, slot->value.string) < 0)
    return -1;
  return ++slot->streak < STAYS ? 0 : add(self, slot, dict);
}

int slots_complete(slot_table *self, PyObject *dict, PyObject *copy) {
  for (size_t i = 0; i < SLOTS_WORDS; i++) {
    uint64_t loose = loose_word(self, i);
    while (loose != 0) {
      size_t number = i * SLOTS_WORD + take_bit(&loose);
      if (complete(self, &self->slot[number], dict, copy) < 0)
        return -1;
    }
  }
  return 0;
}
