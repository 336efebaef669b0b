"""Simulated nights of two cameras, put on record as rows, and which master suits a frame by brute force.

The truth is kept as plain rows; the choice by brute force reads these alone, and shares no code with the one it tests.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from math import sqrt
from typing import Any

from sqlalchemy.orm import Session

from db.schema.figures import MasterFigures, MasterShift
from db.schema.models import (
    CalibrationSet,
    Certification,
    Frame,
    Instrument,
    Judgement,
    Master,
    Measurement,
    Outcome,
    Run,
)

FIRST = datetime(2024, 1, 1, 20, tzinfo=UTC)
GAIN = {"alpha": 1.5, "beta": 0.8}
READ_NOISE_E = {"alpha": 6.0, "beta": 2.0}
LEVEL_ADU = {"alpha": 1000.0, "beta": 300.0}
SHAPE = {"alpha": (100, 200), "beta": (60, 80)}
WANDER = 0.002
"""Half the mean square difference of masters of one day, in the variance of one frame."""
FLAT_WANDER = 1e-7
PER_FLAT = 0.005
"""Uncertainty of one flat."""
FILTERS = ("V", "R", "I")
ENTRY_CHANGES = 120
"""The night from which another entry of alpha holds."""
SETTINGS_CHANGE = 80
"""The night from which beta is read with another gain setting."""


@dataclass
class Nights:
    """The truth: a row for each master and each science frame that was put on record."""

    first: datetime
    masters: list[dict[str, Any]] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)


def simulate(
    session: Session, *, nights: int, frames: int, seed: int = 1, per_night: int = 1, first: datetime = FIRST
) -> Nights:
    """Put nights and science frames on record; ``per_night`` sets of calibrations are taken each night."""
    rng, truth = random.Random(seed), Nights(first)
    entries = {name: _entries(session, name, first) for name in GAIN}
    for night in range(nights):
        for camera in GAIN:
            for again in range(per_night):
                if rng.random() < 0.7:
                    _calibrations(session, rng, truth, camera, night, again, entries)
    _shifts(session, truth)
    for number in range(frames):
        _science(session, rng, truth, number, nights, entries)
    session.flush()
    return truth


def _entries(session: Session, name: str, first: datetime) -> list[int]:
    change = first + timedelta(days=ENTRY_CHANGES - 0.3)
    spans = [(None, change), (change, None)] if name == "alpha" else [(None, None)]
    rows = [
        Instrument(
            name=name,
            digest=f"{name}{n}",
            entry={},
            spec={},
            valid_from=a,
            valid_to=b,
            recorded_at=first,
            in_force=True,
        )
        for n, (a, b) in enumerate(spans)
    ]
    session.add_all(rows)
    session.flush()
    return [one.id for one in rows]


def _entry_of(camera: str, night: float) -> int:
    return int(camera == "alpha" and night >= ENTRY_CHANGES - 0.3)


def _configuration(rng: random.Random, camera: str, night: int) -> str:
    if camera == "beta":
        return "bin1x1_gain100" if night < SETTINGS_CHANGE else "bin1x1_gain200"
    return rng.choice(["bin1x1", "bin1x1", "bin1x1", "bin2x2"])


def _temperature(rng: random.Random, camera: str, night: int) -> float | None:
    if camera == "beta":
        return None
    return (-20.0 if night % 50 < 35 else -10.0) + rng.choice([-0.2, 0.0, 0.1, 0.3])


def _shape(camera: str, configuration: str) -> tuple[int, int]:
    rows, columns = SHAPE[camera]
    return (rows // 2, columns // 2) if configuration == "bin2x2" else (rows, columns)


def _calibrations(
    session: Session,
    rng: random.Random,
    truth: Nights,
    camera: str,
    night: int,
    again: int,
    entries: dict[str, list[int]],
) -> None:
    """Take biases, and some of darks and flats, of a camera in a night; some of them are spoilt."""
    configuration = _configuration(rng, camera, night)
    began = truth.first + timedelta(days=night, hours=again * 12 / 1000)
    of_set = CalibrationSet(
        instrument=camera,
        configuration=configuration,
        window_first_night=truth.first.date() + timedelta(days=night + 10_000 * again),
        window_nights=1,
    )
    session.add(of_set)
    session.flush()
    run = Run(
        calibration_set_id=of_set.id,
        **{"digest": "d", "attempt": 1, "engine": "local", "recipes": {}, "software": {}, "host": "h", "pid": 1},
        **{"pid_started": 1.0, "began_at": began, "ended_at": began, "outcome": Outcome.DONE},
    )
    session.add(run)
    session.flush()
    entry = entries[camera][_entry_of(camera, night)]
    for quantity, value, unit in (("gain", GAIN[camera], "e/ADU"), ("read_noise", READ_NOISE_E[camera], "e")):
        of = {"amplifier": "1", "uncertainty": 0.01, "method": "ptc", "details": {}, "observed_at": began}
        session.add(Measurement(run_id=run.id, instrument_id=entry, quantity=quantity, value=value, unit=unit, **of))
    temperature = _temperature(rng, camera, night)
    temperature = temperature and round(temperature, -1)  # groups go by those of other nights
    wanted: list[tuple[str, str | None, float | None]] = [("bias", None, None)]
    if rng.random() < 0.6:
        wanted += [("dark", None, seconds) for seconds in rng.sample([60.0, 300.0], rng.choice([1, 2]))]
        wanted += [("darkrate", None, 1.0)] if rng.random() < 0.7 else []
    wanted += [("flat", name, 5.0) for name in FILTERS if rng.random() < 0.4]
    wanted += [("mask", None, None)] if rng.random() < 0.1 else []
    for kind, filter_name, seconds in wanted:
        fate = rng.choice(["good"] * 7 + ["bad", "refused", "marked"])
        n, noise = rng.randint(3, 25), READ_NOISE_E[camera] / GAIN[camera]
        of_one = {"flat": PER_FLAT, "darkrate": noise / 200, "mask": 0.0}.get(kind, noise)
        row = {
            "run": run.id,
            "kind": kind,
            "camera": camera,
            "configuration": configuration,
            "filter": filter_name,
            "seconds": seconds,
            "temperature": temperature,
            "night": began,
            "n": n,
            "uncertainty": of_one / sqrt(n),
            "of_one": of_one,
            "shape": _shape(camera, configuration),
            "entry": entry,
            "fate": fate if kind != "mask" or fate == "marked" else "good",
        }
        row["id"] = _record(session, run.id, row, truth)
        truth.masters.append(row)


def _record(session: Session, run_id: int, row: dict[str, Any], truth: Nights) -> int:
    number = len(truth.masters)
    one = Master(
        run_id=run_id,
        kind=row["kind"],
        product=row["kind"],
        filter=row["filter"],
        exposure_s=row["seconds"],
        temperature_c=row["temperature"],
        group_c=None if row["kind"] == "flat" else row["temperature"],
        path=f"masters/{number}.fits",
        sha256=f"{number:064d}",
        unit={"flat": "", "darkrate": "adu/s"}.get(row["kind"], "adu"),
        n_combined=row["n"],
        n_excluded=0,
        statistics={"npix": 20000.0, "min": 0.0, "max": 1.0, "mean": 0.5, "median": 0.5, "std": 0.1, "mad": 0.1},
        verdict="bad" if row["fate"] == "bad" else "ok",
        valid_from=row["night"],
    )
    session.add(one)
    session.flush()
    if row["kind"] != "mask":
        outcome = "inconsistent" if row["fate"] == "refused" else "certified"
        figures = {"frames": 10.0, "chi2": 1.0, "unseen": 0.1}
        of = {"reason": "told", "figures": figures, "judged_at": row["night"]}
        session.add(Certification(master_id=one.id, outcome=outcome, **of))
    if row["fate"] == "marked":
        session.add(Judgement(said="bad", master_id=one.id, words="dew", who="ann", said_at=row["night"]))
    level = LEVEL_ADU[row["camera"]] if row["kind"] == "bias" else 1.0
    rows, columns = row["shape"]
    session.add(
        MasterFigures(
            master_id=one.id,
            rows=rows,
            columns=columns,
            amplifiers=f"1 [1:{columns},1:{rows}]",
            uncertainty=None if row["kind"] == "mask" else row["uncertainty"],
            level=None if row["kind"] == "mask" else level,
        )
    )
    return one.id


def _shifts(session: Session, truth: Nights) -> None:
    """Put on record, of alpha alone, how far each good master is from the last one of its kind: beta is to go by it."""
    earlier: dict[object, list[dict[str, Any]]] = {}
    for row in truth.masters:
        if row["camera"] != "alpha" or row["kind"] == "mask" or row["fate"] != "good":
            continue
        exposure = row["seconds"] if row["kind"] == "dark" else None
        temperature = None if row["kind"] == "flat" else row["temperature"]
        purpose = row["kind"], row["configuration"], row["filter"], exposure, temperature
        for before in earlier.setdefault(purpose, [])[-4:]:
            days, variance = (row["night"] - before["night"]) / timedelta(days=1), row["of_one"] ** 2
            half_square = days * (FLAT_WANDER if row["kind"] == "flat" else WANDER * variance)
            of = {"kind": row["kind"], "days": days, "kelvin": 0.0, "frame_variance": variance}
            session.add(
                MasterShift(
                    master_id=row["id"],
                    earlier_id=before["id"],
                    half_square=half_square,
                    error=1e-3 * half_square,
                    **of,
                )
            )
        earlier[purpose].append(row)


def _science(
    session: Session,
    rng: random.Random,
    truth: Nights,
    number: int,
    nights: int,
    entries: dict[str, list[int]],
) -> None:
    camera, night = rng.choice([*GAIN, *GAIN, *GAIN, *GAIN, "guider"]), rng.uniform(0, nights)
    like = camera if camera in GAIN else "beta"
    configuration = _configuration(rng, like, int(night))
    shape, window, whole = _shape(like, configuration), None, None
    if configuration == "bin1x1" and rng.random() < 0.2:
        window, whole = (rng.choice([10, 150]), 5, 40, 30), configuration
        shape, configuration = (30, 40), f"{configuration}_40x30+{window[0]}+{window[1]}"
    at = truth.first + timedelta(days=night)
    temperature = _temperature(rng, like, int(night))
    level = LEVEL_ADU[like] + rng.choice([5.0, 100.0, 2000.0, 20_000.0])
    row = {
        "camera": camera,
        "configuration": configuration,
        "whole": whole,
        "window": window,
        "filter": rng.choice([*FILTERS, *FILTERS, "Ha", None]),
        "seconds": rng.choice([60.0, 60.3, 120.0, 300.0, None]),
        "temperature": temperature,
        "at": at,
        "shape": shape,
        "signal_e": GAIN[like] * (level - LEVEL_ADU[like]),
        "entry": entries[camera][_entry_of(camera, night)] if camera in entries else None,
    }
    statistics = {"amplifier": "1", "n_pixels": 100, "minimum": level - 50, "maximum": level + 1e4, "median": level}
    statistics |= {"level": level, "noise": 5.0, "saturated_fraction": 0.0, "overscan_level": None}
    frame = Frame(
        sha256=sha256(f"science {number}".encode()).hexdigest(),
        rows=shape[0],
        columns=shape[1],
        frame_type="other",
        frame_type_reason="IMAGETYP",
        instrument=camera,
        instrument_reason="HEAD",
        configuration=configuration,
        date_obs=at,
        exposure_time_s=row["seconds"],
        ccd_temperature_c=temperature,
        filter=row["filter"],
        n_averaged=1,
        amplifiers=[{"name": "1", "data": f"[1:{shape[1]},1:{shape[0]}]", "overscan": None}],
        statistics=[statistics],
        night=at.date(),
        instrument_id=row["entry"] or entries["beta"][0],
        identified_with="rules",
        registered_at=at,
        joined_at=at,
    )
    session.add(frame)
    session.flush()
    truth.frames.append({**row, "id": frame.id})


def expected(truth: Nights, frame: dict[str, Any], kind: str) -> tuple[int | None, dict[int, set[str]]]:
    """Return the master of a kind to choose for a frame, and what each one on record fails in."""
    corrects = {"dark": ("dark", "darkrate")}.get(kind, (kind,))
    of_kind = [one for one in truth.masters if one["kind"] in corrects]
    known = {one["camera"] for one in truth.masters}
    thought_of = [one for one in of_kind if frame["camera"] not in known or one["camera"] == frame["camera"]]
    failed = {one["id"]: _failed(frame, one) for one in thought_of}
    prices = [
        (_price(frame, one), abs(frame["at"] - one["night"]), one["id"]) for one in thought_of if not failed[one["id"]]
    ]
    return (min(prices)[2] if prices else None), failed


def _failed(frame: dict[str, Any], master: dict[str, Any]) -> set[str]:
    said = {"bad": {"verdict", "certified"}, "refused": {"certified"}, "marked": {"mark"}}.get(master["fate"], set())
    failed = {"camera"} if master["camera"] != frame["camera"] else set()
    if master["configuration"] not in (frame["configuration"], frame["whole"]):
        failed.add("configuration")
    return failed | said | _of_layout(frame, master) | _of_entry(frame, master) | _of_light(frame, master)


def _of_layout(frame: dict[str, Any], master: dict[str, Any]) -> set[str]:
    if frame["window"] is None:
        return {"window", "amplifiers"} if frame["shape"] != master["shape"] else set()
    x, y, columns, rows = frame["window"]
    return {"window"} if x + columns > master["shape"][1] or y + rows > master["shape"][0] else set()


def _of_entry(frame: dict[str, Any], master: dict[str, Any]) -> set[str]:
    if frame["entry"] is None:
        return {"instrument entry"} if master["camera"] == "alpha" else set()
    is_other = master["camera"] == frame["camera"] and master["entry"] != frame["entry"]
    return {"instrument entry"} if is_other else set()


def _of_light(frame: dict[str, Any], master: dict[str, Any]) -> set[str]:
    failed, kind = set(), master["kind"]
    own, theirs = frame["temperature"], master["temperature"]
    is_one_known = (own is None) != (theirs is None)
    apart = abs(own - theirs) if own is not None and theirs is not None else 0.0
    most = {"bias": 2.0, "dark": 0.5, "darkrate": 0.5, "flat": 5.0, "mask": 1e9}[kind]
    if apart > most + 1e-6 or (is_one_known and kind in ("bias", "dark", "darkrate")):
        failed.add("temperature")
    if kind == "flat" and frame["filter"] != master["filter"]:
        failed.add("filter")
    seconds = frame["seconds"]
    if kind == "darkrate" and seconds is None:
        failed.add("exposure")
    if kind == "dark" and (seconds is None or abs(seconds / master["seconds"] - 1) > 0.011):
        failed.add("exposure")
    return failed


def _price(frame: dict[str, Any], master: dict[str, Any]) -> float:
    days = abs(frame["at"] - master["night"]) / timedelta(days=1)
    gain = GAIN[master["camera"]]
    if master["kind"] == "mask":
        return 0.0
    if master["kind"] == "flat":
        return float(frame["signal_e"] * sqrt(master["uncertainty"] ** 2 + 2 * FLAT_WANDER * days))
    shift = 2 * WANDER * master["of_one"] ** 2 * days
    if master["kind"] == "darkrate":
        return float(gain * frame["seconds"] * sqrt(1.25 * master["uncertainty"] ** 2 + shift))
    return float(gain * sqrt(master["uncertainty"] ** 2 + shift))
