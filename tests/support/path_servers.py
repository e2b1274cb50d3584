# SPDX-License-Identifier: MIT
"""Web servers with every way to tell an application its path."""

import importlib
import os
import shutil
import sys
from pathlib import Path
from textwrap import dedent

from support.nginx import early_log
from support.paths import BUILD, SOURCE, is_open_to_all, tool
from support.web_servers import Apache, WebServer

# Flask and all that it needs.
FLASK = ("flask", "werkzeug", "jinja2", "markupsafe", "click", "itsdangerous", "blinker")

USUAL = """
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param DOCUMENT_URI $document_uri;
      fastcgi_param DOCUMENT_ROOT $document_root;
      fastcgi_param SERVER_PROTOCOL $server_protocol;
      fastcgi_param SERVER_SOFTWARE nginx/$nginx_version;
      fastcgi_param SERVER_NAME $server_name;
      fastcgi_param SERVER_PORT $server_port;
      fastcgi_pass unix:{application};
"""
NGINX = """
  server {
    listen 127.0.0.1:{port};
    root {directory};
    fastcgi_intercept_errors on;
    error_page 500 /page500;
    location / { STOCK }
    location /admin/ { deny all; }
    location /guarded/ { auth_request /auth; STOCK }
    location = /auth { internal; STOCK }
    location /old/ { rewrite ^/old/(.*)$ /new/$1 last; }
    location /break/ { rewrite ^/break/(.*)$ /new/$1 break; STOCK }
    location /refused/ { error_page 404 /page404; return 404; }
    location /try/ { try_files /nothing /front?q=1; }
    location /page.html { ssi on; }
    location /pre { fastcgi_split_path_info ^(/pre)(/.*)?$; SPLIT }
    location /strict { fastcgi_split_path_info ^(/strict)(/.*)$; SPLIT }
    location /mount/ { STOCK }
    location /loose { fastcgi_split_path_info ^(/loose)(/?.*)$; SPLIT }
    location /idx/ { fastcgi_index index.php; STOCK }
    location /uri/ { STOCK fastcgi_param PATH_INFO $document_uri; }
    location /flup/ { fastcgi_param PATH_INFO $fastcgi_script_name; USUAL }
    location /hand/ {
      STOCK
      fastcgi_param SCRIPT_NAME /set;
      fastcgi_param PATH_INFO /by/hand;
    }
    location /script/ { STOCK fastcgi_param SCRIPT_NAME /script/hand; }
    location /strip/ {
      rewrite ^/strip(/.*)$ $1 break;
      fastcgi_param SCRIPT_NAME /strip;
      fastcgi_param PATH_INFO $document_uri;
      USUAL
    }
  }
"""
SCRIPT_NAME = "fastcgi_param SCRIPT_NAME $fastcgi_script_name;"
SPLIT = SCRIPT_NAME + "fastcgi_param PATH_INFO $fastcgi_path_info; USUAL"
LIGHTTPD = """
server.modules = ("mod_access", "mod_rewrite", "mod_fastcgi")
server.document-root = "{directory}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{directory}/lighttpd-errors.log"
server.error-handler-404 = "/pre/page404"
$HTTP["url"] =~ "^/admin/" { url.access-deny = ("") }
url.rewrite-once = ("^/old/(.*)$" => "/new/$1")
fastcgi.server = (
  "/pre" => (("socket" => "{application}", "check-local" => "disable")),
  "/new" => (("socket" => "{application}", "check-local" => "disable")),
  "/slash/" => (("socket" => "{application}", "check-local" => "disable")),
)
"""
LIGHTTPD_ROOT = """
server.modules = ("mod_fastcgi")
server.document-root = "{directory}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{directory}/lighttpd-root-errors.log"
fastcgi.server = ("/" => (("socket" => "{application}", "check-local" => "disable" FIX)))
"""
APACHE = """
TypesConfig /dev/null
RewriteEngine On
<Directory "{directory}">
  Options +ExecCGI +FollowSymLinks +Includes
  AllowOverride All
</Directory>
<Location /admin/>
  Require all denied
</Location>
"""
PROXY = """
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
ErrorDocument 404 /same/page404
<Location /gen/>
  ProxyFCGIBackendType GENERIC
</Location>
ProxyPass "/same/" "{proxy}/same/"
ProxyPass "/gen/" "{proxy}/gen/"
ProxyPass "/pre/" "{proxy}/"
ProxyPass "/pre" "{proxy}"
ProxyPassMatch "^/files/(.*)$" "{proxy}/srv/files/$1"
<Location /handler>
  SetHandler "proxy:{proxy}"
</Location>
RewriteRule ^/old/(.*)$ /same/new/$1 [PT]
RewriteRule ^/p/(.*)$ {proxy}/new/$1 [P]
RewriteRule ^/all/(.*)$ {proxy}/all/$1 [P]
"""
# Nothing but mount points, one of which is /.
PROXY_ROOT = """
TypesConfig /dev/null
<Location /handler>
  SetHandler "proxy:{proxy}"
</Location>
SetEnvIf Request_URI "^/unescape/" proxy-fcgi-pathinfo=unescape
SetEnvIf Request_URI "^/full/" proxy-fcgi-pathinfo=full
SetEnvIf Request_URI "^/first-dot/" proxy-fcgi-pathinfo=first-dot
SetEnvIf Request_URI "^/last-dot/" proxy-fcgi-pathinfo=last-dot
ProxyPass "/handler" "!"
ProxyPass "/pre" "{proxy}"
ProxyPass "/" "{proxy}/"
"""
# Apache takes no %2F for a slash here, in its rules neither.
NODECODE = """
AllowEncodedSlashes NoDecode
<Location /p/admin/>
  Require all denied
</Location>
"""
FCGID = """
FcgidIPCDir "{directory}/fcgid"
FcgidProcessTableFile "{directory}/fcgid-table"
FcgidInitialEnv PYTHONPATH "{pythonpath}"
FcgidConnectTimeout 60
FcgidIOTimeout 300
FcgidBusyTimeout 300
AddHandler fcgid-script .fcgi
Alias "/fcgid" "{directory}/program.fcgi"
"""
HTACCESS = """
RewriteEngine On
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule ^(.*)$ index.fcgi/$1 [L,QSA]
"""
CADDY = """
{
  admin off
  auto_https off
}
http://:{port} {
  bind 127.0.0.1
  @admin path /admin/*
  handle @admin {
    respond 403
  }
  @mount path /mount/*
  handle @mount {
    reverse_proxy unix/{application} {
      transport fastcgi {
        split /mount
      }
    }
  }
  @pre path /pre /pre/*
  handle @pre {
    reverse_proxy unix/{application} {
      transport fastcgi {
        split /pre
      }
    }
  }
  handle {
    reverse_proxy unix/{application} {
      transport fastcgi
    }
  }
}
"""
HAPROXY = """
fcgi-app whole
  docroot /
fcgi-app split
  docroot /
  path-info ^(/pre)(/.*)?$
defaults
  mode http
  timeout client 60s
  timeout connect 60s
  timeout server 60s
frontend clients
  bind 127.0.0.1:{port}
  http-request deny if { path_beg /admin/ }
  use_backend split if { path_beg /pre }
  default_backend whole
backend whole
  use-fcgi-app whole
  server app unix@{application} proto fcgi
backend split
  use-fcgi-app split
  server app unix@{application} proto fcgi
"""
H2O = """
hosts:
  default:
    listen: { host: 127.0.0.1, port: {port} }
    paths:
      "/":
        fastcgi.connect: { port: {application}, type: unix }
      "/pre":
        fastcgi.connect: { port: {application}, type: unix }
error-log: {directory}/h2o-errors.log
"""


