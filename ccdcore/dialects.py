"""The table of header dialects: which keyword carries what, and how frame types are spelt.

Data only. Keywords stand in order of preference; the first whose value can be
used wins. ESO's hierarchical keywords are written without ``HIERARCH``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

KEYWORDS: Mapping[str, tuple[str, ...]] = {
    # Andor's FRAME is the start of the exposure; elsewhere it is a frame type.
    "date_obs": ("DATE-OBS", "DATE_OBS", "DATE-BEG", "FRAME", "MJD-OBS", "DATE"),
    "time_obs": ("TIME-OBS", "TIME-BEG", "UTSTART", "UTC-OBS", "UT-OBS", "UT", "UTC"),
    "exposure_time": ("EXPTIME", "EXPOSURE", "EXP_TIME", "EXPOSED", "ITIME"),
    "ccd_temperature": ("CCD-TEMP", "CCDTEMP", "CCD_TEMP", "DET-TEMP", "DETTEMP", "CCDATEMP", "TEMPERAT", "TEMP"),
    "filter": ("FILTER", "FILTERS", "FILTNAM", "INSFILTE", "WFFBAND", "ESO INS FILT1 NAME"),
    "longitude": (
        "LONGITUD",
        "SITELONG",
        "OBSGEO-L",
        "LONG-OBS",
        "OBS-LONG",
        "GEOLON",
        "LONG",
        "ESO TEL GEOLON",
    ),
    # ESO's "DET OUT1 GAIN" is ADU per electron and must never stand here.
    "gain": ("EGAIN", "E-GAIN", "ESO DET OUT1 CONAD", "GAIN"),
    "read_noise": ("RDNOISE", "READNOIS", "READNOISE", "RON", "ESO DET OUT1 RON"),
    "n_averaged": ("NCOMBINE", "NUMAVG", "AVGFCTR", "SNAPSHOT"),
    "instrument": ("INSTRUME", "HEAD", "CAM_ID", "CAMERA", "CAMNAME", "DETECTOR", "DETNAM", "DETNAME", "CCDNAME"),
    "object": ("OBJECT", "OBJNAME"),
    "frame_type": ("IMAGETYP", "IMAGETYPE", "OBSTYPE", "FRAMETYP", "EXPTYPE", "FRAME", "ESO DPR TYPE"),
}

FILTER_WHEELS = (("FILTER1", "FILTER2", "FILTER3"), ("ALFLTNM", "FAFLTNM", "FBFLTNM"))
"""Cameras with several wheels: the filters in the beam are those that are not open."""

OPEN_FILTERS = frozenset({"", "open", "free", "clear", "empty", "air", "none", "n/a"})

BINNING = (
    ("XBINNING", "YBINNING"),
    ("CCDXBIN", "CCDYBIN"),
    ("DETXBIN", "DETYBIN"),
    ("HBIN", "VBIN"),
    ("BINX", "BINY"),
    ("XBIN", "YBIN"),
    ("ESO DET WIN1 BINX", "ESO DET WIN1 BINY"),
)
BINNING_PAIR = ("CCDSUM", "BINNING")
"""Both factors in one card: ``'2 2'``, ``'2x2'``."""

READ_SETTINGS = (
    ("", ("READOUTM", "ESO DET READ CLOCK", "CCDSPEED")),
    ("readtime", ("READTIME",)),
    ("", ("PREAMP", "GAINMODE")),
    ("", ("OUTPTAMP",)),
    ("gain", ("GAIN",)),
    ("offset", ("OFFSET",)),
)
"""What else makes frames comparable: a prefix for the slug, and the keywords in order of preference."""

GAIN_IS_A_SETTING_BESIDE = ("EGAIN", "OFFSET")
"""CMOS cameras write their gain setting as GAIN, beside OFFSET or the gain proper, EGAIN."""

WINDOW_ORIGIN = ("XORGSUBF", "YORGSUBF")
WINDOW_RECTANGLES = ("IMGRECT", "SUBRECT")
"""Andor: the detector, and the part of it that was read."""

COMBINED_FLAG = "COMBINED"
COMBINED_WORDS = re.compile(r"\b(?:master|combined|stacked)\b", re.IGNORECASE)
"""How type cards say that a frame is no raw one."""

COMPANIONS = frozenset({"UNCERT", "MASK", "NCOMBINE", "ERR", "DQ", "VAR", "BPM"})
"""Names of image extensions that say something of the pixels instead of being pixels."""

_CALIBRATIONS = r"(?P<dark>dark ?flats?|flat ?darks?|darks?{not_dark})|(?P<flat>[a-z]*flats?(?: ?fields?)?|twilight)"

TYPE_CARD_WORDS = re.compile(
    rf"\b(?:{_CALIBRATIONS.format(not_dark='')}"
    r"|(?P<bias>bias(?:es)?|zeros?|offset)"
    r"|(?P<other>arcs?|comp(?:arison)?|wave|focus|acq(?:uisition)?|std|standard))\b"
)
"""Frame types as type cards spell them; a value with none of these words is weak evidence for "other"."""

NAME_WORDS = re.compile(
    rf"\b(?:{_CALIBRATIONS.format(not_dark='(?! (?:nebula|cloud|lane|matter))')}|(?P<bias>bias(?:es)?|zeros?))\b"
)
"""Frame types as OBJECT and file names spell them."""
