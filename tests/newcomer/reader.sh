#!/bin/bash
# SPDX-License-Identifier: MIT
# What the script of pages.py begins with: a reader who does what a page says,
# one line for each step. Job control gives a server a process group of its own,
# which Ctrl-C reaches.
set -um
work=$(mktemp -d)
server=
steps=0

fail() {
  echo "FAILED  $1: $2"
  sed 's/^/        | /' "$work/printed" | tail -40
  [[ ! -s $work/served ]] || sed 's/^/        served | /' "$work/served" | tail -20
  leave
  echo "$steps passed, 1 failed"
  exit 1
}

passed() {
  echo "ok      $1"
  steps=$((steps + 1))
}

run() { bash -e "$1" >"$work/printed" 2>&1 </dev/null; }

# usage: follow FAILS PLACE <block
follow() {
  local status=0
  cat >"$work/block"
  run "$work/block" || status=$?
  (((status != 0) == $1)) || fail "$2" "exit status $status of: $(cat "$work/block")"
  passed "$2"
}

# usage: hidden PLACE <command
hidden() {
  cat >"$work/block"
  run "$work/block" || fail "$1" "exit status $? of: $(cat "$work/block")"
}

# Each line of the block is one that was printed, in this order.
# usage: prints PLACE <block
prints() {
  local wanted pattern at=0 printed
  mapfile -t printed < <(tr -d "\r" <"$work/printed")
  while IFS= read -r wanted; do
    pattern=$(sed 's/[][\.*^$+?(){}|]/\\&/g; s/\\\.\\\.\\\./.*/g' <<<"$wanted")
    until ((at >= ${#printed[@]})) || [[ ${printed[at]} =~ ^$pattern$ ]]; do
      at=$((at + 1))
    done
    ((at < ${#printed[@]})) || fail "$1" "not printed: $wanted"
    at=$((at + 1))
  done
  passed "$1"
}

# usage: save PLACE PATH <block
save() {
  local as=()
  [[ $2 != /* ]] || as=(sudo)
  "${as[@]}" tee "$2" >/dev/null 2>"$work/printed" || fail "$1" "cannot write $2"
  passed "$1"
}

is_served() {
  local path port
  path=$(grep -oE 'unix:[^ ]+' "$work/serve" | head -1)
  port=$(grep -oE '127\.0\.0\.1:[0-9]+' "$work/serve" | head -1)
  if [[ -n $path ]]; then
    [[ -S ${path#unix:} ]]
  else
    (: <>"/dev/tcp/127.0.0.1/${port#*:}") 2>/dev/null
  fi
}

# usage: serve PLACE <block
serve() {
  local i
  leave
  : >"$work/printed"
  cat >"$work/serve"
  bash -e "$work/serve" >"$work/served" 2>&1 </dev/null &
  server=$!
  for ((i = 0; i < 600; i++)); do
    is_served && { passed "$1"; return; }
    kill -0 "$server" 2>/dev/null || fail "$1" "it ended: $(cat "$work/serve")"
    sleep 0.1
  done
  fail "$1" "nobody listens after a minute: $(cat "$work/serve")"
}

# Ctrl-C.
leave() {
  [[ -n $server ]] || return 0
  kill -INT -- "-$server" 2>/dev/null
  wait "$server" 2>/dev/null
  server=
}

summary() {
  rm -rf "$work"
  echo "$steps passed, 0 failed"
}

