# SPDX-License-Identifier: MIT
# Handlers over the SWIG module: ruby app.rb HANDLER ADDRESS [OPTION=NUMBER...]
# README.md says what each does. The same program exists in every language.
require "fastcgi_swig"

include FastCGI::Swig

HEAD = "Content-Type: text/plain\r\n\r\n".b
PAGE_HEAD = "Content-type: text/html\r\n\r\n".b
PAGE_BODY = "<html>\n<head> ... ".b

def text(request, body)
  request.reply(200, "text/plain", body)
end

# --- The handlers of the conformance cases ------------------------------------

def refuse(request, status, reason)
  request.reply(status, "text/plain", "#{status} #{reason}\n")
end

def answer_read(request)
  body = yield
  request.write(HEAD)
  request.write(body)
rescue Error => error
  raise unless error.code == "TRUNCATED"

  refuse(request, 400, "Bad Request")
end

def page(request)
  request.write(PAGE_HEAD + PAGE_BODY)
end

def list_params(request)
  request.write(HEAD + request.params.map { |name, value| "#{name}=#{value}\n".b }.join)
end

def fault(request)
  request.write(PAGE_HEAD + "<ht")
  request.log("config error: missing SI_UID")
  request.write("ml>\n<head> ... ")
  request.end(938)
end

def big(request)
  request.write(HEAD)
  10_000.times { request.write("x" * 20) }
end

def authorize(request)
  if request.param("PASS") == "yes"
    request.write("Variable-AUTH: yes\r\n\r\n")
  else
    refuse(request, 403, "Forbidden")
  end
end

ANSWERING = {
  "echo" => ->(request) { answer_read(request) { request.read } },
  "data" => ->(request) { answer_read(request) { "#{request.read}|#{request.read_data}" } },
  "params" => method(:list_params),
  "early" => ->(request) { request.write("#{HEAD}early\n") },
  "page" => method(:page),
  "fault" => method(:fault),
  "big" => method(:big),
  "authorize" => method(:authorize)
}.freeze

# --- Those that hold requests, with the pull API ------------------------------

def finish(request)
  request.end unless request.ended?
end

# The requests that wait.
class Holder
  def initialize
    @held = [] # For an abort.
    @first = nil # For another request.
    @reading = [] # For their bodies, with what has come of them.
  end

  def take(name, request)
    case name
    when "hold" then @held << request
    when "swap" then swap(request)
    when "echo"
      request.set_timeout(0)
      @reading << [request, "".b]
    else
      answering = ANSWERING[name]
      answering ? answering.call(request) : refuse(request, 501, "Not Implemented")
      finish(request)
    end
  end

  def turn
    @held.reject! { |request| let_go(request) }
    @reading.reject! { |request, body| read_on(request, body) }
  end

  private

  def swap(request)
    unless @first
      @first = request
      request.write(PAGE_HEAD)
      request.flush
      return
    end
    page(request)
    request.end
    @first.write(PAGE_BODY)
    @first.end
    @first = nil
  end

  # Read what has come, without waiting; true when the request is over.
  def read_on(request, body)
    begin
      until (part = request.read_some).empty?
        body << part
      end
      request.write(HEAD + body)
    rescue Error => error
      return false if error.code == "AGAIN"

      refuse(request, 400, "Bad Request") if error.code == "TRUNCATED"
    end
    finish(request)
    true
  end

  def let_go(request)
    return false unless request.aborted

    begin
      request.write("#{HEAD}aborted\n")
    rescue Error
      nil # Nobody may be left to read it.
    end
    finish(request)
    true
  end
end

def holding(server)
  holder = Holder.new
  until server.stopped?
    request = server.accept(0.005)
    begin
      holder.take(yield(request), request) if request
    rescue Error
      request.fail unless request.ended?
    end
    holder.turn
  end
end

def pull(server)
  idle = false
  until server.stopped?
    request = server.accept(0.02)
    if request
      server.stop if request.param("PATH_INFO") == "/stop"
      text(request, idle ? "after a pause" : "at once")
    end
    idle = request.nil?
  end
end

# --- The scenario: one server, a handler for each path ------------------------

class Failure < StandardError
end

# One that cannot even be shown.
class Odd < StandardError
  def message
    raise "not shown"
  end

  def full_message(**)
    raise "not shown"
  end
