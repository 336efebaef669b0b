"""The history of measurements, and their verdicts."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from astropy import units as u
from astropy.table import QTable
from sqlalchemy import insert
from sqlalchemy.orm import Session, sessionmaker

from ccdcore.headers.instrument import Instrument
from ccdcore.quantities import Limits, judge, limits_of
from db.errors import DatabaseError
from db.frames.entries import sync_instruments
from db.runs.lacks import record_lack
from db.runs.lifecycle import finish_run
from db.runs.measurements import NewMeasurement, earlier_values, record_measurements
from db.schema import models
from db.trends import read_trends
from db.trends.history import trends
from db.trends.overview import overview
from tests.support.on_record import NIGHT, NOON, add_frame, begin_run, gain, set_of

DAY = timedelta(days=1)
SPEC = {"gain_e_per_adu": {"min": 0.9, "max": 1.1}, "read_noise_e": {"min": None, "max": 3.0}}


def finished(session: Session, name: str, *measurements: NewMeasurement, digest: str = "d1", **changes: object) -> int:
    """A finished run of the set of a frame, and what it measured."""
    run_id = begin_run(session, set_of(session, add_frame(session, name, **changes)), digest=digest)  # type: ignore[arg-type]
    record_measurements(session, run_id=run_id, measurements=measurements)
    finish_run(session, run_id=run_id, now=NOON)
    return run_id


@pytest.mark.parametrize(
    ("quantity", "unit", "key"),
    [
        ("gain", "e/ADU", "gain_e_per_adu"),
        ("read_noise", "e", "read_noise_e"),
        ("read_noise_adu", "ADU", "read_noise_adu"),
        ("bias_level", "ADU", "bias_level_adu"),
    ],
)
def test_limits_are_named_with_their_unit(quantity: str, unit: str, key: str) -> None:
    assert limits_of({key: {"min": 1.0, "max": 2.0}}, quantity=quantity, unit=unit) == Limits(1.0, 2.0)
    assert limits_of({}, quantity=quantity, unit=unit) == Limits()


@pytest.mark.parametrize(
    ("value", "limits", "remark", "verdict"),
    [
        (1.0, Limits(0.9, 1.1), None, "ok"),
        (1.1, Limits(0.9, 1.1), None, "ok"),
        (1.2, Limits(0.9, 1.1), None, "bad"),
        (1.2, Limits(0.9, 1.1), "odd", "bad"),
        (1.0, Limits(0.9, 1.1), "odd", "suspect"),
        (1.0, Limits(), "odd", "suspect"),
        (1.0, Limits(), None, "unjudged"),
        (1.0, Limits(min=0.9), None, "ok"),
    ],
)
def test_a_verdict_weighs_limits_before_remarks(value: float, limits: Limits, remark: str | None, verdict: str) -> None:
    assert judge(value, limits=limits, remark=remark) == verdict


def test_a_row_says_all_as_plain_json(session: Session) -> None:
    entry = Instrument("m2-ml", spec={"gain_e_per_adu": Limits(0.9, 1.1)})
    run_id = finished(session, "a", gain(filter="r", ccd_temperature_c=-80.0), entry=entry)
    (row,) = trends(session)
    assert json.loads(json.dumps(row.as_dict(), allow_nan=False)) == {
        "id": row.id,
        "quantity": "gain",
        "value": 0.97,
        "uncertainty": 0.004,
        "unit": "e/ADU",
        "instrument": "m2-ml",
        "configuration": "bin1x1",
        "night": "2022-09-19",
        "observed_at": "2022-09-19T12:00:00+00:00",
        "amplifier": "1",
        "filter": "r",
        "method": "binned",
        "n_bias": 10,
        "n_flat": 8,
        "n_flat_pairs": 4,
        "ccd_temperature_c": -80.0,
        "verdict": "ok",
        "remark": None,
        "limit_min": 0.9,
        "limit_max": 1.1,
        "run_id": run_id,
        "flow_run_id": None,
        "engine": "local",
        "superseded": False,
        "mark": None,
        "mark_reason": None,
    }


def test_new_limits_judge_old_measurements_again(session: Session) -> None:
    entry = Instrument("m2-ml", spec={"gain_e_per_adu": Limits(0.9, 1.1)})
    finished(session, "a", gain(details={}), entry=entry)
    before = trends(session)[0]
    sync_instruments(session, [Instrument("m2-ml", spec={"gain_e_per_adu": Limits(0.98, 1.1)})], now=NOON)
    after = trends(session)[0]
    assert (before.verdict, after.verdict, after.limit_min, after.n_bias) == ("ok", "bad", 0.98, None)


def test_rows_come_oldest_first_and_are_picked_by_what_is_asked(session: Session) -> None:
    finished(session, "a", gain(1.0, observed_at=NOON + DAY), gain(2.0, amplifier="2"))
    finished(session, "b", gain(3.0, quantity="read_noise", observed_at=NOON - DAY), instrument="other")
    finished(session, "c", gain(4.0, observed_at=NOON + 2 * DAY, filter="V"), configuration="bin2x2", night=NIGHT + DAY)

    def values(**wanted: object) -> list[float]:
        return [row.value for row in trends(session, **wanted)]  # type: ignore[arg-type]

    assert values() == [3.0, 2.0, 1.0, 4.0]
    assert values(quantity="gain") == [2.0, 1.0, 4.0]
    assert values(instrument="other") == [3.0]
    assert values(instrument="nobody") == []
    assert values(amplifier="2") == [2.0]
    assert values(configuration="bin2x2") == [4.0]
    assert values(filter_name="V") == [4.0]
    assert values(since=NOON, until=NOON + 2 * DAY) == [2.0, 1.0]


@pytest.mark.parametrize(
    ("product", "is_failure", "is_kept"),
    [
        ("gain", True, True),
        ("gain and read noise", True, True),
        ("gain and read noise of amplifier 1", True, True),
        ("gain and read noise of amplifier 2", True, False),
        ("gain", False, False),
        ("parts of the noise", True, False),
        ("master flat V", True, False),
    ],
)
def test_a_value_stays_in_force_while_newer_runs_fail_to_measure_it(
    session: Session, product: str, is_failure: bool, is_kept: bool
) -> None:
    finished(session, "a", gain(0.96), gain(300.0, quantity="bias_level"))
    level = gain(301.0, quantity="bias_level")
    for digest in ("d2", "d3"):
        record_lack(
            session,
            run_id=finished(session, "a", level, digest=digest),
            product=product,
            reason="why",
            is_failure=is_failure,
        )
    expected = [(0.96, False)] if is_kept else []
    assert [(row.value, row.superseded) for row in trends(session, quantity="gain")] == expected
    assert [row.value for row in trends(session, quantity="bias_level")] == [301.0]
    assert [one.value for one in overview(session, quantities=["gain"])] == [value for value, _ in expected]
    key = {"instrument": "m2-ml", "configuration": "bin1x1", "amplifier": "1"}
    lent = earlier_values(session, quantity="gain", **key, before=NOON + DAY, most=2)
    assert [one.value for one in lent] == ([0.96] if is_kept else [])
    finished(session, "a", gain(0.97), digest="d4")
    assert [row.value for row in trends(session, quantity="gain")] == [0.97]


def test_a_plot_gets_fewer_points_but_all_that_are_bad(session: Session) -> None:
    entry = Instrument("m2-ml", spec={"gain_e_per_adu": Limits(0.9, 1.1)})
    values = [1.1001 if n in {50, 51, 52} else 1 + 0.001 * (n % 7) for n in range(200)]
    measured = [
        gain(value, amplifier=amplifier, observed_at=NOON + n * DAY)
        for amplifier in ("1", "2")
        for n, value in enumerate(values)
    ]
    finished(session, "a", *measured, entry=entry)
    rows = trends(session, at_most=40)
    assert [row.observed_at for row in rows] == sorted(row.observed_at for row in rows)
    for amplifier in ("1", "2"):
        of = [row for row in rows if row.amplifier == amplifier]
        assert len(of) <= 43
        assert [row.observed_at for row in of if row.verdict == "bad"] == [NOON + n * DAY for n in (50, 51, 52)]
    assert trends(session, quantity="read_noise", at_most=40) == []
    assert trends(session, at_most=400) == trends(session)


def test_only_current_results_show_unless_asked(session: Session) -> None:
    finished(session, "a", gain(1.0), digest="1")
    finished(session, "a", gain(2.0), digest="2")
    unfinished = begin_run(session, set_of(session, add_frame(session, "a")), digest="3")
    record_measurements(session, run_id=unfinished, measurements=[gain(3.0)])
    assert [(row.value, row.superseded) for row in trends(session)] == [(2.0, False)]
    assert [(row.value, row.superseded) for row in trends(session, superseded=True)] == [(1.0, True), (2.0, False)]


def test_a_time_without_a_zone_is_refused(session: Session) -> None:
    with pytest.raises(Exception, match="has no time zone: give it as UTC"):
        trends(session, since=datetime(2022, 9, 19))  # noqa: DTZ001


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_notebook_gets_a_table_with_units(sessions: sessionmaker[Session], database_url: str) -> None:
    with sessions.begin() as session:
        entry = Instrument("m2-ml", spec={"gain_e_per_adu": Limits(max=1.1)})
        finished(session, "a", gain(0.97), gain(uncertainty=None, observed_at=NOON + DAY), entry=entry)
    table = read_trends(Path(database_url.removeprefix("sqlite:///")).parent, "gain", instrument="m2-ml")
    assert (table["value"] == [0.97, 0.97] * u.electron / u.adu).all()
    assert table["uncertainty"][0] == 0.004 * u.electron / u.adu
    assert table["uncertainty"].mask.tolist() == [False, True]
    assert table["limit_min"].mask.all()
    assert table["observed_at"].isot.tolist() == ["2022-09-19T12:00:00.000", "2022-09-20T12:00:00.000"]
    assert len(read_trends(database_url, "dark_current")) == 0
    written = StringIO()
    table.write(written, format="ascii.ecsv")
    again = QTable.read(written.getvalue(), format="ascii.ecsv")
    assert (again["value"] == table["value"]).all()
    assert (again["observed_at"] == table["observed_at"]).all()


def test_a_notebook_is_told_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"ccdwatch\.db: no such database: give the home of a service"):
        read_trends(tmp_path, "gain")


# Not PostgreSQL, whose plan depends on its statistics.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_year_of_one_amplifier_is_read_by_index(sessions: sessionmaker[Session]) -> None:
    """Whatever else is on record, only the rows asked for are touched: the plan says so."""
    with sessions() as session:
        statements: list[str] = []
        connection = session.connection()
        session.execute(
            insert(models.Instrument), [{"name": "i", "digest": "", "entry": {}, "spec": {}, "recorded_at": NOON}]
        )
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_trace_callback(statements.append)
        which = {"instrument": "i", "amplifier": "1", "since": datetime(2022, 1, 1, tzinfo=UTC)}
        trends(session, quantity="gain", **which)  # type: ignore[arg-type]
        trends(session, **which)  # type: ignore[arg-type]
        trends(session, quantity="gain", **which, at_most=1000)  # type: ignore[arg-type]
        driver.set_trace_callback(None)
        plans = [
            [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]
            for statement in statements
            if "JOIN" in statement and "FROM judgement" not in statement  # a table of few rows
        ]
    where = "ix_measurement_trend (instrument_id=? AND quantity=? AND amplifier=? AND observed_at>?)"
    by_key = [f"SEARCH {table} USING INTEGER PRIMARY KEY (rowid=?)" for table in ("run", "calibration_set")]
    assert plans == [[f"SEARCH measurement USING COVERING INDEX {where}", *by_key]] * 3
