"""A fuzz of meaning: nights of cameras drawn by chance, with known truth and known faults, through the whole product.

``make fuzz`` prints how many came out right, were flagged or refused with the cause named, and which were wrong
without a word. Every night follows from its number: ``make fuzz ARGS="--night 1234 --keep DIR"`` makes one again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import Progress

from benchmarks.fuzz_cameras import Night, draw_night
from benchmarks.fuzz_faults import FAULTS

if TYPE_CHECKING:
    from flows.home.home import Home

PLAIN = 0.4
"""Share of the nights without a fault."""

MOST_SIGMA, MOST_RELATIVE = 4.0, 0.03
UNFLAGGED, NUMBERS = 0.98, 0.95
BATCH = 50
"""Nights that share a home: what each costs grows with what is on record."""
NATURAL = ("at least",)
"""Words of what is left out of a night because it is short, which is no alarm."""


@dataclass
class Verdict:
    """What became of a night.

    Parameters
    ----------
    number : int
        Of the night.
    planted : str
        Name of the fault.
    kind : str
        ``right``; ``flagged`` or ``refused``, with the cause named; ``misnamed``, where it is not; ``wrong``, where
        a number is off and nothing said.
    off : str
        The numbers that are off, in words.
    words : str
        What was said.
    within, unflagged, numbers : bool
        Whether all numbers are within 4 σ; whether nothing was flagged; whether every amplifier has numbers.
    """

    number: int
    planted: str
    kind: str
    off: str
    words: str
    within: bool
    unflagged: bool
    numbers: bool
    about: str


def night_of(number: int, seed: int) -> Night:
    """Draw the night of a number."""
    rng = np.random.default_rng((seed, number))
    night = draw_night(rng, f"cam{number:05d}")
    if rng.random() > PLAIN:
        fault = FAULTS[rng.integers(len(FAULTS))]
        fault.plant(rng, night)
        night.planted = fault.name
    return night


def judge(number: int, night: Night, answer: Mapping[str, Sequence[Mapping[str, Any]]]) -> Verdict:
    """Hold what was said of a night against its truth."""
    rows = answer["characterisations"]
    words = _words(answer)
    fault = next((one for one in FAULTS if one.name == night.planted), None)
    named = fault is not None and fault.is_named(words)
    gains = [row for row in rows if row["gain_e_per_adu"] is not None]
    bad = {id(row): off for row in rows if (off := _off(row, night, MOST_RELATIVE))}
    silent = [row for row in rows if id(row) in bad and row["verdict"] in ("ok", "unjudged")]
    numbers = bool(rows) and len(gains) == len(rows)
    alarms = [one for one in (*answer["excluded"], *answer["failed"]) if not any(w in one["reason"] for w in NATURAL)]
    doubted = [row for row in rows if row["verdict"] not in ("ok", "unjudged")]
    bad_masters = [row for row in answer["masters"] if row["verdict"] not in ("ok", "unjudged")]
    if silent and not named:
        kind = "wrong"
    elif numbers and not bad:
        kind = "right"
    elif fault is not None and not named:
        kind = "misnamed"
    else:
        kind = "flagged" if numbers else "refused"
    return Verdict(
        number=number,
        planted=night.planted,
        kind=kind,
        off="; ".join(bad.values()),
        words=words,
        within=not any(_off(row, night, 0.0) for row in rows),
        unflagged=numbers and not (alarms or doubted or bad_masters),
        numbers=numbers,
        about=f"{night.dialect.name}, {night.camera.bits} bits × {night.camera.step}, "
        f"{len(night.of('bias'))} biases, {len(night.of('flat'))} flats",
    )


def _off(row: Mapping[str, Any], night: Night, relative: float) -> str:
    """Say which numbers of an amplifier are off by more than 4 σ and a share, from all that may be true of it."""
    places = [min(int(row["amplifier"]), len(truth)) - 1 for truth in night.truths]
    found = []
    for index, (quantity, errors) in enumerate(
        (
            ("gain_e_per_adu", ("gain_uncertainty", "gain_systematic_uncertainty")),
            ("read_noise_adu", ("read_noise_adu_uncertainty",)),
        )
    ):
        value, sigma = row[quantity], hypot(*(row[name] or 0.0 for name in errors))
        truths = [truth[place][index] for truth, place in zip(night.truths, places, strict=True)]
        if value is not None and all(abs(value - t) > max(MOST_SIGMA * sigma, relative * t) for t in truths):
            found.append(f"{quantity} {value:.4g} ± {sigma:.2g}, true {', '.join(f'{t:.4g}' for t in truths)}")
    return "; ".join(found)


def _words(answer: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    notes = [note for row in answer["characterisations"] for note in row["notes"]]
    remarks = [row["remark"] for row in answer["masters"] if row["remark"]]
    reasons = [f"{Path(one['path']).name}: {one['reason']}" for name in ("excluded", "failed") for one in answer[name]]
    return " | ".join(dict.fromkeys([*notes, *remarks, *reasons]))


def batch(numbers: Sequence[int], seed: int, keep: Path | None = None) -> list[Verdict]:
    """Write the nights of these numbers, process them in a home of their own, and judge."""
    warnings.simplefilter("ignore")
    top = Path(tempfile.mkdtemp(prefix="ccdwatch-fuzz-")) if keep is None else keep
    try:
        nights = {number: night_of(number, seed) for number in numbers}
        for night in nights.values():
            night.write(top / "frames" / night.name)
        answers = _processed(top, [night.name for night in nights.values()])
        return [judge(number, night, answers[night.name]) for number, night in nights.items()]
    finally:
        if keep is None:
            shutil.rmtree(top, ignore_errors=True)


def _processed(top: Path, names: Sequence[str]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Do with all folders what `ccdwatch process` does, but for pictures and trends; return the answer for each."""
    from flows.home.home import open_home

    home = open_home(top / "home")
    answer = _answer(home, top / "frames")
    home.engine.dispose()
    parts: dict[str, dict[str, list[dict[str, Any]]]] = {
        name: {"characterisations": [], "masters": [], "excluded": [], "failed": []} for name in names
    }
    for what in ("characterisations", "masters", "excluded", "failed"):
        for row in answer[what]:
            text = str(row.get("instrument") or row.get("path"))
            name = next(name for name in names if name in text)
            parts[name][what].append(row)
    return parts


