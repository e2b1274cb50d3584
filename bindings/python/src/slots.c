/* SPDX-License-Identifier: MIT */
#include "slots.h"

void slots_sources(const slot_table *self, derive_sources *out) {
  memset(out, 0, sizeof *out);
  for (int i = 0; i < DERIVE_READ; i++) {
    const slots_slot *slot = self->source[i];
    if (slot != NULL && slot->turn != 0) {
      out->at[i] = (params_text){slot->value.data, slot->value.len};
      out->string[i] = slot->value.string;
    }
  }
}

static void free_slot(slots_slot *slot) {
  slot->turn = 0;
  text_clear(&slot->value);
  Py_CLEAR(slot->name);
}

void slots_clear(slot_table *self) {
  for (size_t i = 0; i < FCGI_PARAMS_KNOWN; i++)
    free_slot(&self->known[i]);
  for (size_t i = 0; i < self->others; i++)
    free_slot(&self->other[i]);
  memset(self->source, 0, sizeof self->source);
  self->count = self->added = self->others = self->next = 0;
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

static int begin_slot(slot_table *self, core_state *state, slots_slot *slot,
                      const fcgi_param *param) {
  int source = derive_source(param->name, param->name_len);
  text_clear(&slot->value);
  slot->name = params_name(state, param->name, param->name_len);
  slot->source = source;
  slot->is_hidden = params_is_ours(param->name, param->name_len);
  slot->is_ambiguous = is_ambiguous(param);
  if (source >= 0)
    self->source[source] = slot;
  return slot->name == NULL ? -1 : 0;
}

static int is_other(const slots_slot *slot, const fcgi_param *param) {
  return slot->name != NULL &&
         params_equal(slot->name, param->name, param->name_len);
}

/* Mostly they come in the order of the last time. NULL: all are in use. */
static slots_slot *find_other(slot_table *self, const fcgi_param *param) {
  slots_slot *unused = NULL;
  for (size_t i = 0; i < self->others; i++) {
    size_t at = (self->next + i) % self->others;
    if (is_other(&self->other[at], param)) {
      self->next = at + 1;
      return &self->other[at];
    }
    if (self->other[at].name == NULL)
      unused = &self->other[at];
  }
  if (unused == NULL && self->others < SLOTS_OTHERS)
    unused = &self->other[self->others++];
  return unused;
}

static slots_slot *find(slot_table *self, core_state *state, unsigned known,
                        const fcgi_param *param) {
  slots_slot *slot = known != 0 ? &self->known[known] : find_other(self, param);
  if (slot != NULL && slot->name == NULL &&
      begin_slot(self, state, slot, param) < 0)
    return NULL;
  return slot;
}

/* References to a value that the slot and the dict have. A derived key may have
   taken its place in the dict: then who else has it is not known. */
static Py_ssize_t count_refs(const slots_slot *slot, PyObject *dict) {
  enum { UNKNOWN = -1, SLOT = 1, SLOT_AND_DICT = 2 };
  if (slot->turn == 0 || slot->is_hidden)
    return SLOT;
  if (slot->source >= 0 && slot->source < DERIVE_READ &&
      PyDict_GetItemWithError(dict, slot->name) != slot->value.string)
    return UNKNOWN;
  return SLOT_AND_DICT;
}

/* Put it in, where it is new or has another value than last time. */
static int put(slot_table *self, slots_slot *slot, PyObject *dict,
               const fcgi_param *param) {
  int is_new = slot->turn == 0;
  if (is_new) {
    self->present[self->count++] = slot;
    self->added++;
  } else if (text_is(&slot->value, param->value, param->value_len)) {
    slot->turn = self->turn;
    return SLOTS_UPDATED;
  }
  int rc = text_set(&slot->value, count_refs(slot, dict), param->value,
                    param->value_len);
  slot->turn = self->turn;
  if ((rc == 0 || is_new) && !slot->is_hidden)
    rc = PyDict_SetItem(dict, slot->name, slot->value.string);
  if (rc < 0)
    return SLOTS_FAILED;
  return slot->source >= 0 ? SLOTS_DERIVE : SLOTS_UPDATED;
}

static int take(slot_table *self, core_state *state, PyObject *dict,
                unsigned known, const fcgi_param *param) {
  slots_slot *slot = find(self, state, known, param);
  if (slot == NULL)
    return PyErr_Occurred() ? SLOTS_FAILED : SLOTS_UNFIT;
  if (slot->is_ambiguous || (slot->turn == 0 && self->count == SLOTS_PARAMS))
    return SLOTS_UNFIT;
  return put(self, slot, dict, param);
}

/* Take out one that this request has not sent. What is missing is no error:
   deriving takes out a length that is none. */
static int drop(const slot_table *self, slots_slot *slot, PyObject *base,
                PyObject *dict) {
  PyObject *own = PyDict_GetItemWithError(base, slot->name);
  int result = slot->source >= 0 ? SLOTS_DERIVE : SLOTS_UPDATED;
  int failed = 0;
  slot->turn = 0;
  if (own != NULL && !slot->is_hidden)
    failed = PyDict_SetItem(dict, slot->name, own);
  else if (!slot->is_hidden && PyDict_Contains(dict, slot->name) == 1)
    failed = PyDict_DelItem(dict, slot->name);
  if (slot >= self->other && slot < self->other + SLOTS_OTHERS)
    free_slot(slot);
  else
    text_clear(&slot->value);
  return failed < 0 ? SLOTS_FAILED : result;
}

static int drop_absent(slot_table *self, PyObject *base, PyObject *dict) {
  size_t kept = 0;
  int result = SLOTS_UPDATED;
  for (size_t i = 0; i < self->count; i++) {
    slots_slot *slot = self->present[i];
    if (slot->turn == self->turn) {
      self->present[kept++] = slot;
      continue;
    }
    int rc = drop(self, slot, base, dict);
    if (rc < 0)
      return rc;
    result |= rc;
  }
  self->count = kept;
  return result;
}

int slots_update(slot_table *self, core_state *state, PyObject *base,
                 PyObject *dict, const slots_list *list) {
  int result = SLOTS_UPDATED;
  self->turn = self->turn + 1 == 0 ? 1 : self->turn + 1;
  self->next = 0;
  for (size_t i = 0; i < list->count; i++) {
    const fcgi_param *param = &list->at[i];
    slots_slot *slot = &self->known[list->known[i]];
    if (text_is(&slot->value, param->value, param->value_len)) {
      slot->turn = self->turn;
      continue;
    }
    int rc = take(self, state, dict, list->known[i], param);
    if (rc < 0)
      return rc;
    result |= rc;
  }
  if (self->count == list->count)
    return result;
  int rc = drop_absent(self, base, dict);
  return rc < 0 ? rc : result | rc;
}
