/* SPDX-License-Identifier: MIT */
/* C for Tcl, compiled into the wrapper. */
#include <string.h>
#include <unistd.h>

#define FCGI_RAISE(code, text)                                                 \
  do {                                                                         \
    fcgi_raise(interp, code, text);                                            \
    SWIG_fail;                                                                 \
  } while (0)
#define FCGI_PARKED(handler) (((fcgi_closure *)(handler)->closure)->parked)
#define FCGI_RETHROW(handler)                                                  \
  return Tcl_RestoreInterpState(interp,                                        \
                                ((fcgi_closure *)(handler)->closure)->parked)
#define FCGI_UNLOCK
#define FCGI_LOCK

/* One loop. */
typedef struct fcgi_closure {
  Tcl_Interp *interp;     /* The one that entered it. */
  Tcl_Obj *function;      /* The handler, a command prefix. */
  Tcl_InterpState parked; /* The parked error, NULL for none. */
} fcgi_closure;

/* Requests whose commands are there. One that is finished goes when no variable
   holds its name any more: Tcl itself never deletes a command. */
typedef struct fcgi_proxies {
  Tcl_Obj **names;  /* Their names. */
  size_t count;     /* Number of names. */
  size_t room;      /* Number of names that there is room for. */
  size_t full;      /* How many there are when the next sweep is due. */
  int inside;       /* How many handlers run: `exit` is an error then, */
  pid_t pid;        /* in this process. */
  Tcl_CmdInfo exit; /* What the command exit was. */
} fcgi_proxies;

/* --- Values --------------------------------------------------------------- */

/* The bytes of a value, or 0 when a character is none: those from U+0100 on
   begin with C4 or more in UTF-8. */
static int fcgi_bytes_of(Tcl_Obj *value, const char **data, size_t *len) {
  int length;
  if (value->bytes || !value->typePtr ||
      strcmp(value->typePtr->name, "bytearray") != 0) {
    const char *text = Tcl_GetStringFromObj(value, &length);
    for (int i = 0; i < length; i++)
      if ((unsigned char)text[i] >= 0xC4)
        return 0;
  }
  *data = (const char *)Tcl_GetByteArrayFromObj(value, &length);
  *len = (size_t)length;
  return 1;
}

static Tcl_Obj *fcgi_new_bytes(const char *data, size_t len) {
  return Tcl_NewByteArrayObj((const unsigned char *)data, (int)len);
}

static Tcl_Obj *fcgi_from_bytes(shim_bytes *bytes) {
  Tcl_Obj *value = fcgi_new_bytes(bytes->data, bytes->data ? bytes->len : 0);
  shim_bytes_free(bytes);
  return value;
}

static Tcl_Obj *fcgi_from_pairs(shim_pairs *pairs) {
  Tcl_Obj *dict = Tcl_NewDictObj();
  for (size_t i = 0; i < pairs->count; i++) {
    const fcgi_param *pair = &pairs->items[i];
    Tcl_DictObjPut(NULL, dict, fcgi_new_bytes(pair->name, pair->name_len),
                   fcgi_new_bytes(pair->value, pair->value_len));
  }
  shim_pairs_free(pairs);
  return dict;
}

/* --- Handles -------------------------------------------------------------- */

/* What a command of SWIG's stands for, NULL for another command or none. A name
   is never taken for an address. */
static swig_instance *fcgi_instance(Tcl_Interp *interp, Tcl_Obj *name) {
  Tcl_CmdInfo info;
  if (!Tcl_GetCommandInfo(interp, Tcl_GetString(name), &info) ||
      info.objProc != (Tcl_ObjCmdProc *)SWIG_MethodCommand)
    return NULL;
  return (swig_instance *)info.objClientData;
}

/* The handle of a call: a method's command brings it along, a function looks it
   up. */
static void *fcgi_pointer(ClientData called, Tcl_Interp *interp, Tcl_Obj *name,
                          swig_type_info *type) {
  swig_instance *instance = called ? called : fcgi_instance(interp, name);
  return instance && *instance->classptr->type == type ? instance->thisvalue
                                                       : NULL;
}

