# SPDX-License-Identifier: MIT
"""What is written from the map of options is current, and no option has another list."""

import re

import pytest
from support.options import PLACES, SOURCE, read_map, stale

OPTIONS = read_map()


def test_generated_parts_are_current():
    """Run ./dev options."""
    assert [str(path.relative_to(SOURCE)) for path in stale()] == []


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_help_is_plain_english(option):
    """A sentence that says what it is; the default is told beside it."""
    assert option.help[0].isupper() or option.help.startswith("TOML")
    assert option.help.endswith(".")
    assert "default" not in option.help.lower()
    assert not re.search(r"likewise|for so long|whoever|theirs", option.help, re.I)


def test_a_comment_names_what_its_reader_writes():
    """Fields in C, keywords in Python and Lua; options of a command line nowhere there."""
    places = [place for place in PLACES if place[0].endswith((".h", ".py", ".lua"))]
    assert len(places) == 6
    for name, begin, end, _ in places:
        part = (SOURCE / name).read_text().partition(begin)[2].partition(end)[0]
        assert "Default: " in part
        assert re.findall(r"--[a-z]\S*", part) == [], name


def test_a_field_is_named_as_its_option():
    """With _ms for a time, but for what is no option of a file."""
    for option in OPTIONS:
        for field in (option.field, option.supervisor):
            names = {option.name, f"{option.name}_ms"}
            if option.name not in ("stream", "log_level", "check_config"):
                assert field is None or field in names, option.name


def test_old_spellings_are_gone():
    """One name each."""
    old = re.compile(
        r"\b(retire_after|retire_jitter|params_bytes|params_pairs|max_body|peer_uids|"
        r"limit_multiplexed|request_slow_ms|FASTCGI_ACCESS_LOG|FASTCGI_ERROR_LOG)\b|"
        r"--(max-body|max-connections|limit-multiplexed|peer-uids|access-log|error-log)\b(?!-?f)"
    )
    found = []
    for top in ("core", "bindings", "swig", "tools", "examples", "docs", "deploy", "README.md"):
        paths = [SOURCE / top] if (SOURCE / top).is_file() else (SOURCE / top).rglob("*")
        for path in paths:
            if path.is_file() and path.suffix in (".c", ".h", ".py", ".pyi", ".lua", ".md", ".i"):
                found += [f"{path}: {match[0]}" for match in old.finditer(path.read_text())]
    assert found == []
