/* SPDX-License-Identifier: MIT */
/* Every option, once. `X(name, ...)` stands for one option; what follows the
   name are words that whoever expands the map defines: options/table.c makes
   the table of the library from them, and `./dev options` the annotations, the
   types and the tables of the manual.

   KIND: TEXT, USERS, NAMED_SIZE, URL_PATH, FLAG, CHOICE, and with a default and
   a range COUNT, COUNT_OR_AUTO, BYTES, SECONDS (the range is in milliseconds),
   MODE. The first word stands for a value in help; UNSET says what applies
   where nothing is given and there is no default.

   SCOPE: SERVER is for every program with a server, which reads it from the
   environment too; WORKER for what a launcher serves; PROCESSES for a
   supervisor, so that one given makes a supervisor necessary; COMMAND is for
   the command line alone.

   LAUNCHERS: EVERYWHERE, or PYTHON, LUA and RUN (`fcgi run`), or APPS for the
   first two.

   CONFIG: IN_SERVER(type, field) and IN_SUPERVISOR(type, field) name
   fields of fcgi_server_config and fcgi_supervisor_config.
   MARKS: LETTER('x') is a short form; REPEATED may be there several times;
   COMMAS is a list in one text; OR_NONE takes 0 for what it says, such as "no
   limit", and OR_NEVER refuses 0 and takes the word "never"; EXAMPLE is a value
   for messages, where those of its kind do not do; OR_EMPTY takes an empty
   text; LEVELS sets a bit for each level; FIXED is what a supervisor sets up
   once, so that a reload does not change it; RUN_FROM(n) is the least number
   for `fcgi run`; GUNICORN has the same name and meaning in gunicorn; IN_PYTHON
   and IN_LUA end the help in that launcher alone. */
#ifndef FCGI_OPTIONS_MAP_H
#define FCGI_OPTIONS_MAP_H

/* clang-format off */

#define FCGI_OPTION_MAP_SERVING(X)                                             \
  X(app, TEXT("APP", "none"), WORKER, APPS, POSITIONAL,                        \
    HELP("The application."),                                                  \
    IN_PYTHON("MODULE:NAME or MODULE:FACTORY()"),                              \
    IN_LUA("a file that returns the handler"))                                 \
  X(bind, TEXT("ADDRESS", "the inherited listener"), WORKER, EVERYWHERE,       \
    IN_SUPERVISOR(const char *const *, bind), LETTER('b'), REPEATED, GUNICORN, \
    FIXED,                                                                     \
    HELP("Address to listen on: unix:PATH, unix:@NAME, HOST:PORT, [::1]:PORT, "\
         ":PORT (loopback) or fd:N."))                                         \
  X(threads, COUNT("N", "1", 1, 4096), WORKER, APPS, GUNICORN,                 \
    HELP("Threads that serve requests in each process."))                      \
  X(interface, CHOICE("KIND", "auto", "auto, handler, wsgi, asgi"), WORKER,    \
    PYTHON,                                                                    \
    HELP("How the application is called: handler with a request, wsgi as PEP " \
         "3333 says, asgi as ASGI 3.0 says; auto finds out from its "          \
         "parameters."))                                                       \
  X(role, TEXT("ROLE=MODULE:HANDLER", "none"), WORKER, PYTHON, REPEATED,       \
    HELP("Handler of a further role: authorizer=..., filter=..., or "          \
         "NAME:NUMBER[:STREAMS]=... for a custom role, whose STREAMS are "     \
         "none, stdin or stdin+data."))                                        \
  X(factory, FLAG, WORKER, PYTHON,                                             \
    HELP("Call the named object; what it returns is the application."))        \
  X(stream, FLAG, WORKER, APPS, IN_SERVER(fcgi_body_mode, body),               \
    HELP("Call the handler as soon as the parameters of a request are "        \
         "there, before its body."))                                           \
  X(chdir, TEXT("DIR", "the current directory"), WORKER, EVERYWHERE,           \
    IN_SUPERVISOR(const char *, chdir), GUNICORN, FIXED,                       \
    HELP("Directory to change to before anything is loaded."))                 \
  X(pythonpath, TEXT("DIRS", "none"), WORKER, PYTHON, GUNICORN,                \
    HELP("Directories to import from, separated by commas."))                  \
  X(umask, MODE(NULL, 0), UNSET("inherited"), EXAMPLE("027"), WORKER,          \
    EVERYWHERE,                                                                \
    IN_SUPERVISOR(unsigned, umask), LETTER('m'), GUNICORN, FIXED,              \
    HELP("Permission bits that new files do not get, in octal."))              \
  X(log_level, CHOICE("LEVEL", "info", "error, warning, info, debug"), WORKER, \
    EVERYWHERE, IN_SERVER(unsigned, log_levels),                               \
    IN_SUPERVISOR(unsigned, log_levels), LEVELS, GUNICORN,                     \
    HELP("Least important level of message that goes to stderr."))

