# SPDX-License-Identifier: MIT
"""The reader of ./dev newcomer sees what goes wrong in a page."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import SOURCE

sys.path.insert(0, str(SOURCE / "tests" / "newcomer"))

import pages

GOOD = """# A page

<!-- file: hello.txt -->
```text
Hello
World
```

<!-- serve -->
```sh
python3 -c 'import socket, time
s = socket.socket(socket.AF_UNIX); s.bind("a.sock"); s.listen(); time.sleep(60)' unix:a.sock
```

<!-- hidden: test -S a.sock -->

<!-- follow -->
```sh
cat hello.txt
printf 'Length: 3\\r\\n'
```

<!-- prints -->
```text
H...
Length: ...
```

<!-- follow, fails -->
```sh
cat nothing.txt
```

<!-- prints -->
```text
cat: ...
```
"""


def read(directory: Path, text: str) -> list[str]:
    (directory / "page.md").write_text(text)
    script = pages.script([directory / "page.md"])
    done = subprocess.run(
        ["bash"], input=script, cwd=directory, capture_output=True, text=True, timeout=120
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_page_that_is_right(tmp_path: Path):
    lines = read(tmp_path, GOOD)
    assert [line.split()[0] for line in lines] == ["ok"] * 6 + ["6"]
    assert lines[-1] == "6 passed, 0 failed"
    assert (tmp_path / "hello.txt").read_text() == "Hello\nWorld\n"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("cat hello.txt", "cat hallo.txt", "exit status 1"),
        ("cat nothing.txt", "echo nothing", "exit status 0"),
        ("H...", "W...\nH...", "not printed: H..."),
        ("H...", "hello", "not printed: hello"),
        ("H...", "Hell.", "not printed: Hell."),
        ("time.sleep(60)", "exit()", "it ended"),
        ("test -S a.sock", "test -S b.sock", "exit status 1"),
    ],
)
def test_a_page_that_is_wrong(tmp_path: Path, old: str, new: str, says: str):
    assert old in GOOD
    text = GOOD.replace(old, new)
    if says == "it ended":
        text = text.replace('s.bind("a.sock"); s.listen(); ', "")
    lines = read(tmp_path, text)
    assert lines[-1].endswith(" passed, 1 failed")
    assert any(line.startswith("FAILED") and says in line for line in lines), lines


def test_a_comment_without_a_block(tmp_path: Path):
    (tmp_path / "page.md").write_text("<!-- follow -->\n\n```sh\ntrue\n```\n")
    with pytest.raises(SystemExit, match=r"page\.md:1: no block follows at once"):
        pages.steps(tmp_path / "page.md")
