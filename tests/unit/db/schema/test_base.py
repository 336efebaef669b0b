"""Times and paths as columns."""

import os
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from db.schema.base import PathText, UtcDateTime

DIALECT = sqlite.dialect()


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="2022-09-19T12:00:00 has no time zone: give it as UTC"):
        UtcDateTime().process_bind_param(datetime(2022, 9, 19, 12), DIALECT)  # noqa: DTZ001


@given(
    st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001
    st.integers(-14, 14),
)
def test_a_time_comes_back_as_the_same_instant_in_utc(naive: datetime, hours: int) -> None:
    instant = naive.replace(tzinfo=timezone(timedelta(hours=hours)))
    kind = UtcDateTime().dialect_impl(DIALECT)
    write, read = kind.bind_processor(DIALECT), kind.result_processor(DIALECT, None)
    assert write is not None
    assert read is not None
    back = read(write(instant))
    assert back == instant
    assert back.tzinfo is UTC


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_a_file_name_of_any_bytes_comes_back(name: bytes) -> None:
    path = os.fsdecode(name)
    stored = PathText().process_bind_param(path, DIALECT)
    assert stored is not None
    stored.encode()  # a database takes no lone surrogates
    assert PathText().process_result_value(stored, DIALECT) == path