#define FCGI_OPTION_MAP_PROCESSES(X)                                           \
  X(workers, COUNT_OR_AUTO("N", "$WEB_CONCURRENCY, or one process", 0, 4096),  \
    PROCESSES, EVERYWHERE, IN_SUPERVISOR(unsigned, workers), LETTER('w'),      \
    RUN_FROM(1), GUNICORN,                                                     \
    HELP("Number of worker processes that a supervisor starts; auto "          \
         "starts one for each processor, or fewer where a CPU quota "          \
         "applies."))                                                          \
  X(no_balance, FLAG, PROCESSES, EVERYWHERE, IN_SUPERVISOR(int, no_balance),   \
    FIXED,                                                                     \
    HELP("Keep each connection at the worker that has accepted it, even "      \
         "while that is busy and another one is idle."))                       \
  X(user, TEXT("NAME", "unchanged"), PROCESSES, EVERYWHERE,                    \
    IN_SUPERVISOR(const char *, user), LETTER('u'), GUNICORN, FIXED,           \
    HELP("User that workers run as, by name or number."))                      \
  X(group, TEXT("NAME", "the user's"), PROCESSES, EVERYWHERE,                  \
    IN_SUPERVISOR(const char *, group), LETTER('g'), GUNICORN, FIXED,          \
    HELP("Group that workers run as, by name or number."))                     \
  X(allow_root, FLAG, PROCESSES, EVERYWHERE, IN_SUPERVISOR(int, allow_root),   \
    FIXED,                                                                     \
    HELP("Let workers run as root."))                                          \
  X(pid, TEXT("FILE", "none"), PROCESSES, EVERYWHERE,                          \
    IN_SUPERVISOR(const char *, pid), LETTER('p'), GUNICORN, FIXED,            \
    HELP("File that the supervisor writes its process id to, and locks."))     \
  X(socket_user, TEXT("NAME", "unchanged"), PROCESSES, EVERYWHERE,             \
    IN_SUPERVISOR(const char *, socket_user), FIXED,                           \
    HELP("Owner of the unix sockets that are created, by name or number."))    \
  X(socket_group, TEXT("NAME", "unchanged"), PROCESSES, EVERYWHERE,            \
    IN_SUPERVISOR(const char *, socket_group), FIXED,                          \
    HELP("Group of the unix sockets that are created, by name or number."))    \
  X(start_timeout, SECONDS("TIME", "60s", 1, INT_MAX), PROCESSES, EVERYWHERE,  \
    IN_SUPERVISOR(int, start_timeout_ms), OR_NONE("no limit"),                 \
    HELP("Longest time that a worker may take to become ready."))              \
  X(ready_after, SECONDS("TIME", NULL, 1, INT_MAX),                            \
    UNSET("10s, or half of --start-timeout"), PROCESSES, RUN,                  \
    IN_SUPERVISOR(int, ready_after_ms), OR_NEVER,                              \
    HELP("Time after which a worker that does not report readiness counts "    \
         "as ready; with never, only its report counts."))                     \
  X(timeout, SECONDS("TIME", NULL, 1, INT_MAX), UNSET("no limit"), PROCESSES,  \
    EVERYWHERE, IN_SUPERVISOR(int, timeout_ms), LETTER('t'),                   \
    OR_NONE("no limit"), GUNICORN,                                             \
    HELP("Longest time without a sign of life from a worker; then it is "      \
         "killed."))                                                           \
  X(reload, FLAG, PROCESSES, APPS, GUNICORN, FIXED,                            \
    HELP("Replace the workers when the code changes; for development."))       \
  X(reload_extra_file, TEXT("FILE", "none"), PROCESSES, APPS, REPEATED,        \
    GUNICORN, FIXED,                                                           \
    HELP("Further file whose changes replace the workers."))                   \
  X(reload_engine, CHOICE("KIND", "auto", "auto, poll"), PROCESSES, PYTHON,    \
    GUNICORN, FIXED,                                                           \
    HELP("How changes are noticed: poll looks once a second; auto uses "       \
         "watchfiles where it is installed."))

