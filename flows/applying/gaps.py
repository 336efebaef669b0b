"""`gaps`: the science frames on record that lack a good bias, dark or flat, and what to take."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from math import ceil, sqrt
from typing import Any

from ccdcore.application.ingredients import not_raw
from ccdcore.association.choice import Answer
from ccdcore.association.facts import Kind, Subject
from ccdcore.association.rules import Tolerances
from ccdcore.frames.groups import cut_at_gaps, same_exposure, within
from ccdcore.recipe import Recipes
from ccdcore.text import number_of
from db.association.best import best
from db.association.subjects import subjects_on_record
from db.frames.listing import science_frames
from flows.home.home import Home
from flows.products.figures import complete_figures

Row = dict[str, Any]
Progress = Callable[[str, int, int], None]

_KINDS: tuple[Kind, ...] = ("bias", "dark", "flat")
_WORST = 1
"""The worst quality that is good enough."""
_AT_ONCE = 200
_SHARE = 0.15
"""What a new master may add to the noise of the frames: less than what quality 2 begins with."""
_USUAL, _MOST = 10, 100
"""Frames that are asked for where nothing says how many are needed, and at most."""
_FLAT_E = 20_000.0
"""Electrons in a pixel of a flat."""
_LONGEST_S = 43_200.0
"""An exposure longer than this, half a day, is none that was taken, nor one that darks could be taken of."""


@dataclass(frozen=True, slots=True)
class Gap:
    """What a frame lacks: the master that there is, if any, adds too much to its noise.

    Parameters
    ----------
    subject : Subject
        The frame.
    night : date or None
        Its night, as it is on record.
    kind : str
        ``bias``, ``dark`` or ``flat``.
    quality : int or None
        Of the best there is; None where none suits.
    noise_e : float or None
        Of the frame itself, in electrons; None where it is not known.
    read_noise_e : float or None
        That of its detector, likewise.
    reason : str
        Why none suits, or why it is not good enough.
    """

    subject: Subject
    night: date | None
    kind: Kind
    quality: int | None
    noise_e: float | None
    read_noise_e: float | None
    reason: str

    @property
    def unfit(self) -> str | None:
        """Why no darks can be taken that suit the frame, in words; None where some can, or it lacks none."""
        exposure_s = self.subject.exposure_s
        if self.kind != "dark" or (exposure_s and 0 < exposure_s <= _LONGEST_S):
            return None
        its = "no exposure time" if exposure_s is None else f"an exposure time of {exposure_s:g} s"
        return f"no dark can be taken for it: its header has {its}"

    @property
    def alike(self) -> tuple[object, ...]:
        """What frames have in common that the same new frames are a remedy for, but for what has a tolerance."""
        one = self.subject
        filter_name = one.filter if self.kind == "flat" else None
        return one.instrument, one.whole or one.configuration, self.kind, filter_name, self.unfit


def find_gaps(
    home: Home, *, night: date | None = None, since: datetime | None = None, progress: Progress = lambda *_: None
) -> list[Row]:
    """Return what is missing for the science frames on record, a row for each thing to take.

    Parameters
    ----------
    home : Home
        The open home.
    night : date or None
        Only for those of this night.
    since : datetime or None
        Only for those that were registered from this time on.
    progress : callable, optional
        Told how the work goes on.

    Returns
    -------
    list of dict
        Plain JSON values: ``instrument``, ``configuration``, ``kind``, ``filter``, ``exposure_s``, ``temperature_c``;
        ``n_frames`` that lack it, their ``nights`` and ``frame_ids``; the worst ``quality`` that there is, None for
        none at all; the ``reason``; ``n_to_take``, 0 where nothing can be; ``of``, ``frames`` and ``take``, the same
        in words.
    """
    with home.read_session() as session:
        others = science_frames(session, night=night, since=since)
    nights = {one.frame_id: one.night for one in others if not_raw(one.reason) is None}
    ids = list(nights)
    found: dict[tuple[object, ...], list[Gap]] = defaultdict(list)
    cameras: set[str] = set()
    for start in range(0, len(ids), _AT_ONCE):
        progress("science frames", start, len(ids))
        with home.read_session() as session:
            subjects = list(subjects_on_record(session, ids[start : start + _AT_ONCE]).values())
        new = {one.instrument for one in subjects} - cameras
        if new:
            complete_figures(home, instruments=new, progress=progress)
            cameras |= new
        with home.read_session() as session:
            limits = home.settings.science.quality
            for answer in best(session, subjects, recipes=home.settings.recipes, kinds=_KINDS, limits=limits):
                for gap in _gaps_of(answer, nights):
                    found[gap.alike].append(gap)
    recipes = home.settings.recipes
    return [_row(some, recipes) for alike in found.values() for some in _of_one_remedy(alike, Tolerances.of(recipes))]


def _of_one_remedy(alike: Sequence[Gap], tolerances: Tolerances) -> list[list[Gap]]:
    """Part gaps by temperature, those of darks by exposure, too: cut where groups of masters are."""
    kind = alike[0].kind
    if alike[0].unfit is not None:
        return [list(alike)]
    most = {"bias": tolerances.bias_k, "dark": tolerances.dark_k, "flat": tolerances.flat_k}[kind]
    of_temperature = cut_at_gaps(alike, lambda one: one.subject.temperature_c, within(most))
    if kind != "dark":
        return of_temperature
    return [
        some for part in of_temperature for some in cut_at_gaps(part, lambda one: one.subject.exposure_s, same_exposure)
    ]


def _gaps_of(answer: Answer, nights: Mapping[int, date | None]) -> Iterator[Gap]:
    night = nights[_id_of(answer.subject)]
    read_noise_e = answer.detector.read_noise_e
    noise_e = next((choice.frame_noise_e for choice in answer.choices), None)
    for kind in _KINDS:
        one = answer.choice(kind)
        if one is None:
            gap = Gap(answer.subject, night, kind, None, noise_e, read_noise_e, answer.reason(kind) or "")
            yield replace(gap, reason=gap.unfit or gap.reason)
        elif one.price is None or one.quality is None:
            reason = f"the file of master {one.master.master_id} tells no noise: see ccdwatch audit"
            yield Gap(answer.subject, night, kind, None, noise_e, read_noise_e, reason)
        elif one.quality > _WORST:
            adds = (
                f"the best, master {one.master.master_id} of {one.master.at:%Y-%m-%d}, adds {one.price.total_e:.3g} e⁻"
            )
            reason = f"{adds} to a noise of {one.frame_noise_e:.3g} e⁻"
            yield Gap(answer.subject, night, kind, one.quality, noise_e, read_noise_e, reason)


def _row(some: Sequence[Gap], recipes: Recipes) -> Row:
    first = some[0]
    subject, kind = first.subject, first.kind
    n = 0 if first.unfit else _how_many(some, recipes)
    exposure_s = _exposure_s(some) if kind == "dark" else None
    temperature_c = None if first.unfit else _temperature_c(some)
    of = _of(subject.filter if kind == "flat" else None, exposure_s, temperature_c)
    configuration = subject.whole or subject.configuration
    worst = None if any(one.quality is None for one in some) else max(one.quality or 0 for one in some)
    words = [number_of(n, kind).replace("biass", "biases"), of, f"in {configuration}"]
    return {
        "instrument": subject.instrument,
        "configuration": configuration,
        "kind": kind,
        "filter": subject.filter if kind == "flat" else None,
        "exposure_s": exposure_s,
        "temperature_c": temperature_c,
        "n_frames": len(some),
        "nights": sorted({f"{one.night:%Y-%m-%d}" for one in some if one.night is not None}),
        "frame_ids": [_id_of(one.subject) for one in some],
        "quality": worst,
        "reason": first.reason,
        "n_to_take": n,
        "of": of,
        "frames": number_of(len(some), "frame"),
        "take": first.unfit or " ".join(filter(None, words)),
    }


def _id_of(subject: Subject) -> int:
    return int(subject.name.partition(":")[2])


def _of(filter_name: str | None, exposure_s: float | None, temperature_c: float | None) -> str:
    words = [filter_name, None if exposure_s is None else f"{exposure_s:g} s"]
    return " ".join(filter(None, [*words, None if temperature_c is None else f"{temperature_c:g} °C"]))


def _exposure_s(some: Sequence[Gap]) -> float | None:
    """Return the exposure that most of them have, the first of those that are even: the others are the same to 1 %."""
    ((exposure_s, _),) = Counter(one.subject.exposure_s for one in some).most_common(1)
    return exposure_s


def _temperature_c(some: Sequence[Gap]) -> float | None:
    """Return the middle of their temperatures in °C: what is taken there is within the tolerance of all."""
    known = [one.subject.temperature_c for one in some if one.subject.temperature_c is not None]
    return round((min(known) + max(known)) / 2, 1) if known else None


def _how_many(some: Sequence[Gap], recipes: Recipes) -> int:
    """Return how many frames make a master that adds so little to these: by the noise of one of them, in electrons.

    That of a bias or a dark is the read noise; that of a flat, by its own electrons, is one in the root of them of the
    signal of a frame, which is at most the square of its noise.
    """
    kind = some[0].kind
    fewest = {
        "bias": recipes.bias.min_frames,
        "dark": recipes.dark.min_frames,
        "flat": recipes.flat.min_frames,
    }[kind]
    of_one = [
        (one.noise_e**2 / sqrt(_FLAT_E) if kind == "flat" else one.read_noise_e or one.noise_e, one.noise_e)
        for one in some
        if one.noise_e
    ]
    needed = max(((own / (_SHARE * noise_e)) ** 2 for own, noise_e in of_one), default=0.0)
    return min(_MOST, max(fewest, _USUAL, ceil(needed)))
