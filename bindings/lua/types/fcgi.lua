---@meta
-- SPDX-License-Identifier: MIT
-- luacheck: ignore 212 241
-- Types of the module `fcgi` for LuaCATS (lua-language-server).

--- FastCGI for Lua: a program that stays alive behind a web server.
---
--- Wrong arguments raise. What can fail at run time returns nil, a message and
--- the name of a code. A server, and every request of it, belongs to the Lua
--- state, and so to the one thread, that made it.
---@class fcgi
---@field _VERSION string
---@field _DESCRIPTION string
local fcgi = {}

---@alias fcgi.code
---| "NOMEM"       # out of memory
---| "INVALID"     # invalid argument
---| "STATE"       # not allowed in this state; the application did not load
---| "PROTOCOL"    # the peer broke the FastCGI protocol
---| "LIMIT"       # a configured limit was reached
---| "AGAIN"       # not possible now without blocking
---| "TIMEOUT"     # timed out
---| "CLOSED"      # closed, or stopped and finished
---| "ABORTED"     # the request was aborted
---| "TRUNCATED"   # the body ended before CONTENT_LENGTH bytes
---| "SYSTEM"      # a system call failed
---| "UNSUPPORTED" # not supported here

--- Why a request is aborted. Reads fail with "ABORTED" from then on, writes only
--- where no reader is left: not after "record".
---@alias fcgi.abort_reason
---| "record"     # ABORT_REQUEST came: a hint, an answer may still have a reader
---| "connection" # the connection is gone
---| "protocol"   # the web server broke the protocol
---| "timeout"    # it was silent for too long
---| "stop"       # the server is stopped at once
---| "deadline"   # request_timeout has passed, the client got 504

---@alias fcgi.status integer A status from 200 to 599.

--- Names and values; a list of values sends the header several times. Line
--- breaks and NUL in a value are refused.
---@alias fcgi.headers table<string, string|number|(string|number)[]>

--- A whole body, a list of its parts, or an iterator that returns the next part
--- and nil at the end; an empty part flushes what was gathered.
---@alias fcgi.body string|number|(string|number)[]|fun(): string?

--- Answers a request: returns status, headers and body, or writes with the
--- request's methods and returns nothing. What it raises becomes a traceback on
--- stderr and a 500 for the client; so does a status that it returns after it
--- has begun the answer, or only the traceback once it has finished that.
---@alias fcgi.handler fun(req: fcgi.request): fcgi.status?, fcgi.headers?, fcgi.body?

--- Handlers of "authorizer", "filter" and "responder" by name, and custom roles.
--- Where there are some, a role that is not among them, other than the
--- handler's own "responder", is refused as the protocol says.
---@alias fcgi.roles table<string, fcgi.handler|fcgi.role>

--- A custom role; without a handler of its own the main one answers.
---@class fcgi.role
---@field number integer as the web server sends it, 4 to 65535
---@field streams? "none"|"stdin"|"stdin+data" what follows the parameters: "stdin"
---@field handler? fcgi.handler

--- Options left out take the default named. Unknown keys are refused.
---@class fcgi.server_options
---@field bind? string|string[] unix:/path, unix:@name, host:port, [::1]:port, :port, fd:N
---@field log_level? "error"|"warning"|"info"|"debug" least important messages that go to stderr: "info"
---@field stream? boolean a request starts before its body is whole: false
---@field poller? "best"|"epoll"|"poll" how to wait: "best"
---@field limit_params_size? integer parameters of a request, in bytes: 256 KiB
---@field limit_params? integer parameters of a request: 1024
---@field max_multiplexed? integer requests open at once on a connection: 1024
---@field no_multiplex? boolean ask web servers for one request at a time on a connection: $FASTCGI_NO_MULTIPLEX or no
---@field limit_connections? integer connections open at once: what open files leave, at most 65536
---@field body_memory? integer bytes of a collected body in memory, the rest goes to a file: 256 KiB
---@field limit_request_body? integer bytes of a collected body, more is answered 413: 1 GiB
---@field temp_dir? string directory of those files: $TMPDIR or /tmp
---@field input_window? integer unread bytes of a streamed body: 256 KiB
---@field output_window? integer unsent bytes of an answer: 256 KiB
---@field connection_memory? integer what requests of one connection may hold: $FASTCGI_CONNECTION_MEMORY or 4 MiB
---@field server_memory? integer what those of all connections may: $FASTCGI_SERVER_MEMORY or 256 MiB
---@field io_timeout? number seconds for one read or write, 0 never waits, math.huge without end: 60
---@field header_timeout? number seconds for the parameters of a request: 30
---@field idle_timeout? number seconds for a kept connection without a request: 90
---@field root_path? string where the application is mounted, "" for nowhere: $FASTCGI_ROOT_PATH or the web server's
---@field status_path? string path at which the server answers with its status: $FASTCGI_STATUS_PATH or none
---@field ping_path? string path at which the server answers "pong": $FASTCGI_PING_PATH or none
---@field request_timeout? number seconds a request may take, then 504: $FASTCGI_REQUEST_TIMEOUT or no limit
---@field max_requests? integer requests of a worker, or of a server that then stops: $FASTCGI_MAX_REQUESTS or any
---@field max_requests_jitter? integer up to so many more, at random: $FASTCGI_MAX_REQUESTS_JITTER or 0
---@field slow_log? number seconds after which a request gets into the log: $FASTCGI_SLOW_LOG or never
---@field access_logfile? string file of a line for each request, "-" is stderr, "" none: $FASTCGI_ACCESS_LOGFILE
---@field access_logformat? string "common", "json", "%(h)s %(s)s": $FASTCGI_ACCESS_LOGFORMAT or "combined"
---@field error_logfile? string file for the server's lines and those of request:log: $FASTCGI_ERROR_LOGFILE or stderr
---@field drain_silence? number seconds of silence that end the draining of an unread body: 0.5
---@field drain_timeout? number seconds for draining one: 30
---@field drain_bytes? integer bytes of it: 4 GiB
---@field backlog? integer connections that wait to be accepted: 4096
---@field socket_mode? string mode of a unix socket in octal digits: "0660"
---@field allow_from? string who may connect over TCP, "127.0.0.1, 10.0.0.0/8, ::1": else only loopback is listened on
---@field peer_users? string whose processes may connect over unix sockets: whoever the socket's mode lets
---@field roles? fcgi.roles other roles than the responder's: all three standard ones go to the handler