class Configured(WebServer):
    """One whose configuration is a text with places for what differs."""

    text = ""

    def __init__(self, directory: Path, application: str):
        self.application = application
        super().__init__(directory, "")

    def head(self, directory: Path) -> str:
        return filled(self.text, self.values(directory))

    def values(self, directory: Path) -> dict:
        return {"directory": directory, "port": self.port, "application": self.application}


class PathNginx(Configured):
    program = "nginx"

    def __init__(self, directory: Path, application: str):
        self.arguments = (*early_log(tool("nginx")), "-p", str(directory))
        self.option = "-c"
        (directory / "page.html").write_text('<!--#include virtual="/part/x" -->')
        super().__init__(directory, application)

    def head(self, directory: Path) -> str:
        text = NGINX.replace("SPLIT", SPLIT).replace("STOCK", SCRIPT_NAME + "USUAL")
        self.text = text.replace("USUAL", USUAL)
        kinds = ("client_body", "fastcgi", "proxy", "uwsgi", "scgi")
        temporary = "\n".join(f"  {kind}_temp_path {directory}/temp-{kind};" for kind in kinds)
        user = "user root;" if os.geteuid() == 0 else ""
        return f"""{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr info;
events {{ worker_connections 1024; }}
http {{
  access_log off;
{temporary}
{super().head(directory)}
}}
"""


class PathLighttpd(Configured):
    program = "lighttpd"
    arguments = ("-D",)
    text = LIGHTTPD


class LighttpdRoot(Configured):
    """The key "/", which takes the first segment for the application's name."""

    program = "lighttpd"
    arguments = ("-D",)
    text = LIGHTTPD_ROOT.replace("FIX", "")


class LighttpdFixed(Configured):
    """The same with fix-root-scriptname."""

    program = "lighttpd"
    arguments = ("-D",)
    text = LIGHTTPD_ROOT.replace("FIX", ', "fix-root-scriptname" => "enable"')


def filled(text: str, values: dict) -> str:
    """The text with a value in each of its places."""
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text


class PathApache(Apache):
    """mod_proxy_fcgi in all its ways, and what leads to it."""

    modules = ("alias", "dir", "rewrite", "proxy", "proxy_fcgi", "include", "filter", "mime")
    text = APACHE + PROXY

    def __init__(self, directory: Path, application: str):
        (directory / "page.shtml").write_text('<!--#include virtual="/same/part" -->')
        values = {"directory": directory, "proxy": f"unix:{application}|fcgi://localhost"}
        super().__init__(directory, filled(self.text, values))


