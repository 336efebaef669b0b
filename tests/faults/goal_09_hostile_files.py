"""Hostile files and 10 000 mutants: no reader over 10 s or 1 GB, none harms others, no wrong pixel behind a sum."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from ccdcore.errors import CcdError
from ccdcore.io.digest import pixel_sha256
from ccdcore.io.stream import opened
from flows.registration.reader_pool import Readers, ReadingError
from tests.faults.hostile import PIXELS, SEEDS, TABLE, Hostile, mutant

N_MUTANTS = 10_000
TRUE = pixel_sha256(PIXELS)


@dataclass
class Tally:
    """What became of the files, and the worst of each figure."""

    found: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    preflight_ms: float = 0.0
    mib: float = 0.0

    def read(self, readers: Readers, path: Path) -> tuple[str, str]:
        """Let a file be read; return what became of it (accepted, refused, unread), and what was said or its hash."""
        self.preflight_ms = max(self.preflight_ms, _preflight_ms(path))
        began = time.monotonic()
        try:
            measured = readers.measure(path)
            outcome = "accepted", f"{measured.sha256} {measured.info.frame_type_reason}"
        except CcdError as error:
            outcome = "refused", str(error)
        except ReadingError as error:
            outcome = "unread", str(error)
        self.seconds = max(self.seconds, time.monotonic() - began)
        self.mib = max(self.mib, *_memory_mib())
        self.found[outcome[0]] += 1
        return outcome


def run(full: bool) -> str:
    tally = Tally()
    n = N_MUTANTS if full else 300
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory, Readers(()) as readers:
        rows = TABLE if full else ()  # each of which is a test of its own, too
        for row in rows:
            _meet(tally, readers, row, Path(directory))
        wrong = _mutants(tally, readers, Path(directory) / "mutant.fits", n)
    assert not wrong, f"{len(wrong)} of {n} mutants with wrong pixels: {wrong[:3]}"
    assert tally.seconds < 10, f"a file took {tally.seconds:.1f} s"
    assert tally.mib < 1024, f"a reader took {tally.mib:.0f} MiB"
    assert tally.preflight_ms < 100, f"a preflight took {tally.preflight_ms:.0f} ms"
    of = ", ".join(f"{number} {outcome}" for outcome, number in sorted(tally.found.items()))
    return (
        f"{len(rows)} hostile files and {n} mutants: {of}; 0 wrong pixels, at most {tally.seconds:.1f} s and "
        f"{tally.mib:.0f} MiB a reader, {tally.preflight_ms:.0f} ms of processor a preflight"
    )


def _meet(tally: Tally, readers: Readers, row: Hostile, directory: Path) -> None:
    path = directory / "hostile.fits"
    row.make(path)
    outcome, said = tally.read(readers, path)
    path.unlink()
    assert (outcome == "accepted") is row.accepted, f"{row.name}: {outcome}: {said}"
    assert row.said in said, f"{row.name}: {said}"


def _mutants(tally: Tally, readers: Readers, path: Path, n: int) -> list[str]:
    """Let mutants be read; return those whose pixels are wrong where a sum would have told."""
    wrong = []
    names = list(SEEDS)
    for number in range(n):
        name = names[number % len(names)]
        seed = SEEDS[name]
        content = mutant(np.random.default_rng(number), seed.content)
        path.write_bytes(content)
        outcome, said = tally.read(readers, path)
        if outcome == "accepted" and seed.guarded and not said.startswith(TRUE) and _has_sums(name, content):
            wrong.append(f"{name} {number}")
    return wrong


def _has_sums(name: str, content: bytes) -> bool:
    """Whether the sums of a mutant are those of its seed, all of them; of gzip, that it is still that."""
    if name == "gzip":
        return content.startswith(b"\x1f\x8b")
    sums = [card for card in _cards(SEEDS[name].content) if card[:8] in {b"DATASUM ", b"CHECKSUM"}]
    return all(card in content for card in sums)


def _cards(content: bytes) -> list[bytes]:
    return [content[start : start + 80] for start in range(0, len(content), 80)]


def _preflight_ms(path: Path) -> float:
    began = time.thread_time()
    with suppress(CcdError), opened(path):
        pass
    return (time.thread_time() - began) * 1e3


def _memory_mib() -> list[float]:
    """Return the most memory that each reader ever held; they are children of the server that they are forked from."""
    found = [0.0]
    for process in psutil.Process().children(recursive=True):
        with suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            found += [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    return found
