"""11 kinds of writer, 20 seeds of each: no frame is accepted too early, but late edits, which become revision 2."""

from __future__ import annotations

import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from threading import Event
from unittest.mock import patch

import numpy as np
from astropy.io import fits
from sqlalchemy import select

from db.schema.models import File, FileState
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.registration.register import register_files
from flows.watching.directory_tree import is_open_for_writing
from flows.watching.watcher import Watcher

STABLE_SECONDS, QUIET_SECONDS = 0.4, 3.0
SCAN_SECONDS = 0.5
HEADER_BYTES = 2880
N_SEEDS = 20
SEEDS_AT_A_TIME = 4


class Writer:
    """Lets one frame land in its own way; every pause and length comes from the seed.

    Parameters
    ----------
    incoming, outside : Path
        What is watched, and a place beside it.
    kind : str
        Name of the way.
    seed : int
        Of all that is random.
    """

    def __init__(self, incoming: Path, outside: Path, kind: str, seed: int) -> None:
        self.random = random.Random(f"{kind} {seed}")
        self.path = incoming / kind / f"{seed}.fits"
        self.outside = outside / f"{kind}-{seed}"
        self.is_accepted = Event()
        self.revisions: list[bytes] = []
        """Complete contents before the final one, which may be accepted."""
        self.first = _frame(self.random)
        self.final = _frame(self.random)
        cuts = sorted(self.random.sample(range(HEADER_BYTES, len(self.final)), 4))
        self.chunks = [self.final[a:b] for a, b in zip([0, *cuts], [*cuts, len(self.final)], strict=True)]

    def write_first(self) -> None:
        """Write another frame, complete."""
        self.revisions.append(self.first)
        self.path.write_bytes(self.first)

    def pause(self, longest: float = 3 * STABLE_SECONDS) -> None:
        time.sleep(self.random.uniform(0, longest))

    def write_slowly(self, path: Path, *, mode: str = "wb") -> None:
        with path.open(mode, buffering=0) as file:
            for chunk in self.chunks:
                file.write(chunk)
                self.pause()


def _frame(source: random.Random) -> bytes:
    pixels = np.random.default_rng(source.getrandbits(32)).normal(1000, 5, (64, 64)).astype(np.uint16)
    header = fits.Header({"IMAGETYP": "bias", "DATE-OBS": "2022-09-19T20:00:00", "EXPTIME": 0.0, "INSTRUME": "writer"})
    content = BytesIO()
    fits.PrimaryHDU(pixels, header).writeto(content)  # without checksums, which would tell too much
    return content.getvalue()


def slow_chunks(writer: Writer) -> None:
    writer.write_slowly(writer.path)


def copied(writer: Writer) -> None:
    writer.path.write_bytes(writer.final)


def overwritten(writer: Writer) -> None:
    writer.write_first()
    writer.pause(4 * STABLE_SECONDS)
    writer.write_slowly(writer.path)


def renamed_when_complete(writer: Writer) -> None:
    temporary = writer.path.with_suffix(".fits.part")
    writer.write_slowly(temporary)
    temporary.rename(writer.path)


def hidden_until_complete(writer: Writer) -> None:
    temporary = writer.path.with_name(f".{writer.path.name}.Xa81kd")
    writer.write_slowly(temporary)
    temporary.rename(writer.path)


def updated_in_place(writer: Writer) -> None:
    """As `rsync --inplace` does: the old frame has the length of the new one all the time."""
    writer.write_first()
    writer.pause(4 * STABLE_SECONDS)
    writer.write_slowly(writer.path, mode="r+b")


def moved_in(writer: Writer) -> None:
    writer.outside.write_bytes(writer.final)
    writer.outside.rename(writer.path)


def linked(writer: Writer) -> None:
    """A hard link to a file that is still being written."""
    with writer.outside.open("wb", buffering=0) as file:
        file.write(writer.chunks[0])
        writer.path.hardlink_to(writer.outside)
        for chunk in writer.chunks[1:]:
            file.write(chunk)
            writer.pause()


def in_a_new_folder(writer: Writer) -> None:
    writer.path = writer.path.with_suffix("") / "ccd" / "frame.fits"
    writer.path.parent.mkdir(parents=True)
    writer.path.write_bytes(writer.final)


def allocated_first(writer: Writer) -> None:
    with writer.path.open("wb", buffering=0) as file:
        file.truncate(len(writer.final))
        for chunk in writer.chunks:
            file.write(chunk)
            writer.pause()


def killed_and_tried_again(writer: Writer) -> None:
    writer.path.write_bytes(writer.chunks[0])
    writer.pause(4 * STABLE_SECONDS)
    writer.write_slowly(writer.path)


