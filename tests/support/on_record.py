"""Short ways to put something on record."""

import os
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.orm import Session

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.frames.frame import FrameStatistics
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from db.certification import NewCertification
from db.files import ledger
from db.files.ledger import Sighting
from db.frames import register as frames
from db.runs import lifecycle
from db.runs.masters import NewMaster
from db.runs.measurements import NewMeasurement
from db.schema.models import Frame

HOST = "dome"
ROOT = "/data/raw"
NOON = datetime(2022, 9, 19, 12, tzinfo=UTC)
NIGHT = date(2022, 9, 19)
AMPLIFIER = Amplifier("1", Section(1, 20, 1, 10), Section(21, 24, 1, 10))
STATISTICS = FrameStatistics("1", 200, 290.0, 310.0, 300.0, 300.1, 2.9, 0.0, 299.5)


def hash_of(name: str) -> str:
    return sha256(os.fsencode(name)).hexdigest()


def sighting(path: str = "a.fits", *, size: int = 2880, at: datetime = NOON, inode: int = 7) -> Sighting:
    return Sighting(ROOT, path, size, int(at.timestamp()) * 10**9, inode)


def info(kind: FrameType = FrameType.BIAS, **changes: object) -> ExposureInfo:
    known: dict[str, object] = {
        "frame_type_reason": "IMAGETYP",
        "instrument": "m2-ml",
        "instrument_reason": "HEAD",
        "configuration": "bin1x1",
        "date_obs": NOON,
        "exposure_time_s": 0.0,
    }
    return ExposureInfo(frame_type=kind, **{**known, **changes})  # type: ignore[arg-type]


def register(session: Session, name: str, kind: FrameType = FrameType.BIAS, **changes: object) -> int:
    """A frame on record; `changes` are fields of `ExposureInfo`, ``entry``, or arguments of `register_frame`."""
    known = {name: changes.pop(name) for name in set(changes) & set(ExposureInfo.__dataclass_fields__)}
    night = changes.pop("night", NIGHT)
    arguments: dict[str, object] = {
        "sha256": hash_of(name),
        "shape": (10, 24),
        "info": info(kind, **known),
        "amplifiers": [AMPLIFIER],
        "statistics": [STATISTICS],
        "instrument": changes.pop("entry", None),
        "night": night,
        "window_first_night": night,
        "window_nights": 1,
        "identified_with": "rules 1",
        "joined_at": NOON,
        "now": NOON,
    }
    return frames.register_frame(session, **{**arguments, **changes})  # type: ignore[arg-type]


def add_frame(
    session: Session,
    name: str,
    kind: FrameType = FrameType.BIAS,
    *,
    host: str = HOST,
    path: str = "",
    **changes: object,
) -> int:
    """A frame on record and the file that holds it, by default ``<name>.fits``."""
    frame_id = register(session, name, kind, **changes)
    joined_at = changes.get("joined_at", NOON)
    assert isinstance(joined_at, datetime)
    seen = ledger.observe(session, [sighting(path or f"{name}.fits", at=joined_at)], host=host, now=joined_at)
    for file in seen:
        until = joined_at + timedelta(minutes=1)
        ledger.claim_files(session, [file.id], owner="w", lease_until=until, now=joined_at)
        ledger.finish(
            session, file.id, owner="w", frame_id=frame_id, file_sha256=hash_of(f"{name} file"), now=joined_at
        )
    return frame_id


def set_of(session: Session, frame_id: int) -> int:
    set_id = session.scalars(select(Frame.calibration_set_id).where(Frame.id == frame_id)).one()
    assert set_id is not None
    return set_id


def begin_run(session: Session, set_id: int, *, digest: str = "d1", attempt: int = 1, now: datetime = NOON) -> int:
    run_id = lifecycle.claim_run(
        session,
        set_id=set_id,
        digest=digest,
        attempt=attempt,
        engine="local",
        flow_run_id=None,
        recipes={"version": 1},
        software={"ccdwatch": "0.1.0"},
        host=HOST,
        pid=4711,
        pid_started=1663588800.25,
        now=now,
    )
    assert run_id is not None
    return run_id


def gain(value: float = 0.97, **changes: object) -> NewMeasurement:
    known: dict[str, object] = {
        "quantity": "gain",
        "amplifier": "1",
        "value": value,
        "uncertainty": 0.004,
        "method": "binned",
        "observed_at": NOON,
        "details": {"n_bias": 10, "n_flat": 8, "n_flat_pairs": 4},
    }
    return NewMeasurement(**{**known, **changes})  # type: ignore[arg-type]


def master(path: str = "masters/b1.fits", **changes: object) -> NewMaster:
    known: dict[str, object] = {
        "kind": "bias",
        "filter": None,
        "path": path,
        "sha256": hash_of(path),
        "unit": "adu",
        "n_combined": 10,
        "n_excluded": 1,
        "verdict": "ok",
        "valid_from": NOON,
        "certification": certification(),
    }
    return NewMaster(**{**known, **changes})  # type: ignore[arg-type]


def certification(outcome: str = "certified", **changes: object) -> NewCertification:
    known: dict[str, object] = {"reason": "told", "judged_at": NOON}
    return NewCertification(outcome, **{**known, **changes})  # type: ignore[arg-type]
