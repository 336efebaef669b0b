"""Masters in other programs: Siril, IRAF and astropy's ccdproc calibrate a frame of known truth with them, as we do.

The frame has no noise of its own, so that what is left of it is what masters and programs add. Three things are
compared, in units of the noise that a real frame would have in each pixel: the program's result, the same arithmetic
in numpy, and the light that the truth is made of.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ccdproc
import numpy as np
import numpy.typing as npt
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.reduction.master import MaskBit
from flows.calibration.steps import STEPS
from tests.conftest import skip_or_fail
from tests.support.command import ccdwatch
from tests.support.pixinsight import read_xisf
from tests.support.simulate import Camera, expose, standard_cards, uniform_light, write_frame

Image = npt.NDArray[np.float64]

GAIN, READ_NOISE_E, BIAS_ADU, SKY_E = 1.5, 5.0, 1000.0, 3000.0
SHAPE, PRESCAN = (128, 256), 24
EXPOSURE_S = 100.0
MOST = 0.1
"""Of the noise of a pixel, RMS: how far results may be apart."""
BEGIN = datetime(2022, 9, 19, 20, tzinfo=UTC)
SETTINGS = {"SET-TEMP": -20.0, "GAIN": 100, "OFFSET": 50, "READOUTM": "Fast", "TELESCOP": "C14"}


def camera(prescan: int) -> Camera:
    rows, columns = SHAPE
    overscan = Section(1, prescan, 1, rows) if prescan else None
    amplifier = Amplifier("1", Section(prescan + 1, prescan + columns, 1, rows), overscan)
    return Camera(GAIN, READ_NOISE_E, BIAS_ADU, (rows, columns + prescan), (amplifier,), pattern_adu=0.0)


def sections(of: Camera) -> dict[str, str]:
    (one,) = of.amplifiers
    if one.overscan is None:
        return {}
    data, detector = str(one.data), str(Section.whole(SHAPE))
    return {"DATASEC": data, "TRIMSEC": data, "BIASSEC": str(one.overscan), "CCDSEC": detector}


@dataclass(frozen=True)
class Night:
    """A raw frame in ADU, the masters to calibrate it with, the truth of its light, and where that is."""

    home: Path
    raw: Path
    masters: dict[str, Path]
    truth: Image
    noise: Image
    light: tuple[slice, slice]

    @property
    def overscan(self) -> slice | None:
        """Columns."""
        return slice(0, self.light[1].start) if self.light[1].start else None

    def pixels(self, path: Path) -> Image:
        return np.asarray(fits.getdata(path), dtype=np.float64)

    def by_hand(self) -> Image:
        """Return the light by the same arithmetic, in ADU."""
        raw = self.pixels(self.raw)
        level = np.median(raw[:, self.overscan], axis=1)[:, np.newaxis] if self.overscan else 0.0
        bias, dark, flat = (self.pixels(self.masters[kind])[self.light] for kind in ("bias", "dark", "flat"))
        return np.asarray(((raw - level)[self.light] - bias - dark) / flat)

    def is_matched_by(self, result: Image) -> None:
        """See that a program's result is that, and the truth."""
        for expected in (self.by_hand(), self.truth):
            assert np.sqrt(np.mean(((result - expected) / self.noise) ** 2)) <= MOST