def edited_later(writer: Writer) -> None:
    """Not one of the eleven: nobody can know that a complete frame will be edited."""
    writer.write_first()
    assert writer.is_accepted.wait(60)
    writer.write_slowly(writer.path)


KINDS: list[Callable[[Writer], None]] = [
    slow_chunks,
    copied,
    overwritten,
    renamed_when_complete,
    hidden_until_complete,
    updated_in_place,
    moved_in,
    linked,
    in_a_new_folder,
    allocated_first,
    killed_and_tried_again,
    edited_later,
]


def run(full: bool) -> str:
    n_seeds = N_SEEDS if full else SEEDS_AT_A_TIME
    for first in range(0, n_seeds, SEEDS_AT_A_TIME):
        _land(range(first, min(first + SEEDS_AT_A_TIME, n_seeds)))
    n_kinds = len(KINDS) - 1
    return (
        f"{n_kinds} kinds of writer, {n_seeds} seeds each: 0 of {n_kinds * n_seeds} frames accepted too early;"
        f" {n_seeds} late edits, each accepted as revision 2"
    )


def _land(seeds: Iterable[int]) -> None:
    """Let all kinds write at the same time, and look what was accepted."""
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        directory = Path(name)
        incoming, outside = directory / "incoming", directory / "outside"
        outside.mkdir()
        writers = []
        for kind in KINDS:
            (incoming / kind.__name__).mkdir(parents=True)
            writers += [(kind, Writer(incoming, outside, kind.__name__, seed)) for seed in seeds]
        accepted = _watch(directory, incoming, writers)
    early = [
        f"{writer.path.name} of {kind.__name__}"
        for kind, writer in writers
        if not {one for one, _ in accepted[writer.path]} <= {*map(_hash, writer.revisions), _hash(writer.final)}
    ]
    assert not early, f"accepted too early: {', '.join(early)}"
    unfinished = [writer.path for _, writer in writers if not _last(accepted, writer)]
    assert not unfinished, f"never accepted: {unfinished}"
    edited = [accepted[writer.path] for kind, writer in writers if kind is edited_later]
    assert all(len({frame for _, frame in one}) == 2 for one in edited), "a late edit is no second revision"


Accepted = dict[Path, list[tuple[str, int]]]
"""By path: hash of the file and number of the frame, each time that one was accepted."""


def _watch(directory: Path, incoming: Path, writers: list[tuple[Callable[[Writer], None], Writer]]) -> Accepted:
    """Watch and register while all of them write at the same time, until the last frame is accepted."""
    (directory / "home").mkdir()
    words = f"directories = ['{incoming}']\nstable_seconds = {STABLE_SECONDS}\nquiet_seconds = {QUIET_SECONDS}\n"
    words += f"scan_seconds = {SCAN_SECONDS}\n"
    (directory / "home" / "ccdwatch.toml").write_text(f"[watch]\n{words}")
    home = open_home(directory / "home")
    watcher = Watcher(
        home.settings.watch,
        write_session=home.write_session,
        read_session=home.read_session,
        host=home.settings.host,
        home=home.path,
    )
    accepted: Accepted = defaultdict(list)
    with patch("flows.watching.watcher.is_open_for_writing", _every_other), ThreadPoolExecutor(len(writers)) as pool:
        watcher.start()
        writing = [pool.submit(kind, writer) for kind, writer in writers]
        end = time.monotonic() + 120
        while time.monotonic() < end and not all(
            one.done() and _last(accepted, writer) for one, (_, writer) in zip(writing, writers, strict=True)
        ):
            watcher.tick(now())
            register_files(home)
            _take_note(home, accepted)
            for _, writer in writers:
                if accepted[writer.path]:
                    writer.is_accepted.set()
            watcher.wait(0.1)
        watcher.stop()
        for one in writing:
            one.result()
    home.engine.dispose()
    return accepted


def _every_other(path: str) -> bool | None:
    """As the file system tells of the even seeds; of the others it does not know, as on a network."""
    number = Path(path).stem
    return None if number.isdigit() and int(number) % 2 else is_open_for_writing(path)


def _take_note(home: Home, accepted: Accepted) -> None:
    with home.read_session() as session:
        done = session.scalars(select(File).where(File.state == FileState.DONE)).all()
    for file in done:
        revision = str(file.file_sha256), int(file.frame_id or 0)
        known = accepted[Path(file.root) / file.relative_path]
        if known[-1:] != [revision]:
            known.append(revision)


def _last(accepted: Accepted, writer: Writer) -> tuple[str, int] | None:
    """Return what was accepted last, where it is the final content."""
    last = accepted[writer.path][-1:]
    return last[0] if last and last[0][0] == _hash(writer.final) else None


def _hash(content: bytes) -> str:
    return sha256(content).hexdigest()
