"""An exposure in files of several types counts once; equal pixels of several exposures are told, not measured."""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from sqlalchemy import text

import flows.calibration.engine
from ccdcore.io.digest import former_sha256, pixel_sha256
from db.frames.listing import FrameOnRecord, list_frames
from flows.calibration.steps import STEPS
from flows.commands.process import process
from flows.health.state import health
from flows.home.home import Home, open_home
from tests.support.simulate import Camera, simple_night

CAMERA = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(48, 128))
STORED: dict[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    "int16": lambda data: data.astype(np.int16),
    "int32": lambda data: data.astype(np.int32),
    "float32": lambda data: data.astype(np.float32),
    "float64": lambda data: data.astype(np.float64),
}


def run(full: bool) -> str:
    n_files = n_exposures = 0
    with patch.object(flows.calibration.engine, "STEPS", [step for step in STEPS if step.is_urgent]):
        for seed in range(5 if full else 1):
            n_files += _several_types(seed, list(STORED) if full else ["float32"])
            n_exposures += _equal_pixels(seed) + _one_picture_again(seed) + _overexposed(seed)
    return (
        f"{n_files} files of 8 exposures in several types of pixels, also in a home of the former rule, counted as 8 "
        f"each time; {n_exposures} files of equal or constant pixels told, none measured"
    )


def _several_types(seed: int, types: list[str]) -> int:
    """A home that knows frames by the former rule goes on with its identities; copies of other types change nothing."""
    with _home() as (home, raw):
        truth = simple_night(raw, camera=CAMERA, seed=seed, n_bias=4, n_flat=4)
        for path in truth.biases:  # as cameras of 12 bits write them: the former rule took their type into the hash
            _rewrite(path, STORED["int16"], path)
        before = process(home, [raw])
        ids = {frame.id for frame in _frames(home)}
        _forget_rule(home, truth.biases)
        for path in truth.paths:
            for name in types:
                copy = raw / name / path.name
                _rewrite(path, STORED[name], copy)
            (raw / f"{path.stem}-zipped.fits.gz").write_bytes(gzip.compress(path.read_bytes()))
        after = process(home, [raw])
        frames = _frames(home)
        assert {frame.id for frame in frames} == ids, "a frame of the old home has become another"
        assert all(len(frame.paths) == 2 + len(types) for frame in frames)
        assert {frame.sha256 for frame in frames} == {pixel_sha256(fits.getdata(path)) for path in truth.paths}
        assert _counts(after) == _counts(before)
        assert not health(home).disagreements
        return len(truth.paths) * (2 + len(types))


def _forget_rule(home: Home, paths: tuple[Path, ...]) -> None:
    """Make the record what it was under the former rule, read by other rules than those in force."""
    with home.write_session() as session:
        for path in paths:
            data = fits.getdata(path)
            known = {"now": pixel_sha256(data), "before": former_sha256(data)}
            assert known["now"] != known["before"]
            session.execute(text("UPDATE frame SET sha256 = :before WHERE sha256 = :now"), known)
        session.execute(text("UPDATE frame SET identified_with = :old"), {"old": hashlib.sha256(b"old").hexdigest()})


def _equal_pixels(seed: int) -> int:
    """A dead converter, a simulator and two cameras that share a picture."""
    with _home() as (home, raw):
        for name, n_cameras, pixels in (
            ("dead", 1, lambda data: np.full_like(data, 7)),
            ("simulator", 1, lambda data: data),
            ("shared", 2, lambda data: data + 1),
        ):
            for number in range(n_cameras):
                camera = f"{name}{number}"
                truth = simple_night(raw / camera, camera=CAMERA, instrument=camera, seed=seed, n_bias=5, n_flat=4)
                first = fits.getdata(truth.biases[0])
                for path in truth.paths:
                    _rewrite(path, partial(_same, pixels(first)), path)
        answer = process(home, [raw])
        assert answer["characterisations"] == answer["masters"] == []
        state = health(home)
        told = [one["told"] for one in state.disagreements]
        assert len(told) == 3
        assert [int(one.split()[0]) for one in told] == [9, 9, 18]
        assert all("hold exactly the same pixels" in one for one in told)
        assert any("camera" in one for one in told)
        assert "3 frames of several exposures" in state.judged.problems
        reasons = {row["reason"] for row in answer["excluded"]}
        assert len(reasons) == 3, reasons
        return 36


def _one_picture_again(seed: int) -> int:
    """Three files of one picture among good biases count for nothing."""
    with _home() as (home, raw):
        truth = simple_night(raw, camera=CAMERA, seed=seed, n_bias=7, n_flat=0)
        again = truth.biases[4:]
        for path in again:
            _rewrite(path, partial(_same, fits.getdata(again[0])), path)
        answer = process(home, [raw])
        assert [(row["kind"], row["n_combined"]) for row in answer["masters"]] == [("bias", 4)], answer["masters"]
        (reason,) = {row["reason"] for row in answer["excluded"] if "product" not in row}
        assert "3 files hold exactly the same pixels" in reason
        assert "counts for nothing" in reason
        return len(again)


def _overexposed(seed: int) -> int:
    """Flats that are saturated throughout are equal, too: told as what they are, and no illness of the home."""
    with _home() as (home, raw):
        truth = simple_night(raw, camera=CAMERA, seed=seed, n_bias=4, n_flat=4)
        for path in truth.flats:
            _rewrite(path, lambda data: np.full_like(data, 65532), path)
        answer = process(home, [raw])
        assert [row["kind"] for row in answer["masters"]] == ["bias"]
        (reason,) = {row["reason"] for row in answer["excluded"] if "product" not in row}
        assert "4 files hold exactly the same pixels, all of 65532 ADU" in reason
        assert "saturated throughout" in reason
        concerns = {one.kind for one in health(home).judged.attention}
        assert not concerns & {"several exposures", "disagreement"}
        return len(truth.flats)


def _same(image: npt.NDArray[Any], _: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return image


@contextmanager
def _home() -> Iterator[tuple[Home, Path]]:
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        home = open_home(Path(directory) / "home")
        yield home, Path(directory) / "raw"
        home.engine.dispose()


def _rewrite(path: Path, pixels: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], target: Path) -> None:
    with fits.open(path) as hdus:
        cards = {name: hdus[0].header[name] for name in hdus[0].header if name not in _OF_STRUCTURE}
        hdu = fits.PrimaryHDU(pixels(hdus[0].data))
    hdu.header.update(cards)
    target.parent.mkdir(parents=True, exist_ok=True)
    hdu.writeto(target, overwrite=True)


_OF_STRUCTURE = {"SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "EXTEND", "BSCALE", "BZERO"}


def _frames(home: Home) -> list[FrameOnRecord]:
    with home.read_session() as session:
        return [frame for frame in list_frames(session) if frame.paths]


def _counts(answer: dict[str, Any]) -> Any:
    masters = [(row["kind"], row["n_combined"]) for row in answer["masters"]]
    return masters, [(row["n_bias"], row["n_flat"], row["gain_uncertainty"]) for row in answer["characterisations"]]
