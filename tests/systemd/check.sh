#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs inside the container, as root: one line for each check, then a summary.
passed=0 failed=0

# usage: check WHAT COMMAND...
check() {
  local what=$1 output
  shift
  if output=$("$@" 2>&1); then
    echo "ok      $what"
    passed=$((passed + 1))
  else
    echo "FAILED  $what: $output"
    failed=$((failed + 1))
  fi
}

ask() { curl -sf --max-time 20 http://127.0.0.1:8080/; }
worker() { ask | cut -d' ' -f1; }
main() { systemctl show -P MainPID shop.service; }

# Waits, at most a minute, until a command succeeds. usage: wait_for COMMAND...
wait_for() {
  local i
  for ((i = 0; i < 600; i++)); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.1
  done
  return 1
}

exposure() {
  systemd-analyze security --no-pager shop.service |
    awk '/Overall exposure level/ { print $(NF-2); exit !($(NF-2) <= 2.0) }'
}

other_worker() { [[ $(worker) != "$1" && -n $(worker) ]]; }

# Asks without a pause until the file goes; a wrong answer is written down.
load() {
  while [[ -e /root/loading ]]; do
    ask >/dev/null || echo "failed with $?" >>/root/losses
  done
}

under_load() {
  touch /root/loading
  rm -f /root/losses
  load &
  "$@"
  local status=$?
  sleep 1
  rm /root/loading
  wait %% 2>/dev/null
  [[ ! -e /root/losses ]] || { cat /root/losses; return 1; }
  return $status
}

reload() {
  local before
  before=$(worker)
  systemctl reload shop.service && wait_for other_worker "$before"
}

survives_a_kill() {
  local before
  before=$(main)
  kill -KILL "$before"
  wait_for eval '[[ $(main) != 0 && $(main) != '"$before"' ]]' && wait_for ask
}

is_refused() { ! runuser -u nobody -- curl -sf --max-time 5 --unix-socket "$1" http://x/; }
mode_is() { [[ $(stat -c '%A %U %G' "$1") == "$2" ]] || { stat -c '%A %U %G' "$1"; return 1; }; }

useradd --system --home-dir /srv/shop --shell /usr/sbin/nologin shop
python3 -m venv /srv/shop/venv
/srv/shop/venv/bin/pip -q install --no-index /root/*.whl
systemctl daemon-reload
check "nginx starts" systemctl start nginx.service

check "the unit starts, and is ready when it says so" systemctl start shop.service
check "the socket is the web server's and nobody else's" mode_is /run/shop/shop.sock "srw-rw---- shop www-data"
check "nginx reaches it" ask
check "somebody else does not" is_refused /run/shop/shop.sock
check "its exposure is at most 2.0" exposure
check "a reload under load loses nothing" under_load reload
check "systemd knows it as running after a reload" systemctl is-active shop.service
check "a killed supervisor is started again" survives_a_kill
check "it stops" systemctl stop shop.service
check "it stopped well" eval '[[ $(systemctl show -P Result shop.service) == success ]]'

# The same with a socket that systemd listens on.
sed -i '/^bind/d; /^socket_group/d' /srv/shop/fastcgi.toml
sed -i 's#/run/shop/shop.sock#/run/shop.sock#' /etc/nginx/sites-enabled/shop
systemctl reload nginx.service
check "the socket unit starts" systemctl start shop.socket
check "its socket is the web server's" mode_is /run/shop.sock "srw-rw---- shop www-data"
check "the first request starts the service" ask
check "a restart under load refuses nobody" under_load systemctl restart shop.service
check "a reload under load loses nothing with a socket unit" under_load reload
echo "exposure $(exposure)"
journalctl --no-pager >/root/journal
echo "$passed passed, $failed failed"
