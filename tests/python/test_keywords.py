# SPDX-License-Identifier: MIT
"""Keywords of Python: each with values of every wrong type, and with both ends of its range."""

import math
import re
import sys

import fastcgi
import pytest
from fastcgi import _core
from support.option_map import Option, read_map

OPTIONS = [one for one in read_map() if "python" in one.launchers and one.scope != "command"]
OF_SERVER = [one for one in OPTIONS if one.scope == "server"]
NUMBERS = ("count", "bytes", "seconds", "mode", "processes")
SAME = {"ids": lambda option: option.name}

# No option has one of these for its value, whatever its kind.
NEVER = [b"x", object(), 1j, math.nan, math.inf, -math.inf, -1, -0.5, 1 << 70, 1 << 70000, 1e300]


def give(option: Option, value: object) -> object:
    """What the option is then."""
    options = _core.Options()
    options.give(option.name, value)
    return options.value(option.name)


def refuse(option: Option, value: object) -> str:
    with pytest.raises((TypeError, ValueError)) as caught:
        give(option, value)
    text = str(caught.value)
    assert text.startswith(option.name)
    assert "must be" in text
    assert "\n" not in text
    assert "octal" not in text  # A command line's words.
    assert "0.5s" not in text
    return text


@pytest.mark.parametrize("value", NEVER, ids=lambda value: repr(type(value)))
@pytest.mark.parametrize("option", [one for one in OPTIONS if not one.repeated], **SAME)
def test_values_that_none_has(option, value):
    refuse(option, value)


@pytest.mark.parametrize("option", [one for one in OPTIONS if one.kind in NUMBERS], **SAME)
def test_a_number_is_no_bool_and_no_text(option):
    for value in (True, False, "1", "x", "", [1]):
        refuse(option, value)


@pytest.mark.parametrize(
    "option", [one for one in OPTIONS if one.kind in NUMBERS and one.kind != "seconds"], **SAME
)
def test_a_whole_number_is_no_fraction(option):
    for value in (0.5, 1.0):
        refuse(option, value)


@pytest.mark.parametrize("option", [one for one in OPTIONS if one.kind == "flag"], **SAME)
def test_a_flag_is_a_bool(option):
    for value in (0, 1, "true", 1.0):
        assert "True or False" in refuse(option, value)


@pytest.mark.parametrize("option", [one for one in OPTIONS if one.kind in NUMBERS], **SAME)
def test_a_message_names_its_range(option):
    """Both ends are taken as the message has them, and what is beyond is refused."""
    text = refuse(option, -1)
    step = 0.001 if option.kind == "seconds" else 1
    first = re.search(r" from (\w+)", text)
    last = re.search(r" (?:up to|to) ([\w.]+\w)", text)
    least = int(first[1], 0) if first else 0.001
    assert give(option, least) == least
    assert first or "above 0 " in text
    if least > 1 or not (option.none or least == 0):
        refuse(option, least - step)
    if option.most is not None:
        most = float(last[1]) if option.kind == "seconds" else int(last[1], 0)
        assert give(option, most) == most
        refuse(option, most + step)
    for example in re.findall(r"0o\d+", text):
        assert give(option, int(example, 8)) == int(example, 8)


@pytest.mark.parametrize("option", OPTIONS, **SAME)
def test_none_and_0(option):
    """They say the same where an option may be without a number, as on a command line."""
    give(option, None)
    if option.kind not in NUMBERS:
        return
    if option.none:
        assert f"None or 0 for {option.none}" in refuse(option, -1)
        words = _core.Options()
        words.read_words([f"{option.flag}=0".encode()])
        without = words.value(option.name)
        assert {give(option, zero) or None for zero in (None, 0)} == {without or None}
        if option.kind == "seconds":
            assert give(option, 0.0) is None
    elif option.least:
        refuse(option, 0)
    else:
        assert give(option, 0) == 0


@pytest.mark.parametrize("option", OF_SERVER, **SAME)
def test_a_server_takes_none(option):
    fastcgi.Server(**{option.name: None}).close()


PROCESSES = [
    one for one in OPTIONS
    if one.name != "workers" and (one.scope == "processes" or one.name in ("chdir", "umask"))
]  # fmt: skip
VALUES = {"text": "x", "flag": True, "choice": "poll", "seconds": 3, "bytes": 5, "mode": 0o27}
VALUES |= {"named_size": "x=1M"}


@pytest.mark.parametrize("option", PROCESSES, **SAME)
def test_options_of_processes_need_workers(option, monkeypatch):
    """serve and main say so, and not that there is no such option."""
    given = {option.name: VALUES[option.kind]}
    monkeypatch.setattr(sys, "argv", ["program"])
    for call in (fastcgi.serve, fastcgi.main):
        with pytest.raises(ValueError, match=f"option '{option.name}' needs workers"):
            call(lambda request: None, **given)
    with pytest.raises(TypeError, match=r"serve\(\) and main\(\) with workers"):
        fastcgi.Server(**given)


@pytest.mark.parametrize("wrong", [
    {"threads": True}, {"threads": 5000}, {"io_timeout": True}, {"limit_params": True},
    {"stream": 1}, {"interface": "x"}, {"graceful_timeout": "30s"}, {"workers": True},
])  # fmt: skip
def test_wrong_values_start_no_workers(wrong):
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(wrong))}.* must be "):
        fastcgi.serve(lambda request: None, "unix:x", **({"workers": 2} | wrong))


@pytest.mark.parametrize("more", [{}, {"workers": 2}])
@pytest.mark.parametrize(("wrong", "complaint"), [
    ({"worker": 2}, "there is no option 'worker'; did you mean 'workers'?"),
    ({"io-timeout": 2}, "there is no option 'io-timeout'; did you mean 'io_timeout'?"),
    ({"zzzzzz": 2}, "there is no option 'zzzzzz'"),
    ({"ready_after": 3}, "there is no option 'ready_after'; fcgi run has it"),
    ({"pythonpath": "x"}, "option 'pythonpath' is for the command line of python -m fastcgi"),
])  # fmt: skip
def test_names_that_serve_and_main_have_not(wrong, complaint, more, monkeypatch):
    """The message names the call, and no worker is started to say it again."""
    monkeypatch.setattr(sys, "argv", ["program"])
    for call in (fastcgi.serve, fastcgi.main):
        with pytest.raises(TypeError) as caught:
            call(lambda request: None, **wrong, **more)
        assert str(caught.value) == f"{call.__name__}(): {complaint}"


def test_threads_may_be_left_out():
    assert fastcgi.Server(threads=None).threads == fastcgi.Server().threads == 1
