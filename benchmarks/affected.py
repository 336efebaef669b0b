"""Which calibrated frames are affected: `python -m benchmarks.affected` holds the answer against that by brute force.

Nights of two cameras, as of `benchmarks.best`. Each science frame is put on record as calibrated with what was there in
its own night; then come the masters of later nights, masters are marked bad, marks are taken back, frames and gains are
marked bad. The brute force reads the truth alone. It ends with status 1 where one frame differs, or the answer takes
more than 5 s of a processor.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from benchmarks.best_nights import GAIN, READ_NOISE_E, Nights, expected, simulate
from ccdcore.application.ingredients import Readout
from ccdcore.association.facts import KINDS, Kind
from ccdcore.recipe import Recipes
from db.application.affected import affected
from db.application.calibrated import NewCalibrated, record_calibrated
from db.association.subjects import subjects_on_record
from db.engine import make_engine, session_factory, upgrade
from db.judgements.write import mark, take_back
from db.schema.calibrated import Calibrated
from db.schema.models import Judgement, Measurement

GOAL_S = 5.0

Told = Mapping[int, tuple[dict[Kind, int], dict[str, Readout]]]
"""Masters and readout of calibrated frames that are affected, by the id of the raw frame."""


@dataclass(slots=True)
class Site:
    """The truth, and what was done since frames were calibrated.

    Parameters
    ----------
    truth : Nights
        As it is now.
    wrong_runs : set of int
        Those that measured a gain twice the true one, which is marked bad in the end.
    used : dict
        Masters, and the readout, None where it is not on record, by the id of the raw frame.
    bad_frames : set of int
        Those that are marked bad.
    """

    truth: Nights
    wrong_runs: set[int]
    used: dict[int, tuple[dict[Kind, int], dict[str, Readout] | None]] = field(default_factory=dict)
    bad_frames: set[int] = field(default_factory=set)


def prepare(session: Session, *, nights: int, frames: int, seed: int = 1) -> Site:
    """Put nights, and what was calibrated in them, on record; then let happen what happens later."""
    rng, truth = random.Random(seed), simulate(session, nights=nights, frames=frames, seed=seed)
    runs = sorted({one["run"] for one in truth.masters})
    site = Site(truth, set(rng.sample(runs, len(runs) // 20)))
    is_wrong = Measurement.run_id.in_(site.wrong_runs), Measurement.quantity == "gain"
    session.execute(update(Measurement).where(*is_wrong).values(value=2 * Measurement.value))
    _calibrate(session, site)
    _judge(session, rng, site)
    return site


def _calibrate(session: Session, site: Site) -> None:
    """Put all frames on record as calibrated with the masters of the nights until their own."""
    subjects = subjects_on_record(session, [one["id"] for one in site.truth.frames])
    run_of = {one["id"]: one["run"] for one in site.truth.masters}
    for frame in site.truth.frames:
        then = [one for one in site.truth.masters if one["night"] <= frame["at"]]
        masters = _chosen(Nights(site.truth.first, then), frame)
        runs = [run_of[masters[kind]] for kind in ("flat", "bias", "dark") if kind in masters]
        readout = _readout(frame, 2 if runs[0] in site.wrong_runs else 1) if runs else None
        new = NewCalibrated(
            frame_id=frame["id"],
            frame_sha256="0" * 64,
            subject=subjects[frame["id"]],
            masters={str(kind): key for kind, key in masters.items()},
            prices=dict.fromkeys(masters),
            readout=readout or {},
            unit="adu",
            path=f"calibrated/{frame['id']}.fits",
            sha256="0" * 64,
            software={},
        )
        key = record_calibrated(session, new, now=frame["at"])
        if readout is None:
            session.get_one(Calibrated, key).readout = None
        site.used[frame["id"]] = masters, readout


def _judge(session: Session, rng: random.Random, site: Site) -> None:
    """Mark masters, gains and frames bad; take some marks back, older ones among them."""
    now = site.truth.first + timedelta(days=1000)
    said: dict[str, Any] = {"why": "seen later", "who": "ann", "now": now}
    good, marked = ([one for one in site.truth.masters if one["fate"] == fate] for fate in ("good", "marked"))
    for row in rng.sample(good, len(good) // 10):
        mark(session, "master", row["id"], "bad", **said)
        if rng.random() < 0.3:
            take_back(session, "master", row["id"], "bad", **said)
        else:
            row["fate"] = "marked"
    for row in rng.sample(marked, len(marked) // 3):
        take_back(session, "master", row["id"], "bad", **said)
        row["fate"] = "good"
    gains = Measurement.run_id.in_(site.wrong_runs), Measurement.quantity == "gain"
    for key in session.scalars(select(Measurement.id).where(*gains)):
        session.add(Judgement(said="bad", measurement_id=key, words="a typo", who="ann", said_at=now))
    site.bad_frames = set(rng.sample(sorted(site.used), len(site.used) // 50))
    for key in site.bad_frames:
        mark(session, "frame", key, "bad", **said)
    session.flush()


def by_brute_force(site: Site) -> Told:
    """Return which frames are affected, from the truth alone, frame by frame."""
    return dict(_affected(site))


def _affected(site: Site) -> Iterator[tuple[int, tuple[dict[Kind, int], dict[str, Readout]]]]:
    run_of = {one["id"]: one["run"] for one in site.truth.masters}
    for frame in site.truth.frames:
        if frame["id"] in site.bad_frames:
            continue
        masters = _chosen(site.truth, frame)
        runs = {run_of[key] for kind, key in masters.items() if kind != "mask"} | _runs_around(site.truth, frame)
        readout = _readout(frame, 1) if runs - site.wrong_runs else {}
        was, its = site.used[frame["id"]]
        if masters != was or its not in (None, readout):
            yield frame["id"], (masters, readout)


def _runs_around(truth: Nights, frame: dict[str, Any]) -> set[int]:
    """Return the runs that measured the detector of a frame, in its configuration, by the entry of its time."""
    names = frame["configuration"], frame["whole"]
    alike = (one for one in truth.masters if (one["camera"], one["entry"]) == (frame["camera"], frame["entry"]))
    return {one["run"] for one in alike if one["configuration"] in names}


def _chosen(truth: Nights, frame: dict[str, Any]) -> dict[Kind, int]:
    found = {kind: expected(truth, frame, kind)[0] for kind in KINDS}
    return {kind: key for kind, key in found.items() if key is not None}


def _readout(frame: dict[str, Any], times: int) -> dict[str, Readout]:
    return {"1": Readout(times * GAIN[frame["camera"]], READ_NOISE_E[frame["camera"]])}


def differences(told: Told, session: Session) -> list[str]:
    """Return in words where the answer from the record is another than that by brute force."""
    found = {one.calibrated.frame_id: (dict(one.now), one.readout) for one in affected(session, recipes=Recipes())}
    return [
        f"frame {key}: {found.get(key, 'not affected')} instead of {told.get(key, 'not affected')}"
        for key in sorted({*told, *found})
        if found.get(key) != told.get(key)
    ]


def main() -> int:
    """Print how many answers differ, and how long one takes; return the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=200)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine = make_engine(f"sqlite:///{Path(folder) / 'nights.db'}")
        upgrade(engine)
        sessions = session_factory(engine)
        with sessions.begin() as session:
            site = prepare(session, nights=options.nights, frames=options.frames, seed=options.seed)
        told = by_brute_force(site)
        with sessions() as session:
            began = time.process_time()
            affected(session, recipes=Recipes())
            took = time.process_time() - began
            wrong = differences(told, session)
    print(f"{len(site.truth.masters)} masters, {len(site.used)} calibrated frames, {len(told)} of them affected")
    print(f"not as by brute force: {len(wrong)}", *wrong[:10], sep="\n  ")
    print(f"{took:.1f} s of a processor (goal: {GOAL_S:g} s)")
    return 1 if wrong or took > GOAL_S else 0


if __name__ == "__main__":
    sys.exit(main())
