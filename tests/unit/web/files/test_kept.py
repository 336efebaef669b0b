"""What is kept: made once, within bounds, and so many at a time."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from web.files.kept import Kept


def test_what_was_asked_for_last_is_kept_within_bounds() -> None:
    made: list[str] = []
    kept: Kept[bytes] = Kept(10, len)

    def ask(key: str) -> bytes:
        def make() -> bytes:
            made.append(key)
            return key.encode() * 4

        return kept.get(key, make)

    assert [ask(key) for key in "abab"] == [b"aaaa", b"bbbb", b"aaaa", b"bbbb"]
    ask("a")
    ask("c")  # the third does not fit beside both: b was asked for the longest ago
    ask("a")
    assert made == ["a", "b", "c"]
    ask("b")
    assert made == ["a", "b", "c", "b"]


def test_one_larger_than_all_is_kept_until_the_next() -> None:
    kept: Kept[bytes] = Kept(3, len)
    assert kept.get("large", lambda: b"large") == b"large"
    assert kept.get("large", lambda: b"again") == b"large"
    kept.get("next", lambda: b"x")
    assert kept.get("large", lambda: b"again") == b"again"


def test_what_many_ask_for_is_made_once_and_others_wait() -> None:
    kept: Kept[int] = Kept(100, at_once=2)
    lock, at_work, most = Lock(), 0, 0
    made: list[int] = []

    def make(key: int) -> int:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
            made.append(key)
        time.sleep(0.01)
        with lock:
            at_work -= 1
        return key

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda key: kept.get(key % 6, lambda: make(key % 6)), range(48)))
    assert found == [key % 6 for key in range(48)]
    assert most == 2
    assert max(made.count(key) for key in range(6)) <= 2  # two may have begun the same
