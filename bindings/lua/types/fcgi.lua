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
---| "PROTOCOL"    # the peer broke the FastCGI protocol, or a form is malformed
---| "LIMIT"       # a configured limit was reached
---| "AGAIN"       # not possible now without blocking
---| "TIMEOUT"     # timed out
---| "CLOSED"      # closed, or stopped and finished
---| "ABORTED"     # the request was aborted
---| "TRUNCATED"   # the body ended before CONTENT_LENGTH bytes
---| "SYSTEM"      # a system call failed
---| "UNSUPPORTED" # not supported here; the body is no form
---| "DAMAGED"     # another process has written over shared memory

--- Why a request is aborted. Reads of what has not come fail with "ABORTED" from
--- then on, writes only where no reader is left: not after "record".
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
---@field roles? fcgi.roles other roles than the responder's: all three standard ones go to the handler
--- Times are seconds; math.huge or 0 is "no limit" or "never", where it may be. Modes are octal digits.
--- Of a server; ./dev options writes these:
--- Call the handler as soon as the parameters of a request are there, before its body. Default:
--- off.
---@field stream? boolean
--- Least important level of message that goes to stderr. Default: info.
---@field log_level? "error"|"warning"|"info"|"debug"
--- Most bytes in the parameters of a request; a larger one gets 431. Default: 256K.
---@field limit_params_size? integer
--- Most parameters of a request; one with more gets 431. Default: 1024.
---@field limit_params? integer
--- Largest body that is collected; a longer one gets 413. Default: 1G.
---@field limit_request_body? integer
--- Most connections that a process has open at once; others wait. Default: what the limit of open
--- files leaves, at most 65536.
---@field limit_connections? integer
--- Most requests that are open at once on a connection; others get 503. Default: 1024.
---@field max_multiplexed? integer
--- Tell web servers that ask (GET_VALUES) that a connection takes one request at a time. Default:
--- off.
---@field no_multiplex? boolean
--- Most bytes of a collected body in memory; the rest goes to a temporary file. Default: 256K.
---@field body_memory? integer
--- Most bytes of memory that the requests of a connection hold; beyond that, new requests get 503.
--- Default: 4M.
---@field connection_memory? integer
--- Most bytes of memory that all requests of a process hold; beyond that, new requests get 503.
--- Default: 256M.
---@field server_memory? integer
--- Most bytes of a streamed body that wait for the handler; then reading from the connection
--- pauses. Default: 256K.
---@field input_window? integer
--- Most unsent bytes of an answer; then the handler that writes it waits. Default: 256K.
---@field output_window? integer
--- Most bytes of an unread body that are received and dropped; then the connection is closed.
--- Default: 4G.
---@field drain_bytes? integer
--- Directory for temporary files. Default: $TMPDIR, or /tmp.
---@field temp_dir? string
--- Longest time from the first byte of a request to the end of its parameters. Default: 30s.
---@field header_timeout? number
--- Longest wait of one read or write of a request; a collected body that makes no progress for this
--- long gets 408. Default: 60s.
---@field io_timeout? number
--- Longest time that a kept connection stays open without a request. Default: 90s.
---@field idle_timeout? number
--- Longest time that a request may take; then the client gets 504. Default: no limit.
---@field request_timeout? number
--- Longest pause in the unread rest of a body; then the server stops waiting for it. Default: 0.5s.
---@field drain_silence? number
--- Longest time that the server waits for the unread rest of a body. Default: 30s.
---@field drain_timeout? number
--- Addresses and CIDR blocks that may connect over TCP, separated by commas. Default: loopback.
---@field allow_from? string|(string|integer)[]
--- Users whose processes may connect over unix sockets, by name or number, separated by commas.
--- Default: anyone whom the mode of the socket allows.
---@field peer_users? string|(string|integer)[]
--- Mode of the unix sockets that are created, in octal. Default: 660.
---@field socket_mode? string
--- Most connections that wait to be accepted. Default: 4096.
---@field backlog? integer
--- URL path that the application is mounted at, such as /shop; an empty path is the root of the
--- site. Default: what the web server says.
---@field root_path? string
--- System call that the server waits with: epoll is for Linux, poll for every system; best is epoll
--- where it exists. Default: best.
---@field poller? "best"|"epoll"|"poll"
--- URL path of the status page. Default: none.
---@field status_path? string
--- URL path that the server answers with "pong". Default: none.
---@field ping_path? string
--- Time after which a running request is logged, with the stack of its handler. Default: never.
---@field slow_log? number
--- File for the access log, which has a line for each request; - is stderr. Default: none.
---@field access_logfile? string
--- Format of the access log: common, combined, json, or a text with gunicorn's atoms, such as
--- %(h)s. Default: combined.
---@field access_logformat? string
--- Most bytes of lines that wait to be written to a log file; further lines are dropped and
--- counted. Default: 1M.
---@field log_queue? integer
--- File for the error log: messages of the server, and what requests write to STDERR; - is stderr.
--- Default: stderr.
---@field error_logfile? string
--- Number of requests after which a worker is replaced; without a supervisor, the server stops
--- then. Default: never.
---@field max_requests? integer
--- Largest random number that is added to max_requests. Default: 0.
---@field max_requests_jitter? integer
--- Longest time that a graceful stop waits for running requests; then they are aborted. Default:
--- 30s.
---@field graceful_timeout? number
--- End of these.

