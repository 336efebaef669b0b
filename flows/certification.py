"""Whether a new master may take the place of the one in force, judged before it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from ccdcore.certification.certify import certify
from ccdcore.certification.change import are_comparable
from ccdcore.errors import FrameReadError
from ccdcore.masters.file import read_master
from db.certification import NewCertification
from db.champions import predecessors
from flows.home.processes import now
from flows.runs.run import Run

if TYPE_CHECKING:
    from ccdcore.cards.sections import Detector
    from ccdcore.frames.frame import SeriesFrame
    from ccdcore.masters.repair import Repaired
    from ccdcore.reduction.master import Darks, Master
    from db.runs.masters import MasterOnRecord, NewMaster
    from flows.home.home import Home

_WANDERS, _FEWEST_CHANGES = 2.0, 3
"""A master may be as many times as far from the one before as was usual, once so many changes are on record."""


def judge_beside_champion(
    run: Run,
    row: NewMaster,
    made: Repaired,
    frames: Sequence[SeriesFrame],
    bias: Master | None,
    dark: Darks | None,
) -> NewMaster:
    """Return the row of a master that is about to be written with what became of it, and with what changed as remark.

    None is said of one whose verdict is bad: it is for nothing anyway.
    """
    if row.verdict == "bad":
        return row
    if row.kind == "darkrate":  # it follows from masters that were judged
        said = NewCertification(outcome="certified", reason="its master darks are certified", judged_at=now())
        return replace(row, certification=said)
    with run.home.read_session() as session:
        before = predecessors(session, run_id=run.id, master=row)
    detector = frames[0].detector
    champion, words = _read(run.home, before.champion, made.master, detector)
    witness, _ = _read(run.home, before.witness, made.master, detector)
    found = certify(
        made.master,
        frames,
        champion=champion,
        witness=witness,
        wander=_WANDERS * median(before.changes) if len(before.changes) >= _FEWEST_CHANGES else 0.0,
        contradiction=made.contradiction,
        bias=bias,
        dark=dark,
    )
    said = NewCertification(
        outcome=found.outcome,
        reason=f"{found.reason}{words}",
        judged_at=now(),
        champion_id=None if champion is None or before.champion is None else before.champion.master_id,
        figures=found.figures,
    )
    changed = found.change and f"{found.change} (master {said.champion_id})"
    return replace(row, certification=said, remark="; ".join(filter(None, [row.remark, changed])) or None)


def _read(
    home: Home, one: MasterOnRecord | None, master: Master, detector: Detector | None
) -> tuple[Master | None, str]:
    """Return a master on record, and what to say where a new one cannot be held against it."""
    if one is None:
        return None, ""
    try:
        found = read_master(home.path / one.path, mapped=True, detector=detector)
    except FrameReadError as error:
        return None, f" (not held against master {one.master_id}, the one in force: {error})"
    if not are_comparable(master, found):
        return None, f" (not held against master {one.master_id}, the one in force: its shape or amplifiers are others)"
    return (found if detector is None or found.kind != "flat" else _of_one_level(found, master)), ""


def _of_one_level(found: Master, master: Master) -> Master:
    """Bring the part of a flat to the level of another: of a mosaic each detector has its own."""
    good = found.good & master.good
    mean, other = (one.value.mean(where=good, dtype=float) for one in (found, master))
    if not good.any() or not mean > 0:
        return found
    value, uncertainty = (image * (other / mean) for image in (found.value, found.uncertainty))
    return replace(found, value=value.astype("f4"), uncertainty=uncertainty.astype("f4"))


def certification_cards(one: NewCertification | None) -> Mapping[str, Any]:
    """Return the cards of a master's header that say what became of it."""
    if one is None:
        return {"CERTIFD": (False, "may be used: see CERTWHY"), "CERTWHY": "its verdict is bad"}
    figures = one.figures
    return {
        "LONGSTRN": ("OGIP 1.0", "CERTWHY goes on in CONTINUE"),
        "CERTIFD": (one.outcome == "certified", "may be used: see CERTWHY"),
        "CERTWHY": one.reason,
        "CERTREF": (one.champion_id and f"master:{one.champion_id}", "the one in force, judged beside"),
        "CERTCHI2": (figures.get("chi2"), "of frames left out about the master of others"),
        "CERTHIDE": (figures.get("unseen"), "what a patch in one frame may hide, in BUNIT"),
        "CERTCHIR": (figures.get("champion_chi2"), "of the same about the one in force"),
        "CERTDIFF": (figures.get("difference"), "what the one in force predicts better"),
        "CERTDERR": (figures.get("difference_sigma"), "1-sigma uncertainty of CERTDIFF"),
        "CERTCHNG": (figures.get("change"), "from the one in force; 1 is let pass"),
    }
