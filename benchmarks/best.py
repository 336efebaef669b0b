"""Which master suits a frame: `python -m benchmarks.best` holds the choices against those by brute force, and times.

200 nights of two cameras with three filters, gaps, bad masters, changed settings and an edited entry; 1000 science
frames. Then the time of a question, with 10 000 masters on record. It ends with status 1 where one choice is another, a
loser is not listed with the rules in which it fails, or a frame takes more than 0.2 s of a processor.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from sqlalchemy.orm import Session, sessionmaker

from benchmarks.best_nights import Nights, expected, simulate
from ccdcore.association.choice import Answer
from ccdcore.association.facts import KINDS
from ccdcore.recipe import Recipes
from db.association.best import best
from db.association.subjects import subjects_on_record
from db.engine import make_engine, session_factory, upgrade

GOAL_S = 0.2


def disagreements(truth: Nights, answers: list[Answer]) -> list[str]:
    """Return in words where choices, or what others fail in, are not those by brute force."""
    found = []
    for frame, answer in zip(truth.frames, answers, strict=True):
        for kind in KINDS:
            chosen, failed = expected(truth, frame, kind)
            choice = answer.choice(kind)
            ours = choice and choice.master.master_id
            if ours != chosen:
                found.append(f"{answer.subject.name} {kind}: {ours} instead of {chosen}")
            listed = {
                one.master.master_id: {rule.rule for rule in one.failed}
                for one in answer.candidates
                if one.master.corrects == kind
            }
            if listed != failed:
                found.append(f"{answer.subject.name} {kind}: others fail in other rules")
            if any(one.passes != (not one.failed) for one in answer.candidates):
                found.append(f"{answer.subject.name} {kind}: passes, and fails")
    return found


def answers_for(session: Session, truth: Nights) -> list[Answer]:
    """Return what is answered for all frames."""
    subjects = subjects_on_record(session, [one["id"] for one in truth.frames])
    return best(session, [subjects[one["id"]] for one in truth.frames], recipes=Recipes())


def _timed(question: Callable[[], object], times: int) -> float:
    """Return the seconds of a processor that a question takes: the time of one who waits for nobody else."""
    took = []
    for _ in range(times):
        began = time.process_time()
        question()
        took.append(time.process_time() - began)
    return median(took)


def _database(folder: str, name: str) -> sessionmaker[Session]:
    engine = make_engine(f"sqlite:///{Path(folder) / name}.db")
    upgrade(engine)
    return session_factory(engine)


def main() -> int:
    """Print how many choices agree, and how long a question takes; return the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=200)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--masters", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with _database(folder, "nights")() as session:
            truth = simulate(session, nights=options.nights, frames=options.frames, seed=options.seed)
            began = time.perf_counter()
            answers = answers_for(session, truth)
            took = time.perf_counter() - began
            wrong = disagreements(truth, answers)
        chosen = sum(len(one.choices) for one in answers)
        print(f"{len(truth.masters)} masters, {len(truth.frames)} frames, {chosen} choices in {took:.1f} s")
        print(f"not as by brute force: {len(wrong)}", *wrong[:10], sep="\n  ")
        sessions = _database(folder, "many")
        with sessions.begin() as session:
            per_night = round(options.masters / (options.nights * 6.2))
            many = simulate(session, nights=options.nights, frames=20, seed=2, per_night=per_night)
        with sessions() as session:
            n = [one["id"] for one in many.frames if one["camera"] != "guider"]
            each = [_timed(lambda key=key: _ask(sessions, key), 3) for key in n[:8]]  # type: ignore[misc]
            together = _timed(lambda: answers_for(session, many), 3) / len(many.frames)
        print(
            f"{len(many.masters)} masters on record: {median(each):.3f} s of a processor for one frame,",
            f"{together:.3f} s each of 20 (goal: {GOAL_S:g} s)",
        )
    return 1 if wrong or median(each) > GOAL_S else 0


def _ask(sessions: sessionmaker[Session], key: int) -> None:
    with sessions() as session:
        best(session, subjects_on_record(session, [key]).values(), recipes=Recipes())


if __name__ == "__main__":
    sys.exit(main())
