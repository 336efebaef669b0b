"""Which masters suit frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from math import inf
from typing import TYPE_CHECKING

from ccdcore.association.choice import Answer, Choice, choose
from ccdcore.association.facts import KINDS, QUALITY, Kind, MasterFacts, Subject
from ccdcore.association.rules import Tolerances
from ccdcore.association.wander import Wander
from db.association.detectors import detector_of
from db.association.figures import wanders
from db.association.masters import masters_for
from db.association.subjects import at_time

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from ccdcore.recipe import Recipes

_YEAR = timedelta(days=366)
_NEVER_DAYS = 36_500.0


def best(
    session: Session,
    subjects: Iterable[Subject],
    *,
    recipes: Recipes,
    kinds: Sequence[Kind] = KINDS,
    limits: Sequence[float] = QUALITY,
) -> list[Answer]:
    """Return which masters on record suit frames, in their order, and why no others.

    Parameters
    ----------
    subjects : iterable of Subject
        The frames: see `db.association.subjects`.
    recipes : Recipes
        By whose tolerances of temperature frames make one master.
    kinds : sequence of str
        What they are to be corrected for.
    limits : sequence of float
        Of the qualities, as parts of a frame's own noise.

    Returns
    -------
    list of Answer
        The paths of masters are relative to the home.
    """
    tolerances = Tolerances.of(recipes)

    @cache
    def of_camera(instrument: str) -> tuple[list[MasterFacts], Callable[[MasterFacts], Wander]]:
        masters = masters_for(session, instrument)
        return masters, wanders(session, masters)

    answers = []
    for one in subjects:
        subject = at_time(session, one, one.at)
        masters, wander_of = of_camera(subject.instrument)
        answers.append(
            choose(
                subject,
                masters,
                detector=detector_of(session, subject),
                wander_of=wander_of,
                tolerances=tolerances,
                kinds=kinds,
                limits=limits,
            )
        )
    return answers


@dataclass(frozen=True, slots=True)
class InUse:
    """What would be used of the masters of a purpose at a time.

    Parameters
    ----------
    subject : Subject
        A frame of that purpose taken then, of a usual level.
    choice : Choice
        The master for it.
    doubles_at : datetime or None
        When its price is twice that of a new one; None for never, or where it has no price.
    """

    subject: Subject
    choice: Choice
    doubles_at: datetime | None


def in_use(session: Session, instrument: str, *, at: datetime, recipes: Recipes) -> list[InUse]:
    """Return what would be used for frames of a camera that are taken at a time, for each purpose of its masters.

    These are the purposes of the masters that it took in the year before. Of one that none suits, nothing is told.
    """
    masters = [one for one in masters_for(session, instrument) if one.instrument == instrument]
    wander_of, tolerances = wanders(session, masters), Tolerances.of(recipes)
    purposes = {one.purpose: one for one in masters if at - _YEAR < one.at <= at and one.kind != "darkrate"}
    found = []
    for one in purposes.values():
        seconds = one.exposure_s if one.kind == "dark" else None
        frame = Subject(instrument, instrument, one.configuration, at=at, exposure_s=seconds, filter=one.filter)
        subject = at_time(session, replace(frame, temperature_c=one.temperature_c), at)
        answer = choose(
            subject,
            masters,
            detector=detector_of(session, subject),
            wander_of=wander_of,
            tolerances=tolerances,
            kinds=[one.corrects],
        )
        found += [InUse(subject, choice, _doubles_at(choice)) for choice in answer.choices]
    return sorted(found, key=lambda one: (one.subject.configuration, KINDS.index(one.choice.kind), _of(one.subject)))


def _of(subject: Subject) -> tuple[str, float, float]:
    return subject.filter or "", subject.exposure_s or 0.0, subject.temperature_c or 0.0


def _doubles_at(choice: Choice) -> datetime | None:
    days = inf if choice.price is None else choice.price.doubles_after_days
    return choice.master.at + timedelta(days=days) if days < _NEVER_DAYS else None