static void fcgi_forget(ClientData data, Tcl_Interp *interp) {
  fcgi_proxies *proxies = data;
  for (size_t i = 0; i < proxies->count; i++)
    Tcl_DecrRefCount(proxies->names[i]);
  ckfree(proxies->names);
  ckfree(proxies);
}

/* exit would take the process from under all other requests. */
static int fcgi_exit(ClientData data, Tcl_Interp *interp, int count,
                     Tcl_Obj *const words[]) {
  fcgi_proxies *proxies = data;
  if (proxies->inside == 0 || proxies->pid != getpid())
    return proxies->exit.objProc(proxies->exit.objClientData, interp, count,
                                 words);
  Tcl_SetObjResult(interp,
                   Tcl_NewStringObj("exit was called: it ends the request, as "
                                    "the process serves others",
                                    -1));
  Tcl_SetErrorCode(interp, "FCGI", "EXIT", (char *)NULL);
  return TCL_ERROR;
}

/* A safe interpreter has none. */
static void fcgi_guard_exit(Tcl_Interp *interp, fcgi_proxies *proxies) {
  if (!Tcl_GetCommandInfo(interp, "::exit", &proxies->exit))
    return;
  Tcl_CmdInfo ours = proxies->exit;
  ours.isNativeObjectProc = 1;
  ours.objProc = fcgi_exit;
  ours.objClientData = proxies;
  Tcl_SetCommandInfo(interp, "::exit", &ours);
}

static fcgi_proxies *fcgi_proxies_of(Tcl_Interp *interp) {
  fcgi_proxies *proxies = Tcl_GetAssocData(interp, "fastcgi_swig", NULL);
  if (proxies)
    return proxies;
  proxies = (fcgi_proxies *)ckalloc(sizeof *proxies);
  *proxies = (fcgi_proxies){.room = 128, .full = 64};
  proxies->names = (Tcl_Obj **)ckalloc(proxies->room * sizeof(Tcl_Obj *));
  fcgi_guard_exit(interp, proxies);
  Tcl_SetAssocData(interp, "fastcgi_swig", fcgi_forget, proxies);
  return proxies;
}

/* 1 when a command is gone now: its own code deletes it, or it was deleted. */
static int fcgi_drop(Tcl_Interp *interp, Tcl_Obj *name) {
  swig_instance *instance = fcgi_instance(interp, name);
  if (instance &&
      (Tcl_IsShared(name) || !shim_request_ended(instance->thisvalue)))
    return 0;
  if (instance)
    Tcl_DeleteCommandFromToken(interp, instance->cmdtok);
  Tcl_DecrRefCount(name);
  return 1;
}

static void fcgi_sweep(Tcl_Interp *interp, fcgi_proxies *proxies) {
  size_t kept = 0;
  for (size_t i = 0; i < proxies->count; i++)
    if (!fcgi_drop(interp, proxies->names[i]))
      proxies->names[kept++] = proxies->names[i];
  proxies->count = kept;
  proxies->full = kept * 2 < 64 ? 64 : kept * 2;
}

/* A command for a request, which it owns. */
static Tcl_Obj *fcgi_proxy(Tcl_Interp *interp, shim_request *request) {
  fcgi_proxies *proxies = fcgi_proxies_of(interp);
  if (proxies->count >= proxies->full)
    fcgi_sweep(interp, proxies);
  if (proxies->count == proxies->room) {
    proxies->room *= 2;
    proxies->names = (Tcl_Obj **)ckrealloc((char *)proxies->names,
                                           proxies->room * sizeof(Tcl_Obj *));
  }
  Tcl_Obj *name = SWIG_NewInstanceObj(request, SWIGTYPE_p_shim_request, 1);
  Tcl_IncrRefCount(name);
  proxies->names[proxies->count++] = name;
  return name;
}

/* SWIG goes on to use a command's instance after its method has returned. One
   that is deleted by a handler in its own loop gives up its server, and no
   more; `destroy` counts the loops, by two. */