def _answer(home: Home, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Register the frames of a folder, make the runs of its sets, and return what stands."""
    from db.files import ledger
    from db.frames.series import frames_of_files
    from db.runs.runs import get_run
    from db.runs.sets import set_summaries
    from db.schema.models import FileState, Outcome
    from flows.calibration.engine import recording_failure
    from flows.calibration.results import current_results
    from flows.calibration.steps import STEPS, do
    from flows.home.processes import now
    from flows.registration.register import register_files
    from flows.runs.begin import begin_run
    from flows.runs.lacks import ProductFailedError
    from flows.runs.plan import plans_of
    from flows.runs.run import Run
    from flows.watching.directory_tree import Tree

    tree = Tree(str(folder), include=home.settings.watch.include, exclude=str(home.path))
    sightings = [found for _, found in tree.walk(str(folder))]
    with home.write_session() as session:
        ledger.observe(session, sightings, host=home.settings.host, now=now())
        ids = [file.id for file in ledger.files_at(session, sightings, host=home.settings.host)]
    register_files(home, file_ids=ids)
    with home.read_session() as session:
        held = frames_of_files(session, ids)
        set_ids = [one.id for one in set_summaries(session, host=home.settings.host)]
    failed = [{"path": str(one.path), "reason": one.reason or ""} for one in held if one.state is not FileState.DONE]
    other = [one for one in held if one.state is FileState.DONE and one.set_id is None]
    for plan in plans_of(home, set_ids, now()):
        run_id = begin_run(
            home, set_id=plan.set_id, digest=plan.digest, attempt=plan.attempt, engine="local", flow_run_id=None
        )
        assert run_id is not None
        of_plan = Run(home, run_id)
        with recording_failure(home, run_id):
            for step in STEPS:
                if step.is_urgent:
                    with suppress(ProductFailedError):
                        do(step, of_plan)
        with home.read_session() as session:
            run = get_run(session, run_id)
        if run.outcome is not Outcome.DONE:
            failed.append({"path": plan.instrument, "reason": run.message or ""})
    answer = current_results(home, set_ids)
    answer["excluded"] += [{"path": str(one.path), "reason": one.frame_type_reason or ""} for one in other]
    return {**answer, "failed": failed}


def summary(verdicts: Sequence[Verdict]) -> tuple[list[str], bool]:
    """Return what was found, in lines, and whether the goals were reached."""
    lines = [f"{'planted':48}{'nights':>7}{'right':>7}{'flagged':>9}{'refused':>9}{'misnamed':>10}{'wrong':>7}"]
    for fault in ("", *(one.name for one in FAULTS)):
        some = Counter(one.kind for one in verdicts if one.planted == fault)
        if some.total():
            counts = "".join(
                f"{some[kind]:>{width}}"
                for kind, width in (("right", 7), ("flagged", 9), ("refused", 9), ("misnamed", 10), ("wrong", 7))
            )
            lines.append(f"{fault or 'nothing':48}{some.total():>7}{counts}")
    plain = [one for one in verdicts if not one.planted]
    unflagged = np.mean([one.unflagged and one.within for one in plain]) if plain else 1.0
    numbers = np.mean([one.numbers for one in plain]) if plain else 1.0
    wrong = [one for one in verdicts if one.kind == "wrong"]
    goals = (
        (f"wrong without a word: {len(wrong)} of {len(verdicts)} nights (goal 0)", not wrong),
        (f"nothing planted, unflagged and within 4 σ: {100 * unflagged:.1f} % (goal 98)", unflagged >= UNFLAGGED),
        (f"nothing planted, comes out as numbers: {100 * numbers:.1f} % (goal 95)", numbers >= NUMBERS),
    )
    lines += [f"{'met' if met else 'MISSED'}: {text}" for text, met in goals]
    return lines, all(met for _, met in goals)


def main() -> int:
    """Draw, process, judge, print; return 0 where all goals are reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--nights", type=int, default=2000, metavar="N", help="how many nights (2000)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first one (0)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="another seed draws other nights (1)")
    parser.add_argument("--night", type=int, metavar="N", help="only this one")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="with --night: write frames and home there")
    parser.add_argument("--tell", type=int, default=3, metavar="N", help="nights of each kind to tell of (3)")
    wanted = parser.parse_args()
    if wanted.night is not None:
        print(*batch([wanted.night], wanted.seed, wanted.keep), sep="\n")
        return 0
    numbers = range(wanted.first, wanted.first + wanted.nights)
    began = time.monotonic()
    batches = [list(numbers[k : k + BATCH]) for k in range(0, len(numbers), BATCH)]
    # A home waits for the disk a quarter of its time: as many again fill the processors.
    with Progress(transient=True) as progress, ProcessPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        task = progress.add_task("nights", total=len(batches))
        verdicts = []
        for some in pool.map(batch, batches, [wanted.seed] * len(batches)):
            verdicts += some
            for one in some:
                if one.kind in ("wrong", "misnamed"):
                    progress.console.print(f"night {one.number}: {one.planted or 'nothing planted'}: {one.kind}")
            progress.advance(task)
    lines, met = summary(verdicts)
    print(*lines, sep="\n")
    for verdict in _to_tell(verdicts, wanted.tell):
        print(f"\nnight {verdict.number} ({verdict.about}): {verdict.planted or 'nothing planted'}: {verdict.kind}")
        print(f"  off: {verdict.off or '-'}\n  said: {verdict.words[:600] or '-'}")
    print(f"\n{len(verdicts)} nights in {time.monotonic() - began:.0f} s")
    return 0 if met else 1


def _to_tell(verdicts: Sequence[Verdict], most: int) -> list[Verdict]:
    """Return some nights to look at of each fault: wrong ones, misnamed ones, and alarms without a fault."""
    found: list[Verdict] = []
    seen: Counter[tuple[str, str]] = Counter()
    for one in verdicts:
        alarm = not one.planted and not (one.unflagged and one.within)
        kind = "alarm" if alarm and one.kind != "wrong" else one.kind
        if kind in ("wrong", "misnamed", "alarm") and seen[one.planted, kind] < most:
            seen[one.planted, kind] += 1
            found.append(one)
    return found


if __name__ == "__main__":
    sys.exit(main())
