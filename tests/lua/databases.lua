-- SPDX-License-Identifier: MIT
-- PostgreSQL, Redis and MariaDB, each in a folder of its own and on a Unix
-- socket there, which a spec starts, stops and starts again.
local support = require "support"

local databases = {}

local is_root = support.shell("id -u") == "0\n"

local Database = {}
Database.__index = Database

-- Run a command as the user of the server's package, which refuses to be root.
function Database:run(command)
  local user = is_root and ("setpriv --reuid %s --regid %s --clear-groups "):format(self.owner, self.owner) or ""
  local output, status = support.shell(("cd %s && %s%s 2>&1"):format(self.folder, user, command))
  assert(status == 0, output)
end

--- `how` is what a server understands: of PostgreSQL "fast" or "immediate".
function Database:restart(how)
  self:stop(how)
  self:start()
end

function Database:__close()
  pcall(self.stop, self)
  support.remove(self.folder)
end

local function new(class, owner)
  class.__index, class.__close = class, Database.__close
  local self = setmetatable({ folder = support.directory(), owner = owner }, setmetatable(class, Database))
  if is_root then
    os.execute(("chown %s: %s"):format(owner, self.folder))
  end
  return self
end

-- A program that stays in the foreground, and a command that tells whether it
-- answers.
local function launch(self, command, answers)
  self:run(("sh -c '%s > log 2>&1 & echo $! > child'"):format(command))
  support.wait_for(function() return os.execute(answers .. " > " .. os.tmpname() .. " 2>&1") end, command)
end

local function stop(self)
  local child = support.read_file(self.folder .. "/child"):match("%d+")
  os.execute("kill " .. child)
  support.wait_for(function() return not os.execute("kill -0 " .. child .. " 2> /dev/null") end, "its end")
end

local Postgres = {}

function databases.postgres()
  local programs = support.shell("ls -d /usr/lib/postgresql/*/bin 2> /dev/null"):match("(%S+)\n$")
  if not programs then
    return nil
  end
  local self = new(Postgres, "postgres")
  self.programs = programs
  self.dsn = ("host=%s user=postgres dbname=postgres"):format(self.folder)
  self:run(programs .. "/initdb -D data -U postgres -A trust --no-sync")
  self:start()
  return self
end

function Postgres:start()
  self:run(('%s/pg_ctl -D data -w -t 120 -l log -o "-k %s -c listen_addresses= -c fsync=off" start'):format(
    self.programs, self.folder))
end

function Postgres:stop(how)
  self:run(self.programs .. "/pg_ctl -D data -w -t 120 -m " .. (how or "fast") .. " stop")
end

local Redis = { stop = stop }

function databases.redis()
  if not os.execute("command -v redis-server > /dev/null") then
    return nil
  end
  local self = new(Redis, "redis")
  self.socket = self.folder .. "/r.sock"
  self:start()
  return self
end

function Redis:start()
  launch(self, ('redis-server --port 0 --unixsocket %s --unixsocketperm 777 --save ""'):format(self.socket),
    ("redis-cli -s %s ping"):format(self.socket))
end

local MariaDB = { stop = stop }

function databases.mariadb()
  if not os.execute("test -x /usr/sbin/mariadbd") then
    return nil
  end
  local self = new(MariaDB, "mysql")
  self.socket = self.folder .. "/m.sock"
  self:run("mariadb-install-db --no-defaults --datadir=" .. self.folder
    .. "/data --auth-root-authentication-method=normal --skip-test-db")
  self:start()
  return self
end

function MariaDB:start()
  launch(self, ("/usr/sbin/mariadbd --no-defaults --datadir=%s/data --socket=%s --skip-networking"):format(
    self.folder, self.socket), ("mariadb -u root --socket=%s -e \"select 1\""):format(self.socket))
end

return databases
