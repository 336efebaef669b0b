"""Attempts at passwords, and tokens of forms."""

import pytest

from web.editing import attempts, tokens
from web.editing.attempts import LONGEST_SECONDS, Attempts
from web.editing.tokens import LIFETIME_SECONDS, Tokens


class Clock:
    """A clock that stands still until told otherwise."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(attempts, "time", clock)
    monkeypatch.setattr(tokens, "time", clock)
    return clock


def test_each_failure_makes_its_name_wait_longer_and_a_success_ends_that(clock: Clock) -> None:
    tried = Attempts()
    waits = []
    for _ in range(9):
        assert tried.seconds_to_wait("anna") == 0
        tried.count("anna", succeeded=False)
        waits.append(tried.seconds_to_wait("anna"))
        clock.at += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, LONGEST_SECONDS, LONGEST_SECONDS, LONGEST_SECONDS]
    assert tried.seconds_to_wait("ben") == 0
    tried.count("anna", succeeded=True)
    tried.count("anna", succeeded=False)
    assert tried.seconds_to_wait("anna") == 1


def test_names_without_number_take_no_memory_without_limit(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_MOST_NAMES", 5)
    tried = Attempts()
    for number in range(50):
        tried.count(f"name {number}", succeeded=False)
    assert len(tried._failed) == 5
    assert tried.seconds_to_wait("name 49") == 1


def test_a_token_is_for_one_address_one_browser_and_one_hour(clock: Clock) -> None:
    own = Tokens()
    token = own.new("/edit/frame/1", "browser")
    assert own.is_valid(token, "/edit/frame/1", "browser")
    assert not own.is_valid(token, "/edit/frame/2", "browser")
    assert not own.is_valid(token, "/edit/frame/1", "another")
    assert not own.is_valid(own.new("/edit/frame/1", ""), "/edit/frame/1", ""), "no browser has no cookie"
    assert not Tokens().is_valid(token, "/edit/frame/1", "browser")
    for forged in ("", ".", "9999999." + token.partition(".")[2], token[:-1], "é.ß", "nan." + token.partition(".")[2]):
        assert not own.is_valid(forged, "/edit/frame/1", "browser"), forged
    clock.at += LIFETIME_SECONDS + 1
    assert not own.is_valid(token, "/edit/frame/1", "browser")
