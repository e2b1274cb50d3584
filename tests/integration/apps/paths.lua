-- SPDX-License-Identifier: MIT
-- An application that answers as paths.c does.
return function(req)
  local status = req.path == "/fail" and 500 or 200
  if req.path == "/auth" and not req.params.HTTP_TOKEN then
    status = 401
  end
  local seen = table.concat({ req.script_name, req.path_info, req.path }, "\0")
  return status, { ["Content-Type"] = "application/octet-stream" }, seen
end