--- One of `handler`, `roles` and `app` is needed. Without `bind` it serves what
--- it inherits: LISTEN_FDS of systemd, else a listening descriptor 0, else the
--- one request of a CGI server.
---@class fcgi.serve_options: fcgi.server_options
---@field handler? fcgi.handler answers every request, on this thread and in this state
---@field app? string a file that returns the handler, or {handler = function?, roles = fcgi.roles?, stream = boolean?}
---@field args? string[] arguments of that file
---@field threads? integer threads; above 1 each loads `app` in a state of its own: 1
---@field listening? fun(addresses: string[]): string? called before it serves; what it returns is logged
---@field workers? integer processes that serve, each this program executed again: docs/processes.md
---@field user? string become this user once everything is opened; this and all below need `workers`
---@field group? string likewise this group: the user's
---@field allow_root? boolean workers may run as root: false
---@field umask? string of files that are made, in octal digits
---@field chdir? string where workers start
---@field pid? string a file for the process id
---@field socket_user? string owner of a unix socket
---@field socket_group? string its group
---@field timeout? number seconds after which a worker that has not come by is killed: never
---@field start_timeout? number seconds to become ready: 60
---@field graceful_timeout? number seconds to finish what runs: 30
---@field max_worker_age? number seconds after which a worker is replaced: never
---@field max_worker_age_jitter? number up to so much earlier, at random: 0
---@field max_worker_rss? integer bytes of memory above which it is replaced: never
---@field watch? string[] directories and files whose changes replace the workers

--- Serve until SIGTERM or SIGINT, which finish what runs; a second one, or
--- SIGQUIT, aborts it. Blocks the calling thread. Signal masks are put back.
---@param options fcgi.serve_options
---@return true? served
---@return string? message
---@return fcgi.code? code
function fcgi.serve(options) end

--- The address that a command line names: its first word, or nil without one.
--- nil also where a CGI server started the program, for it puts words that the
--- client has chosen on the command line.
---@param arg string[] the global `arg`
---@return string? address
function fcgi.serve_address(arg) end

--- Make a server whose requests the program takes itself. Without `bind` it
--- listens nowhere until `listen` is called.
---@param options? fcgi.server_options
---@return fcgi.server? server
---@return string? message
---@return fcgi.code? code
function fcgi.server(options) end

--- A server. It closes when collected and at the end of a `<close>` scope.
---@class fcgi.server
local server = {}

--- Listen on one more address; nil means the inherited listener.
---@param address? string
---@return fcgi.server? self
---@return string? message
---@return fcgi.code? code
function server:listen(address) end

--- The address of a listener, with its real port.
---@param index? integer which, from 1 on: 1
---@return string? address
---@return string? message
---@return fcgi.code? code
function server:address(index) end

--- Take the next request: it is the caller's to finish.
---@param seconds? number how long to wait: without end
---@return fcgi.request? request
---@return string? message
---@return fcgi.code? code "TIMEOUT", or "CLOSED" when stopped and finished
function server:accept(seconds) end

--- `for req in server:requests() do`: each request until the server is stopped.
--- One that the body leaves unfinished is finished, or answered 500 when it
--- wrote nothing or raised.
---@return fun(): fcgi.request?
function server:requests() end

--- Answer requests with a handler, and those of roles with theirs, until
--- stopped; no signals are handled.
---@param handler? fcgi.handler may be left out where there are roles
---@return true? served
---@return string? message
---@return fcgi.code? code
function server:serve(handler) end

--- Accept nothing more and finish what runs, or abort it.
---@param how? "graceful"|"now"
---@return fcgi.server self
function server:stop(how) end

--- Open access log and error log anew, once they were renamed; fcgi.serve does
--- it on SIGUSR1.
---@return fcgi.server self
function server:reopen_logs() end

