# SPDX-License-Identifier: MIT
# The smallest application: ruby hello.rb [address]. Without an address it
# serves the listener that it inherits.
require "fastcgi_swig"

server = FastCGI::Swig::Server.new
ARGV[0] ? server.listen(ARGV[0]) : server.listen_inherited
server.serve { |request| request.reply(200, "text/plain", "Hello\n") }
