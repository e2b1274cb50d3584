# SPDX-License-Identifier: MIT
# A program over the SWIG module that does as told.c says.
require "fastcgi_swig"

server = FastCGI::Swig::Server.new
ARGV[0] ? server.listen(ARGV[0]) : server.listen_inherited
server.serve do |request|
  told = request.param("QUERY_STRING")
  raise "x" * 500 if told == "fail"

  File.write(ENV.fetch("MARK"), "") unless told.empty?
  loop {} if told == "loop"
  sleep 1000 while told == "call" # A signal may end one.
  ("a" * 20_000_000).index("#{"a" * 10_000_000}b") if told == "code" # A call in C.
  request.reply(200, "text/plain", "fine\n")
end