--- A descriptor that polls readable when `accept(0)` has something to do; call
--- accept until it returns nil. With `events` and `timeout` a cqueues object.
---@return integer? descriptor
---@return string? message
---@return fcgi.code? code
function server:pollfd() end

---@return "r"
function server:events() end

--- Seconds until `accept(0)` has a timeout to see to; nil for none.
---@return number?
function server:timeout() end

--- True in a child process that was forked, to which nothing of the server
--- belongs: handlers that return there leave its loop.
---@return boolean
function server:forked() end

--- Close everything; requests not finished are dead. A server that is serving
--- is stopped at once instead.
function server:close() end

--- A request. Its methods raise once it is finished. Left alone, it finishes
--- when collected and at the end of a `<close>` scope.
---@class fcgi.request
---@field params fcgi.params
---@field method string? REQUEST_METHOD
---@field path string the decoded path, as the web server has judged it
---@field script_name string the part of it at which the application is mounted, or ""
---@field path_info string the part of it below that
---@field raw_path string? the path as the client wrote it, not decoded; nil after a rewriting
---@field script_filename string? SCRIPT_FILENAME without Apache's "proxy:fcgi://host" and query
---@field id integer its number on the connection
---@field role string "responder", "authorizer", "filter" or a custom role's name
---@field content_length integer? CONTENT_LENGTH or that of a collected body, nil for a streamed or an empty one
---@field data_length integer? bytes of a filter's file, FCGI_DATA_LENGTH
---@field data_modified integer? when it was modified, in seconds since 1970
---@field aborted false|fcgi.abort_reason whether it is aborted, and why; looks at the connection
local request = {}

--- Read the body as io files are read. A number reads that many bytes, fewer
--- only at the end; nil at the end, except "a" which gives "". A failed read
--- loses nothing: what had come is read again next.
---@param format? integer|"a"|"l"|"L" a line without its end when left out
---@return string? data
---@return string? message
---@return fcgi.code? code "TRUNCATED" when the body ended too early
function request:read(format) end

--- Read what has come of the body, or wait for the next bytes; nil at the end.
---@param most? integer at most so many bytes: 65536
---@return string? data
---@return string? message
---@return fcgi.code? code
function request:read_some(most) end

--- Iterate over lines, or over what `read(format)` gives; raises when reading
--- fails.
---@param format? integer|"l"|"L"
---@return fun(): string?
function request:lines(format) end

--- Read the file that a filter is given, as `read` reads the body; all of it
--- when `format` is left out. With `stream` read the body first.
---@param format? integer|"a"|"l"|"L"
---@return string? data
---@return string? message
---@return fcgi.code? code "TRUNCATED" when it ended short of FCGI_DATA_LENGTH
function request:read_data(format) end

--- An authorizer's yes: the web server goes on, and puts the variables in the
--- environment of what it runs. Ends the request. Any other answer is a no that
--- the client gets; a wrong variable raises.
---@param variables? fcgi.headers
---@return true? done
---@return string? message
---@return fcgi.code? code
function request:allow(variables) end

--- Begin the answer; what is written after it is the body.
---@param status fcgi.status
---@param headers? fcgi.headers
---@return fcgi.request? self
---@return string? message
---@return fcgi.code? code
function request:start(status, headers) end

--- Write body bytes; or raw CGI output when `start` was not called. Small
--- writes are gathered until `flush` or the end.
---@param ... string|number
---@return fcgi.request? self
---@return string? message
---@return fcgi.code? code
---@return integer? taken bytes taken before the failure
function request:write(...) end

--- The whole answer: start, body, finish. Content-Length is added when the
--- body is not an iterator.
---@param status fcgi.status
---@param headers? fcgi.headers
---@param body? fcgi.body
---@return true? done
---@return string? message
---@return fcgi.code? code
function request:reply(status, headers, body) end

--- Send a file, given by path or open, without reading it into memory. What
--- `io.popen` returned is read from where it stands.
---@param file string|file*
---@param offset? integer first byte: 0
---@param len? integer bytes: to the file's end
---@return fcgi.request? self
---@return string? message
---@return fcgi.code? code
function request:send_file(file, offset, len) end

--- Send what was gathered now.
---@return fcgi.request? self
---@return string? message
---@return fcgi.code? code
function request:flush() end

--- Write a line to the web server's error log; it leaves with the next output.
---@param text string
---@return fcgi.request? self
---@return string? message
---@return fcgi.code? code
function request:log(text) end

--- End the request. Does nothing on one that is finished.
---@param app_status? integer 0 suits every web server
---@return true? done
---@return string? message
---@return fcgi.code? code
function request:finish(app_status) end

--- The same as `finish`.
---@param app_status? integer
---@return true? done
---@return string? message
---@return fcgi.code? code
function request:close(app_status) end

--- The parameters of a request: index it by name, `#` counts, `pairs` goes
--- through all as received. nil for a name that was not sent; the process's
--- own environment is never looked at.
---@class fcgi.params
---@field [string] string?
local params = {}

--- A table of names and values, yours to keep.
---@return table<string, string>
function params:copy() end

return fcgi
