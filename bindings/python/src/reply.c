/* SPDX-License-Identifier: MIT */
#include "reply.h"
#include <strings.h>

void reply_init(reply *self, int status) {
  self->status = status;
  self->has_length = 0;
  self->bytes_only = 0;
  self->line = 0;
  self->usual = 0;
  self->unsure = 0;
  self->count = 0;
  self->room = REPLY_HEADERS;
  self->headers = self->fixed;
  self->owners = self->fixed_owners;
  self->length = -1;
  self->parts = 0;
}

void reply_clear(reply *self) {
  for (size_t i = 0; i < 2 * self->count; i++)
    Py_XDECREF(self->owners[i]);
  for (int i = 0; i < self->parts; i++)
    PyBuffer_Release(&self->part[i]);
  if (self->headers != self->fixed) {
    PyMem_Free(self->headers);
    PyMem_Free(self->owners);
  }
  reply_init(self, 0);
}

/* Room for one more; what is in `fixed` moves to memory twice as large. */
static int make_room(reply *self) {
  if (self->count < self->room)
    return 0;
  size_t room = 2 * self->room;
  fcgi_header *headers = PyMem_Malloc(room * sizeof *headers);
  PyObject **owners = PyMem_Malloc(2 * room * sizeof *owners);
  if (headers == NULL || owners == NULL) {
    PyMem_Free(headers);
    PyMem_Free(owners);
    PyErr_NoMemory();
    return -1;
  }
  memcpy(headers, self->headers, self->count * sizeof *headers);
  memcpy(owners, self->owners, 2 * self->count * sizeof(PyObject *));
  if (self->headers != self->fixed) {
    PyMem_Free(self->headers);
    PyMem_Free(self->owners);
  }
  self->headers = headers;
  self->owners = owners;
  self->room = room;
  return 0;
}

static const char *text_of(PyObject *text, const char *what, size_t *len) {
  if (!PyUnicode_Check(text)) {
    PyErr_Format(PyExc_TypeError, "a header's %s must be str, not %.100s", what,
                 Py_TYPE(text)->tp_name);
    return NULL;
  }
#if PY_VERSION_HEX < 0x030c0000
  if (PyUnicode_READY(text) < 0)
    return NULL;
#endif
  if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) {
    PyErr_Format(PyExc_ValueError,
                 "a header's %s must be Latin-1 (PEP 3333): %A", what, text);
    return NULL;
  }
  *len = (size_t)PyUnicode_GET_LENGTH(text);
  return (const char *)PyUnicode_1BYTE_DATA(text);
}

static int is_length(const fcgi_header *header) {
  return header->name_len == 14 &&
         strncasecmp(header->name, "Content-Length", 14) == 0;
}

/* Plain digits of a Content-Length, or -1 when it is something else. */
static int64_t parse_length(const fcgi_header *header) {
  int64_t value = 0;
  for (size_t i = 0; i < header->value_len; i++) {
    char digit = header->value[i];
    if (digit < '0' || digit > '9' || i > 17)
      return -1;
    value = value * 10 + (digit - '0');
  }
  return header->value_len > 0 ? value : -1;
}

static void take_length(reply *self, const fcgi_header *header) {
  int64_t length = parse_length(header);
  if (length < 0 || self->has_length)
    self->unsure = 1;
  self->has_length = 1;
  self->length = length;
}

/* The header points into the two objects. */
static int add_pair(reply *self, const fcgi_header *header, PyObject *name,
                    PyObject *value) {
  if (make_room(self) < 0)
    return -1;
  if (is_length(header))
    take_length(self, header);
  self->owners[2 * self->count] = Py_NewRef(name);
  self->owners[2 * self->count + 1] = Py_NewRef(value);
  self->headers[self->count++] = *header;
  return 0;
}

int reply_pair(reply *self, PyObject *name, PyObject *value) {
  fcgi_header header;
  header.name = text_of(name, "name", &header.name_len);
  header.value =
      header.name ? text_of(value, "value", &header.value_len) : NULL;
  return header.value == NULL ? -1 : add_pair(self, &header, name, value);
}

