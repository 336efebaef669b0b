"""Prints how often the control chart of `ccdcore.trends.control_chart` errs on simulated series, as a Markdown table.

Each series has one value a night for two years, normal about a true level, with 0.5 % scatter.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ccdcore.trends.control_chart import ControlChart, follow

NIGHTS = 730
SCATTER = 0.005
ROW = "| {:<62} | {:>12} | {:>14} | {:>12} |"


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of series.

    Parameters
    ----------
    name : str
        In words.
    claimed : float
        Stated uncertainty / true scatter.
    amplitude : float
        Of the temperature over a year, in kelvin; the level follows it by 0.1 % a kelvin.
    is_recorded : bool
        Whether the temperature is known.
    bad_nights : float
        Fraction of the nights that are 5 % off.
    """

    name: str
    claimed: float = 1.0
    amplitude: float = 0.0
    is_recorded: bool = True
    bad_nights: float = 0.0

    def series(
        self, rng: np.random.Generator, *, step: float = 0.0, at: int = NIGHTS, drift: float = 0.0
    ) -> tuple[npt.NDArray[np.float64], ...]:
        """Return values, stated uncertainties and temperatures, of a level that steps, or drifts by so much a year."""
        night = np.arange(NIGHTS)
        temperature = self.amplitude * np.sin(2 * np.pi * (night / 365 + rng.random())) + rng.normal(0, 0.05, NIGHTS)
        level = 1 + 0.001 * temperature + step * (night >= at) + drift * np.maximum(0, night - at) / 365
        values = level + rng.normal(0, SCATTER, NIGHTS) + 0.05 * (rng.random(NIGHTS) < self.bad_nights)
        known = temperature if self.is_recorded else np.full(NIGHTS, np.nan)
        return values, np.full(NIGHTS, self.claimed * SCATTER), known


CASES = (
    Case("healthy"),
    Case("uncertainties 30 % too small", claimed=1 / 1.3),
    Case("uncertainties 30 % too large", claimed=1.3),
    Case("temperature ± 5 K over a year", amplitude=5),
    Case("temperature ± 5 K, uncertainties 30 % too small", claimed=1 / 1.3, amplitude=5),
    Case("temperature ± 5 K, not on record", amplitude=5, is_recorded=False),
    Case("a bad night in a hundred", bad_nights=0.01),
)


def false_alarms(case: Case, seeds: int) -> float:
    """Return the changes a year that are found where there are none."""
    found = sum(len(_chart(case, seed).changes) for seed in range(seeds))
    return found / seeds / NIGHTS * 365


def nights_to_find(case: Case, seeds: int, *, step: float = 0.0, drift: float = 0.0) -> npt.NDArray[np.float64]:
    """Return for each series how many nights, the first counted, it takes to find a change; infinite if it is not."""
    taken = []
    for seed in range(seeds):
        at = int(np.random.default_rng((seed, 1)).integers(40, 365))
        chart = _chart(case, seed, step=step, at=at, drift=drift)
        taken.append(next((one.found - at + 1 for one in chart.changes if one.found >= at), np.inf))
    return np.array(taken)


def _chart(case: Case, seed: int, **changes: float) -> ControlChart:
    return follow(*case.series(np.random.default_rng(seed), **changes))  # type: ignore[arg-type]


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=1000, help="series of each kind")
    seeds = options.parse_args().seeds
    print(f"{seeds} series of {NIGHTS} nights of each kind, scatter {SCATTER:.1%}.\n")
    print(ROW.format("series", "false alarms", "2 % step found", "longest"))
    print(ROW.format("", "a year", "by 3rd night", "nights"))
    print("| --- | ---: | ---: | ---: |")
    for case in CASES:
        nights = nights_to_find(case, seeds, step=0.02)
        alarms = false_alarms(case, seeds)
        print(ROW.format(case.name, f"{alarms:.4f}", f"{np.mean(nights <= 3):.1%}", f"{nights.max():.0f}"), flush=True)
    for drift in (0.02, 0.05):
        nights = nights_to_find(CASES[0], seeds, drift=drift)
        print(f"\nA drift of {drift:.0%} a year is found after {np.median(nights):.0f} nights (median).")


if __name__ == "__main__":
    main()
