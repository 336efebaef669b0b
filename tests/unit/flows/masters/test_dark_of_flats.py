"""Which master on record shows the hot pixels of flats that have no darks."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flows.masters import dark_of_flats

SHAPE = (4, 5)


@dataclass(frozen=True)
class Row:
    """A master on record, as far as it matters here."""

    id: int
    path: str
    temperature_c: float | None = -20.0
    kind: str = "dark"
    shape: tuple[int, int] = SHAPE


def shown(monkeypatch: pytest.MonkeyPatch, *rows: Row, at: float | None = -20.0) -> str | None:
    """Say in words where the hot pixels are taken from."""

    def read(path: Path, **_: bool) -> Any:
        (row,) = (one for one in rows if one.path == path.name)
        rate = SimpleNamespace(value=np.ones(row.shape), unit="adu/s")
        return SimpleNamespace(as_rate=lambda: rate)

    monkeypatch.setattr(dark_of_flats, "hot_pixels_on_record", lambda *_: list(rows))
    monkeypatch.setattr(dark_of_flats, "one_group", lambda _: SimpleNamespace(temperature_c=at))
    monkeypatch.setattr(dark_of_flats, "read_master", read)
    monkeypatch.setattr(dark_of_flats, "read_image", lambda _: np.zeros(SHAPE, np.uint8))
    home = SimpleNamespace(path=Path("/home"), read_session=nullcontext)
    run: Any = SimpleNamespace(home=home, row=SimpleNamespace(instrument="cam", configuration="bin1x1"))
    flat: Any = SimpleNamespace(value=np.ones(SHAPE))
    found = dark_of_flats._shown_on_record(run, [], [(10.0, 1000.0)], flat)
    return found and found[1]


def test_the_last_of_the_nearest_temperature_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Row(1, "a"), Row(2, "b"), Row(3, "warm", 10.0), Row(4, "mask", None, "mask")
    assert shown(monkeypatch, *rows) == "hot in b"
    assert shown(monkeypatch, *rows[::-1]) == "hot in b"
    assert shown(monkeypatch, *rows, at=5.0) == "hot in warm"


def test_masks_come_after_darks_and_those_of_another_shape_never(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Row(4, "of another shape", shape=(4, 4))
    assert shown(monkeypatch, other) is None
    assert shown(monkeypatch, other, Row(5, "mask", None, "mask")) == "hot in mask"


def test_a_pixel_is_spoilt_where_it_is_in_any_flats() -> None:
    """In short flats of little light as in long ones of much."""
    rate: Any = SimpleNamespace(value=np.array([[1.0, 0.2]]))
    found = dark_of_flats._spoilt(rate, [(1.0, 100.0), (10.0, 100_000.0)])
    assert found.tolist() == [[True, False]]