int reply_bytes_pair(reply *self, PyObject *name, PyObject *value) {
  if (!PyBytes_Check(name) || !PyBytes_Check(value)) {
    PyErr_Format(PyExc_TypeError,
                 "a header's name and value must be bytes, not %.100s and "
                 "%.100s",
                 Py_TYPE(name)->tp_name, Py_TYPE(value)->tp_name);
    return -1;
  }
  const fcgi_header header = {
      PyBytes_AS_STRING(name), (size_t)PyBytes_GET_SIZE(name),
      PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value)};
  return add_pair(self, &header, name, value);
}

int reply_header(reply *self, const char *name, const char *value) {
  if (make_room(self) < 0)
    return -1;
  self->owners[2 * self->count] = NULL;
  self->owners[2 * self->count + 1] = NULL;
  self->headers[self->count++] =
      (fcgi_header){name, strlen(name), value, strlen(value)};
  return 0;
}

/* A value in a dict may be a list: one header for each of its items. */
static int add_values(reply *self, PyObject *name, PyObject *values) {
  if (!PyList_Check(values) && !PyTuple_Check(values))
    return reply_pair(self, name, values);
  PyObject *all = PySequence_Tuple(values);
  int failed = all == NULL ? -1 : 0;
  for (Py_ssize_t i = 0; !failed && i < PyTuple_GET_SIZE(all); i++)
    failed = reply_pair(self, name, PyTuple_GET_ITEM(all, i));
  Py_XDECREF(all);
  return failed;
}

static int add_dict(reply *self, PyObject *headers) {
  PyObject *name, *value;
  Py_ssize_t at = 0;
  int failed = 0;
  Py_BEGIN_CRITICAL_SECTION(headers);
  while (!failed && PyDict_Next(headers, &at, &name, &value))
    failed = add_values(self, name, value);
  Py_END_CRITICAL_SECTION();
  return failed;
}

static int add_item(reply *self, PyObject *item) {
  if (PyTuple_Check(item) && PyTuple_GET_SIZE(item) == 2)
    return reply_pair(self, PyTuple_GET_ITEM(item, 0),
                      PyTuple_GET_ITEM(item, 1));
  PyErr_Format(PyExc_TypeError,
               "each header must be a tuple (name, value), not %.100s",
               Py_TYPE(item)->tp_name);
  return -1;
}

static int add_list(reply *self, PyObject *headers) {
  int failed = 0;
  for (Py_ssize_t i = 0; !failed && i < PyList_GET_SIZE(headers); i++) {
    PyObject *item = PyList_GetItemRef(headers, i);
    failed = item == NULL ? -1 : add_item(self, item);
    Py_XDECREF(item);
  }
  return failed;
}

int reply_headers(reply *self, PyObject *headers) {
  if (headers == Py_None)
    return 0;
  if (PyDict_CheckExact(headers))
    return add_dict(self, headers);
  if (PyList_CheckExact(headers))
    return add_list(self, headers);
  PyObject *items = PyMapping_Check(headers) && !PyTuple_Check(headers) &&
                            PyObject_HasAttrString(headers, "items")
                        ? PyMapping_Items(headers)
                        : PySequence_List(headers);
  int failed = items == NULL ? -1 : add_list(self, items);
  Py_XDECREF(items);
  return failed;
}

int reply_block(PyObject *block, Py_buffer *view) {
  if (!PyUnicode_Check(block))
    return PyObject_GetBuffer(block, view, PyBUF_SIMPLE);
  Py_ssize_t len;
  const char *text = PyUnicode_AsUTF8AndSize(block, &len);
  if (text == NULL)
    return -1;
  return PyBuffer_FillInfo(view, block, (void *)(uintptr_t)text, len, 1,
                           PyBUF_SIMPLE);
}

static int add_block(reply *self, PyObject *block) {
  if (self->bytes_only && !PyObject_CheckBuffer(block)) {
    PyErr_Format(PyExc_TypeError,
                 "a WSGI application must yield bytes, not %.100s",
                 Py_TYPE(block)->tp_name);
    return -1;
  }
  if (reply_block(block, &self->part[self->parts]) < 0)
    return -1;
  self->parts++;
  return 1;
}