static void fcgi_server_deleted(ClientData data) {
  swig_instance *instance = data;
  if (instance->destroy < 2)
    SWIG_ObjectDelete(instance);
  else if (SWIG_Disown(instance->thisvalue))
    shim_server_free(instance->thisvalue);
}

static void fcgi_enter_loop(swig_instance *instance, Tcl_Interp *interp) {
  Tcl_CmdInfo info;
  fcgi_proxies_of(interp)->pid = getpid();
  if (!instance)
    return;
  instance->destroy += 2;
  Tcl_GetCommandInfoFromToken(instance->cmdtok, &info);
  info.deleteProc = fcgi_server_deleted;
  Tcl_SetCommandInfoFromToken(instance->cmdtok, &info);
}

static void fcgi_leave_loop(swig_instance *instance) {
  if (instance)
    instance->destroy -= 2;
}

/* --- Errors --------------------------------------------------------------- */

static void fcgi_raise(Tcl_Interp *interp, int code, const char *text) {
  Tcl_SetObjResult(interp, Tcl_NewStringObj(text, -1));
  Tcl_SetErrorCode(interp, "FCGI", fcgi_error_name(code), (char *)NULL);
}

/* --- Handlers ------------------------------------------------------------- */

static int fcgi_invoke(fcgi_closure *closure, shim_request *request) {
  Tcl_Interp *interp = closure->interp;
  Tcl_Obj *command = Tcl_DuplicateObj(closure->function);
  Tcl_IncrRefCount(command);
  Tcl_ListObjAppendElement(NULL, command, fcgi_proxy(interp, request));
  fcgi_proxies_of(interp)->inside++;
  int code = Tcl_EvalObjEx(interp, command, TCL_EVAL_GLOBAL | TCL_EVAL_DIRECT);
  fcgi_proxies *proxies = Tcl_GetAssocData(interp, "fastcgi_swig", NULL);
  if (proxies) /* The handler has not deleted its interpreter. */
    proxies->inside--;
  Tcl_DecrRefCount(command);
  return code;
}

/* What other code has asked for: its signals' scripts, or an end. */
static int fcgi_tick(Tcl_Interp *interp) {
  int code = Tcl_AsyncReady() ? Tcl_AsyncInvoke(interp, TCL_OK) : TCL_OK;
  return code == TCL_OK ? Tcl_Canceled(interp, TCL_LEAVE_ERR_MSG) : code;
}

static int fcgi_must_leave(Tcl_Interp *interp) {
  return Tcl_InterpDeleted(interp) || Tcl_LimitExceeded(interp) ||
         Tcl_Canceled(interp, 0) != TCL_OK;
}

/* A value of a result's options, which the caller lets go of; or NULL. */
static Tcl_Obj *fcgi_returned(Tcl_Interp *interp, int code, const char *name) {
  Tcl_Obj *value = NULL;
  Tcl_Obj *key = Tcl_NewStringObj(name, -1);
  Tcl_Obj *options = Tcl_GetReturnOptions(interp, code);
  Tcl_IncrRefCount(key);
  Tcl_IncrRefCount(options);
  Tcl_DictObjGet(NULL, options, key, &value);
  if (value)
    Tcl_IncrRefCount(value);
  Tcl_DecrRefCount(options);
  Tcl_DecrRefCount(key);
  return value;
}

static shim_outcome fcgi_failure(Tcl_Interp *interp, int code) {
  Tcl_Obj *value = fcgi_returned(interp, code, "-errorcode");
  Tcl_Obj **words;
  int count = 0;
  const char *name = NULL;
  if (value && Tcl_ListObjGetElements(NULL, value, &count, &words) == TCL_OK &&
      count == 2 && strcmp(Tcl_GetString(words[0]), "FCGI") == 0)
    name = Tcl_GetString(words[1]);
  shim_outcome outcome = shim_failure(name);
  if (value)
    Tcl_DecrRefCount(value);
  return outcome;
}

