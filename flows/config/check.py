"""What makes no sense in a configuration that can be used: where, why, and what to write instead."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatch
from itertools import combinations
from pathlib import Path

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.headers.instrument import Instrument
from ccdcore.quantities import QUANTITIES, Limits
from ccdcore.text import number_of, unit_text, value_text
from db.schema.rows import Row
from flows.config.errors import CONFIG_NAME
from flows.config.in_force import watched_output
from flows.config.settings import Location, Settings, unusable

LONGEST_SECONDS = 4 * 3600.0
"""Nobody waits longer for a file or a set to be complete: larger numbers are milliseconds."""
_LARGEST_UNIT_S = 60.0
_FEWEST_SIGMA = 2.0
_OTHER_UNIT = 100.0
"""Limits that are so many times what was measured, or such a part of it, are in another unit."""


@dataclass(frozen=True, slots=True)
class Oddity(Row):
    """One thing in a configuration that cannot be, or makes no sense.

    Parameters
    ----------
    file : str
        The configuration.
    table, key : str
        Where in it; empty where it is the file as a whole.
    problem : str
        What is odd, with the value where that is no secret.
    todo : str
        What to type instead.
    """

    file: str
    table: str
    key: str
    problem: str
    todo: str

    @property
    def line(self) -> str:
        """All of it in one line."""
        where = " ".join(filter(None, [self.table, self.key, self.problem]))
        return f"{self.file}: {where}: {self.todo}"


Shapes = Mapping[tuple[int, int], int]
"""How many frames have so many rows and columns."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is on record that a configuration can be held against; entries by their number in the file, from 1.

    Parameters
    ----------
    unmatched : mapping of int to int
        Entries that none of the frames on record is of, and the entry above that takes the frames which fit it; 0 where
        no frame fits.
    last_observed : datetime or None
        When the latest frame was observed.
    measured : mapping of tuple to tuple
        Entry and name of a limit → median of the values that were measured, and of their 1-σ uncertainties, in the unit
        of the limit; None where there are no uncertainties.
    shapes : mapping of int to mapping
        Entry → shapes of the frames of its instrument, observed while it holds.
    shapes_of : mapping of str to mapping
        Instrument → shapes of all of its frames.
    """

    unmatched: Mapping[int, int] = field(default_factory=dict)
    last_observed: datetime | None = None
    measured: Mapping[tuple[int, str], tuple[float, float | None]] = field(default_factory=dict)
    shapes: Mapping[int, Shapes] = field(default_factory=dict)
    shapes_of: Mapping[str, Shapes] = field(default_factory=dict)


def unusable_keys(home: Path) -> list[Oddity]:
    """Return what keeps a configuration from being used.

    Raises
    ------
    flows.config.errors.SettingsError
        If the file is no TOML.
    """
    return [_oddity(home, *_place(location), problem, todo) for location, problem, todo in unusable(home)]


def missing_folders(settings: Settings) -> list[Oddity]:
    """Return which watched folders are not there, are the home itself, or would get calibrated frames."""
    found = [
        _oddity(settings.home, "[watch]", "directories", problem, todo)
        for folder in settings.watch.directories
        for problem, todo in _of_folder(settings, folder)
    ]
    if (watched := watched_output(settings)) is not None:
        problem = f"= {settings.calibrated} lies in the watched folder {watched}, which is for raw frames"
        found.append(_oddity(settings.home, "[science]", "output", problem, "name a folder outside of it"))
    return found


def senseless(settings: Settings, evidence: Evidence) -> list[Oddity]:
    """Return which values make no sense, by themselves or for what is on record."""
    found = [*_of_times(settings), *_of_recipes(settings), *_of_region(settings, evidence)]
    for number, entry in enumerate(settings.instruments, start=1):
        table = _table(number, entry.name)
        said = [*_of_entry(entry), *_of_amplifiers(entry), *_of_limits(number, entry, evidence)]
        said += [*_of_match(number, entry, settings, evidence), *_of_spans(number, entry, settings)]
        found += [(table, *one) for one in said]
    return [_oddity(settings.home, *one) for one in found]


def misplaced(settings: Settings, evidence: Evidence) -> list[Oddity]:
    """Return which sections of amplifiers lie outside frames on record, so that nothing is measured of those."""
    return [
        _oddity(settings.home, _table(number, entry.name), "amplifiers", *words)
        for number, entry in enumerate(settings.instruments, start=1)
        for shape, n in evidence.shapes.get(number, {}).items()
        for words in _of_sections(entry, shape, n)
    ]


def _of_sections(entry: Instrument, shape: tuple[int, int], n: int) -> Iterator[Words]:
    for one in entry.amplifiers:
        for what, section in (("data", one.data), ("overscan", one.overscan)):
            if section and not section.fits(shape):
                outside = f"the {what} {section} of {one.name} lies outside {_frames(n, shape)}"
                yield outside, "correct it, or match, of the entry"


def _frames(n: int, shape: tuple[int, int]) -> str:
    return f"{number_of(n, 'frame')} on record, of {shape[1]} columns and {shape[0]} rows"


def _of_region(settings: Settings, evidence: Evidence) -> Iterator[tuple[str, str, str, str]]:
    if settings.recipes.gain.region is None:
        return
    region = Section.parse(settings.recipes.gain.region)
    for instrument, shapes in evidence.shapes_of.items():
        for shape, n in shapes.items():
            if not region.fits(shape):
                what = f"= {region} lies outside {_frames(n, shape)}, of {instrument}"
                todo = f"write one inside {Section.whole(shape)}, or leave it out: a region holds for all cameras"
                yield "[recipes.gain]", "region", what, todo


def _oddity(home: Path, table: str, key: str, problem: str, todo: str) -> Oddity:
    return Oddity(str(home / CONFIG_NAME), table, key, problem, todo)


def _table(number: int, name: str) -> str:
    return f"[[instrument]] {number} ({name})"


def _place(location: Location) -> tuple[str, str]:
    """Return table and key of a place, as one finds them in the file."""
    words = [str(part) if isinstance(part, str) else f"({part + 1})" for part in location]
    if words[0] == "instrument" and len(words) > 1:
        return f"[[instrument]] {words[1].strip('()')}", ".".join(words[2:]).replace(".(", " (")
    depth = 2 if words[0] == "recipes" and len(words) > 2 else len(words) > 1
    return (f"[{'.'.join(words[:depth])}]" if depth else ""), ".".join(words[depth:]).replace(".(", " (")


Words = tuple[str, str]
"""What is odd, and what to do."""
Keyed = tuple[str, str, str]
"""The same, the key in front."""


def _of_folder(settings: Settings, folder: Path) -> Iterator[Words]:
    if folder == settings.home.resolve():
        yield f"{folder} is the home, where no frame is looked for", "name a folder in or beside it"
    elif not folder.is_dir():
        yield f"{folder} is not there", "make it, mount its disk, or correct the name"


def _of_times(settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    for name in ("quiet_seconds", "stable_seconds", "scan_seconds", "settle_seconds"):
        seconds = getattr(settings.watch, name)
        if seconds > LONGEST_SECONDS:
            usual = settings.watch.__class__.model_fields[name].default
            what = f"= {seconds:g} is {seconds / 3600:.1f} hours"
            todo = f"it is in seconds: write {seconds / 1000:g}, if milliseconds were meant; {usual} without it"
            yield "[watch]", name, what, todo


def _of_recipes(settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    for kind in ("bias", "dark", "flat"):
        recipe = getattr(settings.recipes, kind)
        if recipe.clip_sigma < _FEWEST_SIGMA:
            lost = 100 * math.erfc(recipe.clip_sigma / math.sqrt(2))
            what = f"= {recipe.clip_sigma:g} leaves out {lost:.0f} % of values that are right"
            yield f"[recipes.{kind}]", "clip_sigma", what, f"write {type(recipe)().clip_sigma:g}"


def _of_entry(entry: Instrument) -> Iterator[Keyed]:
    if entry.valid_from and entry.valid_to and entry.valid_from >= entry.valid_to:
        what = f"= {_toml(entry.valid_from)} is not before valid_to = {_toml(entry.valid_to)}, so that it never holds"
        yield "valid_from", what, "exchange the two, or correct the year"
    if entry.exposure_time_unit_s > _LARGEST_UNIT_S:
        what = f"= {entry.exposure_time_unit_s:g} takes an exposure card of 1 for {entry.exposure_time_unit_s:g} s"
        yield "exposure_time_unit_s", what, "write how many seconds its unit has: 0.001 for milliseconds"


def _of_amplifiers(entry: Instrument) -> Iterator[Keyed]:
    for one, other in combinations(entry.amplifiers, 2):
        if one.name == other.name:
            yield "amplifiers", f"names two of them {one.name}", "give each a name of its own"
        if one.data.overlaps(other.data):
            what = f"{one.data} of {one.name} and {other.data} of {other.name} have pixels in common"
            yield "amplifiers", what, _apart(one, other)
    for one in entry.amplifiers:
        lit = next((two for two in entry.amplifiers if one.overscan and one.overscan.overlaps(two.data)), None)
        if lit is not None:
            what = f"the overscan {one.overscan} of {one.name} lies in the data {lit.data} of {lit.name}"
            yield "amplifiers", what, "give as overscan the columns that see no light, and none of them as data"


def _apart(one: Amplifier, other: Amplifier) -> str:
    """Return how to part two amplifiers that lie beside, or on top of, each other."""
    first, second = sorted((one, other), key=lambda amplifier: (amplifier.data.x1, amplifier.data.y1))
    a, b = first.data, second.data
    if a.x1 < b.x1 and a.x2 < b.x2:
        return f'for {second.name} write data = "{Section(a.x2 + 1, b.x2, b.y1, b.y2)}", for example'
    if a.y1 < b.y1 and a.y2 < b.y2:
        return f'for {second.name} write data = "{Section(b.x1, b.x2, a.y2 + 1, b.y2)}", for example'
    return "give each pixel to one amplifier"


def _of_limits(number: int, entry: Instrument, evidence: Evidence) -> Iterator[Keyed]:
    units = {one.limits_key: one.unit for one in QUANTITIES.values()}
    for name, limits in entry.spec.items():
        key = f"spec.{name}"
        if limits.min is not None and limits.max is not None and limits.min > limits.max:
            what = f"has min = {limits.min:g} above max = {limits.max:g}, so that every value is bad"
            yield key, what, f"write {_limits(limits.max, limits.min)}"
        elif (number, name) in evidence.measured:
            value, uncertainty = evidence.measured[number, name]
            yield from ((key, *words) for words in _of_measured(limits, value, uncertainty, units[name]))


def _of_measured(limits: Limits, value: float, uncertainty: float | None, unit: str) -> Iterator[Words]:
    """Hold limits against what was measured: they may be in another unit, or so narrow that nothing stays in them."""
    low, high = limits.min, limits.max
    was = f"{value_text(value, uncertainty)} {unit_text(unit)} was measured"
    times = [one / value for one in (low, high) if one] if value else []
    is_far = times and (min(times) > _OTHER_UNIT or 0 < max(times) < 1 / _OTHER_UNIT)
    if is_far and not limits.admit(value):
        factor = 10.0 ** _power(sum(map(math.log10, times)) / len(times))
        right = [None if one is None else one / factor for one in (low, high)]
        yield f"= {_limits(low, high)}, but {was}", f"it is in another unit: write {_limits(*right)}"
    elif uncertainty and low is not None and high is not None and high - low < 2 * uncertainty:
        wide = [float(f"{value + k * uncertainty:.4g}") for k in (-4, 4)]
        yield f"= {_limits(low, high)} is narrower than ± 1 σ: {was}", f"write {_limits(*wide)}, for example"


def _power(decades: float) -> int:
    """Return the power of ten between two units: one of a thousand, where it is near to that."""
    return 3 * round(decades / 3) or round(decades)


def _of_match(number: int, entry: Instrument, settings: Settings, evidence: Evidence) -> Iterator[Keyed]:
    if number not in evidence.unmatched:
        return
    last = evidence.last_observed
    if entry.valid_from is not None and last is not None and entry.valid_from > last:
        return  # it is of the time to come
    if above := evidence.unmatched[number]:
        what = f"fits frames on record, but entry {above} ({settings.instruments[above - 1].name}) above takes them all"
        yield "match", what, "put it above that one, or let that one match less"
    else:
        cards = ", ".join(f"{card} = {value}" for card, value in entry.match.items())
        yield "match", f"({cards}) fits no frame on record", "see ccdwatch identify FILE for what its cards say"


def _of_spans(number: int, entry: Instrument, settings: Settings) -> Iterator[Keyed]:
    """Tell of entries of one name that hold at the same time for the same frames: the first of them is used."""
    for above, other in enumerate(settings.instruments[: number - 1], start=1):
        if other.name == entry.name and _meet(other, entry) and not _are_apart(other.match, entry.match):
            what = f"holds when entry {above} of this name holds too, which is used then"
            yield "valid_from", what, _parted((above, other), (number, entry))


def _meet(one: Instrument, other: Instrument) -> bool:
    def ends_before(first: Instrument, second: Instrument) -> bool:
        return first.valid_to is not None and second.valid_from is not None and first.valid_to <= second.valid_from

    return not ends_before(one, other) and not ends_before(other, one)


def _are_apart(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether some card must be one thing for one entry, and another one for the other."""
    ours, theirs = ({card.upper(): value.lower() for card, value in match.items()} for match in (one, other))
    pairs = [(ours[card], theirs[card]) for card in ours.keys() & theirs.keys()]
    return any(not fnmatch(a, b) and not fnmatch(b, a) for a, b in pairs)


def _parted(one: tuple[int, Instrument], other: tuple[int, Instrument]) -> str:
    """Return how to let the entry that begins first end where the other begins."""
    (number, first), (_, second) = sorted((one, other), key=lambda entry: _begin(entry[1]))
    if second.valid_from is None or first.valid_from == second.valid_from:
        return "give each its span by valid_from and valid_to, or take one away"
    return f"write valid_to = {_toml(second.valid_from)} in entry {number}"


def _begin(entry: Instrument) -> float:
    return -math.inf if entry.valid_from is None else entry.valid_from.timestamp()


def _limits(low: float | None, high: float | None) -> str:
    """Return limits as they are written in the file."""
    given = [f"{name} = {value:.10g}" for name, value in (("min", low), ("max", high)) if value is not None]
    return f"{{ {', '.join(given)} }}"


def _toml(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")
