"""A folder that masters were exported to: what is ours in it, by a list with the SHA-256 of each file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ccdcore.errors import CcdError, FrameReadError
from ccdcore.io.plain_files import file_sha256
from ccdcore.io.write import new_file, replaced_file, write_bytes

LIST = "ccdwatch-export.json"
_WRITTEN_BY = "ccdwatch export"


class NotOursError(CcdError):
    """There is something where an exported file would go that ccdwatch did not write, or that was changed since."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file that is to stand in a folder.

    Parameters
    ----------
    name : str
        How it is called.
    sha256 : str
        Of its bytes.
    write : callable
        Writes them to a path where nothing is.
    about : mapping
        What the list says of it besides, as JSON has it.
    """

    name: str
    sha256: str
    write: Callable[[Path], None]
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, for what it is, and what the list in it says of the files that were written there."""

    path: Path
    program: str
    instrument: str
    listed: Mapping[str, Mapping[str, Any]]

    @classmethod
    def opened(cls, path: Path, *, program: str, instrument: str) -> Folder:
        """Return a folder, which need not be there yet.

        Raises
        ------
        NotOursError
            If its list is not by us, or is of another program or camera.
        """
        file = path / LIST
        if not os.path.lexists(file):
            return cls(path, program, instrument, {})
        try:
            said = json.loads(file.read_bytes())
            listed = {Path(one["file"]).name: one for one in said["files"]}
            whose = said["written_by"], said["program"], said["instrument"]
        except (OSError, ValueError, TypeError, KeyError):
            whose = None, None, None
        if whose[0] != _WRITTEN_BY or file.is_symlink():
            raise NotOursError(f"{file}: is no list of ccdwatch export: give another directory, or move it")
        if whose != (_WRITTEN_BY, program, instrument):
            raise NotOursError(f"{path}: holds masters of {whose[2]} for {whose[1]}: give another directory")
        return cls(path, program, instrument, listed)

    def require_free(self, item: Item) -> None:
        """Make sure that a file may be written: nothing is there, or what we wrote and nobody changed, or its bytes.

        Raises
        ------
        NotOursError
            If something else is.
        """
        file = self.path / item.name
        if os.path.lexists(file) and not self._is_ours(item.name) and self._sha256(item.name) != item.sha256:
            what = "was changed since ccdwatch wrote it" if item.name in self.listed else "ccdwatch did not write it"
            raise NotOursError(f"{file}: is there already, and {what}: give another directory, or move it")

    def put(self, item: Item) -> str:
        """Write a file, and say what was done: ``written``, ``replaced``, or ``stands``, where it was so before.

        Raises
        ------
        NotOursError
            If something else is there by now.
        CcdError
            If it cannot be made; what was there stays.
        OSError
            If it cannot be written; what was there stays.
        """
        self.require_free(item)
        file = self.path / item.name
        if not os.path.lexists(file):
            with new_file(file) as temporary:
                item.write(temporary)
            return "written"
        if self._sha256(item.name) == item.sha256:
            return "stands"
        with replaced_file(file) as temporary:
            item.write(temporary)
        return "replaced"

    def remove(self, name: str) -> str:
        """Take away a file that is for nothing any more; say ``removed``, or ``left`` where it was changed."""
        if os.path.lexists(self.path / name) and not self._is_ours(name):
            return "left"
        (self.path / name).unlink(missing_ok=True)
        return "removed"

    def write_list(self, items: Sequence[Item], kept: Sequence[str] = ()) -> None:
        """Write what is ours, the files that were kept from before among it; where nothing is, there is no list."""
        files = [{"file": one.name, "sha256": one.sha256, **one.about} for one in items]
        files += [dict(self.listed[name]) for name in kept]
        file = self.path / LIST
        if not files:
            file.unlink(missing_ok=True)
            return
        said = {"written_by": _WRITTEN_BY, "program": self.program, "instrument": self.instrument, "files": files}
        content = json.dumps(said, indent=2).encode() + b"\n"
        if not file.exists() or file.read_bytes() != content:
            write_bytes(file, content)

    def _is_ours(self, name: str) -> bool:
        """Whether a file is as we wrote it."""
        return name in self.listed and self._sha256(name) == self.listed[name].get("sha256")

    def _sha256(self, name: str) -> str | None:
        """Return the SHA-256 of a regular file in the folder; None of anything else, as a link."""
        file = self.path / name
        try:
            return None if file.is_symlink() or not file.is_file() else file_sha256(file)
        except FrameReadError:
            return None