#define FCGI_OPTION_MAP_LIFE(X)                                                \
  X(max_requests, COUNT("N", NULL, 1, MOST), UNSET("never"), SERVER,           \
    EVERYWHERE, IN_SERVER(uint64_t, max_requests),                             \
    IN_SUPERVISOR(uint64_t, max_requests), OR_NONE("never"), GUNICORN,         \
    HELP("Number of requests after which a worker is replaced; without a "     \
         "supervisor, the server stops then."))                                \
  X(max_requests_jitter, COUNT("N", "0", 1, MOST), SERVER, EVERYWHERE,         \
    IN_SERVER(uint64_t, max_requests_jitter),                                  \
    IN_SUPERVISOR(uint64_t, max_requests_jitter), OR_NONE("nothing added"),    \
    GUNICORN,                                                                  \
    HELP("Largest random number that is added to --max-requests."))            \
  X(max_worker_age, SECONDS("TIME", NULL, 1, MOST_TIME), UNSET("never"),       \
    PROCESSES, EVERYWHERE, IN_SUPERVISOR(int64_t, max_worker_age_ms),          \
    OR_NONE("never"),                                                          \
    HELP("Age at which a worker is replaced."))                                \
  X(max_worker_age_jitter, SECONDS("TIME", "0", 1, MOST_TIME), PROCESSES,      \
    EVERYWHERE, IN_SUPERVISOR(int64_t, max_worker_age_jitter_ms),              \
    OR_NONE("nothing subtracted"),                                             \
    HELP("Longest random time that is subtracted from --max-worker-age."))     \
  X(max_worker_rss, BYTES("BYTES", NULL, 1, MOST), UNSET("no limit"),          \
    PROCESSES, EVERYWHERE, IN_SUPERVISOR(uint64_t, max_worker_rss),            \
    OR_NONE("no limit"),                                                       \
    HELP("Most resident memory that a worker may use; a larger worker is "     \
         "replaced."))                                                         \
  X(graceful_timeout, SECONDS("TIME", "30s", 1, INT_MAX), SERVER, EVERYWHERE,  \
    IN_SERVER(int, graceful_timeout_ms),                                       \
    IN_SUPERVISOR(int, graceful_timeout_ms), OR_NONE("no limit"), GUNICORN,    \
    HELP("Longest time that a graceful stop waits for running requests; then " \
         "they are aborted."))

#define FCGI_OPTION_MAP_ASGI(X)                                                \
  X(lifespan, CHOICE("MODE", "auto", "auto, on, off"), WORKER, PYTHON,         \
    HELP("Whether the application is told of start and stop: on requires that "\
         "it understands this, auto finds out."))                              \
  X(limit_concurrency, COUNT("N", NULL, 1, INT_MAX), UNSET("no limit"),        \
    WORKER, PYTHON, OR_NONE("no limit"),                                       \
    HELP("Most requests that run at once in each process; others wait."))      \
  X(disconnect_grace, SECONDS("TIME", "3s", 1, INT_MAX), WORKER, PYTHON,       \
    OR_NONE("no limit"),                                                       \
    HELP("Longest time that a request whose client has left goes on; then its "\
         "task is cancelled."))                                                \
  X(loop, CHOICE("KIND", "auto", "auto, asyncio, uvloop"), WORKER, PYTHON,     \
    HELP("Event loop; auto is uvloop where it is installed, else asyncio."))

