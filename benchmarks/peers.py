"""Other programs that combine frames: how each is told to take the 7 σ clipped mean of the same files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Peer:
    """A program to run in a folder of its own, with what it must find there."""

    name: str
    command: list[str]
    files: dict[str, str]


def peers(frames: Sequence[Path], folder: Path) -> tuple[list[Peer], list[str]]:
    """Return the programs that are installed, and the names of those that are not."""
    found: list[Peer] = []
    missing: list[str] = []
    for name, program, package, make in (
        ("IRAF imcombine (sigclip, mclip)", "irafcl", "iraf", _iraf),
        ("Gnuastro astarithmetic sigclip-mean", "astarithmetic", "gnuastro", _gnuastro),
        ("Siril stack rej 7 7", "siril-cli", "siril", _siril),
    ):
        if shutil.which(program):
            found.append(make(name, frames, folder))
        else:
            missing.append(f"{name} (Debian package {package})")
    return found, missing


def _iraf(name: str, frames: Sequence[Path], folder: Path) -> Peer:
    script = (
        "set imtype = fits\nimages\nimmatch\n"
        'imcombine @list.txt out.fits combine=average reject=sigclip mclip=yes lsigma=7 hsigma=7 logfile=""\nlogout\n'
    )
    listed = "".join(f"{path}\n" for path in frames)
    return Peer(name, ["irafcl", "-f", "script.cl"], {"list.txt": listed, "script.cl": script})


def _gnuastro(name: str, frames: Sequence[Path], folder: Path) -> Peer:
    words = ["astarithmetic", *map(str, frames), str(len(frames)), "7", "1", "sigclip-mean", "-g0"]
    return Peer(name, [*words, f"--output={folder / 'out.fits'}", "--quiet"], {})


def _siril(name: str, frames: Sequence[Path], folder: Path) -> Peer:
    script = "requires 1.0.0\nlink bias -out=work\ncd work\nstack bias rej 7 7 -nonorm -out=../out\n"
    for number, path in enumerate(frames, start=1):
        (folder / f"bias_{number:05d}.fits").symlink_to(path)
    return Peer(name, ["siril-cli", "-d", str(folder), "-s", "script.ssf"], {"script.ssf": script})
