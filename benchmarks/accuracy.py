"""How near the truth: ``make accuracy``.

Simulates frames whose truth is known, with the traps of real ones, measures them in every way, and writes
docs/accuracy.md: bias of the values, pulls (deviation over uncertainty) and their coverage.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from rich.progress import Progress

from benchmarks.accuracy_cases import A00, OTHER_NOISE, RAMP, TRAPS, Case, Row, cases
from benchmarks.accuracy_darks import DARKS, TIMES, dark_goals, dark_values, rate_rows
from benchmarks.accuracy_flats import TIMES as PRNU_TIMES
from benchmarks.accuracy_flats import prnu_rows, ramp_figures
from ccdcore.cards.sections import Amplifier, Section
from ccdcore.combining.combine import combine
from ccdcore.photon_transfer.measure import measure_gain

NAMES = {
    "pair": "textbook pair",
    "binned": "`binned`",
    "ptc": "`ptc`",
    "auto": "`auto`",
    "corrected": "`auto`, `corrected_gain`",
    "read noise": "read noise",
    **{way: way for way in ("dark current", "mode", "DSNU")},
}
MISSED = "**no**"


def measured(which: Sequence[Case], share: float) -> dict[str, dict[str, list[Row | None]]]:
    """Measure all cases, all processors at work; ``share`` of the times that each asks for."""
    found: dict[str, dict[str, list[Row | None]]] = {one.name: {way: [] for way in one.ways} for one in which}
    jobs = [(number, seed) for number, one in enumerate(which) for seed in range(max(4, round(share * one.times)))]
    found |= {one.name: {way: [] for way in _DARK_WAYS} for one in DARKS}
    of_darks = [(number, seed) for number in range(len(DARKS)) for seed in range(max(4, round(share * TIMES)))]
    with Progress() as progress, ProcessPoolExecutor(os.cpu_count(), initializer=_alone) as pool:
        task = progress.add_task("simulating and measuring", total=len(jobs) + len(of_darks))
        futures = [pool.submit(_once, *job) for job in jobs] + [pool.submit(dark_values, *job) for job in of_darks]
        for done in as_completed(futures):
            name, rows = done.result()
            for way, row in rows.items():
                found[name][way].append(row)
            progress.advance(task)
    return found


def _alone() -> None:
    """One thread a process: there are as many processes as processors."""
    os.environ["NUMBA_NUM_THREADS"] = "1"


def _once(number: int, seed: int) -> tuple[str, dict[str, Row | None]]:
    one = cases()[number]
    return one.name, one.measure(seed)


@dataclass(frozen=True, slots=True)
class Summary:
    """Bias, scatter and pulls of the values of one way in one case."""

    times: int
    given: int
    bias: float
    of_bias: float
    uncertainty: float
    pull: float
    width: float
    within_1: float
    within_2: float

    @classmethod
    def of(cls, rows: Iterable[Row | None]) -> Summary:
        """Summarise values; those that were not given are counted."""
        every = list(rows)
        given = [row for row in every if row is not None]
        if len(given) < 2:
            return cls(len(every), len(given), *[float("nan")] * 7)
        off, uncertainty = np.array(given).T
        pulls = off / uncertainty
        return cls(
            times=len(every),
            given=len(given),
            bias=float(off.mean()),
            of_bias=float(off.std(ddof=1) / len(given) ** 0.5),
            uncertainty=float(np.median(uncertainty)),
            pull=float(pulls.mean()),
            width=float(pulls.std(ddof=1)),
            within_1=float((np.abs(pulls) < 1).mean()),
            within_2=float((np.abs(pulls) < 2).mean()),
        )

    def cells(self) -> list[str]:
        """Return the cells of a table."""
        if self.given < 2:
            return [f"{self.given} of {self.times}", "none given", "", "", "", "", ""]
        return [
            f"{self.given} of {self.times}",
            f"{100 * self.bias:+.2f} ± {100 * self.of_bias:.2f}",
            f"{100 * self.uncertainty:.2f}",
            f"{self.pull:+.2f}",
            f"{self.width:.2f}",
            f"{100 * self.within_1:.0f}",
            f"{100 * self.within_2:.0f}",
        ]


_DARK_WAYS = ("dark current", "mode", "DSNU")

HEADER = ["case", "way", "given", "bias (%)", "1 σ (%)", "mean pull", "width", "within 1 σ (%)", "2 σ (%)"]


def master_rows() -> list[tuple[int, float, float]]:
    """Return N, RMS of a master's uncertainty over its true scatter, and false rejections over Gaussian ones at 3 σ."""
    from scipy.stats import norm

    rng, sigma, rows = np.random.default_rng(7), 1.2, []
    for n in (3, 5, 10, 30):
        level = rng.uniform(1000, 1010, (300, 300))
        stack = [np.rint(rng.normal(level, sigma)).astype(np.uint16) for _ in range(n)]
        noise = (sigma**2 + 1 / 12) ** 0.5
        plain = combine(stack, clip_sigma=7.0, noise=noise)
        scatter = float(np.std(plain.value - level))
        clipped = combine(stack, clip_sigma=3.0, noise=noise)
        rejected = 1 - float(clipped.n_used.mean()) / n
        rows.append((n, float(np.sqrt(np.mean(plain.uncertainty**2))) / scatter, rejected / (2 * norm.sf(3.0))))
    return rows


