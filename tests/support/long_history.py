"""Years of measurements put on record at once, as if every night had been calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from ccdcore.headers.instrument import FrameType
from ccdcore.quantities import QUANTITIES
from db.schema.models import (
    CalibrationSet,
    Certification,
    File,
    FileState,
    Frame,
    Instrument,
    Master,
    Measurement,
    Outcome,
    Run,
)

FIRST = date(2020, 1, 1)
GAIN, GAIN_UNCERTAINTY, NOISE, NOISE_UNCERTAINTY = 1.5, 0.004, 5.0, 0.02
COUNTS = {"n_bias": 10, "n_flat": 8, "n_flat_pairs": 4}
LIMITS = {"gain_e_per_adu": {"min": 1.45, "max": 1.55}, "read_noise_e": {"max": 5.5}}


def put_history(
    session: Session,
    *,
    instruments: Sequence[str] = ("red",),
    amplifiers: Sequence[str] = ("1",),
    nights: int = 100,
    per_night: int = 1,
    n_others: int = 0,
    spec: dict[str, Any] | None = None,
) -> None:
    """Record gain and read noise of each amplifier on each night; the gain of every last amplifier steps by 2 %.

    Every fiftieth measurement of the gain is far out, and suspect. Besides come so many other quantities, of which
    nothing is special.
    """
    others = [(one.name, one.unit) for one in QUANTITIES.values() if one.name not in {"gain", "read_noise"}][:n_others]
    rng = np.random.default_rng(4)
    for number, name in enumerate(instruments, start=1):
        entry = {
            "id": number,
            "name": name,
            "digest": f"{number:064d}",
            "entry": {"name": name},
            "spec": LIMITS if spec is None else spec,
            "recorded_at": datetime(2020, 1, 1, tzinfo=UTC),
        }
        session.execute(insert(Instrument), [entry])
        keys = range((number - 1) * nights + 1, number * nights + 1)
        evenings = [FIRST + timedelta(days=night) for night in range(nights)]
        session.execute(
            insert(CalibrationSet),
            [
                {
                    "id": key,
                    "instrument": name,
                    "configuration": "bin1x1",
                    "window_first_night": evening,
                    "window_nights": 1,
                }
                for key, evening in zip(keys, evenings, strict=True)
            ],
        )
        session.execute(insert(Run), [_run(key, _dusk(evening)) for key, evening in zip(keys, evenings, strict=True)])
        for place, amplifier in enumerate(amplifiers, start=1):
            step = 1.02 if place == len(amplifiers) else 1.0
            rows = [
                {**one, "run_id": keys[night], "instrument_id": number, "amplifier": amplifier}
                for night in range(nights)
                for again in range(per_night)
                for one in _measured(
                    rng, night, nights, step, _dusk(evenings[night]) + again * timedelta(minutes=5), others
                )
            ]
            session.execute(insert(Measurement), rows)


def put_frames(session: Session, *, host: str, identified_with: str = "rules 1", per_set: int = 20) -> None:
    """Record so many frames of each set that a history has, their files, and a master bias and flat of each run."""
    kinds = [FrameType.BIAS if number < per_set // 2 else FrameType.FLAT for number in range(per_set)]
    sets = session.execute(
        select(CalibrationSet.id, CalibrationSet.instrument, CalibrationSet.window_first_night, Instrument.id)
        .join(Instrument, Instrument.name == CalibrationSet.instrument)
        .order_by(CalibrationSet.id)
    )
    for set_id, name, night, instrument_id in sets.all():
        at = _dusk(night)
        keys = range((set_id - 1) * per_set + 1, set_id * per_set + 1)
        known = {"instrument": name, "night": night, "instrument_id": instrument_id, "calibration_set_id": set_id}
        known |= {"identified_with": identified_with}
        frames = [_frame(key, kind, at - timedelta(hours=1)) for key, kind in zip(keys, kinds, strict=True)]
        session.execute(insert(Frame), [{**one, **known} for one in frames])
        session.execute(insert(File), [_file(key, host, at - timedelta(hours=1)) for key in keys])
        masters = [_master(2 * set_id - 1, "bias", set_id, at), _master(2 * set_id, "flat", set_id, at)]
        session.execute(insert(Master), masters)
        session.execute(insert(Certification), [_certification(one["id"], at) for one in masters])


def _frame(key: int, kind: FrameType, at: datetime) -> dict[str, Any]:
    return {
        "id": key,
        "sha256": f"{key:064d}",
        "rows": 10,
        "columns": 24,
        "frame_type": kind,
        "frame_type_reason": "IMAGETYP",
        "instrument_reason": "INSTRUME",
        "configuration": "bin1x1",
        "date_obs": at,
        "exposure_time_s": 0.0 if kind is FrameType.BIAS else 1.0,
        "n_averaged": 1,
        "amplifiers": [],
        "statistics": [],
        "registered_at": at,
        "joined_at": at,
    }


def _file(key: int, host: str, at: datetime) -> dict[str, Any]:
    return {
        **{"id": key, "host": host, "root": "/data/raw", "relative_path": f"{key}.fits", "size": 2880, "mtime_ns": key},
        **{"inode": key, "state": FileState.DONE, "state_since": at, "changed_at": at, "first_seen_at": at},
        **{"tries": 1, "file_sha256": f"{key:064d}", "frame_id": key},
    }


def _master(key: int, kind: str, run_id: int, at: datetime) -> dict[str, Any]:
    return {
        **{"id": key, "run_id": run_id, "kind": kind, "product": f"master {kind}", "path": f"masters/{key}.fits"},
        **{"sha256": f"{key:064d}", "unit": "adu", "n_combined": 10, "n_excluded": 0, "statistics": {}},
        **{"verdict": "ok", "valid_from": at},
    }


def _certification(master_id: int, at: datetime) -> dict[str, Any]:
    told = {"outcome": "certified", "reason": "it predicts frames as well", "figures": {}}
    return {"master_id": master_id, "judged_at": at, **told}


def _dusk(evening: date) -> datetime:
    return datetime(evening.year, evening.month, evening.day, 20, tzinfo=UTC)


def _run(key: int, began: datetime) -> dict[str, Any]:
    return {
        "id": key,
        "calibration_set_id": key,
        "digest": f"{key:064d}",
        "attempt": 1,
        "engine": "local",
        "recipes": {},
        "software": {"ccdwatch": "0.1.0"},
        "host": "dome",
        "pid": 1,
        "pid_started": 0.0,
        "began_at": began,
        "ended_at": began,
        "outcome": Outcome.DONE,
    }


def _measured(
    rng: np.random.Generator,
    night: int,
    nights: int,
    step: float,
    when: datetime,
    others: Sequence[tuple[str, str]],
) -> list[dict[str, Any]]:
    odd = night % 50 == 33
    gain = GAIN * (step if night > 0.7 * nights else 1.0) + rng.normal(0, GAIN_UNCERTAINTY) + 0.3 * odd
    noise = NOISE + rng.normal(0, NOISE_UNCERTAINTY) + 0.6 * max(0.0, night / nights - 0.5)
    same = {
        "method": "binned",
        "filter": None,
        "details": {**COUNTS, "notes": []},
        **COUNTS,
        "ccd_temperature_c": -100.0,
        "observed_at": when,
        "remark": "the flats vary in level by 40 %" if odd else None,
    }
    return [
        {**same, "quantity": "gain", "unit": "e/ADU", "value": gain, "uncertainty": GAIN_UNCERTAINTY},
        {**same, "quantity": "read_noise", "unit": "e", "value": noise, "uncertainty": NOISE_UNCERTAINTY},
        *({**same, "quantity": name, "unit": unit, "value": noise, "uncertainty": None} for name, unit in others),
    ]
