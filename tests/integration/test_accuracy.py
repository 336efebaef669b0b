"""The short version of `make accuracy`: values and uncertainties of every case hold, as far as a few seeds can tell."""

import numpy as np
import pytest

from benchmarks.accuracy import MISSED, Summary, goals, master_rows, page
from benchmarks.accuracy_cases import RAMP, TRAPS, Case, cases

SEEDS = range(5)
NO_VALUE = "spectrum that moves by 0.3 pixels"
SHORT = [one for one in cases() if "40 ke" not in one.name]


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, list[tuple[float, float] | None]]]:
    """Each case by the ways that know of the traps, a few times."""
    rows: dict[str, dict[str, list[tuple[float, float] | None]]] = {}
    for one in SHORT:
        short = Case(
            one.name, one.frames, tuple(way for way in one.ways if way in ("auto", "read noise")), 1, one.truth
        )
        measured = [short.measure(seed) for seed in SEEDS]
        rows[one.name] = {way: [row[way] for row in measured] for way in short.ways}
    return rows


def test_values_are_within_their_uncertainties(found: dict[str, dict[str, list[tuple[float, float] | None]]]) -> None:
    pulls = []
    for name, ways in found.items():
        for rows in ways.values():
            if name == NO_VALUE:
                assert rows == [None] * len(SEEDS)
                continue
            summary = Summary.of(rows)
            assert summary.given == len(SEEDS), name
            assert abs(summary.pull) < 4 / len(SEEDS) ** 0.5 + 0.5, name
            pulls += [row[0] / row[1] for row in rows if row is not None]
    assert len(pulls) >= 100
    assert abs(np.mean(pulls)) < 0.35
    assert np.std(pulls) == pytest.approx(1, abs=0.25)


def test_the_page_names_every_case_and_goal(found: dict[str, dict[str, list[tuple[float, float] | None]]]) -> None:
    text = page(found, [["ESIS", "1", "2", "3", "4", "5"]], share=0.02)
    assert all(f"| {name} |" in text for name in found)
    reached = {what: met for what, _, _, met in goals(found, master_rows(), 0.02)}
    assert any(TRAPS in what for what in reached)
    assert any(RAMP in what for what in reached)
    assert MISSED not in reached.values()
