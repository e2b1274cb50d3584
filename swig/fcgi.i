/* SPDX-License-Identifier: MIT */
/* What is wrapped, for every language: shim.h tells what each call does.
   How a type maps, and what its language calls a thing, stand in the language's
   own types.swg, which -I finds. */
%module fcgi_swig

%{
#include "shim.h"
#include "glue.h"
%}

%include <stdint.i>
%include "names.swg"
%include "common.swg"
%include "types.swg"
%apply (const char *text, size_t text_len) {
  (const char *name, size_t name_len), (const char *value, size_t value_len),
  (const char *address, size_t address_len), (const char *type, size_t type_len),
  (const char *path, size_t path_len), (const char *key, size_t key_len)
}

%rename(Server) shim_server;
%rename(Request) shim_request;
%rename(Shared) shim_shared;
%rename(Resource) shim_resource;
%rename(version) fcgi_version;
%nodefaultctor;
%nodefaultdtor;

const char *fcgi_version(void);

typedef struct shim_server {} shim_server;
typedef struct shim_request {} shim_request;
typedef struct shim_shared {} shim_shared;
typedef struct shim_resource {} shim_resource;

%extend shim_server {
  shim_server(void) { return shim_server_new(); }
  ~shim_server() { shim_server_free($self); }
  void set(shim_error *error, const char *name, size_t name_len, int64_t value);
  void set_text(shim_error *error, const char *name, size_t name_len,
                const char *value, size_t value_len);
  void listen(shim_error *error, const char *address, size_t address_len);
  void listen_inherited(shim_error *error);
  shim_text address(shim_error *error, int index = 0);
  shim_request *accept(shim_error *error, double timeout = -1);
  void run(shim_error *error, shim_handler *handler,
           const char *on_error = "log500");
  void serve(shim_error *error, shim_handler *handler,
             const char *on_error = "log500");
  void keep(shim_error *error, shim_resource *resource);
  void stop(bool graceful = true);
  bool stopped(void);
  bool forked(void);
  void close(void);
  int fd(shim_error *error);
  double wait(shim_error *error);
}

%extend shim_request {
  ~shim_request() { shim_request_free($self); }
  bool ended(void);
  int id(shim_error *error);
  shim_text role(shim_error *error);
  shim_text param(shim_error *error, const char *name, size_t name_len);
  shim_pairs params(shim_error *error);
  shim_text param_name(shim_error *error, int index);
  shim_text path(shim_error *error);
  shim_text script_name(shim_error *error);
  shim_text path_info(shim_error *error);
  shim_text raw_path(shim_error *error);
  shim_text script_filename(shim_error *error);
  int64_t content_length(shim_error *error);
  int64_t data_length(shim_error *error);
  int64_t data_modified(shim_error *error);
  shim_text aborted(shim_error *error);
  shim_bytes read(shim_error *error, int64_t size = -1);
  shim_bytes read_some(shim_error *error, int64_t size = 65536);
  shim_bytes read_data(shim_error *error, int64_t size = -1);
  void header(shim_error *error, const char *name, size_t name_len,
              const char *value, size_t value_len);
  void start(shim_error *error, int status = 200);
  void write(shim_error *error, const void *data, size_t len);
  void flush(shim_error *error);
  void log(shim_error *error, const char *text, size_t text_len);
  void send_file(shim_error *error, const char *path, size_t path_len,
                 int64_t offset = 0, int64_t length = -1);
  void reply(shim_error *error, int status, const char *type, size_t type_len,
             const void *data, size_t len);
  void allow(shim_error *error);
  void end(shim_error *error, int app_status = 0);
  void fail(shim_error *error);
  void set_timeout(shim_error *error, double seconds);
}

%extend shim_shared {
  shim_shared(shim_error *error, const char *name, size_t name_len,
              int64_t size = 1048576) {
    return shim_shared_new(error, name, name_len, size);
  }
  ~shim_shared() { shim_shared_free($self); }
  shim_bytes get(shim_error *error, const char *key, size_t key_len);
  int set(shim_error *error, const char *key, size_t key_len,
          const void *data, size_t len, double ttl = 0);
  bool add(shim_error *error, const char *key, size_t key_len,
           const void *data, size_t len, double ttl = 0);
  bool replace(shim_error *error, const char *key, size_t key_len,
               const void *data, size_t len, double ttl = 0);
  int64_t incr(shim_error *error, const char *key, size_t key_len,
               int64_t by = 1, int64_t init = 0, double ttl = 0);
  bool remove(shim_error *error, const char *key, size_t key_len);
  bool expire(shim_error *error, const char *key, size_t key_len,
              double ttl = 0);
  void clear(shim_error *error);
  int64_t lock(shim_error *error, const char *key, size_t key_len,
               double timeout = 10, double ttl = 0);
  bool unlock(shim_error *error, const char *key, size_t key_len,
              int64_t token);
  int64_t count(shim_error *error, const char *name, size_t name_len);
}

%extend shim_resource {
  shim_resource(shim_error *error, shim_function *function) {
    return shim_resource_new(error, function);
  }
  ~shim_resource() { shim_resource_free($self); }
  void on(shim_error *error, const char *name, size_t name_len,
          shim_function *function);
  void set(shim_error *error, const char *name, size_t name_len, double value);
  void set_text(shim_error *error, const char *name, size_t name_len,
                const char *value, size_t value_len);
  shim_value get(shim_error *error, shim_request *request);
  shim_value take(shim_error *error, shim_request *request = NULL);
  void give(shim_error *error, shim_request *request = NULL);
  void invalidate(shim_error *error, shim_request *request = NULL);
  void drain(shim_error *error);
  void close(shim_error *error);
  void renew(shim_error *error);
  int64_t count(shim_error *error, const char *name, size_t name_len);
}
