"""What ccdwatch says and writes of some frames, as one flat table that two runs can be compared by."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

Json = Any
Ask = Callable[..., Json]
"""Types ``ccdwatch`` and some words, and returns what it printed as JSON."""

LEFT_OUT = {
    "id": "number of a row",
    "master_id": "number of a row",
    "gain_id": "number of a row",
    "read_noise_id": "number of a row",
    "run_id": "number of a row",
    "calibration_set_id": "number of a row",
    "registered_at": "time of the trial",
    "masters.path": "has the number of the run in it",
    "masters.sha256": "of a file that holds times and numbers; pixels, cards and inputs are compared instead",
    "masks.path": "as that of masters",
    "masks.sha256": "as that of masters",
    "cards.CALIBID": "has the number of the run in it",
    "cards.CHECKSUM": "of all cards, with these",
    "cards.DATASUM": "of the pixels, which are compared",
}
"""What is not compared, and why: a name, or that of a table and a name. All else is."""

_LABELS = ("instrument", "configuration", "night", "kind", "filter", "amplifier", "quantity", "product")
_OF_MASTERS = ("instrument", "configuration", "night", "kind", "filter", "exposure_s", "temperature_c")
_TABLES = {
    "trends": ("trends",),
    "masters": ("masters",),
    "masks": ("masters", "--kind", "mask"),
    "frames": ("frames",),
}


def results_of(home: Path, ask: Ask, *frames: Path) -> dict[str, Json]:
    """Work on frames, and return all that came of it.

    Parameters
    ----------
    home : Path
        An empty folder, or none.
    ask : callable
        Types ``ccdwatch`` and these words, and returns what it printed as JSON.
    *frames : Path
        Files and folders; none where only what is on record is asked for.

    Returns
    -------
    dict
        Value, or hash of pixels, by ``table/row/name``.
    """
    answers: dict[str, Json] = {}
    if frames:
        answers |= {f"process {name}": of for name, of in ask("process", *frames, "--home", home, "--json").items()}
    rows = {name: ask(*words, "--home", home, "--format", "json") for name, words in _TABLES.items()}
    found: dict[str, Json] = {}
    for table, answer in {**answers, **rows}.items():
        for label, row in _labelled(answer):
            found |= _flat(f"{table}/{label}", row)
    for label, row in _labelled([*rows["masters"], *rows["masks"]]):
        found |= _file(label, home / row["path"])
    first_of_runs = {row["run_id"]: row for row in reversed(rows["masters"])}.values()
    found |= {f"recipe/{label}": _version(home, ask, row) for label, row in _labelled([*first_of_runs])}
    places = {str(home): "HOME"} | {str(folder): f"FRAMES{number}" for number, folder in enumerate(frames, start=1)}
    kept = {name: value for name, value in found.items() if not _is_left_out(name)}
    return {_without(name, places): _without(value, places) for name, value in kept.items()}


def _exactly(_name: str) -> float:
    return 0.0


def differences(
    first: Mapping[str, Json], second: Mapping[str, Json], tolerance: Callable[[str], float] = _exactly
) -> list[tuple[str, Json, Json]]:
    """Return what differs, as name, first and second value; floats may by a fraction that follows from the name."""
    names = dict.fromkeys((*first, *second))
    missing = "(not there)"
    pairs = ((name, first.get(name, missing), second.get(name, missing)) for name in names)
    return [(name, one, other) for name, one, other in pairs if not _are_equal(one, other, tolerance(name))]


def _are_equal(one: Json, other: Json, relative: float) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=relative) or (math.isnan(one) and math.isnan(other))
    return type(one) is type(other) and bool(one == other)


def _labelled(answer: Json) -> Iterator[tuple[str, Json]]:
    """Yield each row with a name of its own, whatever order the rows are in."""
    if not isinstance(answer, list):
        yield "", answer
        return
    seen: dict[str, int] = {}
    for row in sorted(answer, key=_sort_key):
        label = _label(row)
        seen[label] = seen.get(label, 0) + 1
        yield label if seen[label] == 1 else f"{label} ({seen[label]})", row


def _label(row: Mapping[str, Json]) -> str:
    names = _OF_MASTERS if "kind" in row else _LABELS
    words = [str(row[name]) for name in names if row.get(name) is not None]
    files = row.get("paths") or ([] if "kind" in row else [row.get("path")])
    return " ".join([*words, *(str(path) for path in files if path)])


def _sort_key(row: Mapping[str, Json]) -> tuple[str, str]:
    kept = {name: value for name, value in row.items() if name not in LEFT_OUT and name not in ("path", "sha256")}
    return _label(row), json.dumps(kept, sort_keys=True)


def _flat(name: str, value: Json) -> dict[str, Json]:
    """Return the values below a name, each by its own."""
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list) and value:
        parts = {str(number): one for number, one in enumerate(value)}.items()
    else:
        return {name: value}
    return {key: one for part, below in parts for key, one in _flat(f"{name}/{part}", below).items()}


def _is_left_out(name: str) -> bool:
    table, *_, last = name.removeprefix("process ").split("/")
    return last in LEFT_OUT or f"{table}.{last}" in LEFT_OUT


def _without(value: Json, places: Mapping[str, str]) -> Json:
    """Return a text that names no folder of a trial."""
    if isinstance(value, str):
        for place, name in places.items():
            value = value.replace(place, name)
    return value


def _file(label: str, path: Path) -> dict[str, Json]:
    """Return the pixels, the cards and the inputs of a master's file."""
    found: dict[str, Json] = {}
    with fits.open(path, memmap=False, uint=True) as hdus:
        found |= {f"cards/{label}/{card.keyword}": card.value for card in hdus[0].header.cards if card.keyword}
        for hdu in hdus:
            if isinstance(hdu, fits.BinTableHDU):
                rows = [dict(zip(hdu.columns.names, map(_plain, row), strict=True)) for row in hdu.data]
                table = "inputs" if hdu.name == "PROVENANCE" else hdu.name.lower()
                found |= _flat(f"{table}/{label}", sorted(rows, key=lambda row: str(row.get("path"))))
            else:
                found[f"pixels/{label}/{hdu.name}"] = _sha256(hdu.data)
                found |= {f"moments/{label}/{hdu.name}/{name}": one for name, one in _moments(hdu.data).items()}
    return found


def _plain(value: Json) -> Json:
    return value.item() if isinstance(value, np.generic) else value


def _sha256(pixels: npt.NDArray[Any]) -> str:
    native = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{native.dtype.str} {native.shape}".encode() + native.tobytes()).hexdigest()


def _moments(pixels: npt.NDArray[Any]) -> dict[str, float]:
    """Return numbers that tell pixels from others but for what the last bit of each is worth."""
    values = np.nan_to_num(pixels.astype(np.float64))
    rows, columns = (np.arange(n) for n in values.shape)
    return {
        "mean": float(values.mean()),
        "rms": float(np.sqrt(np.mean(values**2))),
        "place": float(np.mean(values * (1 + rows[:, None] % 7 + columns % 11))),
    }


def _version(home: Path, ask: Ask, row: Mapping[str, Json]) -> int:
    """Return the version of the recipe that made a master."""
    whence = ask("provenance", f"master:{row['master_id']}", "--home", home, "--format", "json")
    return int(whence["wasGeneratedBy"]["recipes"]["version"])
