"""`gaps`: the science frames on record that lack a good bias, dark or flat, and what to take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import ceil, sqrt
from typing import Any

from ccdcore.application.ingredients import not_raw
from ccdcore.association.choice import Answer
from ccdcore.association.facts import Kind, Subject
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


@dataclass(frozen=True, slots=True)
class Gap:
    """What a frame lacks: the master that there is, if any, adds too much to its noise.

    Parameters
    ----------
    subject : Subject
        The frame.
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
    kind: Kind
    quality: int | None
    noise_e: float | None
    read_noise_e: float | None
    reason: str

    @property
    def alike(self) -> tuple[object, ...]:
        """What frames have in common that the same new frames are a remedy for."""
        one = self.subject
        nominal_s = None if one.exposure_s is None else float(f"{one.exposure_s:.3g}")
        temperature_c = None if one.temperature_c is None else round(one.temperature_c)
        of_kind = {"bias": (temperature_c,), "dark": (temperature_c, nominal_s), "flat": (one.filter,)}[self.kind]
        return one.instrument, one.whole or one.configuration, self.kind, of_kind


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
        none at all; the ``reason``; ``n_to_take``, and ``of``, ``frames`` and ``take``, the same in words.
    """
    with home.read_session() as session:
        others = science_frames(session, night=night, since=since)
    ids = [key for key, reason in others.items() if not_raw(reason) is None]
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
                for gap in _gaps_of(answer):
                    found[gap.alike].append(gap)
    return [_row(some, home.settings.recipes) for some in found.values()]


def _gaps_of(answer: Answer) -> Iterator[Gap]:
    read_noise_e = answer.detector.read_noise_e
    noise_e = next((choice.frame_noise_e for choice in answer.choices), None)
    for kind in _KINDS:
        one = answer.choice(kind)
        if one is None:
            yield Gap(answer.subject, kind, None, noise_e, read_noise_e, answer.reason(kind) or "")
        elif one.price is None or one.quality is None:
            reason = f"the file of master {one.master.master_id} tells no noise: see ccdwatch audit"
            yield Gap(answer.subject, kind, None, noise_e, read_noise_e, reason)
        elif one.quality > _WORST:
            adds = (
                f"the best, master {one.master.master_id} of {one.master.at:%Y-%m-%d}, adds {one.price.total_e:.3g} e⁻"
            )
            reason = f"{adds} to a noise of {one.frame_noise_e:.3g} e⁻"
            yield Gap(answer.subject, kind, one.quality, noise_e, read_noise_e, reason)


def _row(some: Sequence[Gap], recipes: Recipes) -> Row:
    first = some[0]
    subject, kind = first.subject, first.kind
    n = _how_many(some, recipes)
    nights = sorted({f"{one.subject.at:%Y-%m-%d}" for one in some if one.subject.at is not None})
    exposure_s = subject.exposure_s if kind == "dark" else None
    temperature_c = subject.temperature_c if kind != "flat" else None
    filter_name = subject.filter if kind == "flat" else None
    words = [filter_name, None if exposure_s is None else f"{exposure_s:g} s"]
    words += [None if temperature_c is None else f"{temperature_c:.0f} °C"]
    of = " ".join(filter(None, words))
    configuration = subject.whole or subject.configuration
    worst = None if any(one.quality is None for one in some) else max(one.quality or 0 for one in some)
    return {
        "instrument": subject.instrument,
        "configuration": configuration,
        "kind": kind,
        "filter": filter_name,
        "exposure_s": exposure_s,
        "temperature_c": temperature_c,
        "n_frames": len(some),
        "nights": nights,
        "frame_ids": [int(one.subject.name.partition(":")[2]) for one in some],
        "quality": worst,
        "reason": first.reason,
        "n_to_take": n,
        "of": of,
        "frames": number_of(len(some), "frame"),
        "take": " ".join(filter(None, [number_of(n, kind).replace("biass", "biases"), of, f"in {configuration}"])),
    }


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