end

# The code of the error that a call raises.
def problem
  yield
  "none"
rescue Error => error
  error.code
end

def wrong(request, server)
  calls = [
    lambda {
      request.header("X", "a\nb")
      request.start(200)
    },
    -> { server.set("no_such_option", 1) },
    -> { server.listen("nonsense") },
    -> { request.send_file("/no/such/file") }
  ]
  codes = calls.map { |call| problem(&call) }
  request.fail
  puts codes.join(" ")
  $stdout.flush
end

def nested(request)
  inner = Server.new
  inner.listen(request.param("INNER"))
  inner.run do |inside|
    text(inside, "inner\n")
    inner.stop
  end
  text(request, "outer\n")
end

# What a finished request answers.
def after_the_end(request)
  codes = [problem { request.read }, problem { request.params }, problem { request.end },
           problem { request.write("x") }]
  [*codes, request.ended? ? "ended" : "open"].join(" ")
end

# A handler for each path, over what they share.
class Scenario
  def initialize(server)
    @server = server
    @requests = 0
    @kept = nil
  end

  def call(request)
    send(request.param("PATH_INFO").delete_prefix("/"), request)
  end

  private

  def bytes(request)
    body = request.read(3) + request.read_some(2) + request.read
    request.header("X-Length", body.bytesize.to_s)
    text(request, "#{body}|".b + request.param("ODD"))
  end

  def nothing(request)
    text(request, request.param("ABSENT").nil? ? "nothing" : "something")
  end

  # Write nothing.
  def silent(request)
  end

  def promise(request)
    request.header("Transfer-Encoding", "chunked")
    request.header("Content-Length", request.param("LENGTH"))
    text(request, "abc")
  end

  def number(request)
    numbers = [request.content_length, request.data_length, request.data_modified]
    text(request, numbers.map { |number| "#{number}\n" }.join)
  end

  def large(request)
    Server.new.set("socket_mode", 9_007_199_254_740_993)
  rescue Error => error
    text(request, "#{error.code} #{error}")
  end

  def die(_)
    raise Failure, "as it was told to"
  end

  def die_late(request)
    request.write("#{HEAD}some of it")
    request.flush
    raise Failure, "after output"
  end

  def odd(_)
    raise Odd
  end

  def leave(_)
    throw :out
  end

  def close(_)
    @server.close
  end

  def save(request)
    @kept = request
  end

  def saved(request)
    text(request, after_the_end(@kept))
  end

  def no_handle(request)
    nothing = Server.allocate
    text(request, "#{problem { nothing.accept }} #{problem { nothing.stop }}")
  end

  def wrong(request)
    super(request, @server)
  end

  def stop(request)
    @server.stop
    text(request, "stopping\n")
  end

  def file(request)
    request.header("Content-Type", "text/plain")
    request.start
    request.send_file(request.param("FILE"), 1, 5)
  end

  def count(request)
    @requests += 1
    text(request, @requests.to_s)
  end
end

# The error of a handler leaves the loop as it is; the loop goes on. What jumps
# leaves it too.
def raising(server)
  thrown = Failure.new("through the loop")
  begin
    server.run(->(_) { raise thrown }, "raise")
  rescue Failure => error
    same = error.equal?(thrown) && error.backtrace.grep(/in `?.*raising/).any?
  end
  server.run do |request|
    text(request, same ? "same" : "changed")
    server.stop
  end
end

PULLING = {
  "swap" => ->(server) { holding(server) { "swap" } },
  "hold" => ->(server) { holding(server) { "hold" } },
  "spec" => ->(server) { holding(server) { |request| request.param("SPEC_HANDLER") || "echo" } },
  "pull" => method(:pull),
  "scenario" => ->(server) { catch(:out) { server.serve(Scenario.new(server)) } },
  "raising" => method(:raising)
}.freeze

name, address, *options = ARGV
server = Server.new
server.set_text("drain_silence", "0.2")
server.set("stream", %w[early spec].include?(name) ? 1 : 0)
options.each do |option|
  key, value = option.split("=")
  server.set_text(key, value)
end
server.listen(address)
PULLING.key?(name) ? PULLING[name].call(server) : server.serve(ANSWERING[name])