class PathApacheNoDecode(PathApache):
    """The same where escaped slashes stay escaped."""

    text = PathApache.text + NODECODE


class PathApacheRoot(PathApache):
    """The same with nothing but mount points."""

    modules = (*PathApache.modules, "setenvif")
    text = PROXY_ROOT


class PathFcgid(Apache):
    """mod_fcgid, which starts the program; the folders are as on shared hosting."""

    modules = ("alias", "dir", "rewrite", "mime", "include", "fcgid")
    text = APACHE + FCGID

    def __init__(self, directory: Path, language: str, root: str | None):
        self.language, self.root = language, root
        python, paths = python_for_others(directory)
        for folder in ("fcgid", "shared", "rooted"):
            (directory / folder).mkdir(exist_ok=True)
            (directory / folder).chmod(0o777)
        self.write_files(directory, python)
        values = {"directory": directory, "pythonpath": paths}
        super().__init__(directory, filled(self.text, values))

    def write_files(self, directory: Path, python: str) -> None:
        for folder, root in (("shared", None), ("rooted", "/rooted")):
            (directory / folder / ".htaccess").write_text(HTACCESS)
            write_program(directory / folder / "index.fcgi", python, root)
        if self.language == "python":
            write_program(directory / "program.fcgi", python, self.root)
        else:
            write_script(directory / "program.fcgi", self.language, self.root)


class PathFcgidRoot(PathFcgid):
    """The same where all paths are the program's."""

    text = PathFcgid.text.replace('Alias "/fcgid" "{directory}/program.fcgi"',
                                  'Alias "/" "{directory}/program.fcgi/"')  # fmt: skip


class PathFcgidRecipe(PathFcgid):
    """The recipe of docs/paths.md in the document root, as it is printed."""

    def write_files(self, directory: Path, python: str) -> None:
        section = (SOURCE / "docs" / "paths.md").read_text().partition("\n## Shared hosting\n")[2]
        paragraphs = section.partition("\n## ")[0].split("\n\n")
        rules, *program = (dedent(text) + "\n" for text in paragraphs if text.startswith("    "))
        program = "\n".join(program).replace("/usr/bin/env python3", python)
        (directory / ".htaccess").write_text(rules)
        (directory / "index.fcgi").write_text(program.replace("from shop ", "from paths_app "))
        (directory / "index.fcgi").chmod(0o755)


def python_for_others(directory: Path) -> tuple[str, str]:
    """An interpreter that the web server's user can run, and its PYTHONPATH. What
    lies in a home that is closed to that user is copied."""
    source = Path(__file__).resolve().parents[1] / "integration"
    if is_open_to_all(Path(sys.executable)) and is_open_to_all(source / "paths_app.py"):
        return sys.executable, os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])
    copy = directory / "python"
    for name in ("fastcgi", *FLASK):
        module = importlib.import_module(name)
        shutil.copytree(Path(module.__file__).parent, copy / name, dirs_exist_ok=True)
    shutil.copy(source / "paths_app.py", copy)
    return os.path.realpath(sys.executable), str(copy)


def write_program(path: Path, python: str, root: str | None) -> None:
    path.write_text(
        f"#!{python}\nimport fastcgi\nfrom paths_app import app\n"
        f"fastcgi.main(app, root_path={root!r})\n"
    )
    path.chmod(0o755)


def write_script(path: Path, language: str, root: str | None) -> None:
    """Starts a copy of the application in C or Lua."""
    folder, tests = path.parent, SOURCE / "tests" / "integration"
    shutil.copy(BUILD / "tests" / "integration" / "paths", folder)
    shutil.copy(tests / "apps" / "paths.lua", folder)
    shutil.copytree(BUILD / "lua", folder / "lua")
    words = {"c": "./paths", "lua": "./lua/bin/fcgi-lua paths.lua"}[language]
    setting = "" if root is None else f"export FASTCGI_ROOT_PATH={root}\n"
    path.write_text(f"#!/bin/sh\n{setting}cd {folder}\nexec {words}\n")
    path.chmod(0o755)


class PathCaddy(Configured):
    program = "caddy"
    arguments = ("run", "--adapter", "caddyfile")
    option = "--config"
    text = CADDY


class PathHaproxy(Configured):
    program = "haproxy"
    arguments = ("-W", "-db")
    text = HAPROXY


class PathH2o(Configured):
    program = "h2o"
    option = "-c"
    text = ("user: root\n" if os.geteuid() == 0 else "") + H2O


SERVERS = {
    "nginx": PathNginx,
    "lighttpd": PathLighttpd,
    "lighttpd-root": LighttpdRoot,
    "lighttpd-fixed": LighttpdFixed,
    "apache": PathApache,
    "apache-nodecode": PathApacheNoDecode,
    "apache-root": PathApacheRoot,
    "fcgid": PathFcgid,
    "fcgid-root": PathFcgidRoot,
    "fcgid-recipe": PathFcgidRecipe,
    "caddy": PathCaddy,
    "haproxy": PathHaproxy,
    "h2o": PathH2o,
}
