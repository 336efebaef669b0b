"""Readers: what hostile files do to them, and that it harms nobody else."""

import gzip
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from ccdcore.errors import CcdError, FrameReadError
from ccdcore.headers.instrument import Instrument
from ccdcore.io.read import measure_frame
from ccdcore.io.stream import claimed_bytes
from ccdcore.io.structure import SMALL_BYTES
from flows.registration import reader_pool
from flows.registration.reader_pool import Readers, ReaderStartError, ReadingError
from tests.faults.hostile import PLAIN, TABLE, Hostile


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    """They have all the time that a busy machine needs; what is said of time, the tests of it say."""
    with pytest.MonkeyPatch.context() as patch, Readers(()) as readers:
        patch.setattr(reader_pool, "SECONDS", 600.0)
        yield readers


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.fits"
    path.write_bytes(PLAIN)
    return path


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name.replace(" ", "-").replace("/", ""))
def test_the_table_of_hostile_files(readers: Readers, tmp_path: Path, row: Hostile) -> None:
    path = tmp_path / "hostile.fits"
    row.make(path)
    try:
        said = readers.measure(path).info.frame_type_reason
        accepted = True
    except (CcdError, ReadingError) as error:
        said, accepted = str(error), False
    assert accepted is row.accepted
    assert row.said in said
    path.unlink()


def test_a_reader_measures_what_is_measured_here(readers: Readers, good: Path) -> None:
    assert readers.measure(good) == measure_frame(good)


def test_why_a_file_is_refused_survives_the_way(readers: Readers, good: Path) -> None:
    os.truncate(good, 5000)
    with pytest.raises(FrameReadError) as caught:
        readers.measure(good)
    assert (caught.value.path, caught.value.incomplete) == (good, True)
    assert caught.value.reason.startswith("is cut off")


def test_a_reader_that_is_killed_costs_one_file(readers: Readers, good: Path) -> None:
    readers.measure(good)
    for one in readers._all:
        if one._process is not None:
            os.kill(one._process.pid or 0, signal.SIGSEGV)
    ends = []
    for _ in range(2 * reader_pool.READERS):
        try:
            readers.measure(good)
        except ReadingError as error:
            ends.append(str(error))
    assert ends
    assert set(ends) == {"ended the process that read it (SIGSEGV)"}
    assert readers.measure(good).shape == (48, 64)


def test_a_reader_that_hangs_is_ended(tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no time at all here, so that it need not be kept waiting."""
    monkeypatch.setattr(reader_pool, "SECONDS", 1e-6)
    with Readers(()) as readers, pytest.raises(ReadingError, match="could not be read within 0 s"):
        readers.measure(good)


def test_a_reader_that_does_not_answer_is_given_up(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Readers(()) as readers:
        readers.measure(good)
        (held,) = [one for one in readers._all if one._process is not None]
        assert held._process is not None
        os.kill(held._process.pid or 0, signal.SIGSTOP)  # as the kernel holds one on a folder whose server is gone
        monkeypatch.setattr(reader_pool, "SECONDS", 0.1)
        monkeypatch.setattr(reader_pool, "_GRACE_SECONDS", 0.1)
        ends = []
        for _ in range(reader_pool.READERS):
            try:
                readers.measure(good)
            except ReadingError as error:
                ends.append(str(error))
        assert "could not be read within 0 s" in ends
        monkeypatch.undo()
        assert readers.measure(good).shape == (48, 64)


def entry_after(do: Callable[[float], object], seconds: float) -> Instrument:
    do(seconds)
    return Instrument("late", match={"INSTRUME": "late"})


class Late:
    """An entry that takes a reader its time to unpickle, as does what it imports on a busy machine."""

    def __init__(self, do: Callable[[float], object], seconds: float) -> None:
        self._does = do, seconds

    def __reduce__(self) -> tuple[object, ...]:
        return entry_after, self._does


def test_the_time_a_reader_takes_to_start_is_none_of_the_files(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_pool, "SECONDS", 3.0)
    monkeypatch.setattr(reader_pool, "_GRACE_SECONDS", 0.0)
    with Readers((Late(time.sleep, 6),)) as readers:  # type: ignore[arg-type]
        assert readers.measure(good).shape == (48, 64)


def test_a_reader_that_does_not_start_is_told_and_not_blamed_on_the_file(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_pool, "START_SECONDS", 0.1)
    with (
        Readers((Late(time.sleep, 600),)) as readers,  # type: ignore[arg-type]
        pytest.raises(ReaderStartError, match="no process to read files was ready within 0 s: is this machine busy"),
    ):
        readers.measure(good)


def test_a_reader_that_ends_as_it_starts_is_told(good: Path) -> None:
    with (
        Readers((Late(os._exit, 3),)) as readers,  # type: ignore[arg-type]
        pytest.raises(ReaderStartError, match=r"could be started \(3\)"),
    ):
        readers.measure(good)


def test_each_try_may_take_twice_as_long(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_pool, "SECONDS", 1.0)
    with Readers(()) as readers:
        for tries, seconds in ((0, 1), (1, 2)):
            with pytest.raises(ReadingError, match=f"could not be read within {seconds} s"):
                readers.measure(good, check=partial(time.sleep, 60), tries=tries)


@pytest.mark.parametrize("ending", [".fits", ".fits.gz", ".fits.fz"])
def test_memory_is_that_of_the_pixels_not_of_what_they_are_compressed_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    pixels = np.full((2048, 2048), 1000, "i2")
    pixels[::64] += np.arange(2048, dtype="i2") % 7
    image = fits.CompImageHDU(pixels) if ending.endswith("fz") else fits.PrimaryHDU(pixels)
    path = tmp_path / f"large{ending}"
    image.writeto(path)
    if not ending.endswith("fits"):
        assert path.stat().st_size < pixels.nbytes / 20
    monkeypatch.setattr(reader_pool, "SECONDS", 600.0)
    monkeypatch.setattr(reader_pool, "MEMORY", 30 * 2**20)  # all of it in little, so that the test is short
    with Readers(()) as readers:
        assert readers.measure(path).shape == (2048, 2048)


def test_what_a_gzip_claims_beyond_what_it_can_hold_gives_it_no_more_memory(tmp_path: Path) -> None:
    path = tmp_path / "claims.fits.gz"
    path.write_bytes(gzip.compress(PLAIN)[:-4] + (2**32 - 1).to_bytes(4, "little"))
    assert claimed_bytes(path) == SMALL_BYTES
