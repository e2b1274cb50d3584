# SPDX-License-Identifier: MIT
"""Ask who is there before the web server serves anything.

python authorizer.py 127.0.0.1:9000        (without an address: the inherited listener)

An authorizer gets each request first. Its yes names variables that the web
server hands on; its no goes to the browser, which asks for a name and password.
The same program answers as a responder too, and greets whom it has let in.

lighttpd, with mod_fastcgi (the greeting stands for any file whose name ends in .hello):
  fastcgi.server = (
    "/members/" => (("host" => "127.0.0.1", "port" => 9000, "mode" => "authorizer",
      "docroot" => "/var/www")),
    ".hello" => (("host" => "127.0.0.1", "port" => 9000, "mode" => "authorizer",
      "docroot" => "/var/www"), ("host" => "127.0.0.1", "port" => 9000)))

Apache, with mod_authnz_fcgi:
  AuthnzFcgiDefineProvider authnz members fcgi://127.0.0.1:9000/
  <Location "/members/">
    AuthType Basic
    AuthName "members"
    AuthBasicProvider members
    Require members
  </Location>
"""

import base64
import binascii
import hmac

import fastcgi

# A real table has hashes of passwords, as hashlib.scrypt makes them.
USERS = {"ann": "wonder:land", "bob": "builder"}


def credentials(params: dict[str, str]) -> tuple[str, str]:
    """What the browser sent; Apache has taken its header apart already."""
    if "REMOTE_PASSWD" in params:
        return params.get("REMOTE_USER", ""), params["REMOTE_PASSWD"]
    scheme, _, encoded = params.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        decoded = base64.b64decode(encoded, validate=True).decode("latin-1")
    except binascii.Error:
        return "", ""
    user, _, password = decoded.partition(":")
    return user, password


def authorize(request: fastcgi.Request) -> tuple[int, dict[str, str], str] | None:
    user, password = credentials(request.params)
    expected = USERS.get(user)
    if expected is not None and hmac.compare_digest(
        expected.encode("latin-1"), password.encode("latin-1")
    ):
        request.allow({"AUTH_USER": user})
        return None
    headers = {"Content-Type": "text/plain", "WWW-Authenticate": 'Basic realm="members"'}
    return 401, headers, "Who are you?\n"


def greet(request: fastcgi.Request) -> tuple[int, dict[str, str], str]:
    user = request.params.get("AUTH_USER", "nobody")
    return 200, {"Content-Type": "text/plain"}, f"Hello {user}\n"


if __name__ == "__main__":
    fastcgi.main(greet, roles={"authorizer": authorize})