def goals(
    found: Mapping[str, Mapping[str, Sequence[Row | None]]],
    masters: Sequence[tuple[int, float, float]],
    share: float = 1.0,
) -> list[tuple[str, str, str, str]]:
    """Return each goal, what was measured, the limit, and whether it is met."""
    trap, slope, noisier = (Summary.of(found[name]["auto"]) for name in (TRAPS, RAMP, OTHER_NOISE))
    noises = [Summary.of(found[one.name]["read noise"]) for one in cases() if one.ways == ("read noise",)]
    worst = max(noises, key=lambda one: abs(one.bias))
    off = max(abs(ratio - 1) for _, ratio, _ in masters)
    rejected = max(ratio for _, _, ratio in masters)
    rows = [
        (f"gain bias: {TRAPS}", _percent(trap), "≤ 0.3 %", _met(trap.bias, 0.003, trap.of_bias)),
        (f"gain bias: {RAMP}, a₀₀ = {A00:g}", _percent(slope), "≤ 0.2 %", _met(slope.bias, 0.002, slope.of_bias)),
        (f"gain bias: {OTHER_NOISE}", _percent(noisier), "≤ 0.3 %", _met(noisier.bias, 0.003, noisier.of_bias)),
        (
            "read noise bias, 0.6 to 10 ADU, the worst",
            _percent(worst),
            "≤ 0.3 %",
            _met(worst.bias, 0.003, worst.of_bias),
        ),
    ]
    gains = Summary.of(row for one in cases() if one.counts_for_pulls for row in found[one.name]["auto"])
    of_noise = Summary.of(row for one in cases() if "read noise" in one.ways for row in found[one.name]["read noise"])
    for name, pulls in (("gain", gains), ("read noise", of_noise)):
        known = pulls.given**-0.5
        rows += [
            (
                f"mean of {pulls.given} pulls of the {name}",
                f"{pulls.pull:+.3f}",
                "0 ± 0.1",
                _met(pulls.pull, 0.1, known),
            ),
            ("their width", f"{pulls.width:.3f}", "1.00 ± 0.05", _met(pulls.width - 1, 0.05, known / 2**0.5)),
        ]
    return [
        *rows,
        *flat_goals(share),
        ("master's uncertainty over true scatter, N = 3 to 30", f"1 ± {off:.3f}", "1.00 ± 0.02", _met(off, 0.02, 0)),
        ("good samples rejected at 3 σ over Gaussian ones", f"{rejected:.2f}", "≤ 1.2", _met(rejected, 1.2, 0)),
        *_goals_of_darks(found),
    ]


def flat_goals(share: float) -> list[tuple[str, str, str, str]]:
    """Return the goals of flats, as `goals` does; PRNU is measured in this share of the times of a full run."""
    prnu, (noise, equal, stated) = Summary.of(prnu_rows(max(4, round(share * PRNU_TIMES)))), ramp_figures()
    known = prnu.given**-0.5
    return [
        (
            f"PRNU bias, {prnu.given} of {prnu.times} given",
            _percent(prnu),
            "≤ 2 %",
            _met(prnu.bias, 0.02, prnu.of_bias),
        ),
        (f"mean of {prnu.given} pulls of the PRNU", f"{prnu.pull:+.3f}", "0 ± 0.1", _met(prnu.pull, 0.1, known)),
        ("their width", f"{prnu.width:.3f}", "1.00 ± 0.05", _met(prnu.width - 1, 0.05, known / 2**0.5)),
        (
            f"noise of a ramp's master over the best ({equal:.2f} of equal weights)",
            f"{noise:.3f}",
            "≤ 1.1",
            _met(noise, 1.1, 0),
        ),
        ("its uncertainty over true scatter", f"{stated:.3f}", "1.00 ± 0.02", _met(stated - 1, 0.02, 0)),
    ]


def _goals_of_darks(found: Mapping[str, Mapping[str, Sequence[Row | None]]]) -> list[tuple[str, str, str, str]]:
    """Return the goals of darks, where they were measured."""
    cases = [found[one.name] for one in DARKS if one.name in found]
    if not cases:
        return []
    values = {way: [row for one in cases for row in one[way] if row is not None] for way in _DARK_WAYS}
    rows = dark_goals(values, rate_rows())
    return [(what, said, goal, _met(off, limit, known)) for what, said, off, goal, limit, known in rows]


