"""`export`: the masters in force of cameras, for another program, in a folder of its own for each camera."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccdcore.errors import CcdError
from flows.config.errors import SettingsError
from flows.exporting.cameras import cameras_of
from flows.exporting.folder import Folder, Item
from flows.exporting.layouts import Plan, Program, about, plan
from flows.home.output_paths import instrument_folder
from flows.watching.heartbeat import read_heartbeat

if TYPE_CHECKING:
    from flows.home.home import Home

README = "README.txt"
_WHY = {
    "removed": "is not in force any more, or has another name",
    "left": "is not in force any more, but was changed since it was exported: remove it yourself",
}


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of a master, or of a file that an earlier export wrote.

    Parameters
    ----------
    instrument : str
        Of which camera.
    about : mapping
        Which master: its kind, configuration, filter, exposure, temperature, validity, and the masters in the file.
    file, sha256 : str or None
        Where it went, and what it is.
    state : str
        ``written``, ``replaced``, ``stands`` (as before); ``left out`` of what the program could not use rightly;
        ``failed``; ``removed`` or, where it was changed, ``left`` of an earlier file that is for nothing any more.
    reason : str or None
        Why.
    """

    instrument: str
    about: Mapping[str, Any]
    file: str | None
    sha256: str | None
    state: str
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        rest = {"file": self.file, "sha256": self.sha256, "state": self.state, "reason": self.reason}
        return {"instrument": self.instrument, **self.about, **rest}


def export(
    home: Home,
    program: Program,
    directory: Path,
    *,
    instrument: str | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[Exported]:
    """Copy the masters in force to ``DIRECTORY/<instrument>/`` as a program wants them; return what became of each.

    Raises
    ------
    flows.exporting.folder.NotOursError
        If anything is in the way that no earlier export wrote, or that was changed since; then nothing is written,
        of any camera.
    SettingsError
        If the directory lies in the home or a watched folder, or cannot be written.
    """
    cameras, work = cameras_of(home, instrument), []
    for number, camera in enumerate(cameras):
        progress("reading masters", number, len(cameras))
        path = (directory / instrument_folder(camera.instrument)).resolve()
        _require_outside(home, path)
        folder = Folder.opened(path, program=program, instrument=camera.instrument)
        planned = plan(camera, program)
        for item in (*(item for _, item in planned.items), _readme(planned.words)):
            folder.require_free(item)
        work.append((folder, planned))
    rows: list[Exported] = []
    try:
        for number, (folder, planned) in enumerate(work):
            progress("copying masters", number, len(work))
            rows += _write(folder, planned)
    except OSError as error:
        raise SettingsError(f"{directory}: cannot be written: {error.strerror}: give another directory") from None
    return rows


def _require_outside(home: Home, path: Path) -> None:
    if path.is_relative_to(home.path.resolve()):
        raise SettingsError(f"{path}: lies in the home: give a directory outside of it")
    heard = read_heartbeat(home.path)
    for folder in (*home.settings.watch.directories, *map(Path, heard.mounts if heard else ())):
        if path.is_relative_to(folder):
            raise SettingsError(
                f"{path}: lies in the watched folder {folder}, which is for raw frames: give a directory outside of it"
            )


def _write(folder: Folder, planned: Plan) -> Iterator[Exported]:
    """Write what is planned of a camera, and the list of it; take away what is for nothing any more."""
    done: list[Item] = []
    failed = [*planned.failed]
    for one, item in planned.items:
        try:
            state = folder.put(item)
        except CcdError as error:
            failed.append((one, str(error)))
            continue
        done.append(item)
        yield Exported(folder.instrument, item.about, str(folder.path / item.name), item.sha256, state)
    for state, some in (("left out", planned.left_out), ("failed", failed)):
        yield from (Exported(folder.instrument, about([one]), None, None, state, reason) for one, reason in some)
    if done:
        done.append(_readme(planned.words))
        folder.put(done[-1])
    earlier = sorted(folder.listed.keys() - {item.name for item in done})
    # Where a master failed, one of these files may be for the same.
    kept = earlier if failed else []
    for name in earlier if not failed else ():
        state = folder.remove(name)
        if name != README:
            what, reason = dict(folder.listed[name]), _WHY[state]
            file, sha256 = str(folder.path / what.pop("file")), what.pop("sha256")
            yield Exported(folder.instrument, what, file, sha256, state, reason)
    if done or earlier:
        folder.write_list(done, kept)


def _readme(words: str) -> Item:
    content = words.encode()

    def write(path: Path) -> None:
        path.write_bytes(content)

    return Item(README, hashlib.sha256(content).hexdigest(), write)
