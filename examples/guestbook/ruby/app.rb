# SPDX-License-Identifier: MIT
# A guestbook that keeps its database connection open.
#
#   ruby app.rb unix:guestbook.sock
#
# It opens SQLite at its first request and keeps it as a resource. Needs the SWIG
# module fastcgi_swig and the gem sqlite3; without an address it serves the
# listener that it inherits.
require "cgi/util"
require "fastcgi_swig"
require "securerandom"
require "sqlite3"

DATABASE = ENV.fetch("GUESTBOOK_DB", "guestbook.db")
LONGEST = { "name" => 80, "message" => 2000 }.freeze
LONGEST_FORM = 64 * 1024
SHOWN = 50
HTML = "text/html; charset=utf-8".freeze
PAGE, CSS = %w[page.html page.css].map do |name|
  File.read(File.join(__dir__, "..", name), encoding: "UTF-8").freeze
end

# Something the visitor can put right.
class Mistake < StandardError
  attr_reader :status

  def initialize(text, status = 400)
    super(text)
    @status = status
  end
end

# A connection, and what the page tells about it.
class Connection
  attr_reader :id, :requests

  def initialize
    @database = SQLite3::Database.new(DATABASE)
    @database.busy_timeout(2000)
    prepare
    @id = SecureRandom.hex(4)
    @opened = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    @requests = 0
  end

  def used
    @requests += 1
    self
  end

  def age
    Process.clock_gettime(Process::CLOCK_MONOTONIC) - @opened
  end

  def add(name, message)
    @database.execute("INSERT INTO entries (at, name, message) VALUES (?, ?, ?)",
                      [Time.now.to_i, name, message])
  end

  def count
    @database.get_first_value("SELECT count(*) FROM entries")
  end

  def newest
    @database.execute("SELECT at, name, message FROM entries ORDER BY id DESC LIMIT ?", [SHOWN])
  end

  def undo
    @database.rollback if @database.transaction_active?
  end

  def close
    @database.close
  end

  private

  def prepare
    begin
      @database.execute("PRAGMA journal_mode = WAL")
    rescue SQLite3::BusyException
      # Of several processes that open a new file at once, one sets its mode and
      # the others are told that it is locked, whatever the timeout.
    end
    @database.execute("CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, " \
                      "at INTEGER NOT NULL, name TEXT NOT NULL, message TEXT NOT NULL)")
  end
end

# Replacing a connection to a local file gains nothing: it stays open as long as
# its thread.
GUESTBOOK = FastCGI::Swig::Resource.new { Connection.new }
GUESTBOOK.on("reset", &:undo)
GUESTBOOK.on("close", &:close)
GUESTBOOK.set_text("name", "guestbook")
GUESTBOOK.set("acquire_timeout", 2)
GUESTBOOK.set("max_age", -1)
GUESTBOOK.set("max_idle", -1)

def connection(request)
  GUESTBOOK.get(request).used
rescue FastCGI::Swig::Error => error
  raise SQLite3::CantOpenException, error.message
end

# --- The page -----------------------------------------------------------------

ESCAPES = { "&" => "&amp;", "<" => "&lt;", ">" => "&gt;", '"' => "&quot;", "'" => "&#x27;" }.freeze