#define FCGI_OPTION_MAP_LIMITS(X)                                              \
  X(limit_params_size, BYTES("BYTES", "256K", 1, MOST_SIZE), SERVER,           \
    EVERYWHERE, IN_SERVER(size_t, limit_params_size),                          \
    HELP("Most bytes in the parameters of a request; a larger one gets 431.")) \
  X(limit_params, COUNT("N", "1024", 1, INT_MAX), SERVER, EVERYWHERE,          \
    IN_SERVER(uint32_t, limit_params),                                         \
    HELP("Most parameters of a request; one with more gets 431."))             \
  X(limit_request_body, BYTES("BYTES", "1G", 1, MOST), SERVER, EVERYWHERE,     \
    IN_SERVER(uint64_t, limit_request_body),                                   \
    HELP("Largest body that is collected; a longer one gets 413."))            \
  X(limit_connections, COUNT("N", NULL, 1, INT_MAX),                           \
    UNSET("what the limit of open files leaves, at most 65536"), SERVER,       \
    EVERYWHERE, IN_SERVER(uint32_t, limit_connections),                        \
    HELP("Most connections that a process has open at once; others wait."))    \
  X(max_multiplexed, COUNT("N", "1024", 1, INT_MAX), SERVER, EVERYWHERE,       \
    IN_SERVER(uint32_t, max_multiplexed),                                      \
    HELP("Most requests that are open at once on a connection; others get "    \
         "503."))                                                              \
  X(no_multiplex, FLAG, SERVER, EVERYWHERE, IN_SERVER(int, no_multiplex),      \
    HELP("Tell web servers that ask (GET_VALUES) that a connection takes "     \
         "one request at a time."))                                            \
  X(body_memory, BYTES("BYTES", "256K", 1, MOST_SIZE), SERVER, EVERYWHERE,     \
    IN_SERVER(size_t, body_memory),                                            \
    HELP("Most bytes of a collected body in memory; the rest goes to a "       \
         "temporary file."))                                                   \
  X(connection_memory, BYTES("BYTES", "4M", 1, MOST_SIZE), SERVER, EVERYWHERE, \
    IN_SERVER(size_t, connection_memory),                                      \
    HELP("Most bytes of memory that the requests of a connection hold; "       \
         "beyond that, new requests get 503."))                                \
  X(server_memory, BYTES("BYTES", "256M", 1, MOST_SIZE), SERVER, EVERYWHERE,   \
    IN_SERVER(size_t, server_memory),                                          \
    HELP("Most bytes of memory that all requests of a process hold; "          \
         "beyond that, new requests get 503."))                                \
  X(input_window, BYTES("BYTES", "256K", 1, MOST_SIZE), SERVER, EVERYWHERE,    \
    IN_SERVER(size_t, input_window),                                           \
    HELP("Most bytes of a streamed body that wait for the handler; then "      \
         "reading from the connection pauses."))                               \
  X(output_window, BYTES("BYTES", "256K", 1, MOST_SIZE), SERVER, EVERYWHERE,   \
    IN_SERVER(size_t, output_window),                                          \
    HELP("Most unsent bytes of an answer; then the handler that writes it "    \
         "waits."))                                                            \
  X(drain_bytes, BYTES("BYTES", "4G", 1, MOST), SERVER, EVERYWHERE,            \
    IN_SERVER(uint64_t, drain_bytes),                                          \
    HELP("Most bytes of an unread body that are received and dropped; "        \
         "then the connection is closed."))                                    \
  X(temp_dir, TEXT("DIR", "$TMPDIR, or /tmp"), SERVER, EVERYWHERE,             \
    IN_SERVER(const char *, temp_dir),                                         \
    HELP("Directory for temporary files."))

#define FCGI_OPTION_MAP_TIME(X)                                                \
  X(header_timeout, SECONDS("TIME", "30s", 1, INT_MAX), SERVER, EVERYWHERE,    \
    IN_SERVER(int, header_timeout_ms), OR_NONE("no limit"),                    \
    HELP("Longest time from the first byte of a request to the end of its "    \
         "parameters."))                                                       \
  X(io_timeout, SECONDS("TIME", "60s", 1, INT_MAX), SERVER, EVERYWHERE,        \
    IN_SERVER(int, io_timeout_ms), OR_NONE("no limit"),                        \
    HELP("Longest wait of one read or write of a request; a collected body "   \
         "that makes no progress for this long gets 408."))                    \
  X(idle_timeout, SECONDS("TIME", "90s", 1, INT_MAX), SERVER, EVERYWHERE,      \
    IN_SERVER(int, idle_timeout_ms), OR_NONE("no limit"),                      \
    HELP("Longest time that a kept connection stays open without a "           \
         "request."))                                                          \
  X(request_timeout, SECONDS("TIME", NULL, 1, INT_MAX), UNSET("no limit"),     \
    SERVER, EVERYWHERE, IN_SERVER(int, request_timeout_ms),                    \
    OR_NONE("no limit"),                                                       \
    HELP("Longest time that a request may take; then the client gets 504."))   \
  X(drain_silence, SECONDS("TIME", "0.5s", 1, INT_MAX), SERVER, EVERYWHERE,    \
    IN_SERVER(int, drain_silence_ms), OR_NONE("no limit"),                     \
    HELP("Longest pause in the unread rest of a body; then the server "        \
         "stops waiting for it."))                                             \
  X(drain_timeout, SECONDS("TIME", "30s", 1, INT_MAX), SERVER, EVERYWHERE,     \
    IN_SERVER(int, drain_timeout_ms), OR_NONE("no limit"),                     \
    HELP("Longest time that the server waits for the unread rest of a "        \
         "body."))

