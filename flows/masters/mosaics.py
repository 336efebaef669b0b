"""Masters of large mosaics: made, checked and judged detector by detector, and put on record as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ccdcore.assembling.master import MosaicMaster
from ccdcore.cards.sections import Detector
from ccdcore.errors import InsufficientDataError, NoLightError
from ccdcore.frames.groups import FrameGroup
from ccdcore.headers.instrument import FrameType
from ccdcore.mosaics.detectors import detectors_of, of_detector
from ccdcore.quantities import Verdict
from ccdcore.text import listing
from db.certification import CERTIFIED, NewCertification
from db.runs.masters import NewMaster
from flows.products.publish import Made, headings, judged_master, publish_master, publish_pieces
from flows.runs.run import Run

_MOST_NAMED, _MOST_SAID = 4, 12
"""Detectors that are named of those that something is said of; and things that are said."""
_MOST_BAD = 0.5
"""Where more than this part of the detectors are bad the whole is; of fewer it is suspect: the others are of use."""


def publish_made(run: Run, product: str, group: FrameGroup, make: Callable[[FrameGroup], Made]) -> int:
    """Make the master of a group of frames, of large ones detector by detector; record it, and return its id.

    Raises
    ------
    InsufficientDataError, NoLightError
        If it cannot be made, of no detector.
    """
    detectors = detectors_of(group.frames)
    if detectors:
        return _publish_mosaic(run, product, group, detectors, make)
    return publish_master(run, make(group), product=product, group=group)


def _publish_mosaic(
    run: Run, product: str, group: FrameGroup, detectors: Sequence[Detector], make: Callable[[FrameGroup], Made]
) -> int:
    rows: dict[str, NewMaster] = {}
    lacks: dict[str, InsufficientDataError | NoLightError] = {}
    is_flat = group.frames[0].info.frame_type is FrameType.FLAT
    run.home.require_there()
    with MosaicMaster(run.home.path, detectors, group.frames[0].shape[0], is_flat=is_flat) as mosaic:
        for detector in detectors:
            try:
                rows[detector.name] = _add(run, product, group, detector, make, mosaic)
            except (InsufficientDataError, NoLightError) as error:
                lacks[detector.name] = error.with_traceback(None)  # which would hold the pixels of the detector
        if not rows:
            raise next(iter(lacks.values()))
        row = _row_of_all(rows, lacks)
        if _is_certified(row):
            for detector in detectors:
                if detector.name in rows and not _is_certified(rows[detector.name]):
                    mosaic.mask(detector)
        row = replace(row, n_combined=len(mosaic.whole.inputs), statistics=mosaic.statistics())
        return publish_pieces(run, row, mosaic.pieces(*headings(run, row, mosaic.whole)))


def _add(
    run: Run,
    product: str,
    group: FrameGroup,
    detector: Detector,
    make: Callable[[FrameGroup], Made],
    mosaic: MosaicMaster,
) -> NewMaster:
    """Make the master of a detector, put its images aside, and return its row."""
    part = replace(group, frames=tuple(of_detector(frame, detector) for frame in group.frames))
    made = make(part)
    row = judged_master(run, made, product=product, group=part)
    mosaic.add(detector, made.found.master)
    return row


def _row_of_all(rows: Mapping[str, NewMaster], lacks: Mapping[str, Exception]) -> NewMaster:
    """Return one row of those of the detectors, by their names, and of what is wrong with those that have none."""
    first = next(iter(rows.values()))
    remarks = [f"no value of {_named(list(lacks))}: {next(iter(lacks.values()))}"] if lacks else []
    remarks += _said({name: row.remark or "" for name, row in rows.items()})
    return replace(
        first,
        n_excluded=max(row.n_excluded for row in rows.values()),
        verdict=_verdict([row.verdict for row in rows.values()], len(lacks)),
        valid_from=min(row.valid_from for row in rows.values()),
        remark="; ".join(remarks) or None,
        certification=_certification({name: row.certification for name, row in rows.items()}),
    )


def _is_certified(row: NewMaster) -> bool:
    return row.certification is None or row.certification.outcome == CERTIFIED


def _verdict(each: Sequence[Verdict], n_missing: int) -> Verdict:
    counts, n = Counter(each), len(each) + n_missing
    if counts["ok"] == n:
        return "ok"
    return "bad" if counts["bad"] + n_missing > _MOST_BAD * n else "suspect"


def _said(remarks: Mapping[str, str]) -> list[str]:
    """Return what is said of all detectors once, and of the others with their names."""
    of: dict[str, list[str]] = {}
    for name, remark in remarks.items():
        for one in filter(None, remark.split("; ")):
            of.setdefault(one, []).append(name)
    said = [one if len(names) == len(remarks) else f"{_named(names)}: {one}" for one, names in of.items()]
    more = len(said) - _MOST_SAID
    return [*said[:_MOST_SAID], *([f"and {more} more remarks on detectors"] if more > 0 else [])]


def _named(names: Sequence[str]) -> str:
    some, more = list(names[:_MOST_NAMED]), len(names) - _MOST_NAMED
    return f"detector{'s' * (len(names) > 1)} {listing([*some, *([f'{more} more'] if more > 0 else [])])}"


def _certification(each: Mapping[str, NewCertification | None]) -> NewCertification | None:
    """Return what became of the detectors that were judged: the worst of it, where that is of many of them."""
    judged = {name: one for name, one in each.items() if one is not None}
    others = {name: one for name, one in judged.items() if one.outcome != CERTIFIED}
    if not judged:
        return None
    if not others:
        return next(iter(judged.values()))
    name, one = next(iter(others.items()))
    reason = f"{len(others)} of {len(each)} detectors: {_named(list(others))}; of {name}: {one.reason}"
    if len(others) > _MOST_BAD * len(each):
        return replace(one, reason=reason)
    best = next((one for one in judged.values() if one.outcome == CERTIFIED), one)
    return replace(best, reason=f"but for {reason}; their pixels are masked")
