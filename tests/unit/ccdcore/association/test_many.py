"""Choices of many frames at once are those of each alone."""

from datetime import UTC, datetime, timedelta

import numpy as np

from ccdcore.association.choice import choose
from ccdcore.association.facts import Detector, MasterFacts, Subject
from ccdcore.association.many import choose_many
from ccdcore.association.rules import Tolerances
from ccdcore.association.wander import Wander

START = datetime(2022, 9, 1, tzinfo=UTC)
TOLERANCES = Tolerances()


def _time(rng: np.random.Generator) -> datetime:
    return START + timedelta(days=float(rng.integers(0, 200)) / 2)  # some are as far from one master as from another


def _or_none(rng: np.random.Generator, value: float) -> float | None:
    return None if rng.random() < 0.1 else value


def _subject(rng: np.random.Generator, number: int) -> Subject:
    return Subject(
        name=f"frame:{number}",
        instrument="cam",
        configuration=str(rng.choice(["bin1x1", "bin2x2"])),
        at=None if rng.random() < 0.05 else _time(rng),
        exposure_s=_or_none(rng, float(rng.choice([30.0, 100.0]))),
        filter=str(rng.choice(["V", "R"])),
        temperature_c=_or_none(rng, float(rng.choice([-20.0, -19.9, -10.0]))),
        shape=(10, 10),
        level_adu=_or_none(rng, float(rng.integers(1000, 3000))),
        lowest_adu=_or_none(rng, float(rng.integers(900, 1000))),
        entry=(None, None) if rng.random() < 0.5 else (START, None),
    )


def _master(rng: np.random.Generator, number: int) -> MasterFacts:
    kind = str(rng.choice(["bias", "dark", "darkrate", "flat", "mask"]))
    return MasterFacts(
        master_id=number,
        kind=kind,
        instrument="cam",
        configuration=str(rng.choice(["bin1x1", "bin2x2"])),
        filter=str(rng.choice(["V", "R"])) if kind == "flat" else None,
        exposure_s=float(rng.choice([30.0, 100.0])) if kind == "dark" else None,
        temperature_c=_or_none(rng, float(rng.choice([-20.0, -10.0]))),
        at=_time(rng),
        verdict=str(rng.choice(["ok", "suspect", "bad"])),
        is_certified=bool(rng.random() < 0.8),
        entry=(None, None) if rng.random() < 0.5 else (START, None),
        uncertainty=_or_none(rng, float(rng.choice([0.5, 1.0])) * {"flat": 0.01, "darkrate": 0.01}.get(kind, 1.0)),
        level=_or_none(rng, 1000.0),
    )


def test_choices_of_many_are_those_of_each_alone() -> None:
    rng = np.random.default_rng(7)
    subjects = [_subject(rng, number) for number in range(400)]
    masters = [_master(rng, number) for number in range(1, 200)]
    detectors = [Detector(_or_none(rng, 1.5), 5.0) for _ in subjects]
    for wander in (Wander(), Wander(per_day=0.01, power=0.5, per_kelvin=0.1), Wander(per_day=1e-6, power=1.0)):
        found = choose_many(
            subjects, masters, detectors=detectors, wander_of=lambda _, w=wander: w, tolerances=TOLERANCES
        )
        for subject, detector, chosen in zip(subjects, detectors, found, strict=True):
            answer = choose(subject, masters, detector=detector, wander_of=lambda _, w=wander: w, tolerances=TOLERANCES)
            assert chosen == {one.kind: one.master.master_id for one in answer.choices}
        assert len({len(one) for one in found}) > 2