@pytest.fixture(scope="module", params=[0, PRESCAN], ids=["no overscan", "overscan"])
def night(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Calibration frames of a night, made into masters by the main job, and a science frame of the same night."""
    folder, of, rng = tmp_path_factory.mktemp("night"), camera(request.param), np.random.default_rng(5)
    response = uniform_light(of.shape, 1.0, vignetting=0.3, prnu=0.02)
    dark_e = np.where(np.random.default_rng(3).random(of.shape) < 0.01, 500.0, 5.0)
    kinds = [("bias", 30, 0.0, None), ("dark", 20, EXPOSURE_S, dark_e), ("flat", 20, 5.0, 45_000 * response)]
    begin = BEGIN
    for kind, n, exposure_s, electrons in kinds:
        for number in range(n):
            begin += timedelta(seconds=exposure_s + 5)
            pixels = expose(of, rng, 0.0 if electrons is None else electrons)
            cards = standard_cards(kind, begin, exposure_s, filter_name="V" if kind == "flat" else None)
            cards |= {**SETTINGS, **sections(of), "CCD-TEMP": -20 + 0.1 * (number % 2)}
            write_frame(folder / "frames" / f"{kind}{number:02d}.fits", pixels, cards)
    (home := folder / "home").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.calibration.engine.STEPS", [step for step in STEPS if step.is_urgent])
        answer = ccdwatch("process", folder / "frames", "--home", home, "--json").json()
    masters = {row["kind"]: Path(row["path"]) for row in answer["masters"] if row["kind"] in ("bias", "dark", "flat")}

    light = of.amplifiers[0].data.slices
    lit = np.zeros(of.shape)
    lit[light] = 1
    flat = response / response[light].mean()
    raw = BIAS_ADU + lit * (dark_e + SKY_E * flat) / GAIN
    cards = standard_cards("flat", begin, EXPOSURE_S, filter_name="V") | SETTINGS | sections(of)
    science = write_frame(folder / "science.fits", np.rint(raw).astype(np.uint16), cards | {"IMAGETYP": "Light Frame"})
    noise = np.sqrt(READ_NOISE_E**2 + dark_e + SKY_E * flat) / GAIN / flat
    return Night(home, science, masters, np.full(SHAPE, SKY_E / GAIN), noise[light], light)


def test_headers_say_what_other_programs_match_by(night: Night) -> None:
    for kind, path in night.masters.items():
        header = fits.getheader(path)
        kept = {**SETTINGS, "XBINNING": 1, "INSTRUME": "testcam", "IMAGETYP": f"Master {kind.title()}"}
        assert {keyword: header[keyword] for keyword in kept} == kept
        assert header["CCD-TEMP"] == pytest.approx(-19.95)
        assert header["EXPTIME"] == {"bias": 0.0, "dark": EXPOSURE_S, "flat": 5.0}[kind]
        assert header.get("FILTER") == ("V" if kind == "flat" else None)
        assert header["EGAIN"] == pytest.approx(GAIN, abs=3 * header["EGAINERR"])
        assert header["RDNOISE"] == pytest.approx(READ_NOISE_E, abs=3 * header["RDNOIERR"])
        assert not {"BZERO", "TRIMSEC", "BIASSEC", "OBJECT"} & set(header)
        assert header["DATASEC"] == f"[{night.light[1].start + 1}:{night.light[1].stop},1:{SHAPE[0]}]"


def test_ccdwatch(night: Night, tmp_path: Path) -> None:
    said = ccdwatch("calibrate", night.raw, "--home", night.home, "-o", tmp_path)
    assert said.status == 0, said.err
    ccd = CCDData.read(tmp_path / "science_calibrated.fits")
    assert ccd.unit == u.adu
    night.is_matched_by(ccd.data[night.light])
    mask = fits.getdata(tmp_path / "science_calibrated.fits", "MASK")[night.light]
    assert set(np.unique(mask)) == {0, MaskBit.HOT}  # as the mask of bad pixels has it, of one in a hundred
    np.testing.assert_allclose(ccd.uncertainty.array[night.light], night.noise, rtol=0.15)


def exported(night: Night, program: str, folder: Path) -> tuple[Path, dict[str, Path], dict[str, str]]:
    """The folder that `ccdwatch export` makes for a program; the files in it, and why there are no others, by kind."""
    said = ccdwatch("export", "--for", program, folder, "--home", night.home, "--format", "json")
    assert said.status == 0, said.err
    files = {row["kind"]: Path(row["file"]) for row in said.json() if row["state"] == "written"}
    return folder / "testcam", files, {row["kind"]: row["reason"] for row in said.json() if row["state"] == "left out"}


def test_ccdproc(night: Night, tmp_path: Path) -> None:
    folder, _, left_out = exported(night, "ccdproc", tmp_path)
    assert not left_out
    masters = ccdproc.ImageFileCollection(folder, glob_include="*.fits")
    science = CCDData.read(night.raw, unit="adu")
    (bias,) = masters.ccds(imagetyp="Master Bias")
    (dark,) = masters.ccds(imagetyp="Master Dark", exptime=EXPOSURE_S)
    (flat,) = masters.ccds(imagetyp="Master Flat", filter="V")
    if night.overscan:
        science = ccdproc.subtract_overscan(science, overscan=science[:, night.overscan], median=True)
    science = ccdproc.subtract_bias(science, bias)
    science = ccdproc.subtract_dark(science, dark, exposure_time="EXPTIME", exposure_unit=u.second)
    science = ccdproc.flat_correct(science, flat, norm_value=1)
    assert science.unit == u.adu
    night.is_matched_by(science.data[night.light])


def test_iraf(night: Night, tmp_path: Path) -> None:
    if shutil.which("irafcl") is None or not Path("/usr/lib/iraf/noao").is_dir():
        skip_or_fail("iraf", "no IRAF on this machine: install Debian's packages iraf and iraf-noao")
    shutil.copyfile(night.raw, tmp_path / "raw.fits")
    for kind, path in night.masters.items():
        shutil.copyfile(path, tmp_path / f"{kind}.fits")
    before = [(tmp_path / f"{kind}.fits").read_bytes() for kind in night.masters]
    overscan = 'yes, trim=yes, biassec="image", trimsec="image", function="median"' if night.overscan else "no, trim=no"
    script = f"""
noao
imred
ccdred
ccdred.instrument = ""
ccdred.pixeltype = "real real"
ccdproc ("raw", output="reduced", ccdtype="", fixpix=no, overscan={overscan}, zerocor=yes, darkcor=yes, flatcor=yes,\\
illumcor=no, fringecor=no, readcor=no, scancor=no, zero="bias.fits[0]", dark="dark.fits[0]", flat="flat.fits[0]",\\
interactive=no)
logout
"""
    user = {"HOME": str(tmp_path), "USER": "observer", "LOGNAME": "observer"}
    done = run(["irafcl"], tmp_path, script, user)
    assert (tmp_path / "reduced.fits").exists(), done.stdout
    night.is_matched_by(night.pixels(tmp_path / "reduced.fits"))
    # Without its own cards IRAF reduces a master as it does a raw frame, and writes over it.
    assert [(tmp_path / f"{kind}.fits").read_bytes() for kind in night.masters] == before


def test_siril(night: Night, tmp_path: Path) -> None:
    """Siril subtracts no overscan, and scales light by the mean of the flat's central ninth."""
    _, masters, left_out = exported(night, "siril", tmp_path / "masters")
    assert ("bias" in left_out) == bool(night.overscan)
    if shutil.which("siril-cli") is None:
        skip_or_fail("siril", "no Siril on this machine: install Debian's package siril")
    if night.overscan:
        pytest.skip("Siril subtracts no overscan")
    for number in (1, 2):  # what it takes for a sequence
        shutil.copyfile(night.raw, tmp_path / f"raw_{number:05d}.fit")
    masters = " ".join(f"-{kind}={path.with_suffix('')}" for kind, path in masters.items())
    version = run(["siril-cli", "--version"], tmp_path).stdout.split()[-1].split(".")
    command = "preprocess" if int(version[0]) == 1 and int(version[1]) < 2 else "calibrate"
    script = f"requires 1.0.0\nset32bits\n{command} raw_ {masters}\n"
    (tmp_path / "calibrate.ssf").write_text(script)
    done = run(
        ["siril-cli", "-d", tmp_path, "-s", tmp_path / "calibrate.ssf"], tmp_path, environment={"HOME": str(tmp_path)}
    )
    assert (tmp_path / "pp_raw_00001.fit").exists(), done.stdout + done.stderr
    middle = tuple(slice(size // 3, 2 * size // 3) for size in SHAPE)
    scale = 65535 / night.pixels(night.masters["flat"])[middle].mean()
    night.is_matched_by(night.pixels(tmp_path / "pp_raw_00001.fit") * scale)


def test_pixinsight_by_its_own_arithmetic(night: Night, tmp_path: Path) -> None:
    """There is no PixInsight here: what its WBPP does with a raw frame of 16 bits and files of XISF, in numpy."""
    _, masters, left_out = exported(night, "wbpp", tmp_path)
    if night.overscan:
        assert left_out.keys() >= {"bias", "dark"}
        assert masters.keys() == {"flat"}
        return
    images = {kind: read_xisf(path) for kind, path in masters.items()}
    for kind, image in images.items():
        assert image.about["imageType"] == f"Master{kind.title()}"
        assert image.cards["IMAGETYP"] == f"'Master {kind.title()}'"
        assert float(image.cards["EXPTIME"]) == {"bias": 0.0, "dark": EXPOSURE_S, "flat": 5.0}[kind]
        assert image.cards["XBINNING"] == "1"
    dark, flat = images["dark"].pixels, images["flat"].pixels
    result = (night.pixels(night.raw) / 65535 - dark) / (flat / flat.mean())
    scale = 65535 / night.pixels(night.masters["flat"]).mean()
    night.is_matched_by(result * scale)
    np.testing.assert_allclose(images["bias"].pixels * 65535, night.pixels(night.masters["bias"]), atol=0.01)


def test_fitsverify(night: Night) -> None:
    if shutil.which("fitsverify") is None:
        skip_or_fail("fitsverify", "no fitsverify on this machine: install Debian's package fitsverify")
    for path in night.masters.values():
        done = run(["fitsverify", path], path.parent)
        assert "Verification found 0 warning(s) and 0 error(s)" in done.stdout, done.stdout


def run(
    command: list[str | Path], folder: Path, typed: str = "", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        input=typed,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
