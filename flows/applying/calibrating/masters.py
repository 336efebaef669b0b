"""Masters read once for many frames: their files are mapped, and strips of them read as they are needed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from ccdcore.application.flat_gain import flat_gain
from ccdcore.application.ingredients import Masters
from ccdcore.association.facts import amplifiers_of
from ccdcore.errors import CcdError, FrameReadError
from ccdcore.io.plain_files import file_sha256
from ccdcore.io.read import read_image
from ccdcore.masters.file import read_master

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ccdcore.application.ingredients import Readout
    from ccdcore.association.choice import Choice
    from ccdcore.frames.frame import Frame

_MOST = 16
"""Files that are held open."""


class ChangedMasterError(CcdError):
    """The file of a master is not the one on record."""

    def __init__(self, master_id: int, what: str) -> None:
        super().__init__(f"master:{master_id}: {what}: see ccdwatch audit")
        self.master_id = master_id


@dataclass(slots=True)
class MasterFiles:
    """The masters of a home, each read and held against its SHA-256 on record when it is first asked for."""

    home: Path
    _held: OrderedDict[str, Any] = field(default_factory=OrderedDict)
    _gains: dict[object, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def chosen(self, choices: Iterable[Choice]) -> Masters:
        """Return the masters that were chosen, cut to the window of their frame.

        Raises
        ------
        ChangedMasterError
            If a file is not as on record.
        FrameReadError
            If one is no master.
        """
        found = Masters()
        for one in choices:
            of_it: dict[str, Any] = {"bad_pixels" if one.kind == "mask" else one.kind: self._read(one)}
            part = Masters(**of_it)
            part = part if one.cut is None else part.cut(one.cut)
            found = replace(found, **{name: getattr(part, name) for name in of_it})
        return found

    def flat_gain(self, choices: Iterable[Choice], frame: Frame, readout: Mapping[str, Readout]) -> float | None:
        """Return the gain that the flat of these leaves to a frame, in e⁻/ADU; None without a flat, or without gains.

        It is that of the whole flat, also for a frame that takes a cut, and reckoned once for many frames.
        """
        flat = next((one for one in choices if one.kind == "flat"), None)
        if flat is None or not all(one.name in readout for one in frame.amplifiers):
            return None
        amplifiers = amplifiers_of(flat.master.amplifiers) if flat.master.amplifiers else frame.amplifiers
        gains = {one.name: readout[one.name].gain_e_per_adu for one in amplifiers if one.name in readout}
        key = flat.master.sha256, tuple(amplifiers), tuple(gains.items())
        if key not in self._gains:
            self._gains[key] = flat_gain(self._read(flat), amplifiers, gains)
        return self._gains[key]

    def _read(self, choice: Choice) -> Any:
        path, sha256 = self.home / choice.master.path, choice.master.sha256
        with self._lock:
            if sha256 not in self._held:
                require_as_on_record(path, sha256, choice.master.master_id)
                self._held[sha256] = read_image(path) if choice.kind == "mask" else read_master(path, mapped=True)
            self._held.move_to_end(sha256)
            while len(self._held) > _MOST:
                self._held.popitem(last=False)
            return self._held[sha256]


def require_as_on_record(path: Path, sha256: str, master_id: int) -> None:
    """Make sure that the file of a master has the SHA-256 that is on record.

    Raises
    ------
    ChangedMasterError
        If it has not, or cannot be read.
    """
    try:
        found = file_sha256(path)
    except FrameReadError as error:
        raise ChangedMasterError(master_id, str(error)) from None
    if found != sha256:
        raise ChangedMasterError(master_id, f"{path} was changed since it was made")
