"""Amplifiers from section cards."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.headers.amplifiers import ImageHdu, header_amplifiers
from ccdcore.headers.instrument import Instrument
from ccdcore.io.read import read_frame, read_header
from ccdcore.masters.build import master_bias
from ccdcore.photon_transfer.measure import measure_gain
from ccdcore.recipe import BiasRecipe
from tests.support.simulate import Camera, expose, standard_cards, uniform_light

SHAPE = (64, 120)
WHOLE = [("1", "[1:120,1:64]", None)]
NO_SECTIONS = "the whole image: no header card names a section"

HEADERS = {
    "none": ({}, WHOLE, NO_SECTIONS),
    "LCO": ({"DATASEC": "UNKNOWN", "TRIMSEC": "", "BIASSEC": "UNKNOWN", "CCDSEC": "UNKNOWN"}, WHOLE, NO_SECTIONS),
    "zeros": ({"DATASEC": "[1:110,1:64]", "BIASSEC": "[0:0, 0:0]"}, [("1", "[1:110,1:64]", None)], "DATASEC"),
    "IRAF": (
        {"DATASEC": "[1:100,1:64]", "TRIMSEC": "[3:98,2:63]", "BIASSEC": "[103:120,1:64]", "CCDSEC": "[1:900,1:900]"},
        [("1", "[1:100,1:64]", "[103:120,1:64]")],
        "DATASEC, BIASSEC",
    ),
    "trim only": (
        {"TRIMSEC": "[3:98,2:63]", "BIASSEC": "[103:120,1:64]"},
        [("1", "[3:98,2:63]", "[103:120,1:64]")],
        "TRIMSEC, BIASSEC",
    ),
    "flipped": (
        {"DATASEC": "[100:1,1:64]", "BIASSEC": "[120:103,1:64]"},
        [("1", "[1:100,1:64]", "[103:120,1:64]")],
        "DATASEC, BIASSEC",
    ),
    "numbered": (
        {"DATASEC1": "[1:50,1:64]", "BIASSEC1": "[101:110,1:64]", "DATASEC2": "[51:100,1:64]"}
        | {"BIASSEC2": "[111:120,1:64]", "DATASEC": "[1:100,1:64]", "BIASSEC": "[101:120,1:64]", "DATASECX": "?"},
        [("1", "[1:50,1:64]", "[101:110,1:64]"), ("2", "[51:100,1:64]", "[111:120,1:64]")],
        "DATASEC1, DATASEC2, BIASSEC1, BIASSEC2",
    ),
    "lettered": (
        {"DATASECA": "[1:50,1:64]", "DATASECB": "[51:100,1:64]", "TRIMSEC": "[1:100,1:64]", "BIASSECA": "UNKNOWN"},
        [("A", "[1:50,1:64]", None), ("B", "[51:100,1:64]", None)],
        "DATASECA, DATASECB",
    ),
    "ARC": (
        {"DSEC11": "[1:50,1:32]", "BSEC11": "[101:110,1:32]", "DSEC12": "[51:100,1:32]", "BSEC12": "[111:120,1:32]"}
        | {"DSEC21": "[1:50,33:64]", "BSEC21": "[101:110,33:64]", "DSEC22": "[51:100,33:64]", "CSEC11": "[1:99,1:99]"},
        [
            ("11", "[1:50,1:32]", "[101:110,1:32]"),
            ("12", "[51:100,1:32]", "[111:120,1:32]"),
            ("21", "[1:50,33:64]", "[101:110,33:64]"),
            ("22", "[51:100,33:64]", None),
        ],
        "DSEC11, DSEC12, DSEC21, DSEC22, BSEC11, BSEC12, BSEC21",
    ),
    "unbinned": (
        {"DATASEC": "[1:200,1:128]", "BIASSEC": "[201:240,1:128]"},
        WHOLE,
        "the whole image: DATASEC = '[1:200,1:128]' does not fit its 120 columns and 64 rows (in pixels before binning",
    ),
    "overscan outside": (
        {"DATASEC": "[1:100,1:64]", "BIASSEC": "[101:140,1:64]"},
        WHOLE,
        "the whole image: BIASSEC = '[101:140,1:64]' does not fit",
    ),
    "overlapping": (
        {"DATASEC": "[1:120,1:64]", "BIASSEC": "[110:120,1:64]"},
        WHOLE,
        "the whole image: its header's sections [1:120,1:64] and [110:120,1:64] overlap",
    ),
    "amplifiers that overlap": (
        {"DSEC1": "[1:60,1:64]", "DSEC2": "[60:100,1:64]"},
        WHOLE,
        "the whole image: its header's sections [1:60,1:64] and [60:100,1:64] overlap",
    ),
    "overscan alone": (
        {"BIASSEC": "[3:52,1:64]"},
        WHOLE,
        "the whole image: BIASSEC = '[3:52,1:64]' stands without a DATASEC",
    ),
    "ESO": (
        {f"ESO DET OUT1 {word}": n for word, n in {"NX": 102, "NY": 60, "PRSCX": 6, "OVSCX": 12, "OVSCY": 4}.items()},
        WHOLE,
        "the whole image: the first 6 columns and the last 12 columns and the last 4 rows are overscan, says ESO DET ",
    ),
    "ESO, before binning": (
        {f"ESO DET OUT1 {word}": n for word, n in {"NX": 200, "NY": 128, "PRSCX": 40}.items()},
        WHOLE,
        NO_SECTIONS,
    ),
    "ESO, no margin": (
        {f"ESO DET OUT1 {word}": n for word, n in {"NX": 120, "NY": 64, "PRSCX": 0}.items()},
        WHOLE,
        NO_SECTIONS,
    ),
    "garbled": (
        {"DATASEC": "1-100, 1-64"},
        WHOLE,
        "the whole image: DATASEC: '1-100, 1-64' is not an image section",
    ),
}


def described(amplifiers: tuple[Amplifier, ...]) -> list[tuple[str, str, str | None]]:
    return [(one.name, str(one.data), one.overscan and str(one.overscan)) for one in amplifiers]


@pytest.mark.parametrize("name", HEADERS)
def test_amplifiers_and_their_reason(name: str) -> None:
    cards, expected, reason = HEADERS[name]
    amplifiers, because = header_amplifiers([ImageHdu("1", cards, SHAPE)])
    assert described(amplifiers) == expected
    assert because.startswith(reason)


sections = st.builds(
    lambda x, y, *_: f"[{x[0]}:{x[1]},{y[0]}:{y[1]}]",
    *[st.tuples(st.integers(0, 140), st.integers(0, 140))] * 2,
)


@given(
    st.dictionaries(
        st.sampled_from(["DATASEC", "BIASSEC", "TRIMSEC", "DATASEC1", "BIASSEC1", "DSEC2", "BSEC2", "TSEC11"]),
        st.one_of(sections, st.text(), st.integers()),
    )
)
def test_no_section_card_is_believed_that_does_not_fit(cards: dict[str, object]) -> None:
    amplifiers, because = header_amplifiers([ImageHdu("1", cards, SHAPE)])
    assert amplifiers
    assert because
    for one in amplifiers:
        assert one.data.fits(SHAPE)
        assert one.overscan is None or (one.overscan.fits(SHAPE) and not one.data.overlaps(one.overscan))


def test_each_extension_of_a_mosaic_has_its_sections_in_its_place(tmp_path: Path) -> None:
    parts = [fits.ImageHDU(np.full((8, 10 + n), n, np.uint16), name=f"im{n}") for n in (1, 2, 3)]
    for part, sections_of in zip(parts, [("[1:9,1:8]", "[10:11,1:8]"), ("[3:12,1:8]", "[1:2,1:8]"), None], strict=True):
        if sections_of:
            part.header["DATASEC"], part.header["BIASSEC"] = sections_of
    primary = fits.PrimaryHDU()
    primary.header["DATASEC"] = "[1:4000,1:4000]"  # of the whole detector
    path = tmp_path / "mosaic.fits"
    fits.HDUList([primary, *parts]).writeto(path)
    frame = read_frame(path)
    assert described(frame.amplifiers) == [
        ("IM1", "[1:9,1:8]", "[10:11,1:8]"),
        ("IM2", "[14:23,1:8]", "[12:13,1:8]"),
        ("IM3", "[24:36,1:8]", None),
    ]
    assert [set(frame.data[one.data.slices].ravel().tolist()) for one in frame.amplifiers] == [{1}, {2}, {3}]
    assert frame.amplifiers_reason == (
        "3 image extensions; extension IM1: DATASEC, BIASSEC; extension IM2: DATASEC, BIASSEC; "
        f"extension IM3: {NO_SECTIONS}"
    )


def test_two_amplifiers_in_each_extension_are_named_by_both() -> None:
    cards = {"DATASECA": "[1:50,1:64]", "DATASECB": "[51:100,1:64]"}
    amplifiers, because = header_amplifiers([ImageHdu("N1", cards, SHAPE), ImageHdu("N2", cards, SHAPE, 120)])
    assert [(one.name, str(one.data)) for one in amplifiers][1:3] == [
        ("N1-B", "[51:100,1:64]"),
        ("N2-A", "[121:170,1:64]"),
    ]
    assert because == "2 image extensions; DATASECA, DATASECB"


def test_the_entry_wins_over_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU(np.zeros(SHAPE, np.uint16))
    hdu.header["DATASEC"] = "[1:100,1:64]"
    hdu.writeto(path)
    entry = Instrument("cam", amplifiers=(Amplifier("left", Section(1, 60, 1, 64)),))
    header = read_header(path, instruments=[entry])
    assert (header.amplifiers, header.amplifiers_reason) == (entry.amplifiers, "entry cam")
    assert read_header(path).amplifiers_reason == "DATASEC"


def test_a_camera_whose_level_drifts_gives_its_truth_through_its_section_cards(tmp_path: Path) -> None:
    """The overscan of each frame takes off a bias level that wanders by 30 ADU."""
    amplifiers = (
        Amplifier("11", Section(1, 200, 1, 150), Section(401, 424, 1, 150)),
        Amplifier("12", Section(201, 400, 1, 150), Section(425, 448, 1, 150)),
    )
    camera = Camera((1.5, 0.8), (5.0, 6.0), (1000.0, 1400.0), (150, 448), amplifiers)
    rng = np.random.default_rng(7)
    cards = {
        f"{word}SEC{one.name}": str(of) for one in amplifiers for word, of in (("D", one.data), ("B", one.overscan))
    }
    paths: dict[str, list[Path]] = {"bias": [], "flat": []}
    light = uniform_light(camera.shape, 20_000.0, vignetting=0.4)
    for number, kind in enumerate(["bias"] * 8 + ["flat"] * 6):
        begin = datetime(2022, 9, 19, 18, tzinfo=UTC) + timedelta(minutes=number)
        data = expose(camera, rng, light if kind == "flat" else 0.0, bias_offset_adu=float(rng.uniform(-30, 30)))
        hdu = fits.PrimaryHDU(data)
        hdu.header.update(standard_cards(kind, begin, 0.0 if kind == "bias" else 5.0) | cards)
        paths[kind].append(tmp_path / f"{number}.fits")
        hdu.writeto(paths[kind][-1])

    results = measure_gain(paths["bias"], paths["flat"])
    assert [result.amplifier for result in results] == ["11", "12"]
    for result, gain, noise in zip(results, (1.5, 0.8), (5.0, 6.0), strict=True):
        assert result.gain_e_per_adu is not None
        assert abs(result.gain_e_per_adu - gain) < 4 * result.gain_uncertainty
        assert abs(result.read_noise_e - noise) < 4 * result.read_noise_uncertainty

    master = master_bias([read_frame(path) for path in paths["bias"]], recipe=BiasRecipe())
    for one in amplifiers:
        assert abs(master.value[one.data.slices].mean()) < 0.2
