"""Headers in the dialects of chance: type, time, night and site are right, or what is doubtful is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from ccdcore.frames.nights import night_of
from ccdcore.headers.identify import ExposureInfo, identify
from ccdcore.headers.instrument import FrameType

TYPES = {
    FrameType.BIAS: ("Bias Frame", "ZERO", "bias", "Offset", "BiasImage", "BIAS_FRAME", "zeroframe"),
    FrameType.DARK: ("Dark Frame", "DARK", "SINGLEDARK", "DarkFlat", "Flat Dark", "noir"),
    FrameType.FLAT: ("Flat Field", "FLAT", "SKYFLAT", "dome flat", "DmFlat", "FF", "TWILIGHT", "LAMPFLAT", "PLU"),
    FrameType.OTHER: ("LIGHT", "Light Frame", "object", "comp", "masterflat", "mbias", "Integration (Flat)", "focus"),
}
KEYWORDS = ("IMAGETYP", "OBSTYPE", "IMTYPE", "EXPTYPE", "FRAME", "KOAIMTYP")
TARGETS = ("M 31", "Flat Rock Nebula", "Dark Shark Nebula", "Bias (asteroid 1234)", "NGC 188", "Zero Point 7", "")
DATES = (
    *("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y/%m/%d %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p"),
    *(
        "%c",
        "%a, %d %b %Y %H:%M:%S GMT",
        "%d-%b-%Y %H:%M:%S",
        "%Y%m%dT%H%M%S",
        "%Y-%m-%dT%H-%M-%S",
        "%d.%m.%Y %H:%M:%S",
    ),
    *("%B %d, %Y %H:%M:%S", "%Y:%m:%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S CEST", "%d %b %y %H:%M:%S", "%m-%d-%Y %H:%M:%S"),
)
SITES = {"CTIO": -70.81, "KPNO": -111.6, "Palomar": -116.86, "La Palma": -17.88, "Siding Spring": 149.07}
WRITTEN = datetime(2026, 1, 5, 10, tzinfo=UTC)


def run(full: bool) -> str:
    n_headers, rng = 30_000 if full else 800, np.random.default_rng(38)
    right = told = 0
    for _ in range(n_headers):
        cards, kind, when, degrees = _header(rng)
        info = identify(cards, filename="a.fits", shape=(10, 10))
        wrong = list(_wrong(info, kind, when, degrees))
        silent = [word for word, card in wrong if card not in info.frame_type_reason]
        assert not silent, f"{silent} of {cards}: {info}"
        told += bool(wrong)
        right += not wrong
    return f"{n_headers} headers: {right} read right, of {told} a doubtful card told, 0 wrong without a word"


def _header(rng: np.random.Generator) -> tuple[dict[str, object], FrameType, datetime, float]:
    kind = list(TYPES)[rng.integers(len(TYPES))]
    cards: dict[str, object] = {str(rng.choice(KEYWORDS)): str(rng.choice(TYPES[kind])), "DATE": WRITTEN.isoformat()}
    cards |= {"OBJECT": str(rng.choice(TARGETS)), "EXPTIME": 0.0 if kind is FrameType.BIAS else 30.0}
    when = datetime(1998, 1, 1, tzinfo=UTC) + timedelta(seconds=int(rng.integers(8e8)))
    cards["DATE-OBS"] = when.strftime(str(rng.choice(DATES)))
    if rng.random() < 0.2:
        cards["MJD-OBS"] = (when - datetime(1858, 11, 17, tzinfo=UTC)) / timedelta(days=1)
    site = list(SITES)[rng.integers(len(SITES))]
    cards |= {"OBSERVAT": site, str(rng.choice(["LONGITUD", "SITELON", "OBS-LONG"])): _longitude(rng, SITES[site])}
    return cards, kind, when, SITES[site]


def _longitude(rng: np.random.Generator, degrees: float) -> object:
    """Spell a longitude: to the east or to the west, below or above 180, with letters, in degrees or in hours."""
    minutes = round(abs(degrees) * 60)
    letters = f"{minutes // 60:03}:{minutes % 60:02}:00{'E' if degrees > 0 else 'W'}"
    hours = round(abs(degrees) * 4)
    return rng.choice(
        np.array([degrees, -degrees, degrees % 360, letters, f"{hours // 60}:{hours % 60:02}:00", f"{degrees}"], object)
    )


def _wrong(info: ExposureInfo, kind: FrameType, when: datetime, degrees: float) -> list[tuple[str, str]]:
    """Return what is not as it was, and the card that must be told of."""
    found = []
    if info.frame_type is not kind:
        found.append(("the type", "no type may be wrong"))
    if info.date_obs is None or abs(info.date_obs - when) > timedelta(seconds=1):
        found.append(("the time", "DATE-OBS"))
    if info.longitude_deg is None or abs(info.longitude_deg - degrees) > 0.5:
        found.append(("the longitude", "no longitude may be wrong"))
    elif info.date_obs is not None and night_of(info.date_obs, info.longitude_deg) != night_of(when, degrees):
        noon = (when.hour + when.minute / 60 + degrees / 15 - 12) % 24
        if min(noon, 24 - noon) > 0.1:
            found.append(("the night", "DATE-OBS"))
    return found
