# SPDX-License-Identifier: MIT
"""fastcgi.shared: what a dictionary does, and who shares it."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time

import fastcgi
import pytest
from support.fcgi_client import fetch, wait_until

ROOT = ["--allow-root"] if os.geteuid() == 0 else []


NUMBERS = itertools.count()


@pytest.fixture
def cache() -> fastcgi.Shared:
    """One that no other test has."""
    return fastcgi.shared(f"test{next(NUMBERS)}", size=1 << 16)


@pytest.mark.parametrize(
    "value",
    [
        b"", b"\0\xff", b"x" * 40000, "", "\u00e4\U0001f600" * 9, "y" * 20000,
        0, -(2**63), 2**63 - 1, 0.1, float("inf"), True, False,
    ],
    ids=lambda value: f"{type(value).__name__}-{str(value)[:9]}".replace("\0", ""),
)  # fmt: skip
def test_a_value_comes_back_as_it_was(value):
    shared = fastcgi.shared("kinds", size=1 << 17)
    assert shared.set("key", value) == 0
    back = shared.get("key")
    assert back == value
    assert type(back) is type(value)


def test_what_is_like_bytes_comes_back_as_bytes(cache):
    cache["a"] = bytearray(b"abc")
    cache["b"] = memoryview(b"abcdef")[2:4]
    assert (cache["a"], cache["b"]) == (b"abc", b"cd")


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, object(), 1 + 2j, b"a".decode])
def test_other_values_are_refused(cache, value):
    with pytest.raises(TypeError, match="a value is bytes, str, int, float or bool, not"):
        cache.set("key", value)
    assert cache.get("key") is None


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_an_integer_has_64_bits(cache, value):
    with pytest.raises(OverflowError):
        cache.set("key", value)
    with pytest.raises(OverflowError):
        cache.incr("key", value)


@pytest.mark.parametrize("key", ["", b"", "k" * 2049, 7, None])
def test_wrong_keys_are_refused(cache, key):
    with pytest.raises((ValueError, TypeError), match="a key"):
        cache.get(key)


def test_a_key_may_be_text_or_bytes(cache):
    cache["\u00e4"] = 1
    assert cache.get("\u00e4".encode()) == 1
    cache[b"\xff\0"] = 2
    assert sorted(cache.keys()) == ["\u00e4", "\udcff\0"]
    assert [cache[key] for key in sorted(cache.keys())] == [1, 2]


def test_it_is_like_a_dict(cache):
    assert "a" not in cache
    with pytest.raises(KeyError):
        cache["a"]
    with pytest.raises(KeyError):
        del cache["a"]
    cache["a"] = 5
    assert "a" in cache
    del cache["a"]
    assert cache.get("a", 9) == 9
    assert cache.get("a", default=8) == 8


def test_add_and_replace(cache):
    assert cache.replace("a", 1) is False
    assert cache.add("a", 1) is True
    assert cache.add("a", 2) is False
    assert cache.replace("a", 3, ttl=60) is True
    assert cache["a"] == 3
    assert cache.delete("a") is True
    assert cache.delete("a") is False


def test_incr(cache):
    assert cache.incr("n") is None
    assert cache.incr("n", init=0) == 1
    assert cache.incr("n", 41) == 42
    assert cache.incr("n", -50, init=7) == -8
    cache["n"] = 2**63 - 1
    with pytest.raises(OverflowError, match="64 bits"):
        cache.incr("n")
    cache["n"] = 1.5
    with pytest.raises(TypeError, match="no integer"):
        cache.incr("n")
    with pytest.raises(TypeError):
        cache.incr("n", 0.5)


def test_time(cache):
    cache.set("a", 1, ttl=0.001)
    cache.set("b", 1, ttl=100)
    cache.incr("c", init=0, ttl=100)
    cache["d"] = 1
    wait_until(lambda: "a" not in cache, what="its end")
    assert 99 < cache.ttl("b") <= 100
    assert 99 < cache.ttl("c") <= 100
    assert cache.ttl("d") is None
    with pytest.raises(KeyError):
        cache.ttl("a")
    assert cache.expire("d", 50) is True
    assert cache.expire("b", None) is True
    assert cache.expire("a", 50) is False
    assert cache.ttl("b") is None
    assert cache.ttl("d") <= 50


@pytest.mark.parametrize("ttl", [0, -1, float("nan")])
def test_wrong_times_are_refused(cache, ttl):
    with pytest.raises(ValueError, match="above 0"):
        cache.set("a", 1, ttl=ttl)


def test_what_had_to_go_is_told(cache):
    gone = 0
    for i in range(1000):
        gone += cache.set(f"key{i}", i)
    assert gone == cache.counts()["evicted"] > 100
    assert len(cache.keys()) == cache.counts()["entries"] == 1000 - gone
    assert "key999" in cache
    assert "key0" not in cache
    with pytest.raises(fastcgi.LimitError, match="larger than the shared dictionary"):
        cache["large"] = b"x" * (1 << 16)
    cache.clear()
    assert cache.keys() == []


def test_one_of_many_makes_it(cache):
    made = []

    def make():
        made.append(threading.get_ident())
        time.sleep(0.05)
        return "made"

    threads = [threading.Thread(target=lambda: cache.get_or_set("key", make, 60)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert cache["key"] == "made"


def test_a_lock_is_given_back(cache):
    lock = cache.lock("key", timeout=0)
    with lock:
        assert cache.lock("key", timeout=0.01).acquire() is False
        with pytest.raises(fastcgi.Timeout), cache.lock("key", timeout=0):
            pass
        assert cache.lock("other", timeout=0).acquire() is True
    with pytest.raises(RuntimeError), lock:
        raise RuntimeError
    assert lock.acquire()
    assert lock.release() is True
    assert lock.release() is False


def test_a_dead_process_holds_no_lock(cache):
    pid = os.fork()
    if pid == 0:
        cache.lock("key").acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert cache.lock("key", timeout=30).acquire() is True


def test_the_same_name_is_the_same_dictionary(cache):
    assert fastcgi.shared(cache.name) is cache
    assert cache.private is True
    assert repr(cache) == f"<fastcgi.shared {cache.name!r} (private)>"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 32])
def test_wrong_names_are_refused(name):
    with pytest.raises(ValueError, match="a shared dictionary has a name"):
        fastcgi.shared(name)


def test_threads_count_exactly(cache):
    def count():
        for _ in range(5000):
            cache.incr("n", init=0)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache["n"] == 20000


def test_a_full_dictionary_leaks_nothing(cache):
    """References to keys and values, whatever becomes of them."""
    key, value = "k" * 60, b"v" * 60
    before = (sys.getrefcount(key), sys.getrefcount(value))
    for i in range(300):
        cache.set(key, value, ttl=9)
        cache.get(key)
        cache.get(f"no{i}", value)
        cache.add(key, value)
        cache.ttl(key)
        with pytest.raises(TypeError):
            cache.set(key, None)
        with pytest.raises(ValueError, match="above 0"):
            cache.set(key, value, ttl=-1)
        with pytest.raises(TypeError):
            cache.incr(key)
    assert (sys.getrefcount(key), sys.getrefcount(value)) == before


APP = """
import os
import fastcgi