#define FCGI_OPTION_MAP_ACCESS(X)                                              \
  X(allow_from, TEXT("LIST", "loopback"), SERVER, EVERYWHERE,                  \
    IN_SERVER(const char *, allow_from),                                       \
    IN_SUPERVISOR(const char *, allow_from), COMMAS, FIXED,                    \
    HELP("Addresses and CIDR blocks that may connect over TCP, separated "     \
         "by commas."))                                                        \
  X(peer_users, USERS("LIST", "anyone whom the mode of the socket allows"),    \
    SERVER, EVERYWHERE, IN_SERVER(const char *, peer_users), COMMAS,           \
    HELP("Users whose processes may connect over unix sockets, by name or "    \
         "number, separated by commas."))                                      \
  X(socket_mode, MODE("660", 1), SERVER, EVERYWHERE,                           \
    IN_SERVER(unsigned, socket_mode), IN_SUPERVISOR(unsigned, socket_mode),    \
    FIXED,                                                                     \
    HELP("Mode of the unix sockets that are created, in octal."))              \
  X(backlog, COUNT("N", "4096", 1, INT_MAX), SERVER, EVERYWHERE,               \
    IN_SERVER(int, backlog), IN_SUPERVISOR(int, backlog), GUNICORN, FIXED,     \
    HELP("Most connections that wait to be accepted."))                        \
  X(root_path, URL_PATH("what the web server says"), SERVER, EVERYWHERE,       \
    IN_SERVER(const char *, root_path),                                        \
    HELP("URL path that the application is mounted at, such as /shop; an "     \
         "empty path is the root of the site."))                               \
  X(poller, CHOICE("KIND", "best", "best, epoll, poll"), SERVER, EVERYWHERE,   \
    IN_SERVER(fcgi_poller_kind, poller),                                       \
    HELP("System call that the server waits with: epoll is for Linux, "        \
         "poll for every system; best is epoll where it exists."))

#define FCGI_OPTION_MAP_OBSERVATION(X)                                         \
  X(status_path, URL_PATH("none"), SERVER, EVERYWHERE,                         \
    IN_SERVER(const char *, status_path),                                      \
    HELP("URL path of the status page."))                                      \
  X(ping_path, URL_PATH("none"), SERVER, EVERYWHERE,                           \
    IN_SERVER(const char *, ping_path),                                        \
    HELP("URL path that the server answers with \"pong\"."))                   \
  X(slow_log, SECONDS("TIME", NULL, 1, INT_MAX), UNSET("never"), SERVER,       \
    EVERYWHERE, IN_SERVER(int, slow_log_ms), OR_NONE("never"),                 \
    HELP("Time after which a running request is logged, with the stack of "    \
         "its handler."))                                                      \
  X(access_logfile, TEXT("FILE", "none"), SERVER, EVERYWHERE,                  \
    IN_SERVER(const char *, access_logfile), OR_EMPTY, GUNICORN,               \
    HELP("File for the access log, which has a line for each request; - "      \
         "is stderr."))                                                        \
  X(access_logformat, TEXT("FORMAT", NULL), STANDARD("combined"), SERVER,      \
    EVERYWHERE, IN_SERVER(const char *, access_logformat), GUNICORN,           \
    HELP("Format of the access log: common, combined, json, or a text "        \
         "with gunicorn's atoms, such as %(h)s."))                             \
  X(log_queue, BYTES("BYTES", "1M", 16384, 1073741824), SERVER, EVERYWHERE,    \
    IN_SERVER(size_t, log_queue),                                              \
    HELP("Most bytes of lines that wait to be written to a log file; "         \
         "further lines are dropped and counted."))                            \
  X(error_logfile, TEXT("FILE", "stderr"), SERVER, EVERYWHERE,                 \
    IN_SERVER(const char *, error_logfile), OR_EMPTY, GUNICORN,                \
    HELP("File for the error log: messages of the server, and what "           \
         "requests write to STDERR; - is stderr."))

