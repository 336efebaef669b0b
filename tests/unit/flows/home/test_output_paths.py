"""Names of runs, tags and files: whatever a header says, an output stays in its place."""

import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flows.home.output_paths import MasterName, master_path, picture_path, reference_path, slug
from flows.runs.plan import run_name

NIGHT = date(2022, 9, 19)
HOSTILE = ("../../etc/passwd", "/etc/passwd", "..", ".", "", "   ", "-rf", ".hidden", "a\0b", "a\nb", "x" * 300, "Ω≈ç")


@given(st.text())
@example("../../x")
@example(".....")
def test_a_slug_is_a_plain_name(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,47}", slug(text))


@pytest.mark.parametrize("text", ["m2-ml", "g#782", "Bessell V", "bin1x1_readtime1e-06"])
def test_a_slug_keeps_what_it_can(text: str) -> None:
    assert slug(text) == re.sub(r"[# ]", "-", text)


def test_a_slug_of_nothing_is_a_name_too() -> None:
    assert slug("///") == "unknown"


def test_runs_are_named_by_what_they_do() -> None:
    assert run_name("m2-ml", NIGHT, "bin1x1") == "calibrate m2-ml 2022-09-19 bin1x1"


def test_paths_follow_the_contract() -> None:
    of_v = MasterName("flat", "bin1x1", "V", exposure_s=8.0)
    path = master_path(of_v, instrument="m2-ml", night=NIGHT, run_id=7)
    assert path == Path("masters/m2-ml/2022-09-19/flat_bin1x1_V_r7.fits")
    flat, dark, cold = (
        MasterName("flat", "bin1x1"),
        MasterName("dark", "bin1x1", exposure_s=600.0),
        MasterName("dark", "bin1x1", exposure_s=0.25, temperature_c=-20.0),
    )
    assert [reference_path(one, instrument="m2-ml").name for one in (flat, dark, cold)] == [
        "master_flat_bin1x1.fits",
        "master_dark_bin1x1_600s.fits",
        "master_dark_bin1x1_0.25s_-20C.fits",
    ]
    assert picture_path(run_id=7, name="photon transfer") == Path("pictures/r7/photon-transfer.png")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_header_leads_out_of_the_home(hostile: str, tmp_path: Path) -> None:
    named = MasterName("flat", hostile, hostile)
    for below in (
        master_path(named, instrument=hostile, night=NIGHT, run_id=1),
        reference_path(named, instrument=hostile),
        picture_path(run_id=1, name=hostile),
    ):
        assert not below.is_absolute()
        assert ".." not in below.parts
        path = tmp_path / below
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        assert path.resolve().is_relative_to(tmp_path.resolve())


@given(st.text(max_size=20), st.text(max_size=20))
@example("SDSS g'", "SDSS g")
@example("Hα", "Hβ")
@example(":", ";")
@example("x" * 50, "x" * 51)
def test_masters_of_one_run_do_not_meet_whatever_their_filters_are_called(one: str, two: str) -> None:
    names = [MasterName("flat", "c", name) for name in (one, two)]
    paths = [master_path(name, instrument="i", night=NIGHT, run_id=1) for name in names]
    assert (paths[0] == paths[1]) == (one == two)


def test_an_ordinary_name_is_used_as_it_is_and_an_odd_one_marked() -> None:
    names = [MasterName("flat", "bin2x2", name) for name in ("V", "g#782")]
    paths = [reference_path(name, instrument="efosc").name for name in names]
    assert paths[0] == "master_flat_bin2x2_V.fits"
    assert re.fullmatch(r"master_flat_bin2x2_g-782-[0-9a-f]{4}\.fits", paths[1])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Master flat V-2 frames", "Master flat V#2 frames"),
        ("Master flat V frames", "Master flat V# frames"),
        (f"Master flat {'x' * 48} frames", f"Master flat {'x' * 48} histogram"),
    ],
)
def test_pictures_of_names_that_differ_in_a_sign_do_not_take_each_others_place(one: str, other: str) -> None:
    assert slug(one) == slug(other)
    assert picture_path(run_id=1, name=one) != picture_path(run_id=1, name=other)
