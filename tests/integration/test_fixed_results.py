"""Results of a fixed simulated set, as they were when the recipe got its version.

Pixels of masters are held by their hash, uncertainties by their moments, floats to 1e-9. Where a result is meant to
change, raise ``ccdcore.recipe.VERSION``, type ``python -m tests.integration.test_fixed_results --write``, and commit
both.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from matplotlib.figure import Figure

from benchmarks.fixed_frames import write_fixed_frames
from benchmarks.results import differences, results_of
from tests.support.command import ccdwatch

FIGURES = Path(__file__).with_name("fixed_results.json")
TO_WRITE = "python -m tests.integration.test_fixed_results --write"

RELATIVE = 1e-9
LOOSER = {
    # Seen 1e-8 between processors: the fit of the curve ends where χ² changes by less than 1e-8 of it.
    "gain": 1e-7,
    "corrected_gain": 1e-7,
    "read_noise": 1e-7,
    "overscan_read_noise": 1e-7,
    # Seen 2e-7: of the same fit, and no more than its uncertainty.
    "a00": 1e-5,
    "pickup_adu": 1e-6,
    # Seen 1e-8: of a fit as well.
    "dark_current": 1e-6,
    "dark_current_mode": 1e-6,
    # Seen in the last bit of some pixels, of 32 bits.
    "moments": 1e-7,
}
"""How far a quantity may be off where sums are taken in another order, as a fraction; the others by `RELATIVE`.

How many threads there are changes nothing; which instructions a processor has does. Ten times and more of what was seen
between processors with AVX-512, with AVX2 and with SSE4 only.
"""

HELD = {
    "frames": ("sha256",),
    "trends": ("value", "uncertainty", "verdict", "remark"),
    "masters": ("n_combined", "n_excluded", "verdict", "remark"),
    "masks": ("n_combined", "n_excluded", "verdict", "remark"),
    "inputs": ("scale", "level", "rejected_fraction"),
}
"""What is held of each table; of pixels all. Those of frames tell whether the simulation has changed."""


def test_results_are_those_of_the_recipes_version(tmp_path: Path) -> None:
    fixed = on_file()
    version, results = measured(tmp_path)
    assert version == fixed["recipe_version"], (
        f"the results on file are of version {fixed['recipe_version']} of the recipe, those of the code of version "
        f"{version}: type {TO_WRITE}"
    )
    found = differences(fixed["results"], results, tolerance)
    assert not found, "\n".join(
        [
            f"{len(found)} of {len(results)} results are others under the same version of the recipe. If that is "
            f"meant, raise ccdcore.recipe.VERSION and type {TO_WRITE}",
            *("{}: {!r} → {!r}".format(*one) for one in found[:20]),
        ]
    )


@pytest.mark.parametrize(
    ("end", "change", "is_found"),
    [
        ("bias_level/value", lambda value: value * (1 + 1e-10), False),
        ("bias_level/value", lambda value: value * (1 + 2e-9), True),
        ("gain/value", lambda value: value * (1 + 1e-6), True),
        ("gain/value", lambda _: None, True),
        ("bad_pixels/value", lambda value: value + 1, True),
        ("/PRIMARY", lambda value: value[::-1], True),
        ("/UNCERT/rms", lambda value: value * (1 + 1e-6), True),
        ("/verdict", lambda _: "bad", True),
    ],
)
def test_a_result_that_changes_is_found(end: str, change: Any, is_found: bool) -> None:
    fixed = on_file()["results"]
    name = next(name for name in fixed if name.endswith(end))
    changed = fixed | {name: change(fixed[name])}
    assert [one for one, *_ in differences(fixed, changed, tolerance)] == [name] * is_found


def on_file() -> dict[str, Any]:
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    assert isinstance(figures, dict)
    return figures


def tolerance(name: str) -> float:
    """Return by which fraction a float may differ: ``trends/INSTRUMENT … QUANTITY/value``."""
    table, row, *_ = name.split("/")
    return LOOSER.get(row.rpartition(" ")[2] if table == "trends" else table, RELATIVE)


def measured(folder: Path) -> tuple[int, dict[str, Any]]:
    """Work on the fixed set; return the version of the recipe, and what is held of the results."""
    write_fixed_frames(folder / "frames")
    with patch.object(Figure, "draw", lambda *_: None):  # pictures hold no results, and take most of the time
        results = results_of(folder / "home", _ask, folder / "frames")
    (version,) = {value for name, value in results.items() if name.startswith("recipe/")}
    return version, {name: value for name, value in results.items() if _is_held(name, value)}


def _ask(*words: object) -> Any:
    said = ccdwatch(*words)
    assert said.status == 0, said.err + said.text
    return said.json()


def _is_held(name: str, value: object) -> bool:
    table, *_, last = name.split("/")
    if table in ("pixels", "moments"):  # in uncertainties the last bit follows from the processor
        return (table == "moments") == ("/UNCERT" in name)
    return value is not None and last in HELD.get(table, ())


def main() -> None:
    """Write the figures anew."""
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"type {TO_WRITE}")
    with tempfile.TemporaryDirectory() as folder:
        version, results = measured(Path(folder).resolve())
    FIGURES.write_text(json.dumps({"recipe_version": version, "results": results}, indent=0) + "\n", encoding="utf-8")
    sys.stdout.write(f"{FIGURES.name}: {len(results)} results of version {version} of the recipe\n")


if __name__ == "__main__":
    main()
