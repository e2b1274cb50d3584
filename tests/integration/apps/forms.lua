-- SPDX-License-Identifier: MIT
-- A page with forms, and what it gets of them, as JSON. Files are saved in the
-- directory that is the first word of the command line.
local answer = require "fcgi.answer"
local cookie = require "fcgi.cookie"
local query = require "fcgi.query"
local directory = ...

local PAGE = [[<!DOCTYPE html><meta charset="utf-8"><title>forms</title>
<iframe name="result"></iframe>
<form id="parts" method="post" enctype="multipart/form-data" target="result">
<input name='na"me'><textarea name="text"></textarea><input type="file" name="file" multiple>
<input type="file" name="none"><select name="list" multiple><option selected>1<option selected>2</select></form>
<form id="encoded" method="post" target="result"><input name="a b&amp;"><input name="a b&amp;"></form>
]]

local function list_of(fields)
  local list = {}
  for name, value in query.each(fields) do
    list[#list + 1] = { name, value }
  end
  return list
end

local function save(files)
  local list = {}
  for name, upload in query.each(files) do
    local path = ("%s/%d"):format(directory, #list)
    assert(upload:save(path))
    list[#list + 1] = { field = name, filename = upload.filename, raw = upload.raw_filename, type = upload.type,
      size = upload.size, path = path }
  end
  return list
end

return function(req)
  if req.method == "GET" then
    local headers = { ["Content-Type"] = "text/html; charset=utf-8" }
    headers["Set-Cookie"] = {
      cookie.build("seen", "yes", { max_age = 60, path = req.script_name }),
      cookie.build("session", "here", { same_site = "Strict", path = req.script_name }),
    }
    return 200, headers, PAGE
  end
  local fields, files, _, status = req:form()
  if not fields then
    return status, { ["Content-Type"] = "text/plain" }, files
  end
  return answer.json({ query = list_of(req:query()), fields = list_of(fields), files = save(files),
    cookies = req:cookies() }, 200, { ["Content-Type"] = "text/plain; charset=utf-8" })
end