static shim_outcome fcgi_call(void *data, shim_request *request) {
  fcgi_closure *closure = data;
  int code =
      request ? fcgi_invoke(closure, request) : fcgi_tick(closure->interp);
  if (code == TCL_OK)
    return SHIM_DONE;
  int leave = !request || fcgi_must_leave(closure->interp);
  shim_outcome outcome =
      leave ? SHIM_LEAVE : fcgi_failure(closure->interp, code);
  closure->parked = Tcl_SaveInterpState(closure->interp, code);
  return outcome;
}

/* The trace of an error, or what there is to tell of another way out; the
   caller lets go of it. */
static Tcl_Obj *fcgi_trace(Tcl_Interp *interp, int code) {
  Tcl_Obj *trace = fcgi_returned(interp, code, "-errorinfo");
  if (!trace) {
    trace = Tcl_ObjPrintf("the handler was left with code %d", code);
    Tcl_IncrRefCount(trace);
  }
  return trace;
}

static void fcgi_report(void *data, const shim_log *log) {
  fcgi_closure *closure = data;
  Tcl_Interp *interp = closure->interp;
  Tcl_Obj *trace =
      fcgi_trace(interp, Tcl_RestoreInterpState(interp, closure->parked));
  const char *text = Tcl_GetString(trace);
  shim_log_write(log, text, strlen(text));
  Tcl_DecrRefCount(trace);
  Tcl_ResetResult(interp);
  closure->parked = NULL;
}

/* --- Functions of resources ------------------------------------------------
 */

/* A command prefix, or what one returned. */
typedef struct fcgi_reference {
  Tcl_Interp *interp; /* Where it is. */
  Tcl_Obj *object;    /* The command, or the value. */
} fcgi_reference;

static fcgi_reference *fcgi_refer(Tcl_Interp *interp, Tcl_Obj *object) {
  fcgi_reference *reference = (fcgi_reference *)ckalloc(sizeof *reference);
  *reference = (fcgi_reference){interp, object};
  Tcl_IncrRefCount(object);
  return reference;
}

static int fcgi_evaluate(Tcl_Interp *interp, Tcl_Obj *prefix, Tcl_Obj *word) {
  Tcl_Obj *command = Tcl_DuplicateObj(prefix);
  fcgi_proxies *proxies = fcgi_proxies_of(interp);
  Tcl_IncrRefCount(command);
  if (word)
    Tcl_ListObjAppendElement(NULL, command, word);
  proxies->inside++;
  int code = Tcl_EvalObjEx(interp, command, TCL_EVAL_GLOBAL | TCL_EVAL_DIRECT);
  proxies = Tcl_GetAssocData(interp, "fastcgi_swig", NULL);
  if (proxies)
    proxies->inside--;
  Tcl_DecrRefCount(command);
  return code;
}

/* The result and the error of what runs stay as they were. */
static int fcgi_function_call(void *function, void *value, void **result,
                              char *why, size_t len) {
  const fcgi_reference *at = function, *given = value;
  Tcl_Interp *interp = at->interp;
  int flag, outcome = -1;
  if (Tcl_InterpDeleted(interp))
    return snprintf(why, len, "the interpreter is deleted"), -1;
  Tcl_InterpState before = Tcl_SaveInterpState(interp, TCL_OK);
  int code = fcgi_evaluate(interp, at->object, given ? given->object : NULL);
  Tcl_Obj *returned = Tcl_GetObjResult(interp);
  if (code != TCL_OK) {
    const char *text = Tcl_GetString(returned);
    snprintf(why, len, "%.*s", (int)strcspn(text, "\n"), text);
  } else {
    outcome =
        Tcl_GetBooleanFromObj(NULL, returned, &flag) != TCL_OK || flag != 0;
    if (result)
      *result =
          Tcl_GetCharLength(returned) > 0 ? fcgi_refer(interp, returned) : NULL;
  }
  Tcl_RestoreInterpState(interp, before);
  return outcome;
}

static void fcgi_function_drop(void *data) {
  fcgi_reference *reference = data;
  Tcl_DecrRefCount(reference->object);
  ckfree((char *)reference);
}
