# SPDX-License-Identifier: MIT
# The probe over the SWIG module: swig_probe.rb [ADDRESS [OPTION=VALUE...]].
require "fastcgi_swig"

TYPE = "text/plain"
BLOCK = "x" * 100_000
WAYS = {
  "popen" => ->(command) { `#{command}` },
  "system" => ->(command) { system(command) },
  "exec" => ->(command) { Process.wait(fork { exec("/bin/sh", "-c", command) }) },
}.freeze

def tell(line)
  $stderr.syswrite("probe: #{line}\n")
end

def start_with(request, status = 200)
  request.header("Content-Type", TYPE)
  request.start(status)
end

# What answers each path.
module Paths
  module_function

  def gate(request)
    query = request.param("QUERY_STRING")
    tell("#{query} began")
    sleep 0.01 until File.exist?(ENV.fetch("GATE"))
    request.reply(200, TYPE, "#{query}\n")
  end

  def write(request)
    start_with(request)
    loop { request.write(BLOCK) }
  ensure
    tell("write ended")
  end

  def fault(request)
    start_with(request)
    begin
      loop { request.write(BLOCK) }
    rescue FastCGI::Swig::Error
      raise "a fault of its own"
    end
  end

  def complain(request)
    count = request.param("QUERY_STRING")
    count.to_i.times { |number| request.log(format("complaint %029d", number)) }
    request.reply(200, TYPE, "#{count}\n")
  end

  def reply(request)
    request.reply(request.param("QUERY_STRING").to_i, TYPE, "abc")
  end

  def start(request)
    start_with(request, request.param("QUERY_STRING").to_i)
    request.write("abc")
  end

  def promise(request)
    request.header("Content-Length", request.param("QUERY_STRING"))
    start_with(request)
    request.write("a")
    request.flush
    request.write("bc")
  end

  def length(request)
    request.reply(200, TYPE, "#{request.content_length} #{request.read.size}")
  end

  def file(request)
    length = request.param("LENGTH")
    request.header("Content-Length", length) if length
    start_with(request)
    request.send_file(request.param("FILE"))
  end

  def run(request)
    WAYS.fetch(request.param("WAY")).call(request.param("COMMAND"))
    request.reply(200, TYPE, "done\n")
  end
end

server = FastCGI::Swig::Server.new
(ARGV[1..] || []).each { |option| server.set_text(*option.split("=", 2)) }
ARGV[0] ? server.listen(ARGV[0]) : server.listen_inherited
server.serve do |request|
  name = request.path[%r{[^/]*\z}].to_sym
  if Paths.singleton_methods.include?(name)
    Paths.public_send(name, request)
  else
    request.reply(200, TYPE, "QUERY_STRING=#{request.param('QUERY_STRING')}\n")
  end
end