def escape(text)
  text.gsub(/[&<>"']/, ESCAPES)
end

# 8 s, 3 min 12 s, 2 h 5 min.
def age_text(seconds)
  minutes, seconds = seconds.divmod(60)
  return "#{seconds} s" if minutes.zero?

  hours = minutes / 60
  hours.zero? ? "#{minutes} min #{seconds} s" : "#{hours} h #{minutes % 60} min"
end

def entry_html(at, name, message)
  time = Time.at(at).utc
  <<~ENTRY.chomp
    <article class="entry"><header><h3>#{escape(name)}</h3>
    <time datetime="#{time.strftime('%Y-%m-%dT%H:%M:%SZ')}">#{time.strftime('%-d %B %Y, %H:%M UTC')}</time></header>
    <p>#{escape(message)}</p></article>
  ENTRY
end

def entries_html(entries)
  return '<p class="empty">Be the first to sign.</p>' if entries.empty?

  entries.map { |entry| entry_html(*entry) }.join("\n")
end

def count_text(count)
  case count
  when 0 then "No entries yet"
  when 1 then "1 entry"
  else "#{count} entries"
  end
end

# Without a connection the page still shows what is wrong.
NO_FACTS = { "connection_id" => "none", "connection_age_s" => 0, "connection_age" => "not open",
             "requests" => 0, "worker" => "nobody", "count" => "The entries cannot be shown",
             "entries" => "" }.freeze

def facts(connection)
  return NO_FACTS unless connection

  { "connection_id" => connection.id, "connection_age_s" => connection.age.round(1),
    "connection_age" => age_text(connection.age.to_i), "requests" => connection.requests,
    "worker" => "process #{Process.pid}", "count" => count_text(connection.count),
    "entries" => entries_html(connection.newest) }
end

def page(connection, path, notice = "", form = {})
  words = { **facts(connection), "title" => "Guestbook in Ruby", "language" => "Ruby", "css" => CSS,
            "notice" => notice, "action" => escape(path), "name" => escape(form["name"].to_s),
            "message" => escape(form["message"].to_s),
            "status_url" => escape(path.sub(%r{[^/]*\z}, "status")) }
  words["notice"] = %(<p class="notice" role="alert">#{escape(notice)}</p>) unless notice.empty?
  PAGE.gsub(/\$([a-z_]+)/) { words.fetch(Regexp.last_match(1), Regexp.last_match(0)).to_s }
end

# --- The form -----------------------------------------------------------------

# As text without NUL and surrounding white space.
def clean(value)
  text = CGI.unescape(value.dup.force_encoding("UTF-8")).scrub
  text.delete("\0").gsub("\r\n", "\n").strip
end

def read_form(request)
  body = request.read(LONGEST_FORM + 1)
  raise Mistake.new("The form is too large.", 413) if body.bytesize > LONGEST_FORM

  pairs = body.split("&").map { |field| field.split("=", 2) }
  LONGEST.keys.to_h { |name| [name, clean(pairs.assoc(name)&.at(1).to_s)] }
rescue FastCGI::Swig::Error
  raise Mistake, "The form did not arrive whole."
end

def check_form(form)
  LONGEST.each do |name, longest|
    raise Mistake, "Please write your #{name}." if form[name].empty?

    shown = longest.to_s.sub(/(\d)(\d{3})\z/, '\1,\2')
    raise Mistake, "Your #{name} is longer than #{shown} characters." if form[name].size > longest
  end
end

# --- Answers ------------------------------------------------------------------

def answer(request, status, type, body)
  request.header("Cache-Control", "no-store")
  request.reply(status, type, body)
end

# The path of this page, which the web server has judged, as a link has it.
def own_path(request)
  path = request.path.b.sub(%r{\A/*}, "/")
  path.gsub(%r{[^A-Za-z0-9/._~-]}n) { |byte| format("%%%02X", byte.ord) }.force_encoding("UTF-8")
end

def answer_status(request, connection)
  answer(request, 200, "application/json",
         format('{"connection_id": "%s", "connection_age_s": %.1f, "requests": %d}',
                connection.id, connection.age, connection.requests))
end

def sign(request, connection, path)
  form = {}
  form = read_form(request)
  check_form(form)
  connection.add(form["name"], form["message"])
  request.header("Location", path)
  answer(request, 303, HTML, "")
rescue Mistake => mistake
  answer(request, mistake.status, HTML, page(connection, path, mistake.message, form))
rescue SQLite3::Exception => error
  notice = "Your entry could not be saved, please try again: #{error.message}."
  answer(request, 503, HTML, page(connection, path, notice, form))
end

def refuse(request, connection, path)
  request.header("Allow", "GET, HEAD, POST")
  answer(request, 405, HTML,
         page(connection, path, "This page can be read and signed, nothing else."))
end

def serve(request, connection, path)
  return answer_status(request, connection) if path.end_with?("/status")

  case request.param("REQUEST_METHOD")
  when "GET", "HEAD" then answer(request, 200, HTML, page(connection, path))
  when "POST" then sign(request, connection, path)
  else refuse(request, connection, path)
  end
end

server = FastCGI::Swig::Server.new
ARGV[0] ? server.listen(ARGV[0]) : server.listen_inherited
server.serve do |request|
  path = own_path(request)
  serve(request, connection(request), path)
rescue SQLite3::Exception => error
  request.log("guestbook: #{DATABASE}: #{error.message}")
  notice = "The database cannot be used now: #{error.message}."
  answer(request, 503, HTML, page(nil, path, notice))
end
