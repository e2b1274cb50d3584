# SPDX-License-Identifier: MIT
# Keeps a connection to SQLite: kept.rb ADDRESS BUILD; README.md says what each path does.
require "fastcgi_swig"
require "sqlite3"
include FastCGI::Swig
DATABASE = ARGV[0][5..] + ".db"
STATE = { opened: 0, sick: false, runs: 0 }

DB = Resource.new do
  raise IOError, "it is away" if File.exist?(DATABASE + ".away")
  STATE[:opened] += 1
  SQLite3::Database.new(DATABASE)
end
DB.on("configure") { |c| c.execute("create table if not exists rows (text)") }
DB.on("check") do
  was, STATE[:sick] = STATE[:sick], false
  !was
end
DB.on("reset", ->(c) { c.rollback if c.transaction_active? })
DB.on("close") do |c|
  File.write(DATABASE + ".closed", "x", mode: "a")
  c.close
end
DB.set_text("name", "db")
DB.set_text("retry", "safe")
DB.set("acquire_timeout", 0.3)
DB.set("check_after", 0)
DB.set("eager", 1)

def code(method, *arguments, &block)
  DB.public_send(method, *arguments, &block)
  "none"
rescue Error => error
  error.code
end

def leave(r)
  c = DB.get(r)
  c.transaction
  c.execute("insert into rows values ('left')")
  nil
end

def retried(r)
  DB.get(r)
  return "run #{STATE[:runs]}" if (STATE[:runs] += 1) > 1
  DB.invalidate(r)
  raise "it is gone"
end

def forks(r)
  DB.get(r)
  child = fork { exit!(code(:get, r) == "STATE" ? 3 : 1) }
  "status #{Process.wait2(child)[1].exitstatus}"
end

def same(r)
  alone = DB.take
  DB.give
  alike = [DB.take(r), DB.get(r), DB.take(r)].all? { |one| one.equal?(alone) }
  2.times { DB.give(r) }
  "#{alike ? 'True' : 'False'} #{STATE[:opened]}"
end

def wrong(r)
  [code(:give, r), code(:get, nil), code(:set, "max_age", 1), code(:on, "other") { 1 },
   code(:count, "other"), code(:invalidate, r)].join(" ")
end

COUNTS = %w[open in_use opened unended closed_invalidated closed_check closed_reset]
PAGES = {
  "/same" => method(:same), "/leave" => method(:leave), "/retry" => method(:retried), "/fork" => method(:forks),
  "/fail" => ->(r) { leave(r); raise "after an insert" },
  "/many" => ->(r) { 10000.times { DB.take(r); DB.give(r) }; nil },
  "/wrong" => method(:wrong),
  "/rows" => ->(r) { DB.get(r).get_first_value("select count(*) from rows") },
  "/add" => ->(r) { DB.get(r).execute("insert into rows values ('added')"); nil },
  "/break" => ->(r) { DB.get(r); DB.invalidate(r) },
  "/sick" => ->(r) { STATE[:sick] = true; nil },
  "/spoil" => ->(r) { DB.get(r).close; nil },
  "/keep" => ->(r) { DB.take(r); nil },
  "/drain" => ->(r) { DB.drain },
  "/caught" => ->(r) { code(:get, r) },
  "/counts" => ->(r) { COUNTS.map { |name| DB.count(name) }.join(" ") },
}
server = Server.new
server.set_text("status_path", "/status")
server.listen(ARGV[0])
server.keep(DB)
server.serve { |r| r.reply(200, "text/plain", (PAGES[r.path].call(r) || "None").to_s) }
