"""The monthly report: one file, all that was asked for, nothing that does something."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from ccdcore.headers.instrument import Instrument
from ccdcore.quantities import Limits
from db.engine import make_engine, session_factory, upgrade
from db.errors import UnknownIdError
from db.runs.inputs import NewInput, record_inputs
from db.runs.lifecycle import finish_run
from db.runs.masters import record_master
from db.runs.measurements import record_measurements
from flows.runs.news import raise_notices
from tests.support.on_record import NIGHT, NOON, add_frame, begin_run, gain, hash_of, master, set_of
from web.pages.monthly_report import monthly_report

DAY = timedelta(days=1)
HOSTILE = "<script>alert('&')</script>"
ENTRY = Instrument("m2-ml", spec={"gain_e_per_adu": Limits(0.9, 1.1)})


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    engine = make_engine(f"sqlite:///{tmp_path}/ccdwatch.db")
    upgrade(engine)
    with session_factory(engine)() as session:
        yield session
    engine.dispose()


def month_on_record(session: Session) -> None:
    """Five nights around the end of a month; the last one is bad."""
    for n in range(5):
        at, name = NOON + (9 + n) * DAY, f"{HOSTILE} {n}"
        frame = add_frame(session, name, entry=ENTRY, night=NIGHT + (9 + n) * DAY, path=f"{n}.fits")
        run_id = begin_run(session, set_of(session, frame))
        left_out = NewInput("bias", hash_of(name), f"/data/{HOSTILE}.fits", excluded=f"too {HOSTILE} bright")
        record_inputs(session, run_id=run_id, inputs=[left_out])
        values = [
            gain(2.0 if n == 4 else 1.0, observed_at=at),
            gain(5.0, quantity="read_noise", observed_at=at),
        ]
        record_measurements(session, run_id=run_id, measurements=values)
        record_master(session, run_id=run_id, master=master(f"masters/{n}.fits", valid_from=at))
        finish_run(session, run_id=run_id, now=NOON)
        raise_notices(session, run_id=run_id, instrument="m2-ml", configuration="bin1x1", now=at)


def written(session: Session, month: date, base_url: str | None = "https://ccd.example/x") -> str:
    when = datetime(2022, 11, 1, tzinfo=UTC)
    return monthly_report(session, instrument="m2-ml", month=month, base_url=base_url, now=when)


def test_the_month_is_told_whole_and_alone(session: Session) -> None:
    month_on_record(session)
    page = written(session, date(2022, 10, 20))
    assert "<title>m2-ml, October 2022</title>" in page
    assert "gain of amplifier 1 is outside its limits (0.9 – 1.1): 2 e⁻/ADU on 2022-10-02." in page
    assert list(re.findall(r"2022-\d\d-\d\d", page.partition("<h2>Masters")[2].partition("<h2>")[0])) == [
        "2022-10-01",
        "2022-10-02",
    ]
    assert '<td data-label="Frames" class="value">2</td><td data-label="As">bias</td>' in page
    assert 'href="https://ccd.example/x/measurements/' in page
    assert page.count("<circle") + page.count('<use href="#mark-bad"') >= 10  # a year is drawn, not the month alone
    september = written(session, date(2022, 9, 1))
    assert "outside its limits" not in september
    assert "2022-10-02" not in september.partition("<h2>Masters")[2]


def test_it_needs_nothing_else_and_does_nothing(session: Session) -> None:
    month_on_record(session)
    page = written(session, date(2022, 10, 1), base_url=None)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.findall(r'(?:href|src)="(?!#)[^"]*"', page)
    assert not re.findall(r"url\(|@import", page)
    assert "default-src 'none'" in page


def test_a_month_without_measurements_is_told_so(session: Session) -> None:
    month_on_record(session)
    with pytest.raises(UnknownIdError, match="m2-ml: nothing was measured in 2021-01: type ccdwatch trends"):
        written(session, date(2021, 1, 1))
