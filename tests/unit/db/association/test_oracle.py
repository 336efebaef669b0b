"""The choices for simulated nights are those by brute force; all that lose are listed with the rules they fail in."""

import pytest
from sqlalchemy.orm import Session

from benchmarks.best import answers_for, disagreements
from benchmarks.best_nights import expected, simulate


def test_choices_are_those_by_brute_force(session: Session) -> None:
    truth = simulate(session, nights=130, frames=40, seed=3)
    answers = answers_for(session, truth)
    assert disagreements(truth, answers) == []
    chosen = {
        kind for frame in truth.frames for kind in ("bias", "dark", "flat", "mask") if expected(truth, frame, kind)[0]
    }
    assert chosen == {"bias", "dark", "flat", "mask"}
    rules = {rule.rule for answer in answers for one in answer.candidates for rule in one.failed}
    of_frames = {"camera", "configuration", "window", "amplifiers", "temperature", "exposure", "filter"}
    assert rules == of_frames | {"instrument entry", "verdict", "mark", "certified"}
    both = [
        rule
        for answer in answers
        for one in answer.candidates
        for rule in one.failed
        if rule.rule != "instrument entry"
    ]
    assert all(rule.frame != rule.master or rule.rule == "window" for rule in both)


def test_the_order_in_which_frames_are_asked_for_is_nothing_to_the_answer(session: Session) -> None:
    truth = simulate(session, nights=15, frames=6, seed=4)
    answers = answers_for(session, truth)
    truth.frames.reverse()
    assert answers_for(session, truth)[::-1] == answers


@pytest.mark.parametrize("seed", range(2))
def test_a_choice_that_is_not_the_best_would_be_seen(session: Session, seed: int) -> None:
    truth = simulate(session, nights=20, frames=10, seed=seed)
    answers = answers_for(session, truth)
    for row in truth.masters:
        row["uncertainty"] *= 10 if row["n"] > 10 else 1
    assert disagreements(truth, answers)