def _met(value: float, limit: float, uncertainty: float) -> str:
    """Return whether a value is within a limit; where it is not, whether that may be chance (2 σ)."""
    if abs(value) <= limit:
        return "yes"
    return "too few to tell" if abs(value) - limit < 2 * uncertainty else MISSED


def _percent(summary: Summary) -> str:
    return f"({100 * summary.bias:+.3f} ± {100 * summary.of_bias:.3f}) %"


def real_rows(folder: Path) -> list[list[str]]:
    """Return what is measured on frames of a real camera, beside what others found; nothing where there are none."""
    led = folder / "msfc-esis-4tap" / "led"
    if not led.is_dir():
        return []
    published = {
        "[51:1074,1:520]": (2.535, 3.99),
        "[1079:2102,1:520]": (2.505, 3.84),
        "[51:1074,521:1040]": (2.540, 4.14),
        "[1079:2102,521:1040]": (2.500, 4.20),
    }
    bias, flat = ([fits.getdata(led / f"ESIS1_0{n}.fit.gz") for n in pair] for pair in ((4860, 4861), (4803, 4804)))
    amplifiers = [Amplifier(section, Section.parse(section)) for section in published]
    return [
        [
            f"ESIS {result.amplifier}",
            f"{result.gain_e_per_adu:.3f} ± {result.gain_uncertainty:.3f} ± {result.gain_systematic_uncertainty:.3f}",
            f"{published[result.amplifier][0]:.3f}",
            f"{result.gain_corrected_e_per_adu:.3f} ± {result.gain_corrected_uncertainty:.3f}",
            f"{result.read_noise_adu:.3f} ± {result.read_noise_adu_uncertainty:.3f}",
            f"{published[result.amplifier][1]:.2f}",
        ]
        for result in measure_gain(bias, flat, amplifiers=amplifiers)
    ]


def page(
    found: Mapping[str, Mapping[str, Sequence[Row | None]]], real: Sequence[Sequence[str]], *, share: float
) -> str:
    """Return docs/accuracy.md."""
    made = master_rows()
    rows = [
        [name if number == 0 else "", NAMES[way], *Summary.of(values).cells()]
        for name, ways in found.items()
        for number, (way, values) in enumerate(ways.items())
    ]
    masters = [[str(n), f"{ratio:.3f}", f"{rejected:.2f}"] for n, ratio, rejected in made]
    parts = [
        "# Accuracy",
        "What `make accuracy` measures on frames whose truth it knows: " + ABOUT,
        f"This page is of {sum(len(rows) for ways in found.values() for rows in ways.values())} measurements"
        + (f", {share:.0%} of those of a full run." if share < 1 else "."),
        "## Goals",
        table(["what", "measured", "goal", "met"], goals(found, made, share)),
        "## Every way of measuring, against every trap",
        EXPLAINED,
        table(HEADER, rows),
        "## Masters",
        "Whole numbers with σ = 1.2 ADU, the noise given as the biases tell it.",
        table(["frames", "uncertainty over true scatter", "rejected at 3 σ over Gaussian"], masters),
    ]
    if real:
        header = ["amplifier", "gain (e⁻/ADU)", "published", "without brighter-fatter", "read noise (ADU)", "published"]
        parts += ["## A real camera", REAL, table(header, real)]
    return "\n\n".join(parts) + "\n"


ABOUT = """photons, read noise, rounding to whole ADU, fixed
pattern, and in turn structured light, a lamp that drifts, cosmic rays, light that moves, and the brighter-fatter
effect (charge is conserved; [tests/support/simulate.py](../tests/support/simulate.py)). The command ends with status 1
when a goal is not met."""

EXPLAINED = """The bias is the mean deviation from the truth, with its own uncertainty; 1 σ is the uncertainty that is
stated (the statistical one); a pull is the deviation over it. *Given* counts how often there was a value at all: of
light that moves far none is right."""

REAL = """The ESIS sounding rocket's CCD230-42 (`msfc-ccd`), one pair of flats at 10 000 to 24 000 ADU: apparent gain
with statistical and systematic uncertainty."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows))


def main() -> int:
    """Measure, write or print; return the exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="a tenth of the simulations; print, write nothing")
    options.add_argument("--share", type=float, default=1.0, help="this part of the simulations; written all the same")
    options.add_argument("--data", type=Path, help="folder of real frames, msfc-esis-4tap in it")
    chosen = options.parse_args()
    share = 0.1 if chosen.quick else chosen.share
    found = measured(cases(), share)
    text = page(found, real_rows(chosen.data) if chosen.data else [], share=share)
    if chosen.quick:
        sys.stdout.write(text)
        return 0
    (Path(__file__).parents[1] / "docs" / "accuracy.md").write_text(text, encoding="utf-8")
    return 1 if MISSED in text else 0


if __name__ == "__main__":
    sys.exit(main())