--- One of `handler`, `roles` and `app` is needed. Without `bind` it serves what
--- it inherits: LISTEN_FDS of systemd, else a listening descriptor 0, else the
--- one request of a CGI server.
---@class fcgi.serve_options: fcgi.server_options
---@field handler? fcgi.handler answers every request, on this thread and in this state
---@field app? string a file that returns the handler, or {handler = function?, roles = fcgi.roles?, stream = boolean?}
---@field args? string[] arguments of that file
---@field listening? fun(addresses: string[]): string? called before it serves; what it returns is logged
---@field watch? string[] directories and files whose changes replace the workers; needs `workers`
--- Those below but threads need `workers`, each of which is this program executed again: docs/processes.md.
--- Of processes; ./dev options writes these:
--- Threads that serve requests in each process. Default: 1.
---@field threads? integer
--- Directory to change to before anything is loaded. Default: the current directory.
---@field chdir? string
--- Permission bits that new files do not get, in octal. Default: inherited.
---@field umask? string
--- Number of worker processes that a supervisor starts; auto starts one for each processor, or
--- fewer where a CPU quota applies. Default: $WEB_CONCURRENCY, or one process.
---@field workers? integer|"auto"
--- Keep each connection at the worker that has accepted it, even while that is busy and another one
--- is idle. Default: off.
---@field no_balance? boolean
--- User that workers run as, by name or number. Default: unchanged.
---@field user? string
--- Group that workers run as, by name or number. Default: the user's.
---@field group? string
--- Let workers run as root. Default: off.
---@field allow_root? boolean
--- File that the supervisor writes its process id to, and locks. Default: none.
---@field pid? string
--- Owner of the unix sockets that are created, by name or number. Default: unchanged.
---@field socket_user? string
--- Group of the unix sockets that are created, by name or number. Default: unchanged.
---@field socket_group? string
--- Longest time that a worker may take to become ready. Default: 60s.
---@field start_timeout? number
--- Longest time without a sign of life from a worker; then it is killed. Default: no limit.
---@field timeout? number
--- Age at which a worker is replaced. Default: never.
---@field max_worker_age? number
--- Longest random time that is subtracted from max_worker_age. Default: 0.
---@field max_worker_age_jitter? number
--- Most resident memory that a worker may use; a larger worker is replaced. Default: no limit.
---@field max_worker_rss? integer
--- Dictionary that all workers share, and the memory that it may take, from 64K up, such as
--- cache=16M. Default: none.
---@field shared? string
--- End of those.

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

--- The dictionary that `--shared NAME=SIZE` declares. Without a supervisor the
--- process has one of its own, of `size` bytes, 1 MiB unless given.
---@param name string
---@param size? integer
---@return fcgi.shared?, string? message, fcgi.code?
function fcgi.shared(name, size) end

--- Make something that is kept between requests, one for each Lua state.
---@param options fcgi.resource_options
---@return fcgi.resource?, string? message, fcgi.code?
function fcgi.resource(options) end

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
---@field ctx table the request's own; values with `__close` are closed when the request ends
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

--- Set the longest wait of one read, write or flush: seconds, math.huge or nil
--- for no limit. With 0 they never wait and fail with "AGAIN". Without a call it
--- is `io_timeout` of the server.
---@param seconds? number
function request:set_timeout(seconds) end

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

--- Has a GET or HEAD run once more if it fails because a resource broke that it
--- had, whatever the resource says.
---@return true? done
---@return string? message
---@return fcgi.code? code
function request:want_retry() end

--- The decoded query string: fcgi.query.read.
---@param options? fcgi.query_options
---@return fcgi.fields? fields, string? message, fcgi.code? code, integer? status
function request:query(options) end

--- The decoded form and its files: fcgi.form.read.
---@param options? fcgi.form_options
---@return fcgi.fields? fields
---@return table<string, fcgi.upload>|string files, fcgi.code? code, integer? status
function request:form(options) end

--- The cookies by name: fcgi.cookie.read.
---@return table<string, string>
function request:cookies() end

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
