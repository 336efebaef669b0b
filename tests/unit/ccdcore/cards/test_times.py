"""Dates and times as headers spell them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.cards.dialects import KEYWORDS
from ccdcore.cards.times import moment
from ccdcore.cards.values import RepeatedCard
from ccdcore.headers.identify import find_instrument, identify
from ccdcore.headers.instrument import Instrument

WRITTEN = "2026-01-05T10:00:00"


def began(**cards):
    named = {name.replace("__", "-"): value for name, value in cards.items()}
    return moment({"DATE": WRITTEN} | named, KEYWORDS["date_obs"], KEYWORDS["time_obs"], exposure_s=60.0)


@pytest.mark.parametrize(
    "spelt",
    [
        *("2014-05-21T03:07:09", "2014-05-21T3:07:09", "2014-05-21 03:07:09 UTC", "2014-05-21T03-07-09"),
        *("2014/05/21 03:07:09", "2014:05:21T03:07:09", "2014-05-21T03:07:09.", "2014-05-21T03:07:09Z"),
        *("2014-05-21T05:07:09+02:00", "2014-05-20T20:07:09 -0700", "20140521T030709", "20140521030709"),
        *("Wed May 21 03:07:09 2014", "Wed, 21 May 2014 03:07:09 GMT", "Wed May 21 03:07:09 UTC 2014"),
        *("21-May-2014 03:07:09", "2014 May 21 03:07:09", "May 21, 2014 03:07:09", "21/05/2014 03:07:09"),
        *("5/21/2014 3:07:09 AM", "21.05.2014 03:07:09", "2014-05-21_03h07m09s", "2014-05-21, 03:07:09 ut"),
    ],
)
def test_a_date_is_read_however_it_is_spelt(spelt):
    found = began(DATE__OBS=spelt)
    assert found.when == datetime(2014, 5, 21, 3, 7, 9, tzinfo=UTC)
    assert found.words == ()


@pytest.mark.parametrize(
    ("spelt", "when"),
    [
        ("2014-05-21T03:07:60", "2014-05-21T03:08:00"),
        ("2014-05-21T24:00:00", "2014-05-22T00:00:00"),
        ("2014-05-21T03:07:09,250", "2014-05-21T03:07:09.250"),
        ("5/21/2014 12:07:09 AM", "2014-05-21T00:07:09"),
        ("05.06.2014 00:00", "2014-06-05T00:00:00"),
        ("05/05/2014 00:00:01", "2014-05-05T00:00:01"),
    ],
)
def test_odd_ends_of_days_and_minutes(spelt, when):
    assert began(DATE__OBS=spelt).when == datetime.fromisoformat(when).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("spelt", "why"),
    [
        ("05/06/2014", ": day or month may stand first"),
        ("05-06-2014 03:07:09", ": day or month may stand first"),
        ("2014-05-21T05:07:09 CEST", ""),
        ("2014-05-21T05:07:09 EST", ""),
        ("2014-05-21T25:00:00", ""),
        ("2014-02-30", ""),
        ("21 Mai 2014", ""),
        ("14-05-21", ""),
        ("5/21/2014 13:07:09 PM", ""),
        ("0000-00-00T00:00:00", ""),
        ("9999-12-31T24:00:00", ""),
        ("0001-01-01T00:00:00+12:00", ""),
        ("1970-01-01T00:12:00", ": its clock was not set"),
        (RepeatedCard(("2014-05-21", "2014-05-22")), None),
    ],
)
def test_what_cannot_be_read_for_sure_is_said_and_never_replaced_by_the_date_of_the_file(spelt, why):
    found = began(DATE__OBS=spelt)
    assert found.when is None
    assert found.words == (() if why is None else (f"DATE-OBS = {spelt!r} cannot be used{why}",))


def test_a_weaker_card_of_the_exposure_is_used_with_a_word():
    found = began(DATE__OBS="05/06/2014", MJD__OBS=56813.25)
    assert found.when == datetime(2014, 6, 5, 6, tzinfo=UTC)
    assert found.words[1] == "MJD-OBS is used in its place"


def test_the_date_of_the_file_alone_is_told():
    found = began()
    assert found.when == datetime.fromisoformat(WRITTEN).replace(tzinfo=UTC)
    assert found.words == (f"DATE = '{WRITTEN}': only the date of the file is known",)


def test_an_entry_may_say_that_date_is_the_exposures():
    entry = Instrument("cam", header={"date_obs": "DATE"}, valid_from=datetime(2026, 1, 1, tzinfo=UTC))
    cards = {"DATE": WRITTEN, "DATE-OBS": "05/06/2014", "IMAGETYP": "bias"}
    assert find_instrument(cards, [entry]) is entry
    found = identify(cards, filename="x.fits", shape=(9, 9), instruments=[entry])
    assert found.frame_type_reason == "IMAGETYP = 'bias'"


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ({"TIME__OBS": "3:07"}, ()),
        ({"UT": "03h07m00s"}, ()),
        ({"UTC": "3 07 00"}, ()),
        ({"UT": 3 + 7 / 60}, ()),
        ({"TIME__OBS": "25:99", "UT": "03:07:00"}, ("TIME-OBS = '25:99' cannot be used",)),
    ],
)
def test_a_bare_date_is_completed(cards, words):
    found = began(DATE__OBS="2014-05-21", **cards)
    assert abs(found.when - datetime(2014, 5, 21, 3, 7, tzinfo=UTC)) < timedelta(seconds=1)
    assert found.words == words


def test_a_missing_time_of_day_is_told():
    assert began(DATE__OBS="21.05.2014").words == ("no card tells the time of day: 0:00 is taken",)


@pytest.mark.parametrize(
    ("cards", "when"),
    [
        ({"TIMESYS": "LOCAL"}, None),
        ({"TIMESYS": "UTC-5"}, "2024-03-11T02:30:00"),
        ({"TIMESYS": "GMT+05:30"}, "2024-03-10T16:00:00"),
        ({"TIMESYS": "LOCAL", "DATE__UTC": "2024-03-11T02:30:00"}, "2024-03-11T02:30:00"),
        ({"DATE__UTC": "2024-03-11T02:30:00"}, "2024-03-11T02:30:00"),
        ({"DATE__AVG": "2024-03-11T02:30:00"}, "2024-03-10T21:30:00"),
    ],
)
def test_local_time_is_not_taken_for_utc(cards, when):
    found = began(DATE__OBS="2024-03-10T21:30:00", **cards)
    assert found.when == (when and datetime.fromisoformat(when).replace(tzinfo=UTC))


def test_cards_that_contradict_each_other_are_told():
    assert "MJD-OBS = 60380.25 are 8.5 h apart" in began(DATE__OBS="2024-03-10T21:30:00", MJD__OBS=60380.25).words[0]
    assert began(DATE__OBS="2024-03-11T06:00:00", MJD__OBS=60380.2504).words == (), "the middle of an exposure"


@pytest.mark.parametrize("card", ["UT", "TIME-OBS", "UTC-OBS", "UTSTART", "UT-STR"])
def test_a_date_is_held_against_cards_of_the_time_alone(card):
    midnight = began(DATE__OBS="2024-03-10T00:00:00.000", **{card: "20:00:10"})
    assert midnight.when == datetime(2024, 3, 10, 20, 0, 10, tzinfo=UTC)
    assert midnight.words[0].endswith(f"and {card} = '20:00:10' are 4.0 h apart, {card} is used")
    local = began(DATE__OBS="2024-03-10T20:00:10", **{card: "03:00:10"})
    assert local.when == datetime(2024, 3, 10, 20, 0, 10, tzinfo=UTC)
    assert local.words == (f"DATE-OBS = '2024-03-10T20:00:10' and {card} = '03:00:10' are 7.0 h apart",)
    for of_the_same in ("20:00:10.5", "20:01:15", "19:59:33"):
        assert began(DATE__OBS="2024-03-10T20:00:10", **{card: of_the_same}).words == ()
    assert began(DATE__OBS="2024-03-10T23:59:50", **{card: "00:00:20"}).words == ()


def test_the_middle_of_the_exposure_is_better_than_the_date_of_the_file():
    found = began(DATE__LOC="2024-03-10T21:30:00", DATE__AVG="2024-03-11T02:30:01")
    assert found.when == datetime(2024, 3, 11, 2, 30, 1, tzinfo=UTC)
    assert found.words == ("DATE-AVG = '2024-03-11T02:30:01' is the middle of the exposure",)


SPELLINGS = (
    *("%Y-%m-%dT%H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d-%m-%YT%H:%M:%S"),
    *("%c", "%d %B %Y %I:%M:%S %p", "%Y%m%d%H%M%S", "%B %d, %Y %H-%M-%S", "%Y.%m.%d_%Hh%Mm%Ss", "%m-%d-%Y %H.%M.%S"),
)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1)), st.sampled_from(SPELLINGS))  # noqa: DTZ001
def test_every_spelling_is_read_or_said_and_never_taken_for_another_time(when, spelling):
    found = began(DATE__OBS=when.strftime(spelling))
    if found.when is None:
        assert "cannot be used: day or month" in found.words[0]
    else:
        assert found.when == when.replace(microsecond=0, tzinfo=UTC)


@given(st.text(alphabet="0123456789-/:. TZMayun+,", max_size=24), st.text(alphabet="0123456789:. hms", max_size=9))
def test_no_text_stops_it(date, time):
    assert began(DATE__OBS=date, TIME__OBS=time).words or date