/* Many blocks in one; str among them is refused, as join says. */
static int add_joined(reply *self, PyObject *blocks) {
  PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
  PyObject *joined =
      empty ? PyObject_CallMethod(empty, "join", "O", blocks) : NULL;
  int rc = joined == NULL ? -1 : add_block(self, joined);
  Py_XDECREF(joined);
  Py_XDECREF(empty);
  return rc;
}

static int add_blocks(reply *self, PyObject *blocks) {
  Py_ssize_t count = PySequence_Fast_GET_SIZE(blocks);
  if (count > REPLY_PARTS)
    return add_joined(self, blocks);
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject *block = PyList_Check(blocks)
                          ? PyList_GetItemRef(blocks, i)
                          : Py_NewRef(PyTuple_GET_ITEM(blocks, i));
    int rc = block == NULL ? -1 : add_block(self, block);
    Py_XDECREF(block);
    if (rc < 0)
      return -1;
  }
  return 1;
}

int reply_body(reply *self, PyObject *body) {
  if (body == Py_None)
    return 1;
  if (PyList_CheckExact(body) || PyTuple_CheckExact(body))
    return add_blocks(self, body);
  if (PyBytes_Check(body) || PyUnicode_Check(body) ||
      PyObject_CheckBuffer(body))
    return add_block(self, body);
  return 0;
}

size_t reply_body_len(const reply *self) {
  size_t len = 0;
  for (int i = 0; i < self->parts; i++)
    len += (size_t)self->part[i].len;
  return len;
}

int reply_length_fits(const reply *self) {
  return !self->has_length ||
         (!self->unsure && self->length == (int64_t)reply_body_len(self));
}

static const char *put_length(reply *self, size_t len) {
  char *at = self->length_text + sizeof self->length_text - 1;
  *at = '\0';
  do
    *--at = (char)('0' + len % 10);
  while ((len /= 10) > 0);
  return at;
}

/* RFC 9110 8.6: none with 1xx and 204; and with 304 or after HEAD an empty
   body says nothing about the length of the one left out. */
int reply_add_length(reply *self, size_t len, int is_head) {
  int has_body = fcgi_status_has_body(self->status);
  if (self->has_length || (!has_body && self->status != 304) ||
      (len == 0 && (is_head || !has_body)))
    return 0;
  self->length = (int64_t)len;
  self->has_length = 1;
  return reply_header(self, "Content-Length", put_length(self, len));
}

int reply_is_head(request_object *request) {
  fcgi_request *handle = request_enter(request);
  if (handle == NULL)
    return -1;
  int is_head = fcgi_params_is_head(fcgi_request_params(handle));
  request_leave(request);
  return is_head;
}

/* The core's start knows no body: what has a length is judged before. */
static int start(const reply *self, fcgi_request *handle, int64_t known,
                 char *why, size_t size) {
  why[0] = '\0';
  if (known >= 0 && self->has_length &&
      fcgi_request_check_answer(handle, self->status, self->headers,
                                self->count, known, why, size) < 0)
    return FCGI_ERR_INVALID;
  int code =
      fcgi_request_start(handle, self->status, self->headers, self->count);
  if (code == FCGI_ERR_INVALID)
    fcgi_request_check_answer(handle, self->status, self->headers, self->count,
                              -1, why, size);
  return code;
}

int reply_start(reply *self, request_object *request, int64_t known) {
  char why[REPLY_WHY];
  if (self->usual && reply_header(self, "Status", REPLY_USUAL) < 0)
    return -1;
  fcgi_request *handle = request_use(request);
  if (handle == NULL)
    return -1;
  int code = start(self, handle, known, why, sizeof why);
  request_leave(request);
  if (code == FCGI_ERR_INVALID)
    reply_refused(self, "the answer cannot begin", "header", why);
  else if (code < 0)
    error_set(request->state, code,
              code == FCGI_ERR_STATE ? "the answer has begun already" : NULL);
  else
    request->begun = 1;
  return code < 0 ? -1 : 0;
}

