# SPDX-License-Identifier: MIT
"""The files below deploy/ are the ones that the docs print."""

import re

import pytest
from support.paths import SOURCE

BLOCK = re.compile(r"^<!-- (deploy/\S+) -->\n```\w+\n(.*?)^```$", re.M | re.S)
PRINTED = {
    name: text
    for page in (SOURCE / "docs").glob("*.md")
    for name, text in BLOCK.findall(page.read_text())
}


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_a_block_is_its_file(name: str):
    assert (SOURCE / name).read_text() == PRINTED[name]


def test_every_file_is_printed():
    files = [at for at in (SOURCE / "deploy").rglob("*") if at.is_file()]
    assert sorted(PRINTED) == sorted(str(at.relative_to(SOURCE)) for at in files)
