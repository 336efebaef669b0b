"""The table of header dialects: which keyword carries what, and how frame types are spelt.

Data only. Keywords stand in order of preference; the first whose value can be
used wins. ESO's hierarchical keywords are written without ``HIERARCH``.

Known are MaxIm DL and ASCOM, SBIG CCDOPS and CCDSoft, N.I.N.A. and INDI, Andor
Solis, ESO, IRAF/NOAO, ING and NOT, Liverpool and LCO, Gemini, Keck and Lick,
Apache Point (ARC), SDSS and DESI, LSST, Subaru, HST.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

KEYWORDS: Mapping[str, tuple[str, ...]] = {
    # Andor's FRAME is the start of the exposure; elsewhere it is a frame type. DATE is that of the file.
    "date_obs": (
        *("DATE-OBS", "DATE_OBS", "DATEOBS", "DATE-BEG", "DATE-UTC", "DATE_UTC", "DATE-UT", "UT-DATE", "UTDATE"),
        *("FRAME", "MJD-OBS", "MJD_OBS", "MJDOBS", "MJD-BEG", "MJD", "JD-OBS", "JD", "DATE-AVG", "MJD-AVG", "DATE"),
    ),
    "time_obs": (
        *("TIME-OBS", "TIME_OBS", "TIMEOBS", "TIME-BEG", "UTSTART", "UTC-OBS", "UT-OBS", "UT", "UTC"),
        *("UTSHUT", "EXPSTART", "ST-UT", "UT-STR", "UTC-STR", "STARTUT", "UTOPEN"),
    ),
    "exposure_time": (
        *("EXPTIME", "EXPOSURE", "EXP_TIME", "EXPOSED", "ELAPTIME", "ELAPSED", "ITIME", "TTIME"),
        *("ESO DET WIN1 DIT1", "EXPOINUS"),
    ),
    "ccd_temperature": (
        *("CCD-TEMP", "CCDTEMP", "CCD_TEMP", "DET-TEMP", "DETTEMP", "CCDATEMP", "TEMPDET", "TEMPERAT", "TEMP"),
    ),
    "set_temperature": ("SET-TEMP", "SETTEMP", "SET_TEMP", "CCD-SETP", "CCDSETP", "CCDTEMPS"),
    "filter": (
        *("FILTER", "FILTERS", "FILTNAM", "FILTNAME", "FILTERID", "FILTER_ID", "FILTID", "FILT", "FILTNM", "FILTRNAM"),
        *(
            "FLTNAME",
            "FLTNM",
            "FLTRNM",
            "FILNAME",
            "FILTER_N",
            "FILTERNM",
            "ACTFILTR",
            "INSFILTE",
            "WFFBAND",
            "JAGFBAND",
        ),
    ),
    "longitude": (
        *("LONGITUD", "SITELONG", "SITELON", "SITE-LON", "SITE_LON", "OBSGEO-L", "LONG-OBS", "LONGOBS", "LON-OBS"),
        *("OBS-LONG", "OBSLONG", "OBS_LONG", "OBS-LON", "OBSLON", "GEOLON", "GEO_LON", "TELLONG", "TEL-LONG", "LONG"),
        *("GEODLON", "LONGITUDE", "LON", "ESO TEL GEOLON"),
    ),
    # ESO's "DET OUT1 GAIN" is ADU per electron and must never stand here.
    "gain": ("EGAIN", "E-GAIN", "ESO DET OUT1 CONAD", "GAIN"),
    "read_noise": ("RDNOISE", "READNOIS", "READNOISE", "RON", "ESO DET OUT1 RON"),
    # Siril, ASTAP and others count what they stacked.
    "n_averaged": (
        *("NCOMBINE", "NUMAVG", "AVGFCTR", "AVERAGINGFACTOR", "SNAPSHOT", "NUMACC"),
        *("STACKCNT", "NSTACK", "NUMSTACK", "BIAS_CNT", "DARK_CNT", "FLAT_CNT"),
        *("COADDS", "NCOADDS", "NCOADD", "CO_ADDS", "NDIT", "ESO DET NDIT"),
    ),
    "instrument": ("INSTRUME", "HEAD", "CAM_ID", "CAMERA", "CAMNAME", "DETECTOR", "DETNAM", "DETNAME", "CCDNAME"),
    "object": ("OBJECT", "OBJNAME", "TARGNAME"),
    "frame_type": (
        *("IMAGETYP", "IMAGETYPE", "IMGTYPE", "IMG_TYPE", "IMTYPE", "OBSTYPE", "FRAMETYP", "EXPTYPE", "FLAVOR"),
        *("IMGTYP", "IMG-TYPE", "IMAGE-TYPE", "IMAGE_TYPE", "KOAIMTYP", "OBS_TYPE", "OBS-TYPE", "DATA-TYP", "FRAME"),
        *("ESO DPR TYPE", "PICTTYPE"),
    ),
}

UTC_KEYWORDS = frozenset({"DATE-UTC", "DATE_UTC", "DATE-UT", "UT-DATE", "UTDATE"})
"""Dates that are of UTC by their name, whatever TIMESYS says of others."""

MID_EXPOSURE = frozenset({"DATE-AVG", "MJD-AVG"})
"""Times of the middle of the exposure: better than none."""

UNIT_S: Mapping[str, float] = {"EXPOINUS": 1e-6}
"""Exposure time cards that are not in seconds."""

TIME_SCALES: Mapping[str, str] = {
    **dict.fromkeys(("utc", "ut", "ut1", "gmt", "z"), "utc"),
    **{"tai": "tai", "iat": "tai", "tt": "tt", "tdt": "tt", "et": "tt", "tdb": "tdb", "tcg": "tcg", "tcb": "tcb"},
}
"""TIMESYS in small letters → the scale as astropy names it. Local time says nothing of UTC."""

FILTER_WHEELS = (
    ("FILTER1", "FILTER2", "FILTER3"),
    ("ALFLTNM", "FAFLTNM", "FBFLTNM"),
    ("FILTER_1", "FILTER_2", "FILTER_3"),
    ("FILTER01", "FILTER02", "FILTER03", "FILTER04"),
    tuple(f"ESO INS FILT{number} NAME" for number in range(1, 5)),
)
"""Cameras with several wheels: the filters in the beam are those that are not open."""

OPEN_FILTERS = frozenset({"", "open", "free", "clear", "empty", "air", "none", "n/a"})
"""Names of no filter; numbers may follow (Gemini's ``open1-6``)."""

BINNING = (
    ("XBINNING", "YBINNING"),
    ("CCDXBIN", "CCDYBIN"),
    ("CCDBIN1", "CCDBIN2"),
    ("DETXBIN", "DETYBIN"),
    ("HBIN", "VBIN"),
    ("BINX", "BINY"),
    ("XBIN", "YBIN"),
    ("CBIN", "RBIN"),
    ("COLBIN", "ROWBIN"),
    ("BIN-FCT1", "BIN-FCT2"),
    ("BINAXIS1", "BINAXIS2"),
    ("ESO DET WIN1 BINX", "ESO DET WIN1 BINY"),
)
BINNING_PAIR = ("CCDSUM", "BINNING")
"""Both factors in one card: ``'2 2'``, ``'2x2'``, ``'2,2'``; or one for both."""

_NO, _OFF = frozenset({""}), frozenset({"", "0", "false", "none", "off"})
READ_SETTINGS = (
    ("", ("READOUTM", "ESO DET READ CLOCK", "CCDSPEED", "READRATE", "RDSPEED", "CONFMODE"), _NO),
    ("readmode", ("READMODE", "READ-MODE", "READ_MODE", "READMOD", "RDMODE", "RDOUTM"), _OFF | {"image"}),
    ("readtime", ("READTIME",), _NO),
    ("", ("PREAMP", "GAINMODE", "GAINSET"), _NO),
    ("convgain", ("CONVGAIN", "CGMODE", "CG", "HCG"), _OFF),
    ("lownoise", ("LOWNOISE",), _OFF),
    ("fullwell", ("HIGHFULL", "HFULLWEL"), _OFF),
    ("", ("OUTPTAMP", "READAMPS", "AMPLMODE", "AMPMODE", "CCDAMP"), _NO),
    ("emgain", ("EMREALGN", "EMGAIN"), _NO),
    ("ccdgain", ("CCDGAIN",), _NO),
    ("iso", ("ISOSPEED", "ISOSPEE", "ISO", "ISO-SPEE", "ISO_SPEE"), _OFF),
    ("gain", ("GAIN",), _NO),
    ("offset", ("OFFSET", "BLKLEVEL"), _NO),
    ("bits", ("BITDEPTH", "ADCBITS", "ADC-BITS", "SENSBITS"), _OFF | {"16"}),
    ("", ("ROWORDER",), frozenset({"", "top-down"})),
)
"""What else makes frames comparable: a prefix for the slug, the keywords in order of preference, and what they say
in small letters of a camera as it usually is, which needs no name (Andor's read mode is ``Image``)."""

GAIN_IS_A_SETTING_BESIDE = ("EGAIN", "OFFSET", "BLKLEVEL", "EXPOINUS", "USBLIMIT", "USBTRAFF", "CONVGAIN", "CGMODE")
"""CMOS cameras write their gain setting as GAIN, beside OFFSET and the like, or the gain proper, EGAIN."""

GAIN_IS_A_SETTING_OF = re.compile(
    r"\b(?:zwo|asi ?\d+|qhy|player ?one|poa|touptek|altair|svbony|omegon|risingcam|ogma)", re.IGNORECASE
)
"""Cameras by name whose GAIN is a setting."""

SERIAL_NUMBERS = (
    *("CAMSERNO", "CAMSER", "CAM-SER", "CAMERASN", "CAMERAID", "CAMID", "CAM_SN", "CAMSN"),
    *("CCDSERNO", "CCDSER", "CCDSN", "CCD_SN", "DETSER", "DETSERNO", "DETSN", "SERIALNO"),
    *("CTRLSN", "CONTSER", "CONTROLR", "INSTCONF", "ESO DET CHIP1 ID"),
)
"""Which of the cameras, detectors or controllers of one name it was."""

MOST_E_PER_ADU = 30.0
"""No camera has a gain above this; a larger GAIN is a setting."""

WINDOW_ORIGINS = (
    ("XORGSUBF", "YORGSUBF", 0),
    ("CCDWXOFF", "CCDWYOFF", 0),
    ("BEGX", "BEGY", 1),
    ("ESO DET WIN1 STRX", "ESO DET WIN1 STRY", 1),
)
"""First column and row that were read, and how the detector's first is counted."""

WINDOW_RECTANGLES = ("IMGRECT", "SUBRECT")
"""Andor: the detector, and the part of it that was read."""

DATA_SECTIONS, BIAS_SECTIONS = ("DATASEC", "TRIMSEC", "DSEC", "TSEC"), ("BIASSEC", "BSEC")
"""Where the light is, and the overscan, in pixels of the image; for several amplifiers with a number or letter.

CCDSEC, CSEC and DETSEC are places on the detector, not in the image.
"""

ESO_OUTPUT = "ESO DET OUT1 {}"
"""How ESO calls the cards of a detector's first output: its pixels NX, NY, and those before and after them."""

NO_SECTION = frozenset({"", "unknown", "undefined", "none", "n/a", "[0:0,0:0]"})
"""How section cards say nothing."""

COMBINED_FLAGS = ("COMBINED", "ISMASTER")
PROCSOFT = "ccdwatch"
"""What our own masters have in a card of that name."""

_KINDS = "(?:bias(?:es)?|zeros?|darks?|flats?|offsets?)"
_MADE = "(?:combined|comb|mean|median|med|averaged?|avg|ave|norm|normali[sz]ed|calibrated|reduced)"
COMBINED_WORDS = re.compile(
    rf"\b(?:master[a-z]*|combined|stack(?:ed|s)?|coadd(?:ed)?|super ?{_KINDS}|[mn]{_KINDS}|{_MADE} ?{_KINDS}"
    rf"|{_KINDS} ?{_MADE}(?! of)|integrat(?:ion|ed)s?(?! ?(?:time|sphere)))\b"
)
"""How a type card, OBJECT or a file name says that a frame is no raw one."""

AVERAGE_WORDS = re.compile(r"\b(?:ave|avg|averaged?|mean|median)[ .]+of[ :]+(\d{1,4})\b", re.IGNORECASE)
"""How a card or a file name says of how many exposures a frame is the mean."""

PRODUCT_CARDS = ("ESO PRO CATG", "PROCTYPE")
"""Cards that only speak of products, or are ``raw``."""

TOTAL_EXPOSURE = "LIVETIME"
"""Siril's sum of all exposures in a stack, beside the exposure time of one."""

REDUCTION_LEVEL, PIPELINE_CARDS = "RLEVEL", ("PIPEVER",)
"""LCO's level is 0 in a raw frame; where none is told, the version of a pipeline is one of a product."""

REDUCTION_CARDS = (
    *("ZEROCOR", "BIASCOR", "DARKCOR", "FLATCOR", "CALSTAT"),
    *("SUBBIAS", "SUBDARK", "SUBOVER", "GAINCOR"),
    *("L1IDBIAS", "L1IDDARK", "L1IDFLAT"),
    *("PREPARE", "GPREPARE", "BIASIM", "DARKIM", "FLATIM"),
)
"""IRAF and MaxIm DL, ccdproc, BANZAI and Gemini write here what was subtracted and divided, or when.

In a raw frame they are missing, empty or false.
"""

COMPANIONS = frozenset({"UNCERT", "MASK", "NCOMBINE", "ERR", "DQ", "VAR", "BPM", "IVAR", "SAMP", "TIME"})
"""Names of image extensions that say something of the pixels instead of being pixels."""

TYPE_CODES: Mapping[str, tuple[str, ...]] = {"PICTTYPE": ("unknown", "light", "bias", "dark", "flat")}
"""SBIG's frame type as a number from 0."""

NO_TYPE = frozenset({"", "unknown", "undefined", "none", "n a", "untitled", "unspecified"})
"""Words of a type card or an OBJECT that says nothing."""

_CALIBRATIONS = (
    r"(?P<dark>darks?(?: ?(?:frames?|for|of))* ?flats?|flat ?darks?|[a-z]*darks?{not_dark})"
    r"|(?P<flat>[a-z]*flats?(?: ?(?:fields?|lamps?|wizard)\b)?{lit}{not_done}"
    r"|[a-z]*flat(?:field|lamp|wizard)s?{lit}{not_done}"
    r"|twilights?)"
)
_LIT = r"(?! ?(?:lamps? ?)?off\b)"  # with the lamp off it is none
_DONE = r"(?! ?(?:sub|subtracted|cor|corr|corrected|div|divided|removed|reduced|fielded)\b)"

SHORT_TYPES: Mapping[str, str] = {"ff": "flat", "dome": "flat", "twi": "flat", "plu": "flat", "noir": "dark"}
"""What a type card may say and mean a calibration by, though the word alone is none."""

LIGHT = frozenset({"light", "lights"})
"""A type card that says just this names a science frame, whatever OBJECT says; "Light Frame" and "object" are weak."""

TYPE_CARD_WORDS = re.compile(
    rf"\b(?:{_CALIBRATIONS.format(not_dark=_DONE, not_done=_DONE, lit=_LIT)}"
    r"|(?P<bias>bias(?:es)?(?: ?(?:frame|image)s?)?|zeros?|offset|(?:bias|zero|offset)(?:frame|image)s?)"
    r"|(?P<other>arcs?(?: ?lamps?)?|comp(?:arison)?|contbars|wave|focus(?:ing)?|acq(?:uisition)?|std|standard"
    r"|fe|spot|ppump))\b"
)
"""Frame types as type cards spell them; a value with none of these words is weak evidence for "other"."""

_NO_TARGET = "(?! (?:nebula|cloud|lane|matter|energy))"
NAME_WORDS = re.compile(
    rf"\b(?:{_CALIBRATIONS.format(not_dark=_NO_TARGET + _DONE, not_done=_DONE, lit=_LIT)}"
    rf"|(?P<bias>bias(?:es)?|zeros?){_DONE})\b"
)
"""Frame types as OBJECT and file names spell them; a name may also say what was done to a frame."""

QUALIFIERS = frozenset(
    re.findall(
        r"\w+",
        """
        auto autocal bright cal calibration dawn day dim dome dusk evening exp exposure faint field fields focus for
        frame frames gca gcal halogen high image images int internal lamp led level long low morning of off on panel
        pixel projector quartz raw screen sec seconds sequence series set short sky slit test the tungsten twilight
        white with wizard blue clear green halpha hbeta infrared lum luminance near oiii red sii ultraviolet visible
        """,
    )
)
"""Words that may stand beside a type in an OBJECT that is one, besides the filter's name and what has few letters."""

CATALOGUES = re.compile(r"\b(?:m|ngc|ic|hd|hr|hip|sao|ldn|lbn|tyc|gsc|sh ?2|abell|mel|cr|pk|vdb)[ -]?\d", re.IGNORECASE)
"""How an OBJECT names a star or nebula by its number."""

EAST_LONGITUDES = ("OBSGEO-L", "ESO TEL GEOLON")
GEOCENTRIC = ("OBSGEO-X", "OBSGEO-Y")
"""Longitudes that count to the east by their standards, and the site's place in metres from the axis of the earth."""

SIDEREAL_TIMES = ("LST", "ST", "LST-OBS", "LST-BEG", "SIDEREAL", "LMST", "LAST")

SITE_NAMES = ("OBSERVAT", "SITE", "SITENAME", "OBSNAME", "TELESCOP", "SITEID")
SITES: Mapping[str, float] = {
    **dict.fromkeys(("ctio", "cerrotololo", "decam", "blanco"), -70.81),
    **dict.fromkeys(("soar", "cerropachon", "geminisouth"), -70.74),
    **dict.fromkeys(("lasilla", "lascampanas"), -70.7),
    **dict.fromkeys(("paranal",), -70.40),
    **dict.fromkeys(("kpno", "kittpeak", "mayall", "wiyn"), -111.6),
    **dict.fromkeys(("maunakea", "geminin", "geminorth", "keck", "cfht", "subaru", "ukirt"), -155.47),
    **dict.fromkeys(("lowell", "andersonmesa", "flagstaff"), -111.5),
    **dict.fromkeys(("mthopkins", "flwo", "whipple", "bigelow", "lemmon"), -110.9),
    **dict.fromkeys(("palomar",), -116.86),
    **dict.fromkeys(("mcdonald",), -104.02),
    **dict.fromkeys(("apachepoint",), -105.82),
    **dict.fromkeys(("lickobs", "mthamilton", "shane", "nickel"), -121.64),
    **dict.fromkeys(("lapalma", "roquedelosmuchachos"), -17.88),
    **dict.fromkeys(("calaralto", "caha"), -2.55),
    **dict.fromkeys(("sidingspring",), 149.07),
    **dict.fromkeys(("sutherland", "saao"), 20.81),
}
"""Part of an observatory's name, letters only → its east longitude: enough to tell the sign of what its cards say."""
