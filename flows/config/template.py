"""The text of a starting ``ccdwatch.toml``: what was found, and beside it, commented out, what else there is."""

from __future__ import annotations

import glob
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccdcore.cards.dialects import KEYWORDS
from ccdcore.cards.times import moment
from ccdcore.cards.values import find, number, slug
from ccdcore.frames.frame import FrameHeader
from ccdcore.headers.identify import ExposureInfo
from ccdcore.headers.instrument import FrameType
from ccdcore.text import number_of, one_line
from flows.config.errors import CONFIG_NAME
from flows.config.settings import Settings

_GENERAL = """\
# {name}, begun by: ccdwatch init {directory}
# What is commented out is the default, or an example where it says so.
# After a change: ccdwatch doctor

[watch]
directories = [{quoted}]
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
    watch, *others = _tables(Settings.model_json_schema())
    general += "\n".join([watch.partition("\n")[2], *others])
    return "".join([general, *(_entry(cameras[card]) for card in in_order), _nameless(nameless), _EXAMPLES])


def _tables(schema: dict[str, Any], name: str = "", which: str | None = None) -> Iterator[str]:
    """Yield the tables of the settings, or of a part of them, commented out: all that has a default or an example."""
    table = schema["$defs"][which] if which else schema
    heading = table.get("description", "").partition("``: ")[2].rstrip(".")
    lines = [f"# [{name}]{f'  # {heading}' if heading else ''}\n"]
    for key, about in table["properties"].items():
        if "$ref" in about:
            yield from _tables(schema, f"{name}.{key}".strip("."), about["$ref"].rpartition("/")[2])
        elif about.get("examples") or about.get("default") not in (None, []):
            lines.append(_line(key, **about))
    if len(lines) > 1:
        yield "".join(lines)


def _line(key: str, *, default: object, description: str = "", **about: Any) -> str:
    """Return a key with its default, or with an example where that is none, and what it means."""
    others = [json.dumps(one) for one in about.get("enum", ()) if one != default]
    kind = "example" if "examples" in about else f"or {', '.join(others)}" if others else ""
    comment = ": ".join(filter(None, [kind, description]))
    shown = json.dumps(about["examples"][0] if "examples" in about else default)
    return f"# {key} = {shown}{f'  # {comment}' if comment else ''}\n"


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