static int is_status(const fcgi_header *header) {
  return header->name_len == 6 && strncasecmp(header->name, "Status", 6) == 0;
}

void reply_memo_clear(reply_memo *memo) {
  for (size_t i = 0; i < 2 * REPLY_MEMO; i++)
    Py_CLEAR(memo->texts[i]);
}

/* Exact strings are never changed. */
static int can_remember(const reply *self, size_t at) {
  const fcgi_header *header = &self->headers[at];
  return at < REPLY_MEMO && PyUnicode_CheckExact(self->owners[2 * at]) &&
         PyUnicode_CheckExact(self->owners[2 * at + 1]) &&
         header->name_len + header->value_len <= REPLY_TEXT;
}

static int is_good(const reply *self, size_t at, reply_memo *memo) {
  PyObject *const *owners = &self->owners[2 * at];
  PyObject **texts = at < REPLY_MEMO ? &memo->texts[2 * at] : NULL;
  size_t fault;
  if (owners[0] == NULL ||
      (texts && texts[0] == owners[0] && texts[1] == owners[1]))
    return 1;
  if (fcgi_header_check(&self->headers[at], &fault) != FCGI_HEADER_GOOD)
    return 0;
  if (can_remember(self, at)) {
    Py_XSETREF(texts[0], Py_NewRef(owners[0]));
    Py_XSETREF(texts[1], Py_NewRef(owners[1]));
  }
  return 1;
}

int reply_is_good(const reply *self, reply_memo *memo) {
  if (self->status < 200 || self->status > 599 || self->unsure)
    return 0;
  for (size_t i = 0; i < self->count; i++)
    if ((is_status(&self->headers[i]) && !(i == 0 && self->line)) ||
        !is_good(self, i, memo))
      return 0;
  return 1;
}

int reply_respond(const reply *self, fcgi_request *handle) {
  const Py_buffer *body = self->parts > 0 ? &self->part[0] : NULL;
  return fcgi_request_respond(handle, self->status, self->headers, self->count,
                              body ? body->buf : NULL,
                              body ? (size_t)body->len : 0);
}

/* The core takes fewer bytes than given when the peer is too slow; the next
   call says so. What nobody reads counts as written. */
int reply_write_bytes(fcgi_request *handle, const void *data, size_t len) {
  size_t at = 0;
  while (at < len) {
    ptrdiff_t sent =
        fcgi_request_write(handle, (const char *)data + at, len - at);
    if (sent < 0)
      return sent == FCGI_ERR_CLOSED ? 1 : (int)sent;
    at += (size_t)sent;
  }
  return 0;
}

int reply_send(request_object *request, const Py_buffer *block, Py_ssize_t len,
               int flush) {
  fcgi_request *handle = request_use(request);
  int code, unread;
  if (handle == NULL)
    return -1;
  request->begun = 1;
  Py_BEGIN_ALLOW_THREADS
  code = reply_write_bytes(handle, block->buf, (size_t)len);
  unread = code > 0;
  if (flush && len > 0 && code >= 0)
    code = fcgi_request_flush(handle);
  request_leave(request);
  Py_END_ALLOW_THREADS
  if (code < 0)
    error_set_write(request->state, code);
  return code < 0 ? -1 : unread;
}

int reply_write(const reply *self, fcgi_request *handle) {
  struct iovec iov[REPLY_PARTS];
  for (int i = 0; i < self->parts; i++)
    iov[i] = (struct iovec){self->part[i].buf, (size_t)self->part[i].len};
  ptrdiff_t sent =
      self->parts > 0 ? fcgi_request_writev(handle, iov, self->parts) : 0;
  if (sent == FCGI_ERR_CLOSED)
    return 0;
  if (sent >= 0 && (size_t)sent < reply_body_len(self))
    return FCGI_ERR_TIMEOUT;
  return sent < 0 ? (int)sent : 0;
}
