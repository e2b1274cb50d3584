# SPDX-License-Identifier: MIT
"""Forms that Chromium posts through nginx to fcgi-lua."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import Browser
from support.paths import BUILD, SOURCE
from support.site import Site, serve_behind_nginx

APP = SOURCE / "tests" / "integration" / "apps" / "forms.lua"

# Gives the frame's text once the form's answer is there.
SUBMIT = """
const form = document.getElementById(%s), frame = document.querySelector('iframe');
%s
return new Promise(done => {
  frame.onload = () => done(frame.contentDocument.body.textContent);
  form.submit();
});
"""

CHOOSE = """
const transfer = new DataTransfer();
const big = new Uint8Array(20000000).map((_, i) => i % 251);
transfer.items.add(new File([big], 'big "one" \u65e5\u672c.bin'));
transfer.items.add(new File(['text\\r\\n--'], 'two\\n\\\\;.txt', {type: 'text/x-two'}));
form.elements.file.files = transfer.files;
form.elements['na"me'].value = 'J\u00f8rgen "\U0001f600';
form.elements.text.value = 'one\\ntwo\\n';
"""

FILL = """
const fields = form.elements;
fields[0].value = 'x=y&z';
fields[1].value = '\u20ac +%41';
"""


@pytest.fixture(scope="module")
def site(directory: Path) -> Iterator[Site]:
    address = f"unix:{directory}/forms.sock"
    command = [BUILD / "lua" / "bin" / "fcgi-lua", APP, "--bind", address, "--", directory]
    with serve_behind_nginx(directory, command, address) as running:
        yield running


@pytest.fixture(scope="module")
def browser(site: Site, directory: Path) -> Iterator[Browser]:
    with Browser(directory) as running:
        yield running


def submit(browser: Browser, form: str, fill: str) -> dict:
    text = browser.evaluate(SUBMIT % (json.dumps(form), fill))
    return json.loads(text)


@pytest.fixture(params=["kept", "stream"])
def page(request: pytest.FixtureRequest, site: Site, browser: Browser) -> None:
    browser.go(f"http://127.0.0.1:{site.nginx.port}/{request.param}/form?a=1&b=%C3%A9&a=2")


def test_a_form_with_files(page: None, browser: Browser):
    seen = submit(browser, "parts", CHOOSE)
    assert seen["fields"] == [
        ['na"me', 'Jørgen "😀'],
        ["text", "one\r\ntwo\r\n"],
        ["list", "1"],
        ["list", "2"],
    ]
    big, two = seen["files"]
    assert (big["field"], big["filename"]) == ("file", 'big "one" 日本.bin')
    assert (big["raw"], big["type"]) == (big["filename"], "application/octet-stream")
    assert (two["filename"], two["type"], two["size"]) == (";.txt", "text/x-two", 8)
    assert Path(big["path"]).read_bytes() == (bytes(range(251)) * 80000)[:20000000]
    assert Path(two["path"]).read_bytes() == b"text\r\n--"


def test_an_encoded_form(page: None, browser: Browser):
    seen = submit(browser, "encoded", FILL)
    assert seen["fields"] == [["a b&", "x=y&z"], ["a b&", "€ +%41"]]
    assert seen["query"] == [["a", "1"], ["b", "é"], ["a", "2"]]
    assert not seen["files"]


def test_cookies_come_back(page: None, browser: Browser):
    assert submit(browser, "encoded", FILL)["cookies"] == {"seen": "yes", "session": "here"}
    assert browser.evaluate("return document.cookie") == ""
