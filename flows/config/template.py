"""The text of a starting ``ccdwatch.toml``: what was found, and beside it, commented out, what else there is."""

from __future__ import annotations

import glob
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ccdcore.cards.dialects import KEYWORDS
from ccdcore.cards.times import moment
from ccdcore.cards.values import find, number, slug
from ccdcore.frames.frame import FrameHeader
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.text import number_of, one_line
from flows.config.errors import CONFIG_NAME

_GENERAL = """\
# {name}, begun by: ccdwatch init {directory}
# What is commented out is the default, or an example where it says so.
# After a change: ccdwatch doctor

[watch]
directories = [{quoted}]
# quiet_seconds = 30    # a file with no close event is complete when unchanged this long
# stable_seconds = 2    # any file must be unchanged this long
# scan_seconds = 60     # everything is looked at this often, whatever events say
# settle_seconds = 300  # a set is calibrated when no frame joined it for this long
# include = ["*.fit", "*.fits", "*.fts"]  # in any case, also compressed
# polling = false       # true where events do not come (some network folders)
# host = "observatory"  # example: files are on record under this name; default: this machine's

# [nights]  # from local noon to local noon
# longitude_deg = -17.9  # example, east is positive; default: the header's, else 0
# window_nights = 1      # nights whose frames are calibrated together
# reach_nights = 7       # how far away flats without biases may borrow some

# [recipes.bias]
# clip_sigma = 7.0
# min_frames = 3

# [recipes.dark]
# clip_sigma = 5.0
# min_frames = 3

# [recipes.flat]
# clip_sigma = 5.0
# min_frames = 3
# scale = "illuminated"  # or "median": what is brought to one before flats are combined

# [recipes.gain]
# method = "auto"              # or "pair", "binned", "ptc"
# region = "[101:900,101:900]"  # example; default: the whole of each amplifier

# [database]
# url = "sqlite:///ccdwatch.db"  # a SQLAlchemy address; PostgreSQL for several machines

# [prefect]
# api_url = "http://127.0.0.1:4200/api"  # example: a server of your own; default: ccdwatch up starts one
# task_runner = "threads"  # or "dask": where the steps of a run are done
# dask_address = "tcp://127.0.0.1:8786"  # example; default: a cluster on this machine for each run

# [web]
# host = "127.0.0.1"  # "0.0.0.0" shows the pages to other machines
# port = 4300
# public_url = "https://ccd.example.org"  # example: what links begin with; default: host and port

# [notify]  # who is told when a trend changes or leaves its limits
# urls = ["mailto://user:password@example.org"]  # example, as Apprise writes addresses; default: nobody
"""

_EXAMPLES = """
# What else an [[instrument]] entry may say, below its match; all of these are examples:
# header = { exposure_time = "EXPTIME", filter = "FILTER" }  # cards that come before the known ones
# frame_type = { bias = { filename = "Bias_*" }, flat = { OBSTYPE = "sky*" } }  # by file name, header cards, or both
# configuration = ["XBINNING", "YBINNING"]  # what makes frames comparable; default: binning, read mode, window
# amplifiers = [{ name = "1", data = "[1:2048,1:1024]", overscan = "[2049:2080,1:1024]" }]  # default: the header's
# spec = { gain_e_per_adu = { min = 0.9, max = 1.1 }, read_noise_e = { max = 3.0 } }  # limits for verdicts
# valid_from = 2022-01-01T12:00:00Z  # from when on the entry holds; valid_to ends it
"""

_NAMELESS = """
# No header card names the camera of {frames}, for example of {example}. To name it:
# [[instrument]]
# name = "my-camera"
# match = {{ KEYWORD = "value" }}  # a card that only this camera writes; {{}} for all that no entry above matches
"""

_ALIKE = """
# {frames}, for example {example}: {keyword} is written in capitals here and small letters there, for cameras of
# different names ({names}). An entry would make them one: write it if they are.
"""


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """A frame that was looked at.

    Parameters
    ----------
    file : str
        The file, below the folder.
    info : ExposureInfo
        What its header says.
    named_by : tuple of str, or None
        Keyword and value of the card that names the camera, where one does.
    date_cards, exposure_cards : tuple of str
        Keywords of cards that look as if they held the time or the exposure, where that is not known.
    """

    file: str
    info: ExposureInfo
    named_by: tuple[str, str] | None
    date_cards: tuple[str, ...]
    exposure_cards: tuple[str, ...]

    @classmethod
    def of(cls, file: str, header: FrameHeader) -> SeenFrame:
        """Keep of a header what the configuration may need."""
        cards, info = header.cards, header.info
        named_by = find(cards, KEYWORDS["instrument"], lambda value: slug(value) or None)
        return cls(
            file=file,
            info=info,
            named_by=named_by and (named_by[0], str(cards[named_by[0]]).strip()),
            date_cards=() if info.date_obs else tuple(k for k in cards if moment(cards, (k,)).when),
            exposure_cards=()
            if info.exposure_time_s is not None
            else tuple(k for k, value in cards.items() if "EXP" in k and number(value) is not None),
        )


