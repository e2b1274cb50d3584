#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Serves both guestbooks behind nginx until Ctrl-C; `./dev demo` builds what it
# needs and runs it. Everything lives in one temporary directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH=$PATH:/usr/sbin # Where Debian has nginx, but not every user's PATH.

readonly apps=(python lua)
declare -A title=([python]=Python [lua]=Lua)
declare -A pid_of=() # By name: the applications and nginx.
check=no
port=
dir=

die() {
  echo "demo: $*" >&2
  exit 1
}

parse() {
  while (($#)); do
    case $1 in
      --check) check=yes ;;
      --port)
        port=${2:-}
        if [[ ! $port =~ ^[0-9]{1,5}$ ]] || ((10#$port < 1 || 10#$port > 65535)); then
          die "--port needs a number from 1 to 65535, not '$port'"
        fi
        shift
        ;;
      *) die "no option '$1'; usage: demo [--check] [--port N]" ;;
    esac
    shift
  done
}

free_port() {
  build/venv/bin/python -c 'import socket
with socket.create_server(("127.0.0.1", 0)) as s: print(s.getsockname()[1])'
}

# --- Processes ----------------------------------------------------------------

# Starts a process in a group of its own, so that Ctrl-C reaches this script
# alone; should the script be killed, it ends too. usage: start NAME COMMAND...
start() {
  local name=$1
  shift
  setsid setpriv --pdeathsig TERM "$@" >"$dir/$name.log" 2>&1 </dev/null &
  pid_of[$name]=$!
}

running() {
  jobs -rp | grep -qx "$1"
}

# Ends the demo when a process of it has ended.
require_all_running() {
  local name
  for name in "${!pid_of[@]}"; do
    running "${pid_of[$name]}" || report_end "$name"
  done
}

report_end() {
  local status=0
  wait "${pid_of[$1]}" || status=$?
  if ((status > 128)); then
    echo "demo: $1 was killed by signal $((status - 128)); the last lines of its log:" >&2
  else
    echo "demo: $1 ended with status $status; the last lines of its log:" >&2
  fi
  show_log "$1"
  exit 1
}

# The last lines of a process's log. usage: show_log NAME
show_log() {
  if [[ -s $dir/$1.log ]]; then
    tail -n 8 "$dir/$1.log" | sed 's/^/  /' >&2
  else
    echo "  (nothing)" >&2
  fi
}

stop_all() {
  local name tries=50
  for name in "${!pid_of[@]}"; do
    kill -TERM "${pid_of[$name]}" 2>/dev/null || true
  done
  while [[ -n $(jobs -rp) ]] && ((tries-- > 0)); do sleep 0.1; done
  for name in "${!pid_of[@]}"; do # The group: also orphans of a killed nginx.
    kill -KILL -- "-${pid_of[$name]}" 2>/dev/null || true
  done
}

clean_up() {
  trap '' INT TERM HUP
  stop_all
  [[ -z $dir ]] || rm -rf "$dir"
}

# --- nginx and the applications -----------------------------------------------

location() {
  cat <<TEXT
    location /$1/ {
      fastcgi_pass $1;
      fastcgi_keep_conn on;
      fastcgi_split_path_info ^(/$1)(/.*)\$;
      fastcgi_param SCRIPT_NAME \$fastcgi_script_name;
      fastcgi_param PATH_INFO \$fastcgi_path_info;
      fastcgi_param QUERY_STRING \$query_string;
      fastcgi_param REQUEST_METHOD \$request_method;
      fastcgi_param REQUEST_URI \$request_uri;
      fastcgi_param REQUEST_SCHEME \$scheme;
      fastcgi_param CONTENT_TYPE \$content_type;
      fastcgi_param CONTENT_LENGTH \$content_length;
      fastcgi_param REMOTE_ADDR \$remote_addr;
      fastcgi_param SERVER_NAME \$host;
      fastcgi_param SERVER_PORT \$server_port;
      fastcgi_param SERVER_PROTOCOL \$server_protocol;
    }
TEXT
}

nginx_conf() {
  local app kind
  ((EUID)) || echo "user root;" # The sockets are readable by their owner only.
  cat <<TEXT
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off;
  default_type "text/html; charset=utf-8";
TEXT
  for kind in client_body fastcgi proxy uwsgi scgi; do
    echo "  ${kind}_temp_path $dir/temp-$kind;"
  done
  for app in "${apps[@]}"; do
    echo "  upstream $app { server unix:$dir/$app.sock; keepalive 8; }"
  done
  echo "  server {"
  echo "    listen 127.0.0.1:$port;"
  echo "    absolute_redirect off;"
  echo "    root $dir/www;"
  for app in "${apps[@]}"; do location "$app"; done
  echo "  }"
  echo "}"
}

index_page() {
  cat <<TEXT
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>fastcgi demo</title>
<style>
body { font: 1.1rem/1.6 system-ui, sans-serif; max-width: 34rem; margin: 4rem auto; padding: 0 1rem; }
</style>
<h1>Two guestbooks</h1>
<p>nginx answers this page; each guestbook is a program that stays alive
behind it and keeps its database open.</p>
<ul>
<li><a href="/python/">The guestbook in Python</a></li>
<li><a href="/lua/">The guestbook in Lua</a></li>
</ul>
TEXT
}

start_nginx() {
  local early_log=()
  # Older releases open the system's log first, and say so, but go on.
  nginx -h 2>&1 | grep -q -- '-e filename' && early_log=(-e stderr)
  mkdir "$dir/www"
  index_page >"$dir/www/index.html"
  nginx_conf >"$dir/nginx.conf"
  start nginx nginx "${early_log[@]}" -p "$dir" -c "$dir/nginx.conf"
}

start_apps() {
  local here=$PWD
  start python env -C examples/guestbook/python GUESTBOOK_DB="$dir/python.db" \
    PYTHONDONTWRITEBYTECODE=1 "$here/build/venv/bin/python" -m fastcgi app:app \
    --bind "unix:$dir/python.sock" --threads 2
  start lua env -C examples/guestbook/lua GUESTBOOK_DB="$dir/lua.db" \
    "$here/build/install/bin/fcgi-lua" app.lua \
    --bind "unix:$dir/lua.sock" --threads 2
}

# nginx writes its process id once it listens, and answers 502 for an
# application that does not listen yet.
all_up() {
  local app
  [[ -S $dir/python.sock && -S $dir/lua.sock && -s $dir/nginx.pid ]] || return
  for app in "${apps[@]}"; do
    [[ $(request "$app" "" -o /dev/null -w '%{http_code}') != 502 ]] || return
  done
}

wait_until_up() {
  local tries=150
  while ((tries-- > 0)); do
    require_all_running
    all_up && return
    sleep 0.1
  done
  die "nginx and the applications did not come up within 15 seconds"
}

# --- Requests -----------------------------------------------------------------

# usage: request APP PATH [CURL ARGUMENTS]; the body goes to stdout
request() {
  local app=$1 path=$2
  shift 2
  curl -sS --max-time 10 "$@" "http://127.0.0.1:$port/$app/$path"
}

# usage: expect STATUS APP PATH [CURL ARGUMENTS]; the body goes to a file
expect() {
  local want=$1 got
  shift
  got=$(request "$@" -o "$dir/answer" -w '%{http_code}') || complain "$1" "no answer"
  [[ $got == "$want" ]] || complain "$1" "/$1/$2 answered $got instead of $want"
}

# The reason is a dead process more often than a wrong answer.
complain() {
  sleep 0.3
  require_all_running
  echo "${title[$1]}: FAILED: $2" >&2
  show_log "$1"
  exit 1
}

# Sets connection and served to the id of the database connection that answers
# and the number of requests that it has answered.
ask_status() {
  expect 200 "$1" status
  connection=$(sed -nE 's/.*"connection_id": *"([^"]+)".*/\1/p' "$dir/answer")
  served=$(sed -nE 's/.*"requests": *([0-9]+).*/\1/p' "$dir/answer")
  [[ -n $connection && -n $served ]] ||
    complain "$1" "/$1/status answered this: $(head -c 200 "$dir/answer")"
}

# Two requests in a row with one database connection. Each thread has its own,
# so a pair that two threads answered is asked again.
show_connection() {
  local app=$1 tries=20 connection served first first_served
  while ((tries-- > 0)); do
    ask_status "$app"
    first=$connection first_served=$served
    ask_status "$app"
    if [[ $connection == "$first" ]] && ((served > first_served)); then
      echo "${title[$app]}: database connection $connection answered requests $first_served and $served"
      return
    fi
  done
  complain "$app" "no two requests in a row were answered with one database connection"
}

check_app() {
  local app=$1 token=check-$RANDOM$RANDOM
  expect 200 "$app" ""
  expect 303 "$app" "" --data-urlencode name=demo --data-urlencode "message=<b>$token</b>"
  expect 200 "$app" ""
  grep -q "&lt;b&gt;$token&lt;/b&gt;" "$dir/answer" ||
    complain "$app" "the page does not show the entry that was posted"
  show_connection "$app"
  require_all_running
  echo "${title[$app]}: OK"
}

main() {
  local app
  parse "$@"
  trap 'exit 130' INT TERM HUP
  trap clean_up EXIT
  dir=$(mktemp -d "${TMPDIR:-/tmp}/fastcgi-demo-XXXXXX")
  port=${port:-$(free_port)}
  start_apps
  start_nginx
  wait_until_up
  if [[ $check == yes ]]; then
    for app in "${apps[@]}"; do check_app "$app"; done
    return
  fi
  echo "http://127.0.0.1:$port/          links to both"
  for app in "${apps[@]}"; do
    echo "http://127.0.0.1:$port/$app/"
    show_connection "$app"
  done
  echo "Ctrl-C stops it and removes $dir."
  trap 'exit 0' INT TERM HUP
  wait -n 2>/dev/null || true # Without the shell's own report of a death.
  sleep 0.3
  require_all_running
}

main "$@"