#define FCGI_OPTION_MAP_STATE(X)                                               \
  X(shared, NAMED_SIZE("NAME=SIZE", "none"), PROCESSES, EVERYWHERE,            \
    IN_SUPERVISOR(const char *const *, shared), REPEATED, FIXED,               \
    HELP("Dictionary that all workers share, and the memory that it may take, "\
         "from 64K up, such as cache=16M."))

#define FCGI_OPTION_MAP_COMMAND(X)                                             \
  X(config, TEXT("FILE", "none"), COMMAND, EVERYWHERE, LETTER('c'), GUNICORN,  \
    HELP("TOML file that options are read from."))                             \
  X(check_config, FLAG, COMMAND, EVERYWHERE, IN_SUPERVISOR(int, check_only),   \
    GUNICORN,                                                                  \
    HELP("Check the configuration, say whether it is valid, and exit."))       \
  X(print_config, FLAG, COMMAND, EVERYWHERE, GUNICORN,                         \
    HELP("Print every option with its value and where that comes from, "       \
         "and exit."))                                                         \
  X(help, FLAG, COMMAND, EVERYWHERE, LETTER('h'),                              \
    HELP("Print this text, and exit."))                                        \
  X(version, FLAG, COMMAND, EVERYWHERE, HELP("Print the version, and exit."))

/* GROUP(title, the map of the options below it). */
#define FCGI_OPTION_GROUPS(GROUP)                                              \
  GROUP("Serving", FCGI_OPTION_MAP_SERVING)                                    \
  GROUP("Processes", FCGI_OPTION_MAP_PROCESSES)                                \
  GROUP("ASGI", FCGI_OPTION_MAP_ASGI)                                          \
  GROUP("Limits", FCGI_OPTION_MAP_LIMITS)                                      \
  GROUP("Time", FCGI_OPTION_MAP_TIME)                                          \
  GROUP("Access", FCGI_OPTION_MAP_ACCESS)                                      \
  GROUP("Observation", FCGI_OPTION_MAP_OBSERVATION)                            \
  GROUP("Life of a worker", FCGI_OPTION_MAP_LIFE)                              \
  GROUP("State", FCGI_OPTION_MAP_STATE)                                        \
  GROUP("The command itself", FCGI_OPTION_MAP_COMMAND)

/* X(name, what to use instead): options of gunicorn that are not here. */
#define FCGI_OPTION_ELSEWHERE(X)                                               \
  X("preload", "workers load the application themselves, and a reload needs "  \
               "no preloading")                                                \
  X("worker_class", "--threads says how many requests a worker serves at once")\
  X("worker_connections", "--limit-connections limits them")                   \
  X("keep_alive", "--idle-timeout is how long an idle connection is kept")     \
  X("daemon", "let a service manager such as systemd start it")                \
  X("env", "set variables in the environment")                                 \
  X("name", "the process keeps its name")                                      \
  X("forwarded_allow_ips", "--allow-from says which web servers may connect")  \
  X("proxy_protocol", "the web server sends the client's address")             \
  X("limit_request_line", "--limit-params-size limits all parameters")         \
  X("limit_request_fields", "--limit-params limits them")                      \
  X("limit_request_field_size", "--limit-params-size limits all parameters")   \
  X("worker_tmp_dir", "--temp-dir is where bodies go")                         \
  X("statsd_host", "--status-path has the numbers, for Prometheus too")        \
  X("log_file", "--error-logfile is the log")                                  \
  X("certfile", "the web server does TLS")                                     \
  X("keyfile", "the web server does TLS")                                      \
  X("reuse_port", "workers share one listener")                                \
  X("capture_output", "what goes to stderr stays there")                       \
  X("quiet", "--log-level warning leaves out what is no problem")

/* clang-format on */

#endif