def configuration_text(directory: Path, frames: Sequence[SeenFrame]) -> str:
    """Return a ``ccdwatch.toml`` that watches a folder and has an entry for each camera that was seen there.

    An entry names its camera as it was named without it, so that what frames are identified as does not change.
    """
    cameras: dict[tuple[str, str], list[SeenFrame]] = {}
    for frame in frames:
        if frame.named_by is not None:  # as it is matched: in any case
            cameras.setdefault((frame.named_by[0], frame.named_by[1].lower()), []).append(frame)
    nameless = [frame for frame in frames if frame.named_by is None]
    # The keyword that names a camera first matches first, too: a later one may stand beside it in the same header.
    in_order = sorted(cameras, key=lambda card: (KEYWORDS["instrument"].index(card[0]), card[1]))
    general = _GENERAL.format(name=CONFIG_NAME, directory=one_line(directory), quoted=quoted(str(directory)))
    return "".join([general, *(_entry(cameras[card]) for card in in_order), _nameless(nameless), _EXAMPLES])


def quoted(text: str) -> str:
    """Return a TOML basic string: JSON's, but for DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _entry(frames: Sequence[SeenFrame]) -> str:
    keyword, value = frames[0].named_by or ("", "")
    names = {frame.info.instrument for frame in frames}
    many, example = number_of(len(frames), "frame"), one_line(frames[0].file)
    if len(names) > 1:
        return _ALIKE.format(frames=many, example=example, keyword=keyword, names=", ".join(sorted(names)))
    types = Counter(str(frame.info.frame_type) for frame in frames)
    return f"""
[[instrument]]  # {many}: {", ".join(f"{n} {kind}" for kind, n in sorted(types.items()))}
name = {quoted(names.pop())}  # its name in results, paths and trends
match = {{ {keyword} = {quoted(glob.escape(value))} }}  # by header cards; * and ? stand for anything
{_header_hint(frames)}{_type_hint(frames)}"""


def _header_hint(frames: Sequence[SeenFrame]) -> str:
    """Say how to name the card that holds the time, where that is not known."""
    dateless = [frame for frame in frames if frame.info.date_obs is None]
    if not dateless:
        return ""
    many, first = number_of(len(dateless), "frame"), dateless[0]
    seen = f"; {one_line(', '.join(first.date_cards))} looks like it" if first.date_cards else ""
    fields = {"date_obs": next(iter(first.date_cards), "KEYWORD")}
    if first.exposure_cards:
        fields["exposure_time"] = first.exposure_cards[0]
    cards = ", ".join(f"{field} = {quoted(one_line(card))}" for field, card in fields.items())
    unit = "# exposure_time_unit_s = 0.001  # example: that card is in milliseconds\n" if first.exposure_cards else ""
    return f"""\
# The time of {many} is not known, for example of {one_line(first.file)}.
# They are left out until the card that holds it is named here{seen}:
# header = {{ {cards} }}
{unit}"""


def _type_hint(frames: Sequence[SeenFrame]) -> str:
    """Say how to tell the types apart, where frames are of none that is calibrated."""
    others = [frame for frame in frames if frame.info.frame_type is FrameType.OTHER]
    if not others:
        return ""
    return f"""\
# No calibration frame: {number_of(len(others), "frame")}, for example {one_line(others[0].file)}:
# {one_line(others[0].info.frame_type_reason)}.
# Where that is wrong, tell the types apart by file name, header cards, or both, for example:
# frame_type = {{ bias = {{ filename = "Bias_*" }}, flat = {{ OBSTYPE = "sky*", filename = "Flat_*" }} }}
"""


def _nameless(frames: Sequence[SeenFrame]) -> str:
    if not frames:
        return ""
    return _NAMELESS.format(frames=number_of(len(frames), "frame"), example=one_line(frames[0].file))
