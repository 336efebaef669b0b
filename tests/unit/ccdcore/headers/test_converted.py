"""Numbers that a camera or a program changed, as its cards say: Andor's switches, SBIG's pedestal."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from ccdcore.headers.identify import identify
from ccdcore.photon_transfer.measure import PhotonTransfer, measure_gain
from tests.support.simulate import Camera, expose

CAMERA = Camera(1.5, 5.0, 500.0, shape=(96, 96))


@pytest.mark.parametrize(
    ("cards", "said"),
    [
        ({"CNTCVTMD": 1}, "CNTCVTMD is 1"),
        ({"COUNTCONVERTMODE": 2}, "COUNTCONVERTMODE is 2"),
        ({"DATATYPE": "Electrons"}, "DATATYPE is 'Electrons'"),
        ({"SPSNFLTR": 1}, "SPSNFLTR = 1: spurious noise was filtered out"),
        ({"PHOTONCOUNTINGENABLED": 1}, "photons were counted"),
        ({"CNTCVTMD": 0, "CNTCVT": 1, "DATATYPE": "Counts", "SPSNFLTR": 0, "PCNTENLD": 0, "AVGFCTR": 1}, None),
    ],
)
def test_what_the_camera_made_of_its_numbers(cards: dict[str, object], said: str | None) -> None:
    info = identify({"IMAGETYP": "flat", **cards}, filename="a.fits", shape=(8, 8))
    assert info.n_averaged == 1
    assert (said or "") in info.frame_type_reason
    assert ("camera" in info.frame_type_reason) == (said is not None)


@pytest.mark.parametrize("keyword", ["NUMACC", "AVERAGINGFACTOR", "AVGFCTR"])
def test_accumulations_are_counted(keyword: str) -> None:
    assert identify({keyword: 10}, filename="flat.fits", shape=(8, 8)).n_averaged == 10


def measured(
    folder: Path, biases: dict[str, object], flats: dict[str, object], shift_adu: float = 0.0
) -> PhotonTransfer:
    rng = np.random.default_rng(1)
    paths: dict[str, list[Path]] = {"bias": [], "flat": []}
    for kind, cards, light in (("bias", biases, 0.0), ("flat", flats, 15_000.0)):
        for number in range(3):
            pixels = expose(CAMERA, rng, np.full(CAMERA.shape, light)) - (shift_adu if kind == "flat" else 0)
            unit = fits.PrimaryHDU(pixels.astype(np.uint16))
            unit.header.update({"IMAGETYP": kind, "EXPTIME": 0.0 if kind == "bias" else 3.0, **cards})
            paths[kind].append(folder / f"{kind}{number}.fits")
            unit.writeto(paths[kind][-1])
    (result,) = measure_gain(paths["bias"], paths["flat"])
    return result


@pytest.mark.parametrize(
    ("biases", "flats", "n_doubts"),
    [
        ({}, {"PEDESTAL": -100}, 1),
        ({"PEDESTAL": 0}, {"PEDESTAL": "100"}, 1),
        ({"PEDESTAL": -100}, {}, 1),
        ({"PEDESTAL": -100}, {"PEDESTAL": -100.0}, 0),
        ({"PEDESTAL": 0}, {}, 0),
    ],
)
def test_a_pedestal_of_some_frames_only(
    tmp_path: Path, biases: dict[str, object], flats: dict[str, object], n_doubts: int
) -> None:
    result = measured(tmp_path, biases, flats, shift_adu=400.0 if n_doubts else 0.0)
    assert len(result.doubts) == len(result.flat_doubts) == n_doubts
    assert all("PEDESTAL is" in doubt and "give raw frames" in doubt for doubt in result.doubts)
    assert result.bias_doubts == ()
