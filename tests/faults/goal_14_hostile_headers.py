"""1 000 hostile header values, from identification to report: no write outside the home, nothing unescaped."""

from __future__ import annotations

import html
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from markdown_it import MarkdownIt

from db.runs.runs import list_runs
from flows.calibration import engine
from flows.calibration.steps import STEPS
from flows.commands.process import process
from flows.home.home import Home, open_home
from flows.orchestration.shown.artifacts import publish_registration
from flows.orchestration.shown.report import report, summary
from tests.faults.hostile import PIXELS, encoded, primary
from tests.support.command import ccdwatch

FIELDS = ("INSTRUME", "FILTER", "OBJECT", "READOUTM", "OBSERVER", "TELESCOP")
PIECES = (
    "../../../etc/x", "/etc/passwd", "..", "C:\\x", "%2e%2e%2f", "a/b", "~root", "nul", "-rf *", "$(reboot)", "`id`",
    "; drop table run", "' or 1=1", "{{7*7}}", "{0.__class__}", "%s%n", "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "</td></table><h1>", "&lt;b&gt;", "<!-- ", "]]>",
    "[x](javascript:alert(1))", "![x](http://127.0.0.1/x.png)", "<http://127.0.0.1>", "https://127.0.0.1/",
    "www.example", "# head", "| a | b |", "***bold***",
    "~~~", "```", "* item", "1. item", "\\", "_x_", "  ", "a" * 60, "[ref]: http://x",
)  # fmt: skip
RAW = ("\n# forged", "\r\x1b[2J", "\x00", "\x1b]0;x\x07", "\t|")
"""What no card may hold, put into it all the same."""

TAGS = {"h1", "h2", "h3", "p", "ul", "li", "strong", "code", "table", "thead", "tbody", "tr", "th", "td"}
NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]*")


def run(full: bool) -> str:
    n_sets = -(-1000 // len(FIELDS)) if full else 1
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        top = Path(directory).resolve()
        frames, empty = top / "frames", top / "empty"
        empty.mkdir()
        n_values = sum(_land(np.random.default_rng(number), frames, number) for number in range(n_sets))
        before = _contents(top)
        with (
            _written(top) as written,
            _working_in(empty),
            patch.object(engine, "STEPS", [s for s in STEPS if s.is_urgent]),
        ):
            home = open_home(top / "home")
            answer = process(home, [frames])
            pages = [*_reports(home), _registration(home)]
            said = _said(home)
        outside = {path for path in written if not path.is_relative_to(top / "home")}
        assert not outside, f"written outside the home: {sorted(outside)[:5]}"
        assert {path: at for path, at in _contents(top).items() if not path.is_relative_to(top / "home")} == before
        products = [path for name in ("masters", "reference") for path in (top / "home" / name).rglob("*")]
        assert all(NAME.fullmatch(path.name) for path in products), "a name with other letters"
        masters = len(answer["masters"])
        assert masters >= n_sets, f"{masters} masters of {n_sets} sets: {answer['failed'][:3]}{answer['excluded'][:3]}"
        home.engine.dispose()
    for page in pages:
        _check_page(page)
    odd = [line for line in said if not line.isprintable()]
    assert not odd, f"not fit for a terminal: {odd[:3]}"
    return (
        f"{n_values} hostile values in {n_sets} sets: {masters} masters, {len(pages)} reports and {len(said)} lines of "
        "logs and tables; 0 writes outside the home, 0 unescaped"
    )


def _land(rng: np.random.Generator, folder: Path, number: int) -> int:
    """Write biases and flats whose headers mean harm; return how many values do."""
    folder = folder / f"<b>{number}"
    folder.mkdir(parents=True)
    values = {field: _hostile(rng) for field in FIELDS}
    raw = RAW[number % len(RAW)].encode()
    for index in range(6):
        kind = "bias" if index < 3 else "flat"
        light = 0 if kind == "bias" else 10_000
        pixels = rng.poisson(1000 + light, PIXELS.shape).astype(np.uint16)
        taken = f"2022-09-{1 + number % 28:02d}T21:{index:02d}:00"
        hdu = primary(pixels, **{"IMAGETYP": kind, "EXPTIME": float(light > 0), "DATE-OBS": taken, **values})
        hdu.header["HISTORY"] = "x" * 20
        content = encoded(hdu).replace(b"x" * 20, raw + b"x" * (20 - len(raw)), 1)
        (folder / f"![{kind}](x) {index}.fits").write_bytes(content)
    return len(values)


def _hostile(rng: np.random.Generator) -> str:
    chosen = [PIECES[number] for number in rng.integers(len(PIECES), size=rng.integers(1, 4))]
    return "".join(chosen)[:60] or "x"


def _contents(top: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in top.rglob("*") if path.is_file()}


_watching: set[Path] | None = None


def _hear(name: str, arguments: tuple[Any, ...]) -> None:
    """Note every path that this process opens for writing, makes, renames or removes."""
    if _watching is None:
        return
    if name == "open" and isinstance(arguments[0], str | bytes):
        is_written = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        named = arguments[:1] if is_written else ()
    else:
        named = arguments[:2] if name in {"os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove"} else ()
    _watching.update(Path(os.path.abspath(os.fsdecode(one))) for one in named if isinstance(one, str | bytes))  # noqa: PTH100


@contextmanager
def _written(top: Path) -> Iterator[set[Path]]:
    """Collect what is written, but for devices, what Python and numba keep of their code, and temporary places."""
    global _watching  # noqa: PLW0603 - an audit hook cannot be taken back
    _watching = found = set[Path]()
    sys.addaudithook(_hear)
    try:
        yield found
    finally:
        _watching = None
        kept = {
            path
            for path in found
            if not path.is_relative_to("/dev")
            and not path.is_relative_to("/proc")
            and "__pycache__" not in path.parts
            and not (path.is_relative_to(tempfile.gettempdir()) and not path.is_relative_to(top))
        }
        found.intersection_update(kept)


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _reports(home: Home) -> Iterator[str]:
    with home.read_session() as session:
        runs = list_runs(session)
    for one in runs:
        yield report(home, one.id)


def _registration(home: Home) -> str:
    from datetime import UTC, datetime

    with patch("flows.orchestration.shown.artifacts.create_markdown_artifact") as made:
        publish_registration(home, since=datetime(2000, 1, 1, tzinfo=UTC))
    return str(made.call_args.args[0])


def _said(home: Home) -> list[str]:
    """Return every line that logs and tables show."""
    with home.read_session() as session:
        lines = [line for one in list_runs(session) for line in summary(home, one.id)]
    for what in ("frames", "masters", "runs", "trends", "status"):
        answer = ccdwatch(what, "--home", home.path)
        lines += answer.out.decode().splitlines() + answer.err.splitlines()
    return lines


class _Tags(HTMLParser):
    """The tags of a page, and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {(tag, name) for name, _ in attrs}


def _check_page(page: str) -> None:
    """Render a page as the Prefect UI does, and see that it holds nothing but what we write."""
    tags = _Tags()
    tags.feed(
        MarkdownIt("commonmark", {"html": True, "linkify": False}).enable(["table", "strikethrough"]).render(page)
    )
    assert tags.found <= TAGS, f"tags of others: {tags.found - TAGS} in {html.escape(page[:200])}"
    assert {one for one in tags.attributes if one[1] != "style"} == set(), tags.attributes
