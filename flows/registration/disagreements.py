"""Files that are there, hold the same pixels, and say different things of them: in words, and what it means."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ccdcore.frames.frame import SeriesFrame
from ccdcore.text import number_of, one_line
from db.frames.revisions import Disagreement, Saying, disagreements
from flows.home.home import Home

_WORDS = {
    "frame_type": "type",
    "date_obs": "time",
    "exposure_time_s": "exposure time",
    "ccd_temperature_c": "temperature",
    "longitude_deg": "longitude",
    "header_gain_e_per_adu": "gain in the header",
    "header_read_noise_e": "read noise in the header",
    "n_averaged": "number of averaged exposures",
    "instrument": "camera",
}
_MOST_NAMED = 3
FEWEST_REPEATED = 3
"""Two times or cameras of one frame may be a header and its correction; three are no exposures."""


def current_disagreements(home: Home, frame_ids: Collection[int] | None = None) -> list[Disagreement]:
    """Return the frames whose files do not all say what is in force, going by files that are there."""
    with home.read_session() as session:
        found = disagreements(session, frame_ids)
    here = home.settings.host
    left = (
        one.among({saying.file_id: saying.host != here or saying.path.exists() for saying in one.sayings})
        for one in found
    )
    return [one for one in left if one is not None]


def first_disagreements(home: Home) -> list[str]:
    """Return the first of them in words, and how many more there are."""
    found = current_disagreements(home)
    more = len(found) - _MOST_NAMED
    lines = [one_line(in_words(one)) for one in found[:_MOST_NAMED]]
    return [*lines, f"… and {number_of(more, 'frame')} more: type ccdwatch frames"] if more > 0 else lines


def in_words(one: Disagreement) -> str:
    """Say which files disagree on a frame, in what, and what to do."""
    sayings = sorted(one.sayings, key=lambda saying: (saying.is_in_force, saying.path))
    differing = [_WORDS.get(name, name) for name in one.differing]
    if one.n_exposures >= FEWEST_REPEATED or (one.n_exposures > 1 and one.only_value is not None):
        return _of_several_exposures(one, sayings, differing)
    if all(not saying.is_in_force for saying in sayings):
        return (
            f"{_named(one, sayings)}, but another {', '.join(differing)} is in force, which was seen later: if the "
            f"file is right, type ccdwatch retry file:{sayings[0].file_id}"
        )
    are_two = " (if both are right, which is one picture read out twice, it counts once)" if one.is_of_exposure else ""
    return (
        f"{number_of(len(sayings), 'file')} hold the same pixels, but differ in {', '.join(differing)}: "
        f"{_named(one, sayings)}: remove the wrong one, or type ccdwatch retry file:N of the right one{are_two}"
    )


def _of_several_exposures(one: Disagreement, sayings: Sequence[Saying], differing: Sequence[str]) -> str:
    which = " and ".join(word for word in ("camera", "time") if word in differing)
    counts = "once" if one.n_exposures < FEWEST_REPEATED else "for nothing"
    if one.is_overexposed:
        value, cause = f", all of {one.only_value:g} ADU", "saturated throughout? Expose less."
    elif one.only_value is not None:
        value, cause = f", all of {one.only_value:g} ADU", "dead converter, cable off, simulator, or too few bits?"
    else:
        value, cause = "", "dead converter, simulator, or one picture read out twice?"
    return (
        f"{number_of(len(sayings), 'file')} hold exactly the same pixels{value}, as of {one.n_exposures} exposures "
        f"that differ in {which}: {cause} It counts {counts}: "
        f"{_named(one, sayings)}"
    )


def no_exposures(home: Home, frames: Sequence[SeriesFrame]) -> dict[str, str]:
    """Return the frames that are no exposures, by their SHA-256, and why: as many times or cameras claim them."""
    wanted = {frame.sha256 for frame in frames}
    return {
        one.sha256: in_words(one)
        for one in current_disagreements(home)
        if one.sha256 in wanted and one.n_exposures >= FEWEST_REPEATED
    }


def _named(one: Disagreement, sayings: Sequence[Saying]) -> str:
    shown = [*sayings[: _MOST_NAMED - 1], sayings[-1]] if len(sayings) > _MOST_NAMED else sayings
    words = [f"{saying.path} (file:{saying.file_id}) says {_said(one, saying)}" for saying in shown]
    if more := len(sayings) - len(shown):
        words.insert(-1, f"{more} more")
    return ", ".join(words)


def _said(one: Disagreement, saying: Saying) -> str:
    said = ", ".join(f"{_WORDS.get(name, name)} {saying.said.get(name)}" for name in one.differing)
    return f"{said} (in force)" if saying.is_in_force else said