cache = fastcgi.shared("cache")

def app(request):
    return 200, None, f"{os.getpid()} {cache.incr('n', init=0)} {cache.private}"
"""


def serve_app(command, tmp_path, *options, app=APP):
    (tmp_path / "app.py").write_text(app)
    words = ["-m", "fastcgi", "app:app", "--bind", f"unix:{tmp_path}/s", *ROOT, *options]
    return command(*words), f"unix:{tmp_path}/s"


def ask(address):
    pid, count, private = fetch(address).body.decode().split()
    return int(pid), int(count), private


def test_workers_share_it(command, tmp_path):
    process, address = serve_app(
        command, tmp_path, "--workers", "2", "--shared", "cache=1M", "--shared", "more=64K"
    )
    process.wait_for("ready after")
    answers = [ask(address) for _ in range(40)]
    assert [count for _, count, _ in answers] == list(range(1, 41))
    assert {private for _, _, private in answers} == {"False"}
    os.kill(answers[-1][0], signal.SIGKILL)
    assert ask(address)[1] == 41
    process.process.send_signal(signal.SIGHUP)
    process.wait_for("generation 2 is ready")
    former = {pid for pid, _, _ in answers}
    wait_until(lambda: ask(address)[0] not in former, what="a new worker")
    assert ask(address)[1] > 42


def test_one_alone_makes_a_supervisor(command, tmp_path):
    process, address = serve_app(command, tmp_path, "--shared", "cache=1M")
    process.wait_for("ready after")
    assert ask(address)[2] == "False"


def test_without_a_supervisor_it_is_private(command, tmp_path):
    _, address = serve_app(command, tmp_path)
    wait_until(lambda: (tmp_path / "s").exists(), what="its socket")
    assert ask(address)[1:] == (1, "True")
    assert ask(address)[1:] == (2, "True")


def test_what_is_not_declared_is_told(command, tmp_path):
    process, _ = serve_app(command, tmp_path, "--workers", "1", "--shared", "other=1M")
    status, text = process.finish()
    assert status == 3
    assert 'the supervisor has no shared dictionary "cache"; declare it: --shared cache=16M' in text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["cache"], "--shared=cache: must be NAME=SIZE"),
        (["cache=1K"], "--shared=cache=1K: must be NAME=SIZE"),
        (["a b=1M"], "--shared=a b=1M: must be NAME=SIZE"),
        (["cache=1M", "cache=2M"], "shared=cache=2M: there is a dictionary cache already"),
        ([f"d{i}=64K" for i in range(17)], "shared=d16=64K: more than 16 dictionaries"),
    ],
    ids=["no size", "small", "name", "twice", "many"],
)
def test_wrong_declarations_are_refused(command, tmp_path, words, text):
    options = [part for word in words for part in ("--shared", word)]
    process, _ = serve_app(command, tmp_path, *options)
    status, said = process.finish()
    assert status != 0
    assert text in said
